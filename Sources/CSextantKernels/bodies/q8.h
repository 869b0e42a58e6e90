// Weights in blocks of 32 signed bytes with one f16 scale.

typedef int8_t vb __attribute__((ext_vector_type(VL)));

#define Q8_VECTORS (SXK_Q8_LENGTH / VL)

INLINE vf q8_scale(const sxk_q8_block *block) { return vf_from_f16((vh)block->scale); }

// The weights v * VL ..< (v + 1) * VL of a block. The product is exact: 11 bits by 8.
INLINE vf q8_load(const sxk_q8_block *block, int v, vf scale) {
  vb bytes;
  memcpy(&bytes, block->weights + v * VL, sizeof bytes);
  return __builtin_convertvector(bytes, vf) * scale;
}

static void f32_from_q8(float *y, const sxk_q8_block *x, size_t count) {
  for (size_t b = 0; b < count / SXK_Q8_LENGTH; b++) {
    const vf scale = q8_scale(x + b);
#pragma clang loop unroll(full)
    for (int v = 0; v < Q8_VECTORS; v++)
      vf_store(y + b * SXK_Q8_LENGTH + v * VL, q8_load(x + b, v, scale));
  }
}

static void q8_from_f32(sxk_q8_block *y, const float *x, size_t count) {
  for (; count >= SXK_Q8_LENGTH; count -= SXK_Q8_LENGTH, x += SXK_Q8_LENGTH, y++) {
    // Magnitudes compare like their bits, and NaN above all others.
    vu largest = 0;
    for (int v = 0; v < Q8_VECTORS; v++) {
      const vu magnitude = vu_bits(vf_load(x + v * VL)) & 0x7fffffffu;
      largest = magnitude > largest ? magnitude : largest;
    }
    uint32_t lanes[VL], bits = 0;
    memcpy(lanes, &largest, sizeof lanes);
    for (int i = 0; i < VL; i++) bits = lanes[i] > bits ? lanes[i] : bits;
    float most;
    memcpy(&most, &bits, sizeof most);
    if (!(most <= 127.0f * 65504.0f)) {
      y->scale = 0x7e00;
      memset(y->weights, 0, sizeof y->weights);
      continue;
    }
    // The next f16 that is not below, so that no weight is beyond 127 steps.
    uint16_t scale = f16_from_vf(vf_set(most / 127))[0];
    if (vf_from_f16((vh)scale)[0] < most / 127) scale++;
    const vf step = vf_from_f16((vh)scale);
    y->scale = scale;
    for (int v = 0; v < Q8_VECTORS; v++) {
      const vf steps = scale == 0 ? vf_set(0) : vf_round(vf_load(x + v * VL) / step);
      const vb bytes = __builtin_convertvector(__builtin_convertvector(steps, vi), vb);
      memcpy(y->weights + v * VL, &bytes, sizeof bytes);
    }
  }
}

