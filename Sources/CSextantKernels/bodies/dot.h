// Products whose x was rounded to the precision of the weights, for processors that multiply pairs of
// bf16 or quads of bytes and add them up in one instruction.
//
// For bf16 weights x is rounded to bf16; products are exact and sums are f32. For q8 weights x is
// rounded to blocks of bytes as weights are; the sum over a block is exact. The result for a row of
// x does not depend on the others.

// MARK: Rows

// Two neighbouring blocks of a row of x (the last may be alone), as bytes.
typedef struct dot_pair {
  uint8_t bytes[2 * SXK_Q8_LENGTH];  // plus 128, so that they are not negative
  float scales[VL];                  // of each four bytes
} dot_pair;

#define DOT_BF16_ROW(K) (((K) + 2 * VL - 1) / (2 * VL) * (2 * VL))
#define DOT_Q8_ROW(K) (((K) / SXK_Q8_LENGTH + 1) / 2)

static size_t dot_row_bytes(sxk_type type, size_t k) {
  return type == SXK_BF16 ? DOT_BF16_ROW(k) * sizeof(uint16_t) : DOT_Q8_ROW(k) * sizeof(dot_pair);
}

static void dot_bf16_row(uint16_t *to, const float *x, size_t k) {
  size_t i = 0;
  for (; i + VL <= k; i += VL) vh_store(to + i, bf16_from_vf(vf_load(x + i)));
  if (i < k) vh_store(to + i, bf16_from_vf(vf_load_part(x + i, k - i)));
  i = (k + VL - 1) / VL * VL;
  if (i < DOT_BF16_ROW(k)) vh_store(to + i, (vh)0);
}

static void dot_q8_row(dot_pair *to, const float *x, size_t k) {
  for (size_t b = 0; b < k / SXK_Q8_LENGTH; b++) {
    vf a = vf_load(x + b * SXK_Q8_LENGTH), c = vf_load(x + b * SXK_Q8_LENGTH + VL);
    const float most = vf_max_lane(vf_max(vf_abs(a), vf_abs(c)));
    // Values that are not finite must stay visible: their scale is NaN.
    const float scale = most / 127, inverse = most > 0 ? 127 / most : 0;
    const int finite = most - most == 0 && vf_sum((a - a) + (c - c)) == 0;
    dot_pair *pair = to + b / 2;
    uint8_t *bytes = pair->bytes + b % 2 * SXK_Q8_LENGTH;
    for (size_t i = 0; i < VL / 2; i++)
      pair->scales[b % 2 * VL / 2 + i] = finite ? scale : NAN;
    const vi low = __builtin_convertvector(vf_round(a * inverse), vi) + 128;
    const vi high = __builtin_convertvector(vf_round(c * inverse), vi) + 128;
    const __m128i packed[2] = {
        _mm512_cvtepi32_epi8((__m512i)low), _mm512_cvtepi32_epi8((__m512i)high)};
    memcpy(bytes, packed, sizeof packed);
  }
  if (k / SXK_Q8_LENGTH % 2 == 1) {
    dot_pair *pair = to + k / (2 * SXK_Q8_LENGTH);
    memset(pair->scales + VL / 2, 0, VL / 2 * sizeof(float));
    memset(pair->bytes + SXK_Q8_LENGTH, 128, SXK_Q8_LENGTH);
  }
}

static void dot_rows(void *to, const sxk_linear *job) {
  const size_t bytes = dot_row_bytes(job->weight_type, job->k);
  for (size_t m = 0; m < job->m; m++) {
    void *row = (char *)to + m * bytes;
    if (job->weight_type == SXK_BF16)
      dot_bf16_row(row, job->x + m * job->x_stride, job->k);
    else
      dot_q8_row(row, job->x + m * job->x_stride, job->k);
  }
}

// MARK: Few rows

// The prefetch distance in bytes along the weights.
#define DOT_AHEAD 6144

