// The common parts of products with few rows of x: the order of reads, and the use of sums.

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

// The sums of M rows of x by R rows of the weights from row i on, each taken as U independent ones;
// `more`: in addition to `totals`.
INLINE void linear_collect(
    vf totals[][VL], size_t i, vf sums[][4], const int more, const int M, const int R,
    const int U) {
#pragma clang loop unroll(full)
  for (int m = 0; m < M; m++)
#pragma clang loop unroll(full)
    for (int r = 0; r < R; r++) {
      vf total = sums[m][r * U];
#pragma clang loop unroll(full)
      for (int u = 1; u < U; u++) total += sums[m][r * U + u];
      totals[m][i + r] = more ? totals[m][i + r] + total : total;
    }
}

// Rows of weights at a time for many rows of x: two by eight need 16 accumulators.
#if VL == 16
#define LINEAR_R 2
#else
#define LINEAR_R 1
#endif

// Columns that are multiplied before the next row of weights is: all, or as many as leave more than two
// rows of x in the first-level cache.
#define LINEAR_CACHED 8192
INLINE size_t linear_columns(size_t K, const int M) {
  const size_t most = LINEAR_CACHED / M, step = 4 * VL;
  if (M <= 2 || K <= most) return K;
  const size_t parts = (K + most - 1) / most;
  return ((K + parts - 1) / parts + step - 1) / step * step;
}

// The prefetch when row i of VL is read. If rows are read as a whole, it is the data LINEAR_AHEAD
// bytes later. If a part of each row is read in turn, here `part_bytes` from byte `from` on, it is
// the same part of a later row, with at least this number of bytes between them.
INLINE const char *linear_later(
    const char *row, size_t row_bytes, size_t i, size_t from, size_t part_bytes, int last,
    const int M, const int whole) {
  if (whole) return row + LINEAR_AHEAD(M);
  const size_t rows = (LINEAR_AHEAD(M) + part_bytes - 1) / part_bytes;
  const char *const later = row + rows * row_bytes;
  if (i + rows < VL) return later;
  return last ? later - from : later - VL * row_bytes + part_bytes;
}
