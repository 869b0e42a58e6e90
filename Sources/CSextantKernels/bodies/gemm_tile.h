// One block of k of a product of panels with weights, for one kind of element: included once for each.
//
//   GEMM(name)   the name's form for this kind
//   GEMM_UNIT    the form in which a weight is read: a float, or two neighbours along k in 32 bits
//   GEMM_LANES   a vector of GEMM_UNIT
//   GEMM_STEP(w, x, sum)  sum + w * x, lane by lane, for a vector whose lanes are all w

// y[m, n] (+)= the sum over one block of k, for V vectors of rows and NT columns.
INLINE void GEMM(tile)(
    const GEMM_UNIT *panel, const GEMM_UNIT *weight, size_t weight_stride, size_t k, const int V,
    const int NT, size_t rows, const float *bias, int is_first, float *y, size_t y_stride) {
  vf sums[TILE_N][2];
#pragma clang loop unroll(full)
  for (int n = 0; n < NT; n++)
#pragma clang loop unroll(full)
    for (int v = 0; v < V; v++) sums[n][v] = vf_set(0);

  for (size_t i = 0; i < k; i++) {
    GEMM_LANES x[2];
#pragma clang loop unroll(full)
    for (int v = 0; v < V; v++) memcpy(&x[v], panel + i * PANEL + v * VL, sizeof x[v]);
#pragma clang loop unroll(full)
    for (int n = 0; n < NT; n++) {
      const GEMM_LANES w = (GEMM_LANES)weight[n * weight_stride + i];
#pragma clang loop unroll(full)
      for (int v = 0; v < V; v++) sums[n][v] = GEMM_STEP(w, x[v], sums[n][v]);
    }
  }

  // Converts lanes that are rows to adjacent columns, by squares of four if there are four.
  float tile[TILE_N][PANEL];
#pragma clang loop unroll(full)
  for (int n = 0; n < NT; n++) {
    const vf before = vf_set(is_first && bias != NULL ? bias[n] : 0);
#pragma clang loop unroll(full)
    for (int v = 0; v < V; v++) vf_store(tile[n] + v * VL, sums[n][v] + before);
  }
  size_t m = 0;
  for (; m + 4 <= rows; m += 4)
#pragma clang loop unroll(full)
    for (int n = 0; n + 4 <= NT; n += 4) {
      vf4 square[4];
      for (int j = 0; j < 4; j++) memcpy(&square[j], tile[n + j] + m, sizeof(vf4));
      vf4_transpose(square);
      for (int j = 0; j < 4; j++) {
        float *out = y + (m + j) * y_stride + n;
        vf4 old = 0;
        if (!is_first) memcpy(&old, out, sizeof(vf4));
        square[j] += old;
        memcpy(out, &square[j], sizeof(vf4));
      }
    }
  for (size_t row = 0; row < rows; row++)
    for (int n = row < m ? NT / 4 * 4 : 0; n < NT; n++) {
      float *out = y + row * y_stride + n;
      *out = (is_first ? 0 : *out) + tile[n][row];
    }
}

INLINE void GEMM(panel)(
    const GEMM_UNIT *panel, const GEMM_UNIT *weight, size_t weight_stride, size_t k, const int V,
    size_t columns, size_t rows, const float *bias, int is_first, float *y, size_t y_stride) {
  size_t n = 0;
#define TILES(NT)                                                                           \
  for (; n + NT <= columns; n += NT)                                                        \
    GEMM(tile)(                                                                             \
        panel, weight + n * weight_stride, weight_stride, k, V, NT, rows,                   \
        bias == NULL ? NULL : bias + n, is_first, y + n, y_stride);
  TILES(TILE_N)
#if TILE_N > 4
  TILES(4)
#endif
  TILES(1)
#undef TILES
}
