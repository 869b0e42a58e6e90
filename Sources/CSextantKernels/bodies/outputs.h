// What products with few rows of x do with their sums.

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

// The sums of M rows of x by R rows of the weights from row i on, each taken as U independent ones.
INLINE void linear_collect(
    vf totals[][VL], size_t i, vf sums[][4], const int M, const int R, const int U) {
#pragma clang loop unroll(full)
  for (int m = 0; m < M; m++)
#pragma clang loop unroll(full)
    for (int r = 0; r < R; r++) {
      vf total = sums[m][r * U];
#pragma clang loop unroll(full)
      for (int u = 1; u < U; u++) total += sums[m][r * U + u];
      totals[m][i + r] = total;
    }
}

// Rows of weights at a time where there are many of x: two by eight need 16 accumulators.
#if VL == 16
#define LINEAR_R 2
#else
#define LINEAR_R 1
#endif
