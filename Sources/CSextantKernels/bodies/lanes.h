// A vector of VL floats (`vf`) and the operations of the kernels on it.
//
// Clang's vector types give each level its registers: `+ - * / < ?:` work lane by lane. Only
// operations with a better instruction than the general form have a form per level. A `_part`
// function handles the last, incomplete vector: it touches `count` elements (0 < count < VL) and
// reads the others as zero.

#define INLINE static inline __attribute__((always_inline))

typedef float vf __attribute__((ext_vector_type(VL)));
typedef int32_t vi __attribute__((ext_vector_type(VL)));
typedef uint32_t vu __attribute__((ext_vector_type(VL)));
typedef uint16_t vh __attribute__((ext_vector_type(VL)));

INLINE vf vf_set(float x) { return (vf)x; }
INLINE vf vf_bits(vu x) { return __builtin_bit_cast(vf, x); }
INLINE vu vu_bits(vf x) { return __builtin_bit_cast(vu, x); }

// MARK: Memory

#define DEFINE_MEMORY(VECTOR, ELEMENT)                                        \
  INLINE VECTOR VECTOR##_load(const ELEMENT *p) {                             \
    VECTOR v;                                                                 \
    memcpy(&v, p, sizeof v);                                                  \
    return v;                                                                 \
  }                                                                           \
  INLINE void VECTOR##_store(ELEMENT *p, VECTOR v) { memcpy(p, &v, sizeof v); } \
  INLINE VECTOR VECTOR##_load_part(const ELEMENT *p, size_t count) {          \
    ELEMENT lanes[VL] = {0};                                                  \
    for (size_t i = 0; i < count; i++) lanes[i] = p[i];                       \
    return VECTOR##_load(lanes);                                              \
  }                                                                           \
  INLINE void VECTOR##_store_part(ELEMENT *p, VECTOR v, size_t count) {       \
    ELEMENT lanes[VL];                                                        \
    VECTOR##_store(lanes, v);                                                 \
    for (size_t i = 0; i < count; i++) p[i] = lanes[i];                       \
  }
DEFINE_MEMORY(vh, uint16_t)
DEFINE_MEMORY(vu, uint32_t)
#if SXK_HAS_AVX512
INLINE __mmask16 first_lanes(size_t count) { return (__mmask16)((1u << count) - 1); }
INLINE vf vf_load(const float *p) { return _mm512_loadu_ps(p); }
INLINE void vf_store(float *p, vf v) { _mm512_storeu_ps(p, v); }
INLINE vf vf_load_part(const float *p, size_t count) {
  return _mm512_maskz_loadu_ps(first_lanes(count), p);
}
INLINE void vf_store_part(float *p, vf v, size_t count) {
  _mm512_mask_storeu_ps(p, first_lanes(count), v);
}
#else
DEFINE_MEMORY(vf, float)
#endif
#undef DEFINE_MEMORY

// Lane i is p[i * stride]: the same place in VL rows.
INLINE vf vf_gather(const float *p, size_t stride, size_t count) {
  float lanes[VL] = {0};
  for (size_t i = 0; i < count; i++) lanes[i] = p[i * stride];
  return vf_load(lanes);
}
INLINE void vf_scatter(float *p, size_t stride, vf v, size_t count) {
  float lanes[VL];
  vf_store(lanes, v);
  for (size_t i = 0; i < count; i++) p[i * stride] = lanes[i];
}

// MARK: Arithmetic

// a * b + c. Fused if the processor supports it: levels differ by a rounding.
INLINE vf vf_fma(vf a, vf b, vf c) {
#if SXK_HAS_AVX512 || SXK_HAS_AVX2 || defined(__aarch64__)
  return __builtin_elementwise_fma(a, b, c);
#else
  return a * b + c;
#endif
}

#if SXK_HAS_DOT
// sum + the products of both halves of each lane. Subnormal operands and results count as zero.
INLINE vf vf_dot_bf16(vu w, vu x, vf sum) {
  return _mm512_dpbf16_ps(sum, __builtin_bit_cast(__m512bh, w), __builtin_bit_cast(__m512bh, x));
}
#endif

