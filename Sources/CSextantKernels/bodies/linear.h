// Products with up to eight rows of x. Memory bandwidth is the limit, so each row of the weights is
// read once, from front to back if x leaves space for it in the cache; several rows at a time would
// defeat the prefetcher and halve the speed.

INLINE vf weight_load(const void *row, size_t k, sxk_type type) {
  switch (type) {
  case SXK_F32: return vf_load((const float *)row + k);
  case SXK_BF16: return vf_from_bf16(vh_load((const uint16_t *)row + k));
  default: return vf_from_f16(vh_load((const uint16_t *)row + k));
  }
}

INLINE vf weight_load_part(const void *row, size_t k, size_t count, sxk_type type) {
  switch (type) {
  case SXK_F32: return vf_load_part((const float *)row + k, count);
  case SXK_BF16: return vf_from_bf16(vh_load_part((const uint16_t *)row + k, count));
  default: return vf_from_f16(vh_load_part((const uint16_t *)row + k, count));
  }
}

// The sums over columns k0 ..< k1 for up to VL rows of the weights: M rows of x by R rows of the weights
// at a time, U independent sums for each. M * R * U must cover the latency of an FMA and leave the
// accumulators in registers. With many rows of x the loads of x are the limit, and two rows of weights
// share them. M, R, U, the type and `whole` (all columns) are constants in every use.
INLINE void linear_part(
    const sxk_linear *job, size_t first, size_t rows, size_t k0, size_t k1, vf totals[][VL],
    const int M, const int R, const int U, const sxk_type type, const int whole) {
  const size_t x_stride = job->x_stride;
  const size_t size = type == SXK_F32 ? 4 : 2;
  const size_t row_bytes = job->weight_stride * size;
  const float *const x = job->x;
  for (size_t i = 0; i < rows; i += R) {
    // Beyond the last row, the first row of the group is used again.
    const char *row[2], *later[2];
#pragma clang loop unroll(full)
    for (int r = 0; r < R; r++) {
      row[r] = (const char *)job->weight + (first + (i + r < rows ? i + r : i)) * row_bytes;
      later[r] = linear_later(
          row[r], row_bytes, i + r, k0 * size, (k1 - k0) * size, k1 == job->k, M, whole);
    }
    vf sums[SXK_LINEAR_MAX_M][4];
#pragma clang loop unroll(full)
    for (int m = 0; m < M; m++)
#pragma clang loop unroll(full)
      for (int u = 0; u < R * U; u++) sums[m][u] = vf_set(0);

#define LINEAR_STEP(AT, FIRST, LOAD_W, LOAD_X)                                              \
  do {                                                                                      \
    vf w[2];                                                                                \
    _Pragma("clang loop unroll(full)") for (int r = 0; r < R; r++) w[r] = LOAD_W;           \
    _Pragma("clang loop unroll(full)") for (int m = 0; m < M; m++) {                        \
      const vf v = LOAD_X;                                                                  \
      _Pragma("clang loop unroll(full)") for (int r = 0; r < R; r++)                        \
        sums[m][r * U + FIRST] = vf_fma(w[r], v, sums[m][r * U + FIRST]);                   \
    }                                                                                       \
  } while (0)
    size_t k = k0;
    for (; k + (size_t)U * VL <= k1; k += (size_t)U * VL)
#pragma clang loop unroll(full)
      for (int u = 0; u < U; u++) {
        const size_t at = k + (size_t)u * VL;
        if (M > 1 || (u == 0 && (uintptr_t)(row[0] + at * size) % LINEAR_PAGE < U * VL * size))
#pragma clang loop unroll(full)
          for (int r = 0; r < R; r++) linear_prefetch(later[r] + at * size, M);
        LINEAR_STEP(at, u, weight_load(row[r], at, type), vf_load(x + m * x_stride + at));
      }
    for (; k + VL <= k1; k += VL)
      LINEAR_STEP(k, 0, weight_load(row[r], k, type), vf_load(x + m * x_stride + k));
    if (k < k1)
      LINEAR_STEP(
          k, 0, weight_load_part(row[r], k, k1 - k, type),
          vf_load_part(x + m * x_stride + k, k1 - k));
#undef LINEAR_STEP

    linear_collect(totals, i, sums, !whole && k0 > 0, M, R, U);
  }
}

INLINE void linear_rows(
    const sxk_linear *job, size_t n0, size_t n1, const int M, const int R, const int U,
    const sxk_type type) {
  const size_t K = job->k, columns = linear_columns(K, M);
  for (size_t first = n0; first < n1; first += VL) {
    const size_t rows = n1 - first < VL ? n1 - first : VL;
    vf totals[SXK_LINEAR_MAX_M][VL];
    if (columns == K)
      linear_part(job, first, rows, 0, K, totals, M, R, U, type, 1);
    else
      for (size_t k = 0; k < K; k += columns)
        linear_part(
            job, first, rows, k, K - k < columns ? K : k + columns, totals, M, R, U, type, 0);
#pragma clang loop unroll(full)
    for (int m = 0; m < M; m++) linear_store(job, m, first, rows, totals[m]);
  }
}

INLINE void linear_typed(const sxk_linear *job, size_t n0, size_t n1, const sxk_type type) {
  switch (job->m) {
  case 1: linear_rows(job, n0, n1, 1, 1, 4, type); break;
  case 2: linear_rows(job, n0, n1, 2, 1, 4, type); break;
  case 3: linear_rows(job, n0, n1, 3, 1, 2, type); break;
  case 4: linear_rows(job, n0, n1, 4, LINEAR_R, 2, type); break;
  case 5: linear_rows(job, n0, n1, 5, LINEAR_R, 1, type); break;
  case 6: linear_rows(job, n0, n1, 6, LINEAR_R, 1, type); break;
  case 7: linear_rows(job, n0, n1, 7, LINEAR_R, 1, type); break;
  case 8: linear_rows(job, n0, n1, 8, LINEAR_R, 1, type); break;
  default: break;
  }
}

static void linear(const sxk_linear *job, size_t n0, size_t n1) {
  switch (job->weight_type) {
  case SXK_F32: linear_typed(job, n0, n1, SXK_F32); break;
  case SXK_BF16: linear_typed(job, n0, n1, SXK_BF16); break;
  case SXK_F16: linear_typed(job, n0, n1, SXK_F16); break;
  case SXK_Q8: q8_linear(job, n0, n1); break;
  }
}
