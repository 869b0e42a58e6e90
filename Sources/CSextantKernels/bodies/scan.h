// The selective scan of Mamba-1. Its cost is the exponentials, one for each element of the state
// and step: exp(delta * a) = 2^(delta * (a / ln 2)), so that splitting off the integer needs no
// second constant. Both forms below compute h with the same operations: its bits do not depend on
// how T is cut.

// State elements of one block of channels that stay in registers over time.
#if VL == 16
#define SCAN_STATES 16
#else
#define SCAN_STATES 8
#endif

#define LOG2_E 0x1.715476p+0f

// Many steps: lanes are channels, so that nothing is summed across lanes and delta, x and y are
// read and written in whole cache lines. S = SCAN_STATES elements of h and a are brought into
// vectors first.
INLINE void scan_block(
    const sxk_scan *job, size_t c, const size_t count, size_t n0, const size_t S) {
  vf h[SCAN_STATES], a[SCAN_STATES];
  for (size_t j = 0; j < S; j++) {
    h[j] = vf_gather(job->h + c * job->n + n0 + j, job->n, count);
    a[j] = vf_gather(job->a + c * job->n + n0 + j, job->n, count) * LOG2_E;
  }
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

  for (size_t j = 0; j < S; j++)
    vf_scatter(job->h + c * job->n + n0 + j, job->n, h[j], count);
}

INLINE void scan_states(const sxk_scan *job, size_t c, const size_t count) {
  size_t n = 0;
  for (; n + SCAN_STATES <= job->n; n += SCAN_STATES)
    scan_block(job, c, count, n, SCAN_STATES);
  if (n < job->n) scan_block(job, c, count, n, job->n - n);
}

// The prefetch distance for the state, in bytes. With several sequences the state comes from memory, in
// pieces that are too short for the processor's own prefetch.
#define SCAN_AHEAD 4096

// Few steps, as in decoding: lanes are the elements of one channel's state, which are adjacent; the
// sums over them are taken for VL channels at once.
INLINE void scan_channels(const sxk_scan *job, size_t c, size_t count) {
  const size_t N = job->n;
  for (size_t t = 0; t < job->t; t++) {
    const float *delta_row = job->delta + t * job->delta_stride + c;
    const float *x_row = job->x + t * job->x_stride + c;
    float *y_row = job->y + t * job->y_stride + c;
    const float *b_row = job->b + t * job->b_stride;
    const float *c_row = job->c + t * job->c_stride;
    vf totals[VL];
    for (size_t i = 0; i < count; i++) {
      float *const h_row = job->h + (c + i) * N;
      __builtin_prefetch((const char *)h_row + SCAN_AHEAD, 1);
      const float *const a_row = job->a + (c + i) * N;
      const float delta = delta_row[i];
      const vf input = vf_set(delta * x_row[i]);
      vf y = vf_set(0);
      size_t n = 0;
      for (; n + VL <= N; n += VL) {
        const vf a = vf_load(a_row + n) * LOG2_E;
        const vf h = vf_fma(vf_exp2(delta * a), vf_load(h_row + n), input * vf_load(b_row + n));
        vf_store(h_row + n, h);
        y = vf_fma(h, vf_load(c_row + n), y);
      }
      if (n < N) {
        const size_t rest = N - n;
        const vf a = vf_load_part(a_row + n, rest) * LOG2_E;
        const vf h = vf_fma(
            vf_exp2(delta * a), vf_load_part(h_row + n, rest),
            input * vf_load_part(b_row + n, rest));
        vf_store_part(h_row + n, h, rest);
        y = vf_fma(h, vf_load_part(c_row + n, rest), y);
      }
      totals[i] = y;
    }
    for (size_t i = count; i < VL; i++) totals[i] = vf_set(0);
    const vf sums = vf_sums(totals);
    if (count == VL)
      vf_store(y_row, vf_fma(vf_load(job->d + c), vf_load(x_row), sums));
    else
      vf_store_part(
          y_row, vf_fma(vf_load_part(job->d + c, count), vf_load_part(x_row, count), sums), count);
  }
}

// Below this many steps, bringing h and a into vectors and back costs more than the sums across
// lanes.
#define SCAN_MANY_STEPS 4

static void selective_scan(const sxk_scan *job, size_t c0, size_t c1) {
  if (job->t >= SCAN_MANY_STEPS) {
    size_t c = c0;
    for (; c + VL <= c1; c += VL) scan_states(job, c, VL);
    if (c < c1) scan_states(job, c, c1 - c);
    return;
  }
  for (size_t c = c0; c < c1; c += VL) scan_channels(job, c, c1 - c < VL ? c1 - c : VL);
  if (job->z == NULL) return;
  for (size_t t = 0; t < job->t; t++)
    silu_mul(job->y + t * job->y_stride + c0, job->z + t * job->z_stride + c0, c1 - c0);
}
