// The selective scan of Mamba-1. Its cost is the exponentials, one for each element of the state
// and step: exp(delta * a) = 2^(delta * (a / ln 2)), so that splitting off the integer needs no
// second constant. Lanes are channels, so that nothing is summed across lanes; delta, x and y are read and
// written in whole cache lines. The bits do not depend on how T is cut.

// State elements of one block of channels that stay in registers over time.
#if VL == 16
#define SCAN_STATES 16
#else
#define SCAN_STATES 8
#endif

#define LOG2_E 0x1.715476p+0f

// The prefetch distance for the state, in bytes. With several sequences the state comes from memory, in
// pieces that are too short for the processor's own prefetch.
#define SCAN_AHEAD 4096

// S elements of the state, or of what is like it, of `count` channels: vectors whose lanes are channels.
INLINE void scan_load(vf v[SCAN_STATES], const float *p, size_t N, const size_t count, const size_t S) {
  if (count == VL && S == SCAN_STATES)
    vf_load_columns(v, p, N, SCAN_STATES);
  else
    for (size_t j = 0; j < S; j++) v[j] = vf_gather(p + j, N, count);
}
INLINE void scan_store(
    float *p, size_t N, const vf v[SCAN_STATES], const size_t count, const size_t S) {
  if (count == VL && S == SCAN_STATES)
    vf_store_columns(p, N, v, SCAN_STATES);
  else
    for (size_t j = 0; j < S; j++) vf_scatter(p + j, N, v[j], count);
}

// S = SCAN_STATES elements of h and a of `count` channels, which are brought into vectors first.
INLINE void scan_block(
    const sxk_scan *job, size_t c, const size_t count, size_t n0, const size_t S) {
  vf h[SCAN_STATES], a[SCAN_STATES];
  float *const rows = job->h + c * job->n + n0;
  for (size_t i = 0; i < count; i++) __builtin_prefetch((char *)(rows + i * job->n) + SCAN_AHEAD, 1);
  scan_load(h, rows, job->n, count, S);
  scan_load(a, job->a + c * job->n + n0, job->n, count, S);
  for (size_t j = 0; j < S; j++) a[j] *= LOG2_E;
  const vf d = count == VL ? vf_load(job->d + c) : vf_load_part(job->d + c, count);
  const int first = n0 == 0, last = n0 + S == job->n;

  for (size_t t = 0; t < job->t; t++) {
    const float *delta_row = job->delta + t * job->delta_stride + c;
    const float *x_row = job->x + t * job->x_stride + c;
    float *y_row = job->y + t * job->y_stride + c;
    const float *b_row = job->b + t * job->b_stride + n0;
    const float *c_row = job->c + t * job->c_stride + n0;
    const vf delta = count == VL ? vf_load(delta_row) : vf_load_part(delta_row, count);
    const vf x = count == VL ? vf_load(x_row) : vf_load_part(x_row, count);
    const vf input = delta * x;
    vf even = first ? d * x : (count == VL ? vf_load(y_row) : vf_load_part(y_row, count));
    vf odd = vf_set(0);
    if (S == SCAN_STATES) {
#pragma clang loop unroll(full)
      for (size_t j = 0; j < SCAN_STATES; j += 2) {
        h[j] = vf_fma(vf_exp2(delta * a[j]), h[j], input * b_row[j]);
        even = vf_fma(h[j], vf_set(c_row[j]), even);
        h[j + 1] = vf_fma(vf_exp2(delta * a[j + 1]), h[j + 1], input * b_row[j + 1]);
        odd = vf_fma(h[j + 1], vf_set(c_row[j + 1]), odd);
      }
    } else {
      for (size_t j = 0; j < S; j++) {
        h[j] = vf_fma(vf_exp2(delta * a[j]), h[j], input * b_row[j]);
        even = vf_fma(h[j], vf_set(c_row[j]), even);
      }
    }
    vf y = even + odd;
    if (last && job->z != NULL) {
      const float *z_row = job->z + t * job->z_stride + c;
      y *= vf_silu(count == VL ? vf_load(z_row) : vf_load_part(z_row, count));
    }
    if (count == VL)
      vf_store(y_row, y);
    else
      vf_store_part(y_row, y, count);
  }

  scan_store(rows, job->n, h, count, S);
}

INLINE void scan_states(const sxk_scan *job, size_t c, const size_t count) {
  size_t n = 0;
  for (; n + SCAN_STATES <= job->n; n += SCAN_STATES)
    scan_block(job, c, count, n, SCAN_STATES);
  if (n < job->n) scan_block(job, c, count, n, job->n - n);
}

static void selective_scan(const sxk_scan *job, size_t c0, size_t c1) {
  size_t c = c0;
  for (; c + VL <= c1; c += VL) scan_states(job, c, VL);
  if (c < c1) scan_states(job, c, c1 - c);
}
