// Products whose x was rounded to the precision of the weights.
//
// For weights in blocks x is rounded to blocks of bytes; the sum over a group with one scale is exact. For
// bf16 weights x is rounded to bf16 on processors that multiply pairs of bf16 numbers and add them up in one
// instruction; products are exact and sums are f32. The result for a row of x does not depend on the
// others.

// MARK: Few rows

#define DOT_BF16_ROW(K) (((K) + 2 * VL - 1) / (2 * VL) * (2 * VL))

static size_t dot_row_bytes(sxk_type type, size_t k) {
  return type == SXK_BF16 ? DOT_BF16_ROW(k) * sizeof(uint16_t) : k / 32 * sizeof(x_block);
}

#if SXK_HAS_DOT
static void dot_bf16_row(uint16_t *to, const float *x, size_t k) {
  size_t i = 0;
  for (; i + VL <= k; i += VL) vh_store(to + i, bf16_from_vf(vf_load(x + i)));
  if (i < k) vh_store(to + i, bf16_from_vf(vf_load_part(x + i, k - i)));
  i = (k + VL - 1) / VL * VL;
  if (i < DOT_BF16_ROW(k)) vh_store(to + i, (vh)0);
}
#endif

static void dot_rows(void *to, const sxk_linear *job) {
  const size_t bytes = dot_row_bytes(job->weight_type, job->k);
  for (size_t m = 0; m < job->m; m++) {
    void *row = (char *)to + m * bytes;
    const float *const x = job->x + m * job->x_stride;
#if SXK_HAS_DOT
    if (job->weight_type == SXK_BF16) {
      dot_bf16_row(row, x, job->k);
      continue;
    }
#endif
    round_row(row, x, job->k);
  }
}

static void dot_linear(const sxk_linear *job, const void *x, size_t n0, size_t n1) {
  const size_t stride = dot_row_bytes(job->weight_type, job->k) / sizeof(float);
  switch (job->weight_type) {
#if SXK_HAS_DOT
  // Pairs of bf16, each as large as a float.
  case SXK_BF16: linear_units(job, x, stride, job->k / 2, n0, n1, UNIT_PAIR); break;
#endif
#define BLOCKS(T) \
  case T: linear_blocks(job, x, stride, n0, n1, LINEAR_ROUNDED, T); break;
    EACH_BLOCK_TYPE(BLOCKS)
#undef BLOCKS
  default: break;
  }
}

#if SXK_HAS_DOT
// MARK: Many rows

#define GEMM(NAME) dot_gemm_##NAME
#define GEMM_UNIT uint32_t
#define GEMM_LANES vu
#define GEMM_STEP vf_dot_bf16
#include "gemm_tile.h"
#undef GEMM
#undef GEMM_UNIT
#undef GEMM_LANES
#undef GEMM_STEP

// The panels p0..<p1 of x [M, K], K even, as pairs of bf16: [K / 2][PANEL].
static void dot_pack_panels(
    uint32_t *panels, const float *x, size_t x_stride, size_t m, size_t k, size_t p0, size_t p1) {
  for (size_t p = p0; p < p1; p++) {
    const size_t first = p * PANEL;
    for (size_t row = 0; row < PANEL; row++) {
      uint32_t *to = panels + first * (k / 2) + row;
      if (first + row >= m) {
        for (size_t i = 0; i < k / 2; i++) to[i * PANEL] = 0;
        continue;
      }
      const float *from = x + (first + row) * x_stride;
      size_t i = 0;
      for (; i + 2 * VL <= k; i += 2 * VL) {
        uint32_t pairs[VL];
        const vh low = bf16_from_vf(vf_load(from + i)), high = bf16_from_vf(vf_load(from + i + VL));
        memcpy(pairs, &low, sizeof low);
        memcpy(pairs + VL / 2, &high, sizeof high);
        for (size_t j = 0; j < VL; j++) to[(i / 2 + j) * PANEL] = pairs[j];
      }
      for (; i < k; i += 2) {
        const vh pair = bf16_from_vf(vf_load_part(from + i, 2));
        memcpy(to + i / 2 * PANEL, &pair, sizeof(uint32_t));
      }
    }
  }
}

// As `gemm`; the weights need no conversion.
static void dot_gemm(
    const sxk_linear *job, const uint32_t *panels, size_t p0, size_t p1, size_t n0, size_t n1) {
  const size_t depth = job->k / 2, stride = job->weight_stride / 2;
  for (size_t c0 = n0; c0 < n1; c0 += SXK_GEMM_COLUMNS) {
    const size_t columns = n1 - c0 < SXK_GEMM_COLUMNS ? n1 - c0 : SXK_GEMM_COLUMNS;
    const float *bias = job->bias == NULL ? NULL : job->bias + c0;
    size_t k0 = 0;
    do {
      const size_t k = depth - k0 < SXK_GEMM_DEPTH ? depth - k0 : SXK_GEMM_DEPTH;
      const uint32_t *weight = (const uint32_t *)job->weight + c0 * stride + k0;
      for (size_t p = p0; p < p1; p++) {
        const uint32_t *panel = panels + p * PANEL * depth + k0 * PANEL;
        const size_t left = job->m - p * PANEL, rows = left < PANEL ? left : PANEL;
        float *y = job->y + p * PANEL * job->y_stride + c0;
        if (rows > VL)
          dot_gemm_panel(panel, weight, stride, k, 2, columns, rows, bias, k0 == 0, y, job->y_stride);
        else
          dot_gemm_panel(panel, weight, stride, k, 1, columns, rows, bias, k0 == 0, y, job->y_stride);
      }
      k0 += k;
    } while (k0 < depth);
  }
}
#endif
