// The recurrences of RWKV-4, 5, 6 and 7. Their cost is reading and writing the state once per step:
// a head's matrix (16 KiB at its usual size) stays in the first cache from one step to the next.
// Every element goes through the same operations for any split of T: the bits of the state and of y
// do not depend on it.

INLINE vf wkv_load(const float *p, const size_t count) {
  return count == VL ? vf_load(p) : vf_load_part(p, count);
}
INLINE void wkv_store(float *p, vf v, const size_t count) {
  if (count == VL)
    vf_store(p, v);
  else
    vf_store_part(p, v, count);
}

// MARK: RWKV-4

// Lanes are channels; their states stay in registers. Of the two weights e^(a - max(a, b)) and
// e^(b - max(a, b)) one is 1 and the other e^-|a - b|: one exponential makes both.
INLINE void wkv4_block(const sxk_wkv4 *job, size_t c, const size_t count) {
  const vf one = vf_set(1);
  const vf decay = wkv_load(job->decay + c, count), bonus = wkv_load(job->bonus + c, count);
  vf numerator = wkv_load(job->numerator + c, count);
  vf denominator = wkv_load(job->denominator + c, count);
  vf exponent = wkv_load(job->exponent + c, count);
  for (size_t t = 0; t < job->t; t++) {
    const vf k = wkv_load(job->k + t * job->k_stride + c, count);
    const vf v = wkv_load(job->v + t * job->v_stride + c, count);

    const vf now = bonus + k;
    vf small = vf_exp(-vf_abs(exponent - now));
    vf past = exponent >= now ? one : small, present = exponent >= now ? small : one;
    const vf y = vf_fma(past, numerator, present * v) / vf_fma(past, denominator, present);
    wkv_store(job->y + t * job->y_stride + c, y, count);

    const vf faded = exponent + decay;
    small = vf_exp(-vf_abs(faded - k));
    past = faded >= k ? one : small, present = faded >= k ? small : one;
    numerator = vf_fma(past, numerator, present * v);
    denominator = vf_fma(past, denominator, present);
    exponent = faded >= k ? faded : k;
  }
  wkv_store(job->numerator + c, numerator, count);
  wkv_store(job->denominator + c, denominator, count);
  wkv_store(job->exponent + c, exponent, count);
}

static void wkv4(const sxk_wkv4 *job, size_t c0, size_t c1) {
  size_t c = c0;
  for (; c + VL <= c1; c += VL) wkv4_block(job, c, VL);
  if (c < c1) wkv4_block(job, c, c1 - c);
}

// MARK: RWKV-5 and 6

// Some columns of one head's state at one step: U vectors of values; the last has `count`
// elements. y = r S + (r . (u k)) v, then S = diag(w) S + k v: the sum over keys adds nothing across
// lanes.
INLINE void wkv6_columns(
    float *state, const float *r, const float *k, const float *w, const float *v, float *y,
    float bonus, size_t n, const int U, const size_t count) {
  vf value[4], sum[4];
#pragma clang loop unroll(full)
  for (int j = 0; j < U; j++) {
    value[j] = wkv_load(v + j * VL, j == U - 1 ? count : VL);
    sum[j] = bonus * value[j];
  }
  for (size_t i = 0; i < n; i++) {
    const vf receptance = vf_set(r[i]), key = vf_set(k[i]), decay = vf_set(w[i]);
    float *const row = state + i * n;
#pragma clang loop unroll(full)
    for (int j = 0; j < U; j++) {
      const size_t lanes = j == U - 1 ? count : VL;
      const vf s = wkv_load(row + j * VL, lanes);
      sum[j] = vf_fma(receptance, s, sum[j]);
      wkv_store(row + j * VL, vf_fma(decay, s, key * value[j]), lanes);
    }
  }
#pragma clang loop unroll(full)
  for (int j = 0; j < U; j++) wkv_store(y + j * VL, sum[j], j == U - 1 ? count : VL);
}