// The outputs n ..< n + rows of row m of x, rows <= VL: bias and the sums of `totals`. Summing several
// vectors across their lanes at once costs a third of summing one after the other.
INLINE void linear_store(
    const sxk_linear *job, size_t m, size_t n, size_t rows, vf totals[VL]) {
  for (size_t i = rows; i < VL; i++) totals[i] = vf_set(0);
  const vf sums = vf_sums(totals);
  float *const y = job->y + m * job->y_stride + n;
  const float *const bias = job->bias == NULL ? NULL : job->bias + n;
  if (rows == VL)
    vf_store(y, bias == NULL ? sums : vf_load(bias) + sums);
  else
    vf_store_part(y, bias == NULL ? sums : vf_load_part(bias, rows) + sums, rows);
}

// The bytes of x are 128 too large: the sums start at -128 times the sum of the weights, which all rows
// of x share.
INLINE void dot_q8_linear(
    const sxk_linear *job, const dot_pair *x, size_t n0, size_t n1, const int M) {
  const size_t blocks = job->k / SXK_Q8_LENGTH, x_stride = DOT_Q8_ROW(job->k);
  const __m512i offsets = _mm512_set1_epi8((char)128);
  const __m512i halves = _mm512_set_epi32(1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0);
  for (size_t first = n0; first < n1; first += VL) {
    const size_t rows = n1 - first < VL ? n1 - first : VL;
    vf totals[SXK_DOT_MAX_M][VL];
    for (size_t i = 0; i < rows; i++) {
      const size_t n = first + i;
      const sxk_q8_block *const row =
          (const sxk_q8_block *)job->weight + n * (job->weight_stride / SXK_Q8_LENGTH);
      vf sums[SXK_DOT_MAX_M];
#pragma clang loop unroll(full)
      for (int m = 0; m < M; m++) sums[m] = vf_set(0);
      for (size_t b = 0; b < blocks; b += 2) {
        const sxk_q8_block *const low = row + b, *const high = row + (b + 1 < blocks ? b + 1 : b);
        __builtin_prefetch((const char *)low + DOT_AHEAD);
        const __m512i w = _mm512_inserti64x4(
            _mm512_castsi256_si512(_mm256_loadu_si256((const __m256i *)low->weights)),
            _mm256_loadu_si256((const __m256i *)high->weights), 1);
        const __m512i offset = _mm512_sub_epi32(
            _mm512_setzero_si512(), _mm512_dpbusd_epi32(_mm512_setzero_si512(), offsets, w));
        const vf scales = _mm512_permutexvar_ps(
            halves,
            _mm512_castps128_ps512(
                _mm_cvtph_ps(_mm_cvtsi32_si128(low->scale | high->scale << 16))));
#pragma clang loop unroll(full)
        for (int m = 0; m < M; m++) {
          const dot_pair *const pair = x + m * x_stride + b / 2;
          const __m512i sum = _mm512_dpbusd_epi32(offset, _mm512_loadu_si512(pair->bytes), w);
          sums[m] = vf_fma(_mm512_cvtepi32_ps(sum), scales * vf_load(pair->scales), sums[m]);
        }
      }
#pragma clang loop unroll(full)
      for (int m = 0; m < M; m++) totals[m][i] = sums[m];
    }
#pragma clang loop unroll(full)
    for (int m = 0; m < M; m++) linear_store(job, m, first, rows, totals[m]);
  }
}

static void dot_linear(const sxk_linear *job, const void *x, size_t n0, size_t n1) {
  if (job->weight_type == SXK_BF16) {
    // Pairs of bf16, each as large as a float.
    linear_typed(job, x, DOT_BF16_ROW(job->k) / 2, job->k / 2, n0, n1, UNIT_PAIR);
    return;
  }
  switch (job->m) {
  case 1: dot_q8_linear(job, x, n0, n1, 1); break;
  case 2: dot_q8_linear(job, x, n0, n1, 2); break;
  case 3: dot_q8_linear(job, x, n0, n1, 3); break;
  case 4: dot_q8_linear(job, x, n0, n1, 4); break;
  case 5: dot_q8_linear(job, x, n0, n1, 5); break;
  case 6: dot_q8_linear(job, x, n0, n1, 6); break;
  case 7: dot_q8_linear(job, x, n0, n1, 7); break;
  case 8: dot_q8_linear(job, x, n0, n1, 8); break;
  default: break;
  }
}

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
