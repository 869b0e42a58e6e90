// Weights in blocks: neighbours in a row with few bits each, and with scales that they share.
//
// All types have one form. The integers of a block have a scale for each group of them, and
//
//   weight = scale * (q - zero)      or      weight = scale * q + offset
//
// Their low bits are in bytes; in most types a byte contains those of two elements that are half a span
// apart. Some types have further bits of each integer elsewhere. The elements are the numbers that
// ggml computes, bit for bit: products of a scale and an integer are exact, so that only the sum with an
// offset is rounded.

typedef uint8_t vub __attribute__((ext_vector_type(VL)));

typedef struct block_form {
  size_t length, bytes;  // of a block
  size_t span;           // elements whose low bits are in the same bytes
  size_t halves;         // of a byte: 2, or 1 if a byte is one integer
  size_t low;            // where the low bits begin
  size_t high;           // where further bits begin
  size_t high_bits;      // further bits of an element
  size_t high_step;      // bytes from the further bits of a span to those of the next
  size_t group;          // elements with the same scale
  int zero;
  int has_offset;
} block_form;

static const block_form block_forms[] = {
    [SXK_Q8] = {32, 34, 32, 1, 2, 0, 0, 0, 32, 128, 0},
    [SXK_Q4_0] = {32, 18, 32, 2, 2, 0, 0, 0, 32, 8, 0},
    [SXK_Q4_1] = {32, 20, 32, 2, 4, 0, 0, 0, 32, 0, 1},
    [SXK_Q5_0] = {32, 22, 32, 2, 6, 2, 1, 0, 32, 16, 0},
    [SXK_Q5_1] = {32, 24, 32, 2, 8, 4, 1, 0, 32, 0, 1},
    [SXK_Q4_K] = {256, 144, 64, 2, 16, 0, 0, 0, 32, 0, 1},
    [SXK_Q5_K] = {256, 176, 64, 2, 48, 16, 1, 0, 32, 0, 1},
    [SXK_Q6_K] = {256, 210, 128, 2, 0, 128, 2, 32, 16, 32, 0},
};

#define BLOCK_MAX_UNITS 16  // units of 32 bits with the low bits of a span

// Whether the further bits of a block are one unit, with a bit for each element in their order.
#define HAS_BIT_WORD(T) ((T) == SXK_Q5_0 || (T) == SXK_Q5_1)

// MARK: Scales

// The scales of a block, of VL rows or of one row for all lanes.
typedef struct block_scales {
  vf scale, minimum;
  vu packed[4];  // the scales of groups, as they are stored
} block_scales;

INLINE uint32_t load_word(const char *p) {
  uint32_t word;
  memcpy(&word, p, sizeof word);
  return word;
}
INLINE uint16_t load_half(const char *p) {
  uint16_t half;
  memcpy(&half, p, sizeof half);
  return half;
}

// The unit, or the half of one, at byte `at` of each row.
INLINE vu row_words(const char *const row[VL], size_t at) {
  uint32_t words[VL];
#pragma clang loop unroll(full)
  for (int r = 0; r < VL; r++) words[r] = load_word(row[r] + at);
  return vu_load(words);
}
INLINE vh row_halves(const char *const row[VL], size_t at) {
  vh halves;
#pragma clang loop unroll(full)
  for (int r = 0; r < VL; r++) halves[r] = load_half(row[r] + at);
  return halves;
}

// Scale and minimum, which are the halves of a unit.
INLINE block_scales scale_pair(vu pair) {
  return (block_scales){
      .scale = vf_from_f16(__builtin_convertvector(pair & 0xffffu, vh)),
      .minimum = vf_from_f16(__builtin_convertvector(pair >> 16, vh))};
}

// The scales of the blocks at byte `at` of VL rows.
INLINE block_scales scales_of_rows(const char *const row[VL], size_t at, const sxk_type T) {
  switch (T) {
  case SXK_Q4_1:
  case SXK_Q5_1: return scale_pair(row_words(row, at));
  case SXK_Q4_K:
  case SXK_Q5_K: {
    vu packed[4];
    vu_columns(packed, row, at);
    block_scales scales = scale_pair(packed[0]);
    memcpy(scales.packed, packed, sizeof packed);
    return scales;
  }
  case SXK_Q6_K: {
    block_scales scales = {.scale = vf_from_f16(row_halves(row, at + 208))};
    vu_columns(scales.packed, row, at + 192);
    return scales;
  }
  default: return (block_scales){.scale = vf_from_f16(row_halves(row, at))};
  }
}