static void wkv6(const sxk_wkv6 *job, size_t h0, size_t h1) {
  const size_t N = job->n;
  for (size_t h = h0; h < h1; h++) {
    float *const state = job->state + h * N * N;
    const float *const u = job->bonus + h * N;
    for (size_t t = 0; t < job->t; t++) {
      const float *const r = job->r + t * job->r_stride + h * N;
      const float *const k = job->k + t * job->k_stride + h * N;
      const float *const v = job->v + t * job->v_stride + h * N;
      const float *const w = job->decay + t * job->decay_stride + h * N;
      float *const y = job->y + t * job->y_stride + h * N;
      vf products = vf_set(0);
      size_t i = 0;
      for (; i + VL <= N; i += VL)
        products = vf_fma(vf_load(r + i) * vf_load(u + i), vf_load(k + i), products);
      if (i < N) {
        const size_t rest = N - i;
        products = vf_fma(
            vf_load_part(r + i, rest) * vf_load_part(u + i, rest), vf_load_part(k + i, rest),
            products);
      }
      const float bonus = vf_sum(products);
      i = 0;
      for (; i + 4 * VL <= N; i += 4 * VL)
        wkv6_columns(state + i, r, k, w, v + i, y + i, bonus, N, 4, VL);
      for (; i + VL <= N; i += VL) wkv6_columns(state + i, r, k, w, v + i, y + i, bonus, N, 1, VL);
      if (i < N) wkv6_columns(state + i, r, k, w, v + i, y + i, bonus, N, 1, N - i);
    }
  }
}

// MARK: RWKV-7

// `count` keys from j on, of R rows (values): removed += S a.
INLINE void wkv7_removed(
    const float *state, const float *a, size_t n, size_t j, vf *removed, const int R,
    const size_t count) {
  const vf removal = wkv_load(a + j, count);
#pragma clang loop unroll(full)
  for (int i = 0; i < R; i++)
    removed[i] = vf_fma(wkv_load(state + i * n + j, count), removal, removed[i]);
}

// `count` keys from j on, of R rows: S = S diag(w) + removed b + v k, then sums += S r.
INLINE void wkv7_update(
    float *state, const float *r, const float *w, const float *k, const float *v, const float *b,
    size_t n, size_t j, const float *removed, vf *sums, const int R, const size_t count) {
  const vf decay = wkv_load(w + j, count), key = wkv_load(k + j, count);
  const vf replacement = wkv_load(b + j, count), receptance = wkv_load(r + j, count);
#pragma clang loop unroll(full)
  for (int i = 0; i < R; i++) {
    float *const at = state + i * n + j;
    const vf added = vf_fma(vf_set(removed[i]), replacement, v[i] * key);
    const vf s = vf_fma(wkv_load(at, count), decay, added);
    wkv_store(at, s, count);
    sums[i] = vf_fma(s, receptance, sums[i]);
  }
}

// R rows of one head's state at one step: values that the rows share are read once.
INLINE void wkv7_rows(
    float *state, const float *r, const float *w, const float *k, const float *v, const float *a,
    const float *b, float *y, size_t n, const int R) {
  vf sums[4];
  float removed[4];
#pragma clang loop unroll(full)
  for (int i = 0; i < R; i++) sums[i] = vf_set(0);
  size_t j = 0;
  for (; j + VL <= n; j += VL) wkv7_removed(state, a, n, j, sums, R, VL);
  if (j < n) wkv7_removed(state, a, n, j, sums, R, n - j);
#pragma clang loop unroll(full)
  for (int i = 0; i < R; i++) {
    removed[i] = vf_sum(sums[i]);
    sums[i] = vf_set(0);
  }
  j = 0;
  for (; j + VL <= n; j += VL) wkv7_update(state, r, w, k, v, b, n, j, removed, sums, R, VL);
  if (j < n) wkv7_update(state, r, w, k, v, b, n, j, removed, sums, R, n - j);
#pragma clang loop unroll(full)
  for (int i = 0; i < R; i++) y[i] = vf_sum(sums[i]);
}

static void wkv7(const sxk_wkv7 *job, size_t h0, size_t h1) {
  const size_t N = job->n;
  for (size_t h = h0; h < h1; h++) {
    float *const state = job->state + h * N * N;
    for (size_t t = 0; t < job->t; t++) {
      const float *const r = job->r + t * job->r_stride + h * N;
      const float *const w = job->decay + t * job->decay_stride + h * N;
      const float *const k = job->k + t * job->k_stride + h * N;
      const float *const v = job->v + t * job->v_stride + h * N;
      const float *const a = job->a + t * job->a_stride + h * N;
      const float *const b = job->b + t * job->b_stride + h * N;
      float *const y = job->y + t * job->y_stride + h * N;
      size_t i = 0;
      for (; i + 4 <= N; i += 4)
        wkv7_rows(state + i * N, r, w, k, v + i, a, b, y + i, N, 4);
      for (; i < N; i++) wkv7_rows(state + i * N, r, w, k, v + i, a, b, y + i, N, 1);
    }
  }
}
