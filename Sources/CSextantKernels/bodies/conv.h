// The short causal convolution. Lanes are channels; the last K - 1 inputs stay in registers over
// time.

INLINE void conv_block(
    const sxk_conv *job, size_t c, const size_t count, const int K, const int silu) {
  vf weight[SXK_CONV_MAX_K], past[SXK_CONV_MAX_K];
#pragma clang loop unroll(full)
  for (int j = 0; j < K; j++) weight[j] = vf_gather(job->weight + c * K + j, K, count);
#pragma clang loop unroll(full)
  for (int j = 0; j < K - 1; j++)
    past[j] = vf_gather(job->state + c * (K - 1) + j, K - 1, count);
  vf bias = vf_set(0);
  if (job->bias != NULL)
    bias = count == VL ? vf_load(job->bias + c) : vf_load_part(job->bias + c, count);

  for (size_t t = 0; t < job->t; t++) {
    const float *in = job->x + t * job->x_stride + c;
    float *out = job->y + t * job->y_stride + c;
    past[K - 1] = count == VL ? vf_load(in) : vf_load_part(in, count);
    vf total = bias;
#pragma clang loop unroll(full)
    for (int j = 0; j < K; j++) total = vf_fma(weight[j], past[j], total);
#pragma clang loop unroll(full)
    for (int j = 0; j < K - 1; j++) past[j] = past[j + 1];
    if (silu) total = vf_silu(total);
    if (count == VL)
      vf_store(out, total);
    else
      vf_store_part(out, total, count);
  }

#pragma clang loop unroll(full)
  for (int j = 0; j < K - 1; j++)
    vf_scatter(job->state + c * (K - 1) + j, K - 1, past[j], count);
}

INLINE void conv_range(
    const sxk_conv *job, size_t c0, size_t c1, const int K, const int silu) {
  size_t c = c0;
  for (; c + VL <= c1; c += VL) conv_block(job, c, VL, K, silu);
  if (c < c1) conv_block(job, c, c1 - c, K, silu);
}

INLINE void conv_width(const sxk_conv *job, size_t c0, size_t c1, const int K) {
  if (job->silu)
    conv_range(job, c0, c1, K, 1);
  else
    conv_range(job, c0, c1, K, 0);
}

static void convolve(const sxk_conv *job, size_t c0, size_t c1) {
  switch (job->k) {
  case 1: conv_width(job, c0, c1, 1); break;
  case 2: conv_width(job, c0, c1, 2); break;
  case 3: conv_width(job, c0, c1, 3); break;
  case 4: conv_width(job, c0, c1, 4); break;
  case 5: conv_width(job, c0, c1, 5); break;
  case 6: conv_width(job, c0, c1, 6); break;
  case 7: conv_width(job, c0, c1, 7); break;
  case 8: conv_width(job, c0, c1, 8); break;
  default: break;
  }
}