// The scales of one block, in all lanes.
INLINE block_scales scales_of_block(const char *block, const sxk_type T) {
  block_scales scales = {.scale = vf_from_f16((vh)load_half(block + (T == SXK_Q6_K ? 208 : 0)))};
  if (block_forms[T].has_offset) scales.minimum = vf_from_f16((vh)load_half(block + 2));
  if (block_forms[T].length > 32)
    for (int i = 0; i < 4; i++)
      scales.packed[i] = (vu)load_word(block + (T == SXK_Q6_K ? 192 : 0) + 4 * i);
  return scales;
}

// The scale of a group, and its offset if the type has one.
INLINE void block_group(
    const block_scales *scales, size_t group, const sxk_type T, vf *scale, vf *offset) {
  *scale = scales->scale;
  *offset = scales->minimum;
  if (T == SXK_Q6_K) {
    const vu bytes = scales->packed[group / 4] << (24 - 8 * (uint32_t)(group % 4));
    *scale *= __builtin_convertvector(__builtin_bit_cast(vi, bytes) >> 24, vf);
  } else if (T == SXK_Q4_K || T == SXK_Q5_K) {
    // Six bits each. Those of the last four groups are in two places.
    const uint32_t shift = 8 * (uint32_t)(group % 4);
    vu own = scales->packed[1] >> shift & 63u, minimum = scales->packed[2] >> shift & 63u;
    if (group >= 4) {
      const vu low = scales->packed[3] >> shift;
      own = (low & 15u) | (scales->packed[1] >> (shift + 2) & 0x30u);
      minimum = (low >> 4 & 15u) | (scales->packed[2] >> (shift + 2) & 0x30u);
    }
    *scale *= __builtin_convertvector(__builtin_bit_cast(vi, own), vf);
    *offset *= -__builtin_convertvector(__builtin_bit_cast(vi, minimum), vf);
  }
}

// The weights of integers in the lowest byte of each lane.
INLINE vf block_weights(vu q, vf scale, vf offset, const sxk_type T) {
  const block_form form = block_forms[T];
  vf steps;
#if SXK_HAS_AVX512
  if (form.halves == 2 && form.high_bits == 0) {
    // Looks up the lowest four bits.
    const vf table = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    steps = _mm512_permutexvar_ps((__m512i)q, table - (float)form.zero);
  } else
#endif
  {
    // The last bits of 2^23 are those of an integer.
    steps = vf_bits((q & 0xffu) | 0x4b000000u) - (0x1p23f + (float)form.zero);
  }
  return form.has_offset ? vf_fma(steps, scale, offset) : steps * scale;
}

// MARK: One row

INLINE void unpack_block(float *y, const char *block, const sxk_type T) {
  const block_form form = block_forms[T];
  const block_scales scales = scales_of_block(block, T);
  const size_t part = form.span / form.halves;
  vu lane;
  for (int i = 0; i < VL; i++) lane[i] = (uint32_t)i;
  vf scale, offset;
  for (size_t e = 0; e < form.length; e += VL) {
    if (e % form.group == 0) block_group(&scales, e / form.group, T, &scale, &offset);
    const size_t span = e / form.span, place = e % form.span;
    vub bytes;
    memcpy(&bytes, block + form.low + span * part + place % part, sizeof bytes);
    vu q = __builtin_convertvector(bytes, vu);
    q = form.halves == 2 ? q >> (uint32_t)(place / part * 4) & 15u : q ^ 0x80u;
    if (HAS_BIT_WORD(T)) {
      q |= (load_word(block + form.high) >> (lane + (uint32_t)e) & 1u) << 4;
    } else if (form.high_bits > 0) {
      memcpy(&bytes, block + form.high + span * form.high_step + e % 32, sizeof bytes);
      const size_t shift = (form.high_step > 0 ? place : e) / 32 * form.high_bits;
      q |= (__builtin_convertvector(bytes, vu) >> (uint32_t)shift & ((1u << form.high_bits) - 1)) << 4;
    }
    vf_store(y + e, block_weights(q, scale, offset, T));
  }
}

