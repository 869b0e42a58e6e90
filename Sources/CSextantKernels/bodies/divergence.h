// The divergence of the softmaxes of two rows.

// p and q are the softmaxes of `target` and `logits`, whose log-sum-exps are the shifts. Returns
// the sum of p (log p - log q); writes -sum of q log q to `entropy` and q - p to `gradient`, if they
// are not NULL. `gradient` may be `logits`.
static float divergence(
    float *gradient, float *entropy, const float *logits, float shift, const float *target,
    float target_shift, size_t count) {
  vf total = vf_set(0), spread = total;
  size_t i = 0;
  for (; i + VL <= count; i += VL) {
    const vf log_p = vf_load(target + i) - target_shift, log_q = vf_load(logits + i) - shift;
    const vf p = vf_exp(log_p), q = vf_exp(log_q);
    total = vf_fma(p, log_p - log_q, total);
    spread = vf_fma(q, log_q, spread);
    if (gradient != NULL) vf_store(gradient + i, q - p);
  }
  if (i < count) {
    // The lanes beyond the end must add nothing: they go through memory.
    float lanes[2][VL] = {{0}};
    const size_t rest = count - i;
    const vf log_p = vf_load_part(target + i, rest) - target_shift;
    const vf log_q = vf_load_part(logits + i, rest) - shift;
    const vf p = vf_exp(log_p), q = vf_exp(log_q);
    vf_store_part(lanes[0], p * (log_p - log_q), rest);
    vf_store_part(lanes[1], q * log_q, rest);
    total += vf_load(lanes[0]);
    spread += vf_load(lanes[1]);
    if (gradient != NULL) vf_store_part(gradient + i, q - p, rest);
  }
  if (entropy != NULL) *entropy = -vf_sum(spread);
  return vf_sum(total);
}