// As `linear_part`, for blocks b0 ..< b1 of each row, B at a time. B * Q8_VECTORS is a multiple of U.
INLINE void q8_linear_part(
    const sxk_linear *job, size_t first, size_t rows, size_t b0, size_t b1, vf totals[][VL],
    const int M, const int R, const int U, const int B, const int whole) {
  const size_t x_stride = job->x_stride, block_bytes = sizeof(sxk_q8_block);
  const size_t row_blocks = job->weight_stride / SXK_Q8_LENGTH;
  for (size_t i = 0; i < rows; i += R) {
    const sxk_q8_block *row[2];
    const char *later[2];
#pragma clang loop unroll(full)
    for (int r = 0; r < R; r++) {
      row[r] = (const sxk_q8_block *)job->weight + (first + (i + r < rows ? i + r : i)) * row_blocks;
      later[r] = linear_later(
          (const char *)row[r], row_blocks * block_bytes, i + r, b0 * block_bytes,
          (b1 - b0) * block_bytes, b1 == job->k / SXK_Q8_LENGTH, M, whole);
    }
    vf sums[SXK_LINEAR_MAX_M][4];
#pragma clang loop unroll(full)
    for (int m = 0; m < M; m++)
#pragma clang loop unroll(full)
      for (int u = 0; u < R * U; u++) sums[m][u] = vf_set(0);

#define BLOCKS(COUNT)                                                                       \
  _Pragma("clang loop unroll(full)") for (int j = 0; j < COUNT; j++) {                      \
    vf scale[2];                                                                            \
    _Pragma("clang loop unroll(full)") for (int r = 0; r < R; r++) {                        \
      if (M > 1) linear_prefetch(later[r] + (b + j) * block_bytes, M);                      \
      scale[r] = q8_scale(row[r] + b + j);                                                  \
    }                                                                                       \
    _Pragma("clang loop unroll(full)") for (int v = 0; v < Q8_VECTORS; v++) {               \
      vf w[2];                                                                              \
      _Pragma("clang loop unroll(full)") for (int r = 0; r < R; r++)                        \
        w[r] = q8_load(row[r] + b + j, v, scale[r]);                                        \
      const float *const x = job->x + (b + j) * SXK_Q8_LENGTH + v * VL;                     \
      const int u = (j * Q8_VECTORS + v) % U;                                               \
      _Pragma("clang loop unroll(full)") for (int m = 0; m < M; m++) {                      \
        const vf values = vf_load(x + m * x_stride);                                        \
        _Pragma("clang loop unroll(full)") for (int r = 0; r < R; r++)                      \
          sums[m][r * U + u] = vf_fma(w[r], values, sums[m][r * U + u]);                    \
      }                                                                                     \
    }                                                                                       \
  }
    size_t b = b0;
    for (; b + B <= b1; b += B) {
      BLOCKS(B)
    }
    for (; b < b1; b++) {
      BLOCKS(1)
    }
#undef BLOCKS

    linear_collect(totals, i, sums, !whole && b0 > 0, M, R, U);
  }
}

INLINE void q8_linear_rows(
    const sxk_linear *job, size_t n0, size_t n1, const int M, const int R, const int U, const int B) {
  const size_t blocks = job->k / SXK_Q8_LENGTH;
  const size_t part = linear_columns(job->k, M) / SXK_Q8_LENGTH;
  for (size_t first = n0; first < n1; first += VL) {
    const size_t rows = n1 - first < VL ? n1 - first : VL;
    vf totals[SXK_LINEAR_MAX_M][VL];
    if (part == blocks)
      q8_linear_part(job, first, rows, 0, blocks, totals, M, R, U, B, 1);
    else
      for (size_t b = 0; b < blocks; b += part)
        q8_linear_part(
            job, first, rows, b, blocks - b < part ? blocks : b + part, totals, M, R, U, B, 0);
#pragma clang loop unroll(full)
    for (int m = 0; m < M; m++) linear_store(job, m, first, rows, totals[m]);
  }
}

static void q8_linear(const sxk_linear *job, size_t n0, size_t n1) {
  switch (job->m) {
  case 1: q8_linear_rows(job, n0, n1, 1, 1, 4, 2); break;
  case 2: q8_linear_rows(job, n0, n1, 2, 1, 4, 2); break;
  case 3: q8_linear_rows(job, n0, n1, 3, 1, 2, 1); break;
  case 4: q8_linear_rows(job, n0, n1, 4, LINEAR_R, 2, 1); break;
  case 5: q8_linear_rows(job, n0, n1, 5, LINEAR_R, 1, 1); break;
  case 6: q8_linear_rows(job, n0, n1, 6, LINEAR_R, 1, 1); break;
  case 7: q8_linear_rows(job, n0, n1, 7, LINEAR_R, 1, 1); break;
  case 8: q8_linear_rows(job, n0, n1, 8, LINEAR_R, 1, 1); break;
  default: break;
  }
}
