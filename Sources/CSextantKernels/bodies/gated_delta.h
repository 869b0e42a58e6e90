// The gated delta rule. A column of a head's state (the keys of one value) depends on no other column, so
// lanes are values and nothing is summed across lanes. One pass over the keys ends a step and begins the
// next: the state is read and written once per step. Every element goes through the same operations for
// any split of T: the bits of the state and of y do not depend on it.

// Vectors of columns at a time: independent sums must cover the latency of an FMA and stay in registers.
#if SXK_HAS_NEON
#define DELTA_VECTORS 4
#else
#define DELTA_VECTORS 2
#endif

// With many steps, columns are first copied side by side: rows that are a multiple of 512 bytes apart
// would push each other out of the first-level cache.
#define DELTA_TILE_KEYS 256

// The operands of one head at one step.
typedef struct delta_step {
  const float *q, *k, *decay;
} delta_step;

INLINE delta_step delta_step_at(const sxk_gated_delta *job, size_t head, size_t t) {
  const size_t first = head / job->heads_per_key * job->keys;
  return (delta_step){
      .q = job->q + t * job->q_stride + first,
      .k = job->k + t * job->k_stride + first,
      .decay = job->decay + t * job->decay_stride + head * job->decays_per_head};
}

// One pass over the keys of U vectors of columns, of which the last has `count` elements.
// With `now`: S += k written, then out = S q. With `next`: S = decay S, then recalled = S k.
INLINE void delta_pass(
    float *state, size_t stride, size_t keys, const delta_step *now, const delta_step *next,
    const vf *written, vf *out, vf *recalled, const int U, const size_t count, const int by_key) {
#pragma clang loop unroll(full)
  for (int u = 0; u < U; u++) out[u] = recalled[u] = vf_set(0);
  for (size_t i = 0; i < keys; i++) {
    float *const row = state + i * stride;
#pragma clang loop unroll(full)
    for (int u = 0; u < U; u++) {
      const size_t lanes = u == U - 1 ? count : VL;
      vf s = wkv_load(row + u * VL, lanes);
      if (now != NULL) {
        s = vf_fma(vf_set(now->k[i]), written[u], s);
        out[u] = vf_fma(vf_set(now->q[i]), s, out[u]);
      }
      if (next != NULL) {
        s *= vf_set(next->decay[by_key ? i : 0]);
        recalled[u] = vf_fma(vf_set(next->k[i]), s, recalled[u]);
      }
      wkv_store(row + u * VL, s, lanes);
    }
  }
}

// All steps of U vectors of columns from value j on.
INLINE void delta_columns(
    const sxk_gated_delta *job, size_t head, size_t j, float *state, size_t stride, const int U,
    const size_t count, const int by_key) {
  const size_t keys = job->keys, column = head * job->values + j;
  vf written[DELTA_VECTORS], out[DELTA_VECTORS], recalled[DELTA_VECTORS];
  delta_step now = delta_step_at(job, head, 0);
  delta_pass(state, stride, keys, NULL, &now, written, out, recalled, U, count, by_key);
  for (size_t t = 0; t < job->t; t++) {
    const vf beta = vf_set(job->beta[t * job->beta_stride + head]);
    const float *const v = job->v + t * job->v_stride + column;
#pragma clang loop unroll(full)
    for (int u = 0; u < U; u++)
      written[u] = beta * (wkv_load(v + u * VL, u == U - 1 ? count : VL) - recalled[u]);
    if (t + 1 < job->t) {
      const delta_step next = delta_step_at(job, head, t + 1);
      delta_pass(state, stride, keys, &now, &next, written, out, recalled, U, count, by_key);
      now = next;
    } else {
      delta_pass(state, stride, keys, &now, NULL, written, out, recalled, U, count, by_key);
    }
    float *const y = job->y + t * job->y_stride + column;
#pragma clang loop unroll(full)
    for (int u = 0; u < U; u++)
      wkv_store(y + u * VL, job->scale * out[u], u == U - 1 ? count : VL);
  }
}

// With fewer steps a copy of the state costs more than it saves.
#define DELTA_MANY_STEPS 4

// The same for whole vectors, side by side if that pays.
INLINE void delta_vectors(
    const sxk_gated_delta *job, size_t head, size_t j, const int U, const int by_key) {
  float *const state = job->state + head * job->keys * job->values + j;
  if (job->t < DELTA_MANY_STEPS || job->keys > DELTA_TILE_KEYS) {
    delta_columns(job, head, j, state, job->values, U, VL, by_key);
    return;
  }
  float tile[DELTA_TILE_KEYS * DELTA_VECTORS * VL] __attribute__((aligned(64)));
  const size_t width = (size_t)U * VL, bytes = width * sizeof(float);
  for (size_t i = 0; i < job->keys; i++) memcpy(tile + i * width, state + i * job->values, bytes);
  delta_columns(job, head, j, tile, width, U, VL, by_key);
  for (size_t i = 0; i < job->keys; i++) memcpy(state + i * job->values, tile + i * width, bytes);
}

INLINE void delta_heads(const sxk_gated_delta *job, size_t h0, size_t h1, const int by_key) {
  const size_t V = job->values;
  for (size_t head = h0; head < h1; head++) {
    size_t j = 0;
    for (; j + DELTA_VECTORS * VL <= V; j += DELTA_VECTORS * VL)
      delta_vectors(job, head, j, DELTA_VECTORS, by_key);
    for (; j + VL <= V; j += VL) delta_vectors(job, head, j, 1, by_key);
    if (j < V)
      delta_columns(
          job, head, j, job->state + head * job->keys * V + j, V, 1, V - j, by_key);
  }
}

static void gated_delta(const sxk_gated_delta *job, size_t h0, size_t h1) {
  if (job->t == 0) return;
  if (job->decays_per_head == 1)
    delta_heads(job, h0, h1, 0);
  else
    delta_heads(job, h0, h1, 1);
}
