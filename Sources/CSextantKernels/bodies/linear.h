// Products with up to eight rows of x. Memory bandwidth is the limit, so each weight is read once. Weights in
// blocks have their own part of the sums, in blocks.h.
//
// Lanes are outputs, which are rows of the weights: units of 32 bits of VL rows are transposed in registers.
// Each output is then summed from the first column to the last, as in `gemm`. So the bits of a row of the
// result do not depend on the number of rows.

// The contents of 32 bits of a row of weights: one f32, two halves, or a pair of bf16 that is multiplied in
// one step.
typedef enum { UNIT_F32, UNIT_BF16, UNIT_F16, UNIT_PAIR } linear_unit;

// Steps along k of a unit.
#define UNIT_STEPS(U) ((U) == UNIT_BF16 || (U) == UNIT_F16 ? 2 : 1)

// The weights of step i of a unit, as floats.
INLINE vf unit_weights(vu unit, const int i, const linear_unit U) {
  switch (U) {
  case UNIT_BF16: return vf_bits(i == 0 ? unit << 16 : unit & 0xffff0000u);
  case UNIT_F16:
    return vf_from_f16(__builtin_convertvector(i == 0 ? unit & 0xffffu : unit >> 16, vh));
  default: return vf_bits(unit);
  }
}

// Adds the products of the first `steps` steps of a unit, whose first is step k of all, to the sums of M
// rows of x. For pairs x has pairs, too.
INLINE void unit_add(
    vf sums[], vu unit, size_t k, const int steps, const float *const x[], const int M,
    const linear_unit U) {
#pragma clang loop unroll(full)
  for (int i = 0; i < steps; i++) {
    const vf w = unit_weights(unit, i, U);
#pragma clang loop unroll(full)
    for (int m = 0; m < M; m++) {
      const float *const at = x[m] + k + i;
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

// Adds the products of the steps k0 ..< k1 to the sums of VL outputs, whose rows of weights are given,
// and M rows of x. `next` is the number of bytes to the rows that are read after these.
INLINE void linear_part(
    vf sums[SXK_LINEAR_MAX_M], const char *const row[VL], size_t next, size_t k0, size_t k1,
    const float *const x[], const int M, const linear_unit U) {
  const int steps = UNIT_STEPS(U);
  // A cache line of units at a time.
  const size_t block = 16 * steps, bytes = 16 * sizeof(uint32_t);
  size_t k = k0;
  for (; k + block <= k1; k += block) {
    const size_t at = k / block * bytes;
    read_ahead(row, at, bytes, next);
#pragma clang loop unroll(full)
    for (int four = 0; four < (int)block / 4 / steps; four++) {
      vu column[4];
      vu_columns(column, row, at + 16 * four);
#pragma clang loop unroll(full)
      for (int i = 0; i < 4; i++) {
        const size_t step = k + (size_t)((4 * four + i) * steps);
        unit_add(sums, column[i], step, steps, x, M, U);
      }
    }
  }
  // The rest: four units at a time, of which some may be incomplete or none at all.
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
      if (count - i >= (size_t)steps)
        unit_add(sums, column[i / steps], k + i, steps, x, M, U);
      else
        unit_add(sums, column[i / steps], k + i, 1, x, M, U);
  }
}

// How products read weights, and x: units of floats, or blocks, with x as floats or as rounded blocks.
typedef enum { LINEAR_UNITS, LINEAR_BLOCKS, LINEAR_ROUNDED } linear_way;

// The outputs n0 ..< n1 of `rows` <= M rows of x. K is the number of steps; x has a float, or a pair, for
// each of them, or blocks of rounded numbers. U is a unit, or the type of blocks.
INLINE void linear_outputs(
    const sxk_linear *job, const float *x, size_t x_stride, size_t K, size_t n0, size_t n1,
    size_t rows, const int M, const linear_way way, const int U) {
  const size_t row_bytes =
      way == LINEAR_UNITS
          ? job->weight_stride * (U == UNIT_F32 ? 4 : 2)
          : job->weight_stride / block_forms[U].length * block_forms[U].bytes;
  // Beyond the last row of x, or of the weights, the last one is used again.
  const float *xs[SXK_LINEAR_MAX_M];
  for (size_t m = 0; m < (size_t)M; m++) xs[m] = x + (m < rows ? m : rows - 1) * x_stride;
  for (size_t n = n0; n < n1; n += VL) {
    const size_t count = n1 - n < VL ? n1 - n : VL;
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
      if (way == LINEAR_UNITS)
        linear_part(sums, row, VL * row_bytes, k0, k1, xs, M, (linear_unit)U);
      else
        block_part(
            sums, row, VL * row_bytes, k0, k1, xs, M, (sxk_type)U, way == LINEAR_ROUNDED);
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
      if ((size_t)m >= rows) break;
      float *const y = job->y + m * job->y_stride + n;
      if (count == VL)
        vf_store(y, totals[m]);
      else
        vf_store_part(y, totals[m], count);
    }
  }
}

INLINE void linear_units(
    const sxk_linear *job, const float *x, size_t x_stride, size_t K, size_t n0, size_t n1,
    const linear_unit U) {
  switch (job->m) {
#define ROWS(M) \
  case M: linear_outputs(job, x, x_stride, K, n0, n1, M, M, LINEAR_UNITS, U); break;
    ROWS(1) ROWS(2) ROWS(3) ROWS(4) ROWS(5) ROWS(6) ROWS(7) ROWS(8)
#undef ROWS
  default: break;
  }
}

// Blocks cost so much more than products that some numbers of rows are enough.
INLINE void linear_blocks(
    const sxk_linear *job, const float *x, size_t x_stride, size_t n0, size_t n1,
    const linear_way way, const sxk_type T) {
  const size_t m = job->m, k = job->k;
  if (m == 1)
    linear_outputs(job, x, x_stride, k, n0, n1, m, 1, way, T);
  else if (m <= 4)
    linear_outputs(job, x, x_stride, k, n0, n1, m, 4, way, T);
  else
    linear_outputs(job, x, x_stride, k, n0, n1, m, 8, way, T);
}

static void linear(const sxk_linear *job, size_t n0, size_t n1) {
  const float *const x = job->x;
  switch (job->weight_type) {
  case SXK_F32: linear_units(job, x, job->x_stride, job->k, n0, n1, UNIT_F32); break;
  case SXK_BF16: linear_units(job, x, job->x_stride, job->k, n0, n1, UNIT_BF16); break;
  case SXK_F16: linear_units(job, x, job->x_stride, job->k, n0, n1, UNIT_F16); break;
#define BLOCKS(T) \
  case T: linear_blocks(job, x, job->x_stride, n0, n1, LINEAR_BLOCKS, T); break;
    EACH_BLOCK_TYPE(BLOCKS)
#undef BLOCKS
  }
}
