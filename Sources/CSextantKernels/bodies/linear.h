// Products with up to eight rows of x. Memory bandwidth is the limit, so each weight is read once.
//
// Lanes are outputs, which are rows of the weights: units of 32 bits of VL rows are transposed in registers.
// Each output is then summed from the first column to the last, as in `gemm`. So the bits of a row of the
// result do not depend on the number of rows.

// The contents of 32 bits of a row of weights: one f32, two halves, four bytes of q8, or a pair of bf16
// that is multiplied in one step.
typedef enum { UNIT_F32, UNIT_BF16, UNIT_F16, UNIT_Q8, UNIT_PAIR } linear_unit;

// Steps along k of a unit.
#define UNIT_STEPS(U) ((U) == UNIT_Q8 ? 4 : (U) == UNIT_BF16 || (U) == UNIT_F16 ? 2 : 1)

// The prefetch distance in bytes along each of the VL rows.
#define LINEAR_AHEAD 512

// The weights of step i of a unit, as floats.
INLINE vf unit_weights(vu unit, const int i, vf scale, const linear_unit U) {
  switch (U) {
  case UNIT_BF16: return vf_bits(i == 0 ? unit << 16 : unit & 0xffff0000u);
  case UNIT_F16:
    return vf_from_f16(__builtin_convertvector(i == 0 ? unit & 0xffffu : unit >> 16, vh));
  case UNIT_Q8: return q8_weights(unit, i, scale);
  default: return vf_bits(unit);
  }
}

// Adds the products of the first `steps` steps of a unit, whose first is step k of all, to the sums of M
// rows of x. For pairs x has pairs, too.
INLINE void unit_add(
    vf sums[], vu unit, vf scale, size_t k, const int steps, const float *x, size_t x_stride,
    const int M, const linear_unit U) {
#pragma clang loop unroll(full)
  for (int i = 0; i < steps; i++) {
    const vf w = unit_weights(unit, i, scale, U);
#pragma clang loop unroll(full)
    for (int m = 0; m < M; m++) {
      const float *const at = x + m * x_stride + k + i;
#if SXK_HAS_DOT
      if (U == UNIT_PAIR) {
        uint32_t pair;
        memcpy(&pair, at, sizeof pair);
        sums[m] = vf_dot_bf16(unit, (vu)pair, sums[m]);
        continue;
      }
#endif
      sums[m] = vf_fma(w, (vf)*at, sums[m]);
    }
  }
}

// Adds the products of the steps k0 ..< k1 of K to the sums of VL outputs, whose rows of weights are given,
// and M rows of x. `next` is the number of bytes to the rows that are read after these.
INLINE void linear_part(
    vf sums[SXK_LINEAR_MAX_M], const char *const row[VL], size_t next, size_t k0, size_t k1,
    size_t K, const float *x, size_t x_stride, const int M, const linear_unit U) {
  const int steps = UNIT_STEPS(U);
  // A block is a cache line of units, or one block of q8.
  const size_t block = U == UNIT_Q8 ? SXK_Q8_LENGTH : 16 * steps;
  const size_t bytes = U == UNIT_Q8 ? sizeof(sxk_q8_block) : 16 * sizeof(uint32_t);
  const size_t row_bytes = K / block * bytes;
  size_t k = k0;
  for (; k + block <= k1; k += block) {
    const size_t at = k / block * bytes, later = at + LINEAR_AHEAD;
    const size_t ahead = later < row_bytes ? later : later - row_bytes + next;
#pragma clang loop unroll(full)
    for (int r = 0; r < VL; r++) __builtin_prefetch(row[r] + ahead);
    const vf scales = U == UNIT_Q8 ? q8_scales(row, at) : vf_set(0);
    const size_t first = at + (U == UNIT_Q8 ? offsetof(sxk_q8_block, weights) : 0);
#pragma clang loop unroll(full)
    for (int four = 0; four < (int)block / 4 / steps; four++) {
      vu column[4];
      vu_columns(column, row, first + 16 * four);
#pragma clang loop unroll(full)
      for (int i = 0; i < 4; i++) {
        const size_t step = k + (size_t)((4 * four + i) * steps);
        unit_add(sums, column[i], scales, step, steps, x, x_stride, M, U);
      }
    }
  }
  // The rest, which is never q8: four units at a time, of which some may be incomplete or none at all.
  for (; k < k1; k += 4 * steps) {
    const size_t count = k1 - k < 4 * (size_t)steps ? k1 - k : 4 * (size_t)steps;
    const size_t at = k / block * bytes + k % block / steps * sizeof(uint32_t);
    char copies[VL][16];
    const char *copy[VL];
    for (int r = 0; r < VL; r++) {
      copy[r] = memset(copies[r], 0, sizeof copies[r]);
      memcpy(copies[r], row[r] + at, count * sizeof(uint32_t) / steps);
    }
    vu column[4];
    vu_columns(column, copy, 0);
    for (size_t i = 0; i < count; i += steps)
      if (count - i >= steps)
        unit_add(sums, column[i / steps], vf_set(0), k + i, steps, x, x_stride, M, U);
      else
        unit_add(sums, column[i / steps], vf_set(0), k + i, 1, x, x_stride, M, U);
  }
}

