// Weights in blocks of 32 signed bytes with one f16 scale.

typedef int8_t vb __attribute__((ext_vector_type(VL)));

#define Q8_VECTORS (SXK_Q8_LENGTH / VL)

INLINE vf q8_scale(const sxk_q8_block *block) { return vf_from_f16((vh)block->scale); }

// The weights v * VL ..< (v + 1) * VL of a block. The product is exact: 11 bits by 8.
INLINE vf q8_load(const sxk_q8_block *block, int v, vf scale) {
  vb bytes;
  memcpy(&bytes, block->weights + v * VL, sizeof bytes);
  return __builtin_convertvector(bytes, vf) * scale;
}

static void f32_from_q8(float *y, const sxk_q8_block *x, size_t count) {
  for (size_t b = 0; b < count / SXK_Q8_LENGTH; b++) {
    const vf scale = q8_scale(x + b);
#pragma clang loop unroll(full)
    for (int v = 0; v < Q8_VECTORS; v++)
      vf_store(y + b * SXK_Q8_LENGTH + v * VL, q8_load(x + b, v, scale));
  }
}

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

// Weight i of each unit of 32 bits, as `q8_load`.
INLINE vf q8_weights(vu unit, const int i, vf scale) {
  const vi bytes = __builtin_bit_cast(vi, unit << (24 - 8 * i)) >> 24;
  return __builtin_convertvector(bytes, vf) * scale;
}

// The scales of the blocks at byte `at` of VL rows.
INLINE vf q8_scales(const char *const row[VL], size_t at) {
  vh scales;
#pragma clang loop unroll(full)
  for (int r = 0; r < VL; r++) scales[r] = ((const sxk_q8_block *)(row[r] + at))->scale;
  return vf_from_f16(scales);
}