INLINE void unpack_blocks(float *y, const char *x, size_t count, const sxk_type T) {
  const block_form form = block_forms[T];
  for (size_t b = 0; b < count / form.length; b++)
    unpack_block(y + b * form.length, x + b * form.bytes, T);
}

#define EACH_BLOCK_TYPE(CASE)                                                          \
  CASE(SXK_Q8)                                                                         \
  CASE(SXK_Q4_0) CASE(SXK_Q4_1) CASE(SXK_Q5_0) CASE(SXK_Q5_1)                          \
  CASE(SXK_Q4_K) CASE(SXK_Q5_K) CASE(SXK_Q6_K)

static void f32_from_blocks(float *y, const void *x, sxk_type type, size_t count) {
  switch (type) {
#define UNPACK(T) \
  case T: unpack_blocks(y, x, count, T); break;
    EACH_BLOCK_TYPE(UNPACK)
#undef UNPACK
  default: break;
  }
}

// MARK: Rounded rows of x

// 32 neighbours of a row of x, as bytes.
typedef struct x_block {
  int8_t bytes[32];
  int32_t sums[2];  // of each half of the bytes
  float scale;      // NaN if a number is not finite
  float total;      // the scale times the sum of all bytes
} x_block;

static void round_row(x_block *to, const float *x, size_t k) {
  for (; k >= 32; k -= 32, x += 32, to++) {
    vf largest = vf_set(0), zeros = vf_set(0);
    for (int i = 0; i < 32; i += VL) {
      const vf v = vf_load(x + i);
      largest = vf_max(vf_abs(v), largest);
      zeros += v - v;
    }
    const float most = vf_max_lane(largest);
    // Values that are not finite must stay visible.
    const int is_finite = vf_sum(zeros) == 0;
    const float inverse = is_finite && most > 0 ? 127 / most : 0;
    for (int i = 0; i < 32; i += VL) {
      const vf steps = is_finite ? vf_round(vf_load(x + i) * inverse) : vf_set(0);
      const vb bytes = __builtin_convertvector(__builtin_convertvector(steps, vi), vb);
      memcpy(to->bytes + i, &bytes, sizeof bytes);
    }
    to->sums[0] = to->sums[1] = 0;
    for (int i = 0; i < 32; i++) to->sums[i / 16] += to->bytes[i];
    to->scale = is_finite ? most / 127 : NAN;
    to->total = to->scale * (float)(to->sums[0] + to->sums[1]);
  }
}

// sum + the products of the four bytes of each lane of q, not negative, and of x, from -127 to 127.
// Only the bytes of q8 are above 63.
INLINE vi vi_dot(vi sum, vu q, vu x, const sxk_type T) {
#if SXK_HAS_DOT
  return (vi)_mm512_dpbusd_epi32((__m512i)sum, (__m512i)q, (__m512i)x);
#else
  // Sums of two products have 16 bits; those of bytes above 127 would have more.
  if (T == SXK_Q8) {
    const vu top = q & 0x80808080u;
    q &= 0x7f7f7f7fu;
#if SXK_HAS_NEON
    // A byte of 128 is -128 here.
    sum -= vi_dot_small((vi)(vu)0u, top, x);
#else
    sum = vi_dot_small(sum, top, x);
#endif
  }
  return vi_dot_small(sum, q, x);
#endif
}

// MARK: Products

// Asks for the weights of the next VL rows, into the second-level cache, while the bytes at ..< at + `bytes` of
// each of these rows are used. `next` is the number of bytes to the next rows.
//
// The rows lie one after the other, and processors read memory fastest in its order.
INLINE void read_ahead(const char *const row[VL], size_t at, const size_t bytes, size_t next) {
  const char *const ahead = row[0] + next + at * VL;
#pragma clang loop unroll(full)
  for (size_t line = 0; line < bytes * VL; line += 64) __builtin_prefetch(ahead + line, 0, 2);
}