#if !SXK_HAS_DOT
// sum + the products of the four bytes of each lane: those of q from 0 to 63 or 0 and 128, and signed ones
// of x from -127 to 127. On ARM a byte of 128 counts as -128.
INLINE vi vi_dot_small(vi sum, vu q, vu x) {
#if SXK_HAS_AVX512
  const __m512i pairs = _mm512_maddubs_epi16((__m512i)q, (__m512i)x);
  return sum + (vi)_mm512_madd_epi16(pairs, _mm512_set1_epi16(1));
#elif SXK_HAS_AVX2
  const __m256i pairs = _mm256_maddubs_epi16((__m256i)q, (__m256i)x);
  return sum + (vi)_mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
#elif SXK_HAS_NEON_DOT
  return (vi)vdotq_s32((int32x4_t)sum, (int8x16_t)q, (int8x16_t)x);
#elif SXK_HAS_NEON
  const int8x16_t a = (int8x16_t)q, b = (int8x16_t)x;
  const int16x8_t low = vmull_s8(vget_low_s8(a), vget_low_s8(b)), high = vmull_high_s8(a, b);
  return (vi)vpadalq_s16((int32x4_t)sum, vpaddq_s16(low, high));
#else
  const vi signed_x = __builtin_bit_cast(vi, x);
  for (int i = 0; i < 4; i++)
    sum += __builtin_bit_cast(vi, q >> (8 * i) & 0xffu) * (signed_x << (24 - 8 * i) >> 24);
  return sum;
#endif
}
#endif

// When an operand is NaN, b.
INLINE vf vf_max(vf a, vf b) { return a > b ? a : b; }
INLINE vf vf_min(vf a, vf b) { return a < b ? a : b; }

INLINE vf vf_abs(vf x) { return vf_bits(vu_bits(x) & 0x7fffffffu); }
INLINE vf vf_with_sign_of(vf magnitude, vf sign) {
  return vf_bits((vu_bits(magnitude) & 0x7fffffffu) | (vu_bits(sign) & 0x80000000u));
}

// To the nearest integer, ties to even, for |x| < 2^22: adding 1.5 * 2^23 leaves no bit for a
// fraction.
INLINE vf vf_round(vf x) { return (x + 0x1.8p23f) - 0x1.8p23f; }

// p * 2^n, rounded once, for an integral n in [-252, 254] and p near 1; NaN when p is NaN.
INLINE vf vf_scale(vf p, vf n) {
#if SXK_HAS_AVX512
  return _mm512_scalef_ps(p, n);
#else
  // In two steps, so that neither power of two is subnormal or infinite.
  const vi exponent = __builtin_bit_cast(vi, n + 0x1.8p23f) - 0x4b400000;
  const vi half = exponent >> 1;
  const vf first = vf_bits(__builtin_convertvector(half + 127, vu) << 23);
  const vf second = vf_bits(__builtin_convertvector(exponent - half + 127, vu) << 23);
  return p * first * second;
#endif
}

// MARK: Across the lanes, by halves

typedef float vf4 __attribute__((ext_vector_type(4)));


// Rows become columns.
INLINE void vf4_transpose(vf4 r[4]) {
  const vf4 a = __builtin_shufflevector(r[0], r[1], 0, 4, 1, 5);
  const vf4 b = __builtin_shufflevector(r[2], r[3], 0, 4, 1, 5);
  const vf4 c = __builtin_shufflevector(r[0], r[1], 2, 6, 3, 7);
  const vf4 d = __builtin_shufflevector(r[2], r[3], 2, 6, 3, 7);
  r[0] = __builtin_shufflevector(a, b, 0, 1, 4, 5);
  r[1] = __builtin_shufflevector(a, b, 2, 3, 6, 7);
  r[2] = __builtin_shufflevector(c, d, 0, 1, 4, 5);
  r[3] = __builtin_shufflevector(c, d, 2, 3, 6, 7);
}

