// Makes blocks of 32 signed bytes with one f16 scale.

typedef int8_t vb __attribute__((ext_vector_type(VL)));

#define Q8_VECTORS (SXK_Q8_LENGTH / VL)

static void q8_from_f32(sxk_q8_block *y, const float *x, size_t count) {
  for (; count >= SXK_Q8_LENGTH; count -= SXK_Q8_LENGTH, x += SXK_Q8_LENGTH, y++) {
    // Magnitudes compare like their bits, and NaN above all others.
    vu largest = 0;
    for (int v = 0; v < Q8_VECTORS; v++) {
      const vu magnitude = vu_bits(vf_load(x + v * VL)) & 0x7fffffffu;
      largest = magnitude > largest ? magnitude : largest;
    }
    uint32_t lanes[VL], bits = 0;
    memcpy(lanes, &largest, sizeof lanes);
    for (int i = 0; i < VL; i++) bits = lanes[i] > bits ? lanes[i] : bits;
    float most;
    memcpy(&most, &bits, sizeof most);
    if (!(most <= 127.0f * 65504.0f)) {
      y->scale = 0x7e00;
      memset(y->weights, 0, sizeof y->weights);
      continue;
    }
    // The next f16 that is not below, so that no weight is beyond 127 steps.
    uint16_t scale = f16_from_vf(vf_set(most / 127))[0];
    if (vf_from_f16((vh)scale)[0] < most / 127) scale++;
    const vf step = vf_from_f16((vh)scale);
    y->scale = scale;
    for (int v = 0; v < Q8_VECTORS; v++) {
      const vf steps = scale == 0 ? vf_set(0) : vf_round(vf_load(x + v * VL) / step);
      const vb bytes = __builtin_convertvector(__builtin_convertvector(steps, vi), vb);
      memcpy(y->weights + v * VL, &bytes, sizeof bytes);
    }
  }
}