// The outputs n0 ..< n1 of M rows of x. K is the number of steps; x has a float, or a pair, for each of them.
INLINE void linear_outputs(
    const sxk_linear *job, const float *x, size_t x_stride, size_t K, size_t n0, size_t n1,
    const int M, const linear_unit U) {
  const size_t row_bytes = U == UNIT_Q8
                               ? job->weight_stride / SXK_Q8_LENGTH * sizeof(sxk_q8_block)
                               : job->weight_stride * (U == UNIT_F32 ? 4 : 2);
  for (size_t n = n0; n < n1; n += VL) {
    const size_t count = n1 - n < VL ? n1 - n : VL;
    // Beyond the last row, the last row is used again.
    const char *row[VL];
#pragma clang loop unroll(full)
    for (size_t r = 0; r < VL; r++)
      row[r] = (const char *)job->weight + (n + (r < count ? r : count - 1)) * row_bytes;
    vf totals[SXK_LINEAR_MAX_M];
    size_t k0 = 0;
    do {
      const size_t k1 = K - k0 < SXK_GEMM_DEPTH ? K : k0 + SXK_GEMM_DEPTH;
      vf sums[SXK_LINEAR_MAX_M];
#pragma clang loop unroll(full)
      for (int m = 0; m < M; m++) sums[m] = vf_set(0);
      linear_part(sums, row, VL * row_bytes, k0, k1, K, x, x_stride, M, U);
      // Added as `gemm` adds them, so that not even the sign of a zero differs.
      const vf bias = k0 > 0 || job->bias == NULL ? vf_set(0)
                      : count == VL               ? vf_load(job->bias + n)
                                                  : vf_load_part(job->bias + n, count);
#pragma clang loop unroll(full)
      for (int m = 0; m < M; m++)
        totals[m] = (sums[m] + bias) + (k0 == 0 ? vf_set(0) : totals[m]);
      k0 = k1;
    } while (k0 < K);
#pragma clang loop unroll(full)
    for (int m = 0; m < M; m++) {
      float *const y = job->y + m * job->y_stride + n;
      if (count == VL)
        vf_store(y, totals[m]);
      else
        vf_store_part(y, totals[m], count);
    }
  }
}

INLINE void linear_typed(
    const sxk_linear *job, const float *x, size_t x_stride, size_t K, size_t n0, size_t n1,
    const linear_unit U) {
  switch (job->m) {
  case 1: linear_outputs(job, x, x_stride, K, n0, n1, 1, U); break;
  case 2: linear_outputs(job, x, x_stride, K, n0, n1, 2, U); break;
  case 3: linear_outputs(job, x, x_stride, K, n0, n1, 3, U); break;
  case 4: linear_outputs(job, x, x_stride, K, n0, n1, 4, U); break;
  case 5: linear_outputs(job, x, x_stride, K, n0, n1, 5, U); break;
  case 6: linear_outputs(job, x, x_stride, K, n0, n1, 6, U); break;
  case 7: linear_outputs(job, x, x_stride, K, n0, n1, 7, U); break;
  case 8: linear_outputs(job, x, x_stride, K, n0, n1, 8, U); break;
  default: break;
  }
}

static void linear(const sxk_linear *job, size_t n0, size_t n1) {
  switch (job->weight_type) {
  case SXK_F32: linear_typed(job, job->x, job->x_stride, job->k, n0, n1, UNIT_F32); break;
  case SXK_BF16: linear_typed(job, job->x, job->x_stride, job->k, n0, n1, UNIT_BF16); break;
  case SXK_F16: linear_typed(job, job->x, job->x_stride, job->k, n0, n1, UNIT_F16); break;
  case SXK_Q8: linear_typed(job, job->x, job->x_stride, job->k, n0, n1, UNIT_Q8); break;
  }
}