// (v[0] + v[2]) + (v[1] + v[3]).
INLINE float vf4_sum(vf4 v) { return (v.x + v.z) + (v.y + v.w); }
INLINE float vf4_max(vf4 v) {
  const float a = v.x > v.z ? v.x : v.z, b = v.y > v.w ? v.y : v.w;
  return a > b ? a : b;
}
#if VL >= 8
typedef float vf8 __attribute__((ext_vector_type(8)));
INLINE float vf8_sum(vf8 v) { return vf4_sum(v.lo + v.hi); }
INLINE float vf8_max(vf8 v) { return vf4_max(v.lo > v.hi ? v.lo : v.hi); }
#endif

INLINE float vf_sum(vf v) {
#if VL == 16
  return vf8_sum(v.lo + v.hi);
#elif VL == 8
  return vf8_sum(v);
#else
  return vf4_sum(v);
#endif
}

// Lane i is vf_sum(v[i]), bit for bit. Neighbouring halves of two vectors become one vector at a time.
INLINE vf vf_sums(const vf v[VL]) {
#define PAIR(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#if VL == 16
  vf half[8];
  for (int i = 0; i < 8; i++)
    half[i] = PAIR(v[i], v[i + 8], 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23) +
              PAIR(v[i], v[i + 8], 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31);
  vf quarter[4];
  for (int i = 0; i < 4; i++)
    quarter[i] =
        PAIR(half[i], half[i + 4], 0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27) +
        PAIR(half[i], half[i + 4], 4, 5, 6, 7, 20, 21, 22, 23, 12, 13, 14, 15, 28, 29, 30, 31);
  vf pair[2];
  for (int i = 0; i < 2; i++)
    pair[i] =
        PAIR(quarter[i], quarter[i + 2], 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29) +
        PAIR(quarter[i], quarter[i + 2], 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31);
  return PAIR(pair[0], pair[1], 0, 16, 2, 18, 4, 20, 6, 22, 8, 24, 10, 26, 12, 28, 14, 30) +
         PAIR(pair[0], pair[1], 1, 17, 3, 19, 5, 21, 7, 23, 9, 25, 11, 27, 13, 29, 15, 31);
#elif VL == 8
  vf half[4];
  for (int i = 0; i < 4; i++)
    half[i] = PAIR(v[i], v[i + 4], 0, 1, 2, 3, 8, 9, 10, 11) +
              PAIR(v[i], v[i + 4], 4, 5, 6, 7, 12, 13, 14, 15);
  vf pair[2];
  for (int i = 0; i < 2; i++)
    pair[i] = PAIR(half[i], half[i + 2], 0, 1, 8, 9, 4, 5, 12, 13) +
              PAIR(half[i], half[i + 2], 2, 3, 10, 11, 6, 7, 14, 15);
  return PAIR(pair[0], pair[1], 0, 8, 2, 10, 4, 12, 6, 14) +
         PAIR(pair[0], pair[1], 1, 9, 3, 11, 5, 13, 7, 15);
#else
  const vf even = PAIR(v[0], v[2], 0, 1, 4, 5) + PAIR(v[0], v[2], 2, 3, 6, 7);
  const vf odd = PAIR(v[1], v[3], 0, 1, 4, 5) + PAIR(v[1], v[3], 2, 3, 6, 7);
  return PAIR(even, odd, 0, 4, 2, 6) + PAIR(even, odd, 1, 5, 3, 7);
#endif
#undef PAIR
}

// Of numbers; no lane is NaN.
INLINE float vf_max_lane(vf v) {
#if VL == 16
  return vf8_max(v.lo > v.hi ? v.lo : v.hi);
#elif VL == 8
  return vf8_max(v);
#else
  return vf4_max(v);
#endif
}

// MARK: Transposing

typedef uint32_t vu4 __attribute__((ext_vector_type(4)));

INLINE vu4 vu4_load(const char *p) {
  vu4 four;
  memcpy(&four, p, sizeof four);
  return four;
}

