// Reductions: four vectors of partial sums, so that the additions do not wait for each other.

// The sum of f(p[i], q[i]) where f(0, 0) = 0.
INLINE float sum_of(const float *p, const float *q, size_t count, vf (*f)(vf p, vf q, vf sum)) {
  vf a = vf_set(0), b = a, c = a, d = a;
  size_t i = 0;
  for (; i + 4 * VL <= count; i += 4 * VL) {
    a = f(vf_load(p + i), vf_load(q + i), a);
    b = f(vf_load(p + i + VL), vf_load(q + i + VL), b);
    c = f(vf_load(p + i + 2 * VL), vf_load(q + i + 2 * VL), c);
    d = f(vf_load(p + i + 3 * VL), vf_load(q + i + 3 * VL), d);
  }
  for (; i + VL <= count; i += VL) a = f(vf_load(p + i), vf_load(q + i), a);
  if (i < count) b = f(vf_load_part(p + i, count - i), vf_load_part(q + i, count - i), b);
  return vf_sum((a + b) + (c + d));
}

INLINE vf vf_plus_first(vf p, vf q, vf sum) { return sum + p; }

static float dot(const float *x, const float *y, size_t count) {
  return sum_of(x, y, count, vf_fma);
}
static float sum(const float *x, size_t count) { return sum_of(x, x, count, vf_plus_first); }

static float max(const float *x, size_t count) {
  vf largest = vf_set(-INFINITY);
  size_t i = 0;
  for (; i + VL <= count; i += VL) largest = vf_max(vf_load(x + i), largest);
  float result = vf_max_lane(largest);
  for (; i < count; i++) result = x[i] > result ? x[i] : result;
  return result;
}

static size_t argmax(const float *x, size_t count) {
  const float largest = max(x, count);
  for (size_t i = 0; i < count; i++)
    if (x[i] == largest) return i;
  return 0;
}

static float exp_sum(float *y, const float *x, float shift, size_t count) {
  vf total = vf_set(0);
  size_t i = 0;
  for (; i + VL <= count; i += VL) {
    const vf e = vf_exp(vf_load(x + i) - shift);
    if (y != NULL) vf_store(y + i, e);
    total += e;
  }
  if (i < count) {
    // The lanes beyond the end must add nothing: they go through memory.
    float lanes[VL] = {0};
    vf_store_part(lanes, vf_exp(vf_load_part(x + i, count - i) - shift), count - i);
    const vf e = vf_load(lanes);
    if (y != NULL) vf_store_part(y + i, e, count - i);
    total += e;
  }
  return vf_sum(total);
}
