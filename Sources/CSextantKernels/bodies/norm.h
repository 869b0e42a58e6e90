// Norms of one row.

INLINE vf vf_square(vf p, vf q, vf sum) { return vf_fma(p, p, sum); }

// 1 / sqrt(square + epsilon). A mean square that overflows gives NaN: 1 / sqrt(infinity) is 0, and
// would silently turn a row of huge values into a row of zeros.
INLINE float norm_factor(float square, float epsilon) {
  return square <= __FLT_MAX__ ? 1.0f / __builtin_sqrtf(square + epsilon) : __builtin_nanf("");
}

static void rms_norm(float *y, const float *x, const float *weight, float epsilon, size_t count) {
  if (count == 0) return;
  const float mean_square = sum_of(x, x, count, vf_square) / (float)count;
  const float factor = norm_factor(mean_square, epsilon);
  if (weight == NULL)
    zip(y, x, x, factor, count, vf_times);
  else
    zip(y, x, weight, factor, count, vf_times_both);
}

// The variance is the mean of squared deviations, in a second pass: nothing cancels.
static void layer_norm(
    float *y, const float *x, const float *weight, const float *bias, float epsilon,
    size_t count) {
  if (count == 0) return;
  const float mean = sum(x, count) / (float)count;
  for (size_t i = 0; i < count; i++) y[i] = x[i] - mean;
  const float variance = sum_of(y, y, count, vf_square) / (float)count;
  const float factor = norm_factor(variance, epsilon);
  if (weight == NULL)
    scale(y, factor, count);
  else
    zip(y, y, weight, factor, count, vf_times_both);
  if (bias != NULL) add(y, bias, count);
}
