// The scan of Mamba-2: the decay is one number for each head and step, so the cost is the products.
// The bits do not depend on how T is cut.

// Lanes are channels of one head, so that nothing is summed across lanes, and S = SCAN_STATES elements of h
// stay in registers over time.
INLINE void head_scan_block(
    const sxk_head_scan *job, size_t head, size_t p, const size_t count, size_t n0,
    const size_t S) {
  const size_t N = job->n, row = head * job->p + p, group = head / job->heads_per_group;
  float *const h_rows = job->h + row * N + n0;
  vf h[SCAN_STATES];
  scan_load(h, h_rows, N, count, S);
  const vf d = vf_set(job->d[head]);
  const int first = n0 == 0;

  for (size_t t = 0; t < job->t; t++) {
    const float *x_row = job->x + t * job->x_stride + row;
    float *y_row = job->y + t * job->y_stride + row;
    const float *b_row = job->b + t * job->b_stride + group * N + n0;
    const float *c_row = job->c + t * job->c_stride + group * N + n0;
    const vf decay = vf_set(job->decay[t * job->heads + head]);
    const vf x = count == VL ? vf_load(x_row) : vf_load_part(x_row, count);
    const vf input = job->delta[t * job->heads + head] * x;
    vf even = first ? d * x : (count == VL ? vf_load(y_row) : vf_load_part(y_row, count));
    vf odd = vf_set(0);
    if (S == SCAN_STATES) {
#pragma clang loop unroll(full)
      for (size_t j = 0; j < SCAN_STATES; j += 2) {
        h[j] = vf_fma(decay, h[j], input * b_row[j]);
        even = vf_fma(h[j], vf_set(c_row[j]), even);
        h[j + 1] = vf_fma(decay, h[j + 1], input * b_row[j + 1]);
        odd = vf_fma(h[j + 1], vf_set(c_row[j + 1]), odd);
      }
    } else {
      for (size_t j = 0; j < S; j++) {
        h[j] = vf_fma(decay, h[j], input * b_row[j]);
        even = vf_fma(h[j], vf_set(c_row[j]), even);
      }
    }
    if (count == VL)
      vf_store(y_row, even + odd);
    else
      vf_store_part(y_row, even + odd, count);
  }

  scan_store(h_rows, N, h, count, S);
}

INLINE void head_scan_states(
    const sxk_head_scan *job, size_t head, size_t p, const size_t count) {
  size_t n = 0;
  for (; n + SCAN_STATES <= job->n; n += SCAN_STATES)
    head_scan_block(job, head, p, count, n, SCAN_STATES);
  if (n < job->n) head_scan_block(job, head, p, count, n, job->n - n);
}

static void head_scan(const sxk_head_scan *job, size_t h0, size_t h1) {
  for (size_t head = h0; head < h1; head++) {
    size_t p = 0;
    for (; p + VL <= job->p; p += VL) head_scan_states(job, head, p, VL);
    if (p < job->p) head_scan_states(job, head, p, job->p - p);
  }
}