// Four units of 32 bits at a time of the rows r, r + 4, r + 8 and so on, from byte `at` of each row.
INLINE vu vu_load_fours(const char *const row[VL], int r, size_t at) {
#if VL == 16
  __m512i fours = _mm512_castsi128_si512((__m128i)vu4_load(row[r] + at));
  fours = _mm512_inserti32x4(fours, (__m128i)vu4_load(row[r + 4] + at), 1);
  fours = _mm512_inserti32x4(fours, (__m128i)vu4_load(row[r + 8] + at), 2);
  return (vu)_mm512_inserti32x4(fours, (__m128i)vu4_load(row[r + 12] + at), 3);
#elif VL == 8
  return __builtin_shufflevector(
      vu4_load(row[r] + at), vu4_load(row[r + 4] + at), 0, 1, 2, 3, 4, 5, 6, 7);
#else
  return vu4_load(row[r] + at);
#endif
}

// The lanes i, j, k and l of each four of a (0 to 3) and of b (4 to 7).
#define VU_LANE(i, four) ((i) < 4 ? 4 * (four) + (i) : VL + 4 * (four) + (i) - 4)
#define VU_FOUR(i, j, k, l, four) VU_LANE(i, four), VU_LANE(j, four), VU_LANE(k, four), VU_LANE(l, four)
#if VL == 16
#define VU_FOURS(a, b, ...)                                                                  \
  __builtin_shufflevector(                                                                   \
      a, b, VU_FOUR(__VA_ARGS__, 0), VU_FOUR(__VA_ARGS__, 1), VU_FOUR(__VA_ARGS__, 2),       \
      VU_FOUR(__VA_ARGS__, 3))
#elif VL == 8
#define VU_FOURS(a, b, ...) \
  __builtin_shufflevector(a, b, VU_FOUR(__VA_ARGS__, 0), VU_FOUR(__VA_ARGS__, 1))
#else
#define VU_FOURS(a, b, ...) __builtin_shufflevector(a, b, VU_FOUR(__VA_ARGS__, 0))
#endif

// The inverse of `vu_load_fours`, for rows that are `stride` floats apart, the first of which is row r.
INLINE void vu_store_fours(float *p, size_t stride, vu fours) {
#if VL == 16
  _mm_storeu_si128((__m128i *)p, _mm512_castsi512_si128((__m512i)fours));
  _mm_storeu_si128(
      (__m128i *)(p + 4 * stride), _mm512_extracti32x4_epi32((__m512i)fours, 1));
  _mm_storeu_si128(
      (__m128i *)(p + 8 * stride), _mm512_extracti32x4_epi32((__m512i)fours, 2));
  _mm_storeu_si128(
      (__m128i *)(p + 12 * stride), _mm512_extracti32x4_epi32((__m512i)fours, 3));
#elif VL == 8
  const vu4 low = fours.lo, high = fours.hi;
  memcpy(p, &low, sizeof low);
  memcpy(p + 4 * stride, &high, sizeof high);
#else
  memcpy(p, &fours, sizeof fours);
#endif
}

// Rows become columns within each four of lanes.
INLINE void vu_exchange(vu r[4]) {
  const vu p = VU_FOURS(r[0], r[1], 0, 4, 1, 5), q = VU_FOURS(r[2], r[3], 0, 4, 1, 5);
  const vu s = VU_FOURS(r[0], r[1], 2, 6, 3, 7), t = VU_FOURS(r[2], r[3], 2, 6, 3, 7);
  r[0] = VU_FOURS(p, q, 0, 1, 4, 5);
  r[1] = VU_FOURS(p, q, 2, 3, 6, 7);
  r[2] = VU_FOURS(s, t, 0, 1, 4, 5);
  r[3] = VU_FOURS(s, t, 2, 3, 6, 7);
}

// Four columns of units, from byte `at` of each of VL rows on: lane i is row i.
INLINE void vu_columns(vu column[4], const char *const row[VL], size_t at) {
#pragma clang loop unroll(full)
  for (int i = 0; i < 4; i++) column[i] = vu_load_fours(row, i, at);
  vu_exchange(column);
}

