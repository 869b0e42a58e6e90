// Maps over arrays. The function is a constant that the compiler inlines.

// y[i] = f(x[i]); y may be x.
INLINE void map(float *y, const float *x, size_t count, vf (*f)(vf)) {
  size_t i = 0;
  for (; i + VL <= count; i += VL) vf_store(y + i, f(vf_load(x + i)));
  if (i < count) vf_store_part(y + i, f(vf_load_part(x + i, count - i)), count - i);
}

static void map_exp(float *y, const float *x, size_t count) { map(y, x, count, vf_exp); }
static void map_sigmoid(float *y, const float *x, size_t count) { map(y, x, count, vf_sigmoid); }
static void map_tanh(float *y, const float *x, size_t count) { map(y, x, count, vf_tanh); }
static void map_silu(float *y, const float *x, size_t count) { map(y, x, count, vf_silu); }
static void map_gelu(float *y, const float *x, size_t count) { map(y, x, count, vf_gelu); }
static void map_gelu_tanh(float *y, const float *x, size_t count) {
  map(y, x, count, vf_gelu_tanh);
}

INLINE vf vf_squared_relu(vf x) {
  const vf positive = vf_max(vf_set(0), x);
  return positive * positive;
}
static void map_squared_relu(float *y, const float *x, size_t count) {
  map(y, x, count, vf_squared_relu);
}

// out[i] = f(p[i], q[i], a); out may be p or q.
INLINE void zip(
    float *out, const float *p, const float *q, float a, size_t count, vf (*f)(vf, vf, vf)) {
  size_t i = 0;
  for (; i + VL <= count; i += VL)
    vf_store(out + i, f(vf_load(p + i), vf_load(q + i), vf_set(a)));
  if (i < count) {
    const size_t rest = count - i;
    vf_store_part(
        out + i, f(vf_load_part(p + i, rest), vf_load_part(q + i, rest), vf_set(a)), rest);
  }
}

INLINE vf vf_add(vf y, vf x, vf unused) { return y + x; }
INLINE vf vf_mul(vf y, vf x, vf unused) { return y * x; }
INLINE vf vf_axpy(vf y, vf x, vf a) { return vf_fma(a, x, y); }
INLINE vf vf_times(vf y, vf x, vf a) { return y * a; }
INLINE vf vf_times_both(vf y, vf x, vf a) { return (y * a) * x; }
INLINE vf vf_gate(vf y, vf z, vf unused) { return y * vf_silu(z); }
INLINE vf vf_sigmoid_gate(vf y, vf z, vf unused) { return y * vf_sigmoid(z); }
INLINE vf vf_biased_softplus(vf x, vf bias, vf unused) { return vf_softplus(x + bias); }

static void add(float *y, const float *x, size_t count) { zip(y, y, x, 0, count, vf_add); }
static void mul(float *y, const float *x, size_t count) { zip(y, y, x, 0, count, vf_mul); }
static void axpy(float *y, float a, const float *x, size_t count) {
  zip(y, y, x, a, count, vf_axpy);
}
static void scale(float *y, float a, size_t count) { zip(y, y, y, a, count, vf_times); }
static void silu_mul(float *y, const float *z, size_t count) { zip(y, y, z, 0, count, vf_gate); }
static void sigmoid_mul(float *y, const float *z, size_t count) {
  zip(y, y, z, 0, count, vf_sigmoid_gate);
}
static void softplus(float *y, const float *x, const float *bias, size_t count) {
  if (bias == NULL)
    map(y, x, count, vf_softplus);
  else
    zip(y, x, bias, 0, count, vf_biased_softplus);
}

static void lerp(float *y, const float *p, const float *q, const float *weight, size_t count) {
  size_t i = 0;
  for (; i + VL <= count; i += VL) {
    const vf from = vf_load(p + i);
    vf_store(y + i, vf_fma(vf_load(q + i) - from, vf_load(weight + i), from));
  }
  if (i < count) {
    const size_t rest = count - i;
    const vf from = vf_load_part(p + i, rest);
    const vf difference = vf_load_part(q + i, rest) - from;
    vf_store_part(y + i, vf_fma(difference, vf_load_part(weight + i, rest), from), rest);
  }
}
