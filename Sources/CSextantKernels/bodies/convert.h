// Conversions between element types.

#define CONVERT(NAME, TO, FROM, TO_VECTOR, FROM_VECTOR, EXPRESSION)                 \
  static void NAME(TO *y, const FROM *x, size_t count) {                            \
    size_t i = 0;                                                                   \
    for (; i + VL <= count; i += VL) {                                              \
      const FROM_VECTOR v = FROM_VECTOR##_load(x + i);                              \
      TO_VECTOR##_store(y + i, EXPRESSION);                                         \
    }                                                                               \
    if (i < count) {                                                                \
      const FROM_VECTOR v = FROM_VECTOR##_load_part(x + i, count - i);              \
      TO_VECTOR##_store_part(y + i, EXPRESSION, count - i);                         \
    }                                                                               \
  }

CONVERT(f32_from_bf16, float, uint16_t, vf, vh, vf_from_bf16(v))
CONVERT(f32_from_f16, float, uint16_t, vf, vh, vf_from_f16(v))
CONVERT(bf16_from_f32, uint16_t, float, vh, vf, bf16_from_vf(v))
CONVERT(f16_from_f32, uint16_t, float, vh, vf, f16_from_vf(v))

#undef CONVERT

// The compiler vectorises loops that need only the conversion itself.
static void f32_from_f64(float *y, const double *x, size_t count) {
  for (size_t i = 0; i < count; i++) y[i] = (float)x[i];
}
static void f64_from_f32(double *y, const float *x, size_t count) {
  for (size_t i = 0; i < count; i++) y[i] = (double)x[i];
}

static void add_rows_f64(
    double *sums, const float *x, size_t x_stride, size_t rows, size_t count) {
  for (size_t row = 0; row < rows; row++) {
    const float *p = x + row * x_stride;
    for (size_t i = 0; i < count; i++) sums[i] += (double)p[i];
  }
}

// An exponent of all ones means NaN or infinity in every IEEE format.
#define DEFINE_NONFINITE(NAME, BITS)                                        \
  static size_t NAME(const void *x, BITS exponent, size_t count) {          \
    const char *p = x;                                                      \
    size_t total = 0;                                                       \
    /* So few at a time that a lane cannot overflow. */                     \
    for (size_t start = 0; start < count; start += 4096) {                  \
      const size_t end = count - start < 4096 ? count : start + 4096;       \
      BITS found = 0;                                                       \
      for (size_t i = start; i < end; i++) {                                \
        BITS bits;                                                          \
        memcpy(&bits, p + i * sizeof bits, sizeof bits);                    \
        found += (bits & exponent) == exponent;                             \
      }                                                                     \
      total += found;                                                       \
    }                                                                       \
    return total;                                                           \
  }
DEFINE_NONFINITE(nonfinite_16, uint16_t)
DEFINE_NONFINITE(nonfinite_32, uint32_t)
DEFINE_NONFINITE(nonfinite_64, uint64_t)
#undef DEFINE_NONFINITE
