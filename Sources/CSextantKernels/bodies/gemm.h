// Products with many rows of x, limited by arithmetic.
//
// Lanes are rows of x. These are packed once into panels, [K][PANEL] with zeros beyond the last
// row; the weights are read in place, one element at a time for a whole panel, so that a product
// with few dozens of rows pays for no copy of the weights. A tile of TILE_N columns by one panel
// stays in registers over a block of k; the blocks of x and of the weights stay in the second-level
// cache.

#define PANEL (2 * VL)
#if VL == 16 || SXK_HAS_NEON
#define TILE_N 12
#elif VL == 8
#define TILE_N 6
#else
#define TILE_N 4
#endif

static size_t panel_rows(void) { return PANEL; }

// The panels p0..<p1 of x [M, K], by squares of four if there are four rows and columns.
static void pack_panels(
    float *panels, const float *x, size_t x_stride, size_t m, size_t k, size_t p0, size_t p1) {
  for (size_t p = p0; p < p1; p++) {
    const size_t first = p * PANEL;
    for (size_t row = 0; row < PANEL; row += 4) {
      const float *from = x + (first + row) * x_stride;
      float *to = panels + first * k + row;
      const size_t rows = first + row >= m ? 0 : m - first - row < 4 ? m - first - row : 4;
      size_t i = 0;
      for (; rows == 4 && i + 4 <= k; i += 4) {
        vf4 square[4];
        for (int j = 0; j < 4; j++) memcpy(&square[j], from + j * x_stride + i, sizeof(vf4));
        vf4_transpose(square);
        for (int j = 0; j < 4; j++) memcpy(to + (i + j) * PANEL, &square[j], sizeof(vf4));
      }
      for (; i < k; i++)
        for (size_t j = 0; j < 4; j++) to[i * PANEL + j] = j < rows ? from[j * x_stride + i] : 0;
    }
  }
}

#define GEMM(NAME) gemm_##NAME
#define GEMM_UNIT float
#define GEMM_LANES vf
#define GEMM_STEP vf_fma
#include "gemm_tile.h"
#undef GEMM
#undef GEMM_UNIT
#undef GEMM_LANES
#undef GEMM_STEP

// `count` weights from element `first` of the matrix on, as floats.
INLINE void widen(float *y, const sxk_linear *job, size_t first, size_t count) {
  const uint16_t *halves = job->weight;
  switch (job->weight_type) {
  case SXK_F32: break;
  case SXK_BF16: f32_from_bf16(y, halves + first, count); break;
  case SXK_F16: f32_from_f16(y, halves + first, count); break;
  default: {
    const block_form form = block_forms[job->weight_type];
    const char *blocks = (const char *)job->weight + first / form.length * form.bytes;
    f32_from_blocks(y, blocks, job->weight_type, count);
  }
  }
}

static void gemm(
    const sxk_linear *job, const float *panels, float *scratch, size_t p0, size_t p1, size_t n0,
    size_t n1) {
  for (size_t c0 = n0; c0 < n1; c0 += SXK_GEMM_COLUMNS) {
    const size_t columns = n1 - c0 < SXK_GEMM_COLUMNS ? n1 - c0 : SXK_GEMM_COLUMNS;
    const float *bias = job->bias == NULL ? NULL : job->bias + c0;
    size_t k0 = 0;
    do {
      const size_t k = job->k - k0 < SXK_GEMM_DEPTH ? job->k - k0 : SXK_GEMM_DEPTH;
      const float *weight = (const float *)job->weight + c0 * job->weight_stride + k0;
      size_t stride = job->weight_stride;
      if (job->weight_type != SXK_F32) {
        for (size_t n = 0; n < columns; n++)
          widen(scratch + n * k, job, (c0 + n) * job->weight_stride + k0, k);
        weight = scratch;
        stride = k;
      }
      for (size_t p = p0; p < p1; p++) {
        const float *panel = panels + p * PANEL * job->k + k0 * PANEL;
        const size_t left = job->m - p * PANEL, rows = left < PANEL ? left : PANEL;
        float *y = job->y + p * PANEL * job->y_stride + c0;
        if (rows > VL)
          gemm_panel(panel, weight, stride, k, 2, columns, rows, bias, k0 == 0, y, job->y_stride);
        else
          gemm_panel(panel, weight, stride, k, 1, columns, rows, bias, k0 == 0, y, job->y_stride);
      }
      k0 += k;
    } while (k0 < job->k);
  }
}