// `count` columns of VL rows of floats, of which the first begins at p, as vectors whose lanes are rows.
INLINE void vf_load_columns(vf column[], const float *p, size_t stride, size_t count) {
  const char *row[VL];
#pragma clang loop unroll(full)
  for (int r = 0; r < VL; r++) row[r] = (const char *)(p + r * stride);
#pragma clang loop unroll(full)
  for (size_t j = 0; j < count; j += 4) {
    vu four[4];
    vu_columns(four, row, j * sizeof(float));
#pragma clang loop unroll(full)
    for (int i = 0; i < 4; i++) column[j + i] = vf_bits(four[i]);
  }
}

// The inverse of `vf_load_columns`.
INLINE void vf_store_columns(float *p, size_t stride, const vf column[], size_t count) {
#pragma clang loop unroll(full)
  for (size_t j = 0; j < count; j += 4) {
    vu four[4];
#pragma clang loop unroll(full)
    for (int i = 0; i < 4; i++) four[i] = vu_bits(column[j + i]);
    vu_exchange(four);
#pragma clang loop unroll(full)
    for (int i = 0; i < 4; i++) vu_store_fours(p + i * stride + j, stride, four[i]);
  }
}

// MARK: 16-bit floats

#if SXK_HAS_NEON
typedef __fp16 vhalf __attribute__((ext_vector_type(VL)));
#endif

INLINE vf vf_from_bf16(vh x) { return vf_bits(__builtin_convertvector(x, vu) << 16); }

// Adds half a unit in the last place, or slightly less if the result is even.
INLINE vh bf16_from_vf(vf x) {
  const vu bits = vu_bits(x);
  const vu rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  const vu quiet = (bits >> 16) | 0x40u;
  return __builtin_convertvector((bits & 0x7fffffffu) > 0x7f800000u ? quiet : rounded, vh);
}

INLINE vf vf_from_f16(vh x) {
#if SXK_HAS_AVX512
  return _mm512_cvtph_ps(__builtin_bit_cast(__m256i, x));
#elif SXK_HAS_AVX2
  return _mm256_cvtph_ps(__builtin_bit_cast(__m128i, x));
#elif SXK_HAS_NEON
  return __builtin_convertvector(__builtin_bit_cast(vhalf, x), vf);
#else
  // The half's exponent field, read as a float's, is 112 too small; multiplying repairs it and
  // normalises subnormals. An exponent of all ones is infinity or NaN.
  const vu half = __builtin_convertvector(x, vu);
  const vu magnitude = (half & 0x7fffu) << 13;
  const vu finite = vu_bits(vf_bits(magnitude) * 0x1p112f);
  const vu quiet = (half & 0x3ffu) != 0u ? (vu)0x7fc00000u : (vu)0x7f800000u;
  const vu bits = (half & 0x7c00u) == 0x7c00u ? (magnitude | quiet) : finite;
  return vf_bits(bits | ((half & 0x8000u) << 16));
#endif
}

INLINE vh f16_from_vf(vf x) {
#if SXK_HAS_AVX512
  return __builtin_bit_cast(vh, _mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT));
#elif SXK_HAS_AVX2
  return __builtin_bit_cast(vh, _mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT));
#elif SXK_HAS_NEON
  return __builtin_bit_cast(vh, __builtin_convertvector(x, vhalf));
#else
  const vu bits = vu_bits(x);
  const vu magnitude = bits & 0x7fffffffu;
  // Normal halves: rebias the exponent, round to nearest even; a carry may reach infinity.
  const vu normal = (magnitude - (112u << 23) + 0xfffu + ((magnitude >> 13) & 1u)) >> 13;
  // Subnormal halves: adding 1/2 puts units of 2^-24 at the bottom of the sum, rounded by the
  // adder.
  const vu subnormal = vu_bits(vf_bits(magnitude) + 0.5f) - 0x3f000000u;
  vu half = magnitude < (113u << 23) ? subnormal : normal;
  half = magnitude >= (143u << 23) ? (vu)0x7c00u : half;
  half = magnitude > 0x7f800000u ? (0x7e00u | ((magnitude >> 13) & 0x1ffu)) : half;
  return __builtin_convertvector(half | ((bits >> 16) & 0x8000u), vh);
#endif
}