// Four neighbouring integers of VL rows, a byte each, from element `place` of a span on. `e` is an element of
// the same 32 in the block.
INLINE vu block_unit(
    const vu low[], const vu high[], size_t e, size_t place, const sxk_type T) {
  const block_form form = block_forms[T];
  const size_t part = form.span / form.halves;
  const vu unit = low[place % part / 4];
  if (form.halves == 1) return unit ^ 0x80808080u;
  const vu q = unit >> (uint32_t)(place / part * 4) & 0x0f0f0f0fu;
  if (HAS_BIT_WORD(T)) {
    // Four bits become the lowest bits of four bytes.
    const vu bits = high[0] >> (uint32_t)place & 15u;
    return q | (bits * 0x00204081u & 0x01010101u) << 4;
  }
  if (form.high_bits == 0) return q;
  const size_t shift = (form.high_step > 0 ? place : e) / 32 * form.high_bits;
  const uint32_t mask = form.high_bits == 1 ? 0x01010101u : 0x03030303u;
  return q | (high[place % 32 / 4] >> (uint32_t)shift & mask) << 4;
}

// Adds the products of the steps k0 ..< k1, as `linear_part`, for M rows of x. The rows are floats, or
// blocks of rounded numbers.
INLINE void block_part(
    vf sums[], const char *const row[VL], size_t next, size_t k0, size_t k1,
    const float *const x[], const int M, const sxk_type T, const int is_rounded) {
  const block_form form = block_forms[T];
  const size_t units = form.span / form.halves / 4;
  vu low[BLOCK_MAX_UNITS], high[8];
  for (size_t k = k0; k < k1; k += form.length) {
    const size_t at = k / form.length * form.bytes;
    read_ahead(row, at, form.bytes, next);
    const block_scales scales = scales_of_rows(row, at, T);
    vf scale, offset;
    vi totals[SXK_LINEAR_MAX_M];
    for (size_t first = 0; first < form.length; first += form.span) {
#pragma clang loop unroll(full)
      for (size_t u = 0; u < units; u += 4)
        vu_columns(low + u, row, at + form.low + first / form.halves + 4 * u);
      if (HAS_BIT_WORD(T))
        high[0] = row_words(row, at + form.high);
      else if (form.high_bits > 0 && (first == 0 || form.high_step > 0))
#pragma clang loop unroll(full)
        for (size_t u = 0; u < 8; u += 4)
          vu_columns(high + u, row, at + form.high + first / form.span * form.high_step + 4 * u);
#pragma clang loop unroll(full)
      for (size_t place = 0; place < form.span; place += 16) {
        const size_t e = first + place;
        const int is_first = place % form.group == 0;
        if (is_first) block_group(&scales, e / form.group, T, &scale, &offset);
        if (!is_rounded) {
#pragma clang loop unroll(full)
          for (size_t i = 0; i < 16; i += 4) {
            const vu unit = block_unit(low, high, e, place + i, T);
#pragma clang loop unroll(full)
            for (size_t j = 0; j < 4; j++) {
              const vf w = block_weights(unit >> (uint32_t)(8 * j), scale, offset, T);
#pragma clang loop unroll(full)
              for (int m = 0; m < M; m++) sums[m] = vf_fma(w, (vf)x[m][k + e + i + j], sums[m]);
            }
          }
          continue;
        }
        const size_t block = (k + e) / 32, half = place % 32 / 16;
        if (is_first)
#pragma clang loop unroll(full)
          for (int m = 0; m < M; m++) {
            const int32_t *own = ((const x_block *)x[m])[block].sums;
            totals[m] = (vi)(-form.zero * (form.group == 16 ? own[half] : own[0] + own[1]));
          }
#pragma clang loop unroll(full)
        for (size_t i = 0; i < 16; i += 4) {
          const vu unit = block_unit(low, high, e, place + i, T);
#pragma clang loop unroll(full)
          for (int m = 0; m < M; m++) {
            const char *bytes = (const char *)((const x_block *)x[m])[block].bytes;
            totals[m] = vi_dot(totals[m], unit, (vu)load_word(bytes + 16 * half + i), T);
          }
        }
        if ((place + 16) % form.group != 0) continue;
#pragma clang loop unroll(full)
        for (int m = 0; m < M; m++) {
          const x_block *const own = (const x_block *)x[m] + block;
          sums[m] = vf_fma(__builtin_convertvector(totals[m], vf), scale * own->scale, sums[m]);
          if (form.has_offset) sums[m] = vf_fma(offset, (vf)own->total, sums[m]);
        }
      }
    }
  }
}
