// Runs every kernel of one level on numbers that are the same on every machine, or compares two runs.
//
//     levels run LEVEL > FILE
//     levels compare A B      the status is 1 when a result is off by more than its tolerance
//
// `swift test` compares the levels of this machine's processor with references in f64. This program lets
// a level of another processor be compared with the portable one of this: `.ci/neon` runs it in an
// emulator.
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "CSextantKernels.h"

// MARK: Numbers

// The same on every machine: nothing is fused.
#pragma STDC FP_CONTRACT OFF

static uint64_t state;

static uint64_t bits(void) {
  uint64_t z = state += 0x9e3779b97f4a7c15u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}
// From low to high.
static float number(float low, float high) {
  return low + (high - low) * ((float)(bits() >> 40) * 0x1p-24f);
}

// MARK: Memory

enum { ARRAYS = 64, GUARD = 64 };
static struct { unsigned char *start; size_t bytes; } arrays[ARRAYS];
static size_t array_count;

// Memory that ends in bytes which nobody may write; `release` looks at them.
static void *array(size_t bytes) {
  unsigned char *start = array_count < ARRAYS ? malloc(bytes + GUARD) : NULL;
  if (start == NULL) exit(2);
  memset(start, 0xa5, bytes + GUARD);
  arrays[array_count].start = start;
  arrays[array_count++].bytes = bytes;
  return start;
}
static float *floats(size_t count, float low, float high) {
  float *x = array(count * sizeof *x);
  for (size_t i = 0; i < count; i++) x[i] = number(low, high);
  return x;
}
static float *copy(const float *x, size_t count) {
  float *y = array(count * sizeof *y);
  if (count > 0) memcpy(y, x, count * sizeof *y);
  return y;
}
static void release(const char *name) {
  while (array_count > 0) {
    const unsigned char *start = arrays[--array_count].start, *end = start + arrays[array_count].bytes;
    for (size_t i = 0; i < GUARD; i++)
      if (end[i] != 0xa5) {
        fprintf(stderr, "%s writes behind an array\n", name);
        exit(1);
      }
    free(arrays[array_count].start);
  }
}

// MARK: Records

typedef struct record {
  char name[40];
  double absolute, relative;  // the tolerance; 0 and 0: the same bits
  uint64_t count;
} record;

static void write_record(
    const char *name, double absolute, double relative, const double *values, size_t count) {
  record head = {.absolute = absolute, .relative = relative, .count = count};
  snprintf(head.name, sizeof head.name, "%s", name);
  fwrite(&head, sizeof head, 1, stdout);
  fwrite(values, sizeof *values, count, stdout);
}
static void results_within(
    const char *name, double absolute, double relative, const float *x, size_t count) {
  double *values = array(count * sizeof *values);
  for (size_t i = 0; i < count; i++) {
    uint32_t own;
    memcpy(&own, &x[i], sizeof own);
    values[i] = relative == 0 ? (double)own : (double)x[i];
  }
  write_record(name, absolute, relative, values, count);
}
static void results(const char *name, double tolerance, const float *x, size_t count) {
  results_within(name, tolerance, tolerance, x, count);
}
static void bytes(const char *name, const void *x, size_t count) {
  double *values = array(count * sizeof *values);
  for (size_t i = 0; i < count; i++) values[i] = ((const unsigned char *)x)[i];
  write_record(name, 0, 0, values, count);
}
static void one(const char *name, double tolerance, double value) {
  write_record(name, tolerance, tolerance, &value, 1);
}

// MARK: The table

static const sxk_table *table;
static char is_checked[sizeof(sxk_table)];

// The kernel, which counts as checked from here on.
#define KERNEL(NAME) (CHECKED(NAME), table->NAME)
#define CHECKED(NAME) (is_checked[offsetof(sxk_table, NAME)] = 1)

static void check_all_were_checked(void) {
  for (size_t place = offsetof(sxk_table, f32_from_bf16); place < sizeof(sxk_table);
       place += sizeof(void *)) {
    void *kernel;
    memcpy(&kernel, (const char *)table + place, sizeof kernel);
    if (kernel != NULL && !is_checked[place]) {
      fprintf(stderr, "nothing checks kernel %zu of the table\n", place / sizeof(void *));
      exit(1);
    }
  }
}

// Counts around the widths of vectors.
static const size_t sizes[] = {0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 64, 100, 257};
#define EACH_SIZE(COUNT)                                                                          \
  for (size_t place = 0, COUNT; place < sizeof sizes / sizeof *sizes && (COUNT = sizes[place], 1); \
       place++)

// MARK: Conversions

static const uint32_t odd_floats[] = {
    0,          0x80000000, 1,          0x007fffff, 0x00800000, 0x33000000, 0x33000001, 0x33800000,
    0x387fc000, 0x387fe000, 0x38800000, 0x477fe000, 0x477fefff, 0x477ff000, 0x7f7fffff, 0x7f800000,
    0xff800000, 0x7f800001, 0x7fc00000, 0xffc12345, 0x3f808000, 0x3f818000, 0x3f80ffff, 0x7f7f8000,
};

static void conversions(void) {
  const size_t all = 65536;
  uint16_t *half = array(all * sizeof *half);
  for (size_t i = 0; i < all; i++) half[i] = (uint16_t)i;
  float *y = array(all * sizeof *y);
  KERNEL(f32_from_bf16)(y, half, all);
  results("f32_from_bf16", 0, y, all);
  KERNEL(f32_from_f16)(y, half, all);
  results("f32_from_f16", 0, y, all);

  float *x = array(all * sizeof *x);
  for (size_t i = 0; i < all; i++) {
    // Half of them in the range of f16.
    const uint32_t own = i < sizeof odd_floats / sizeof *odd_floats ? odd_floats[i] : (uint32_t)bits();
    const float small = number(-2, 2) * 0x1p-14f;
    memcpy(&x[i], &own, sizeof own);
    if (i >= all / 2) x[i] = i % 2 ? small : small * 0x1p14f * 40000;
  }
  KERNEL(bf16_from_f32)(half, x, all);
  bytes("bf16_from_f32", half, all * 2);
  KERNEL(f16_from_f32)(half, x, all);
  bytes("f16_from_f32", half, all * 2);
  double *wide = array(all / 2 * sizeof *wide);
  KERNEL(f64_from_f32)(wide, x + all / 2, all / 2);
  bytes("f64_from_f32", wide, all / 2 * sizeof *wide);
  for (size_t i = 0; i < all / 2; i++) wide[i] *= 1 + (double)number(-1, 1) * 0x1p-24;
  KERNEL(f32_from_f64)(y, wide, all / 2);
  results("f32_from_f64", 0, y, all / 2);
  one("nonfinite_32", 0, (double)KERNEL(nonfinite_32)((char *)x + 2, 0x7f800000u, all - 1));
  one("nonfinite_64", 0,
      (double)KERNEL(nonfinite_64)((char *)x + 1, 0x7ff0000000000000u, all / 2 - 1));
  one("nonfinite_16", 0, (double)KERNEL(nonfinite_16)((char *)x + 1, 0x7c00u, 2 * all - 1));
  release("conversions");

  EACH_SIZE(count) {
    uint16_t *from = array(count * 2), *to = array(count * 2);
    float *values = floats(count, -3, 3), *back = array(count * 4);
    table->bf16_from_f32(from, values, count);
    table->f32_from_bf16(back, from, count);
    results("bf16, odd sizes", 0, back, count);
    table->f16_from_f32(to, values, count);
    table->f32_from_f16(back, to, count);
    results("f16, odd sizes", 0, back, count);
    release("conversions of odd sizes");
  }
  for (size_t blocks = 0; blocks < 9; blocks++) {
    const size_t count = blocks * SXK_Q8_LENGTH;
    float *values = floats(count, -5, 5), *back = array(count * 4);
    if (blocks == 4) memset(values, 0, 32 * 4), values[40] = INFINITY, values[70] = NAN;
    if (blocks == 5) values[33] = 127 * 65504.0f, values[65] = 0x1p100f, values[97] = 0x1p-130f;
    sxk_q8_block *packed = array(blocks * sizeof *packed);
    KERNEL(q8_from_f32)(packed, values, count);
    bytes("q8_from_f32", packed, blocks * sizeof *packed);
    KERNEL(f32_from_blocks)(back, packed, SXK_Q8, count);
    if (blocks != 4 && blocks != 5) results("f32_from_q8", 0, back, count);
    char *small = array(blocks * 20);
    sxk_q4_from_f32(small, values, count);
    bytes("q4_from_f32", small, blocks * 20);
    release("q8");
  }
}

// MARK: Products

// Elements and bytes of blocks, where their one or two halves are, and how large these are if no weight is
// beyond 1 or 2.
static const struct { size_t length, bytes, first, second; float scale; } forms[] = {
    [SXK_F32] = {1, 4, 0, 0, 1},
    [SXK_BF16] = {1, 2, 0, 0, 1},
    [SXK_F16] = {1, 2, 0, 0, 1},
    [SXK_Q8] = {32, 34, 0, 0, 1.0f / 128},
    [SXK_Q4_0] = {32, 18, 0, 0, 1.0f / 16},
    [SXK_Q4_1] = {32, 20, 0, 2, 1.0f / 16},
    [SXK_Q5_0] = {32, 22, 0, 0, 1.0f / 32},
    [SXK_Q5_1] = {32, 24, 0, 2, 1.0f / 32},
    [SXK_Q4_K] = {256, 144, 0, 2, 1.0f / (16 * 64)},
    [SXK_Q5_K] = {256, 176, 0, 2, 1.0f / (32 * 64)},
    [SXK_Q6_K] = {256, 210, 208, 208, 1.0f / (32 * 128)},
};

// A matrix [n, k] of some type. Blocks have random bits.
static void *matrix(sxk_type type, size_t n, size_t k) {
  const size_t count = n * k / forms[type].length, size = forms[type].bytes;
  if (type >= SXK_Q8) {
    unsigned char *y = array(count * size);
    for (size_t i = 0; i < count * size; i++) y[i] = (unsigned char)(bits() >> 32);
    for (size_t i = 0; i < count; i++) {
      const float most = forms[type].scale;
      const float scales[2] = {number(-most, most), number(-most, most)};
      uint16_t halves[2];
      table->f16_from_f32(halves, scales, 2);
      memcpy(y + i * size + forms[type].second, halves + 1, 2);
      memcpy(y + i * size + forms[type].first, halves, 2);
    }
    return y;
  }
  const float *x = floats(n * k, -1, 1);
  if (type == SXK_F32) return copy(x, n * k);
  void *y = array(count * size);
  if (type == SXK_BF16) table->bf16_from_f32(y, x, n * k);
  if (type == SXK_F16) table->f16_from_f32(y, x, n * k);
  return y;
}

static void products(void) {
  static const char *const names[] = {"f32",  "bf16", "f16",  "q8",   "q4_0", "q4_1",
                                      "q5_0", "q5_1", "q4_k", "q5_k", "q6_k"};
  static const size_t depths[] = {1, 3, 16, 31, 32, 33, 65, 160, 256, 257, 1056, 1280};
  CHECKED(linear), CHECKED(panel_rows), CHECKED(pack_panels), CHECKED(gemm);
  CHECKED(dot_row_bytes), CHECKED(dot_rows), CHECKED(dot_linear);
  for (int type = SXK_F32; type <= SXK_Q6_K; type++)
    for (size_t place = 0; place < sizeof depths / sizeof *depths; place++)
      for (size_t m = 1; m < 21; m += m < 9 ? 1 : 5) {
        const size_t k = depths[place], n = 1 + (place * 7 + m * 5) % 61;
        if (k % forms[type].length != 0) continue;
        const float *x = floats(m * (k + 3), -1, 1);
        float *y = floats(m * (n + 1), 9, 9);
        sxk_linear job = {
            .weight = matrix(type, n, k), .weight_stride = k, .weight_type = type, .x = x,
            .x_stride = k + 3, .bias = m % 2 ? floats(n, -1, 1) : NULL, .y = y, .y_stride = n + 1,
            .m = m, .k = k};
        char name[40];
        if (m <= SXK_LINEAR_MAX_M) {
          table->linear(&job, 0, n / 3);
          table->linear(&job, n / 3, n);
          snprintf(name, sizeof name, "linear %s", names[type]);
          results(name, 2e-5, y, m * (n + 1));
        }
        if (type >= SXK_Q8) {
          float *wide = array(n * k * 4);
          table->f32_from_blocks(wide, job.weight, type, n * k);
          snprintf(name, sizeof name, "f32 from %s", names[type]);
          results(name, 0, wide, n * k);
        }
        if (type >= SXK_Q8 && m <= SXK_DOT_MAX_M) {
          job.y = floats(m * (n + 1), 9, 9);
          void *rounded = array(m * table->dot_row_bytes(type, k));
          table->dot_rows(rounded, &job);
          table->dot_linear(&job, rounded, 0, n / 3);
          table->dot_linear(&job, rounded, n / 3, n);
          snprintf(name, sizeof name, "rounded %s", names[type]);
          results(name, 2e-4, job.y, m * (n + 1));
        }
        const size_t rows = table->panel_rows(), panels = (m + rows - 1) / rows;
        float *packed = array(panels * rows * k * 4);
        float *scratch = array(SXK_GEMM_COLUMNS * SXK_GEMM_DEPTH * 4);
        job.y = floats(m * (n + 1), 9, 9);
        table->pack_panels(packed, x, job.x_stride, m, k, 0, panels);
        table->gemm(&job, packed, scratch, 0, panels, 0, n / 2);
        table->gemm(&job, packed, scratch, 0, panels, n / 2, n);
        snprintf(name, sizeof name, "gemm %s", names[type]);
        results(name, 2e-5, job.y, m * (n + 1));
        release(name);
      }
}

// MARK: Elementwise and rows

#define MAP(NAME, TOLERANCE)                              \
  do {                                                    \
    KERNEL(NAME)(y, x, count);                            \
    results_within(#NAME, 1e-12, TOLERANCE, y, count);    \
  } while (0)

static void elements(void) {
  EACH_SIZE(count) {
    float *x = floats(count, -12, 12), *y = array(count * 4);
    if (count > 90) {
      const float odd[] = {0, -0.0f, 88, -87, 1e-30f, -1e-30f, 0x1p-149f, 40, -40, 1e30f, INFINITY};
      memcpy(x, odd, sizeof odd);
    }
    MAP(exp, 1e-6);
    MAP(sigmoid, 1e-6);
    MAP(tanh, 1e-6);
    MAP(silu, 1e-6);
    MAP(squared_relu, 1e-6);
    MAP(gelu, 5e-6);
    MAP(gelu_tanh, 5e-6);
    KERNEL(softplus)(y, x, NULL, count);
    results_within("softplus", 1e-12, 1e-6, y, count);
    KERNEL(softplus)(y, x, floats(count, -1, 1), count);
    results("softplus of a sum", 2e-6, y, count);

    const float *z = floats(count, -2, 2), *w = floats(count, 0, 1);
#define UPDATE(NAME, ...)                                 \
  do {                                                    \
    float *own = copy(z, count);                          \
    KERNEL(NAME)(own, __VA_ARGS__, count);                \
    results(#NAME, 2e-6, own, count);                     \
  } while (0)
    const float *u = floats(count, -2, 2);
    UPDATE(add, u);
    UPDATE(mul, u);
    UPDATE(axpy, 0.3f, u);
    UPDATE(scale, 0.7f);
    UPDATE(silu_mul, u);
    UPDATE(sigmoid_mul, u);
    UPDATE(lerp, z, u, w);
    float *own = copy(u, count);
    KERNEL(lerp)(own, z, own, w, count);
    results("lerp in place", 2e-6, own, count);
    release("elements");
  }
}

static void rows(void) {
  EACH_SIZE(count) {
    float *x = floats(count, -4, 4), *y = array(count * 4);
    const float *z = floats(count, -4, 4), *w = floats(count, 0, 2), *b = floats(count, -1, 1);
    one("dot", 2e-6, KERNEL(dot)(x, z, count));
    one("sum", 2e-6, KERNEL(sum)(x, count));
    one("max", 0, KERNEL(max)(x, count));
    one("argmax", 0, (double)KERNEL(argmax)(x, count));
    one("exp_sum", 1e-6, KERNEL(exp_sum)(NULL, x, 4, count));
    one("exp_sum", 1e-6, KERNEL(exp_sum)(y, x, 4, count));
    results("exp_sum's terms", 1e-6, y, count);
    if (count > 0) {
      const float shift = logf(table->exp_sum(NULL, x, 0, count));
      const float target = logf(table->exp_sum(NULL, z, 0, count));
      float entropy = 0;
      one("divergence", 2e-6, KERNEL(divergence)(y, &entropy, x, shift, z, target, count));
      one("entropy", 2e-6, entropy);
      results("divergence's gradient", 1e-6, y, count);
      one("divergence alone", 2e-6, table->divergence(NULL, NULL, x, shift, z, target, count));
      KERNEL(rms_norm)(y, x, w, 1e-5f, count);
      results("rms_norm", 1e-6, y, count);
      KERNEL(rms_norm)(y, x, NULL, 1e-5f, count);
      results("rms_norm", 1e-6, y, count);
      KERNEL(layer_norm)(y, x, w, b, 1e-3f, count);
      results("layer_norm", 2e-6, y, count);
      KERNEL(layer_norm)(y, x, NULL, NULL, 1e-3f, count);
      results("layer_norm", 2e-6, y, count);
    }
    // NaN is no maximum; of equal ones the first counts.
    if (count > 4) x[0] = NAN, x[1] = x[count - 1] = 5;
    one("max with NaN", 0, table->max(x, count));
    one("argmax with NaN", 0, (double)table->argmax(x, count));
    double *sums = array(count * sizeof *sums);
    for (size_t i = 0; i < count; i++) sums[i] = (double)number(-1, 1);
    KERNEL(add_rows_f64)(sums, floats(5 * (count + 2), -1, 1), count + 2, 5, count);
    write_record("add_rows_f64", 1e-14, 1e-14, sums, count);
    release("rows");
  }
}

// MARK: Recurrences

enum { T = 5 };

static void channels(void) {
  EACH_SIZE(c) {
    const size_t stride = c + 3, middle = c / 2;
    for (size_t k = 2; k <= SXK_CONV_MAX_K; k += 2) {
      float *y = floats(T * stride, 9, 9), *past = floats(c * (k - 1), -1, 1);
      sxk_conv job = {
          .x = floats(T * stride, -1, 1), .x_stride = stride, .weight = floats(c * k, -1, 1),
          .bias = k == 2 ? NULL : floats(c, -1, 1), .state = past, .y = y, .y_stride = stride,
          .t = T, .k = k, .silu = k != 4};
      KERNEL(convolve)(&job, 0, middle);
      KERNEL(convolve)(&job, middle, c);
      results("convolve", 1e-6, y, T * stride);
      results("convolve's state", 0, past, c * (k - 1));
      release("convolve");
    }
    for (size_t n = 1; n < 40; n = n * 2 + n % 3)
      for (size_t t = 1; t <= T; t += T - 1) {
        float *y = floats(T * stride, 9, 9), *h = floats(c * n, -1, 1);
        sxk_scan job = {
            .h = h, .a = floats(c * n, -3, 0), .delta = floats(T * stride, 0, 1),
            .delta_stride = stride, .x = floats(T * stride, -1, 1), .x_stride = stride,
            .b = floats(T * (n + 1), -1, 1), .b_stride = n + 1, .c = floats(T * (n + 2), -1, 1),
            .c_stride = n + 2, .d = floats(c, -1, 1),
            .z = n % 2 ? NULL : floats(T * stride, -2, 2), .z_stride = stride, .y = y,
            .y_stride = stride, .t = t, .n = n};
        KERNEL(selective_scan)(&job, 0, middle);
        KERNEL(selective_scan)(&job, middle, c);
        results("selective_scan", 1e-6, y, T * stride);
        results("selective_scan's state", 1e-6, h, c * n);
        release("selective_scan");
      }
    float *y = floats(T * stride, 9, 9);
    float *numerator = floats(c, -1, 1), *denominator = floats(c, 0.1f, 1);
    float *exponent = floats(c, -2, 2);
    if (c > 3) numerator[1] = denominator[1] = 0, exponent[1] = -1e30f;
    sxk_wkv4 job = {
        .numerator = numerator, .denominator = denominator, .exponent = exponent,
        .decay = floats(c, -4, -0.1f), .bonus = floats(c, -1, 1), .k = floats(T * stride, -5, 5),
        .k_stride = stride, .v = floats(T * stride, -1, 1), .v_stride = stride, .y = y,
        .y_stride = stride, .t = T};
    KERNEL(wkv4)(&job, 0, middle);
    KERNEL(wkv4)(&job, middle, c);
    results("wkv4", 1e-6, y, T * stride);
    results("wkv4's numerator", 1e-6, numerator, c);
    results("wkv4's denominator", 1e-6, denominator, c);
    results("wkv4's exponent", 1e-6, exponent, c);
    release("wkv4");
  }
}

static void heads(void) {
  for (size_t n = 1; n < 80; n = n < 9 ? n + 3 : n * 2 - 1) {
    const size_t count = 3, width = count * n, stride = width + 1;
    float *y = floats(T * stride, 9, 9), *s = floats(count * n * n, -1, 1);
#define ROWS(LOW, HIGH) floats(T * stride, LOW, HIGH)
    for (size_t decay_stride = 0; decay_stride <= stride; decay_stride += stride) {
      sxk_wkv6 job = {
          .state = s, .r = ROWS(-1, 1), .r_stride = stride, .k = ROWS(-1, 1), .k_stride = stride,
          .v = ROWS(-1, 1), .v_stride = stride, .decay = ROWS(0, 1), .decay_stride = decay_stride,
          .bonus = floats(width, -1, 1), .y = y, .y_stride = stride, .t = T, .n = n};
      KERNEL(wkv6)(&job, 0, 1);
      KERNEL(wkv6)(&job, 1, count);
      results("wkv6", 5e-6, y, T * stride);
      results("wkv6's state", 1e-6, s, count * n * n);
    }
    const float scale = 1 / sqrtf((float)n);
    sxk_wkv7 job = {
        .state = floats(count * n * n, -1, 1), .r = ROWS(-1, 1), .r_stride = stride,
        .decay = ROWS(0.5f, 1), .decay_stride = stride, .k = ROWS(-1, 1), .k_stride = stride,
        .v = ROWS(-1, 1), .v_stride = stride, .a = ROWS(-scale, 0), .a_stride = stride,
        .b = ROWS(0, scale), .b_stride = stride, .y = y, .y_stride = stride, .t = T, .n = n};
    KERNEL(wkv7)(&job, 0, 1);
    KERNEL(wkv7)(&job, 1, count);
    results("wkv7", 5e-6, y, T * stride);
    results("wkv7's state", 1e-6, job.state, count * n * n);
    release("wkv");

    for (size_t t = 1; t <= T; t += T - 1)
      for (int by_key = 0; by_key < 2; by_key++) {
        // Keys and values of unequal widths, and two heads of values for one of keys.
        const size_t key_heads = 2, all = 4, keys = n + 3, row = key_heads * keys + 1;
        const size_t decays = by_key ? keys : 1;
        y = floats(T * (all * n + 2), 9, 9);
        const float length = 1 / sqrtf((float)keys);
        sxk_gated_delta delta = {
            .state = floats(all * keys * n, -1, 1), .q = floats(T * row, -1, 1), .q_stride = row,
            .k = floats(T * row, -length, length), .k_stride = row,
            .v = floats(T * all * n, -1, 1), .v_stride = all * n,
            .decay = floats(T * all * decays, 0.5f, 1), .decay_stride = all * decays,
            .beta = floats(T * all, 0, 1), .beta_stride = all, .y = y, .y_stride = all * n + 2,
            .t = t, .keys = keys, .values = n, .heads_per_key = all / key_heads,
            .decays_per_head = decays, .scale = length};
        KERNEL(gated_delta)(&delta, 0, 1);
        KERNEL(gated_delta)(&delta, 1, all);
        results("gated_delta", 5e-6, y, T * (all * n + 2));
        results("gated_delta's state", 2e-6, delta.state, all * keys * n);
        release("gated_delta");
      }

    const size_t heads = 4, p = n, groups = 2;
    for (size_t t = 1; t <= T; t += T - 1) {
      y = floats(T * heads * p, 9, 9);
      sxk_head_scan scan = {
          .h = floats(heads * p * 17, -1, 1), .decay = floats(T * heads, 0, 1),
          .delta = floats(T * heads, 0, 1), .x = floats(T * heads * p, -1, 1),
          .x_stride = heads * p, .b = floats(T * groups * 17, -1, 1), .b_stride = groups * 17,
          .c = floats(T * groups * 17, -1, 1), .c_stride = groups * 17, .d = floats(heads, -1, 1),
          .y = y, .y_stride = heads * p, .t = t, .heads = heads,
          .heads_per_group = heads / groups, .p = p, .n = 17};
      KERNEL(head_scan)(&scan, 0, 1);
      KERNEL(head_scan)(&scan, 1, heads);
      results("head_scan", 2e-6, y, T * heads * p);
      results("head_scan's state", 1e-6, scan.h, heads * p * 17);
      release("head_scan");
    }
  }
}

// MARK: Attention

static void attention(void) {
  static const size_t widths[] = {1, 4, 7, 16, 33, 64, 80};
  for (size_t place = 0; place < sizeof widths / sizeof *widths; place++)
    for (size_t position = 0; position < 150; position = position * 2 + 29) {
      const size_t width = widths[place], group = 3, key_heads = 2, t = T, pages = 3;
      const size_t value_width = position % 4 == 0 ? width : width + 2;
      const size_t padded = (value_width + 15) / 16 * 16, heads = group * key_heads;
      const float *keys[3], *values[3];
      for (size_t page = 0; page < pages; page++) {
        float *key = floats(key_heads * width * SXK_PAGE, -1, 1);
        float *value = floats(key_heads * SXK_PAGE * padded, -1, 1);
        // What no query has written is zero.
        for (size_t h = 0; h < key_heads; h++)
          for (size_t j = 0; j < SXK_PAGE; j++) {
            const int is_written = page * SXK_PAGE + j < position + t;
            for (size_t i = 0; i < width; i++)
              if (!is_written) key[(h * width + i) * SXK_PAGE + j] = 0;
            for (size_t i = is_written ? value_width : 0; i < padded; i++)
              value[(h * SXK_PAGE + j) * padded + i] = 0;
          }
        keys[page] = key, values[page] = value;
      }
      float *y = floats(t * heads * value_width, 9, 9);
      sxk_attention job = {
          .q = floats(t * heads * (width + 1), -2, 2), .q_stride = heads * (width + 1),
          .q_head_stride = width + 1, .keys = keys, .values = values,
          .slopes = position % 2 ? floats(heads, 0, 0.5f) : NULL, .y = y,
          .y_stride = heads * value_width, .position = position, .window = position % 3 ? 0 : 40,
          .group = group, .width = width, .value_width = value_width,
          .scale = 1 / sqrtf((float)width)};
      for (size_t h = 0; h < key_heads; h++) {
        KERNEL(attend)(&job, h, 0, 4);
        KERNEL(attend)(&job, h, 4, t * group);
      }
      results("attend", 1e-6, y, t * heads * value_width);
      // The same by segments of the positions.
      const size_t rows = t * group, segments = (position + t + SXK_SEGMENT - 1) / SXK_SEGMENT;
      const size_t size = KERNEL(attention_part_size)(&job), stride = segments * size;
      job.y = floats(t * heads * value_width, 9, 9);
      float *parts = floats(rows * stride, 9, 9);
      for (size_t h = 0; h < key_heads; h++) {
        for (size_t segment = 0; segment < segments; segment++)
          KERNEL(attend_segment)(&job, h, rows, segment, parts + segment * size, stride);
        KERNEL(attend_merge)(&job, h, rows, segments, parts, stride);
      }
      results("attend by segments", 1e-6, job.y, t * heads * value_width);
      if (width % 2 == 0) {
        sxk_rotation turn = {
            .x = floats(2 * t * heads * width, -1, 1), .x_stride = heads * width,
            .head_stride = width, .heads = heads, .cosines = floats(t * width / 2, -1, 1),
            .sines = floats(t * width / 2, -1, 1), .t = t, .half = width / 2};
        KERNEL(rotate)(&turn, 0, t);
        KERNEL(rotate)(&turn, t, 2 * t);
        results("rotate", 1e-6, turn.x, 2 * t * heads * width);
      }
      release("attend");
    }
}

// MARK: Running and comparing

static int run(const char *level) {
  table = sxk_choose(level);
  if (strcmp(sxk_level_name(table->level), level) != 0) {
    fprintf(stderr, "this processor has no level %s\n", level);
    return 2;
  }
  void (*const parts[])(void) = {conversions, products, elements, rows, channels, heads, attention};
  for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
    state = i;
    parts[i]();
  }
  // Instructions for pairs of bf16 are those of one level.
  CHECKED(dot_pack_panels), CHECKED(dot_gemm);
  check_all_were_checked();
  return fflush(stdout) == 0 && !ferror(stdout) ? 0 : 2;
}

// How far b is from a, in tolerances.
static double excess(const record *r, double a, double b) {
  if (a == b || (isnan(a) && isnan(b))) return 0;
  const double error = fabs(a - b) / (r->absolute + r->relative * fabs(a));
  return isnan(error) ? INFINITY : error;
}

static int compare(FILE *a, FILE *b) {
  struct { char name[40]; double worst; uint64_t numbers; } sums[128];
  size_t names = 0;
  for (;;) {
    record one, other;
    const size_t found = fread(&one, sizeof one, 1, a);
    if (found != fread(&other, sizeof other, 1, b)) return fprintf(stderr, "one ends early\n"), 1;
    if (found == 0) break;
    if (memcmp(&one, &other, sizeof one) != 0)
      return fprintf(stderr, "%s here, %s there\n", one.name, other.name), 1;
    size_t place = 0;
    while (place < names && strcmp(sums[place].name, one.name) != 0) place++;
    if (place == sizeof sums / sizeof *sums) return 2;
    if (place == names) {
      memcpy(sums[names].name, one.name, sizeof one.name);
      sums[names].worst = 0, sums[names++].numbers = 0;
    }
    for (uint64_t i = 0; i < one.count; i++) {
      double x, y;
      if (fread(&x, sizeof x, 1, a) != 1 || fread(&y, sizeof y, 1, b) != 1) return 2;
      const double own = excess(&one, x, y);
      if (own > sums[place].worst) sums[place].worst = own;
    }
    sums[place].numbers += one.count;
  }
  int is_wrong = names == 0;
  double worst = 0;
  uint64_t numbers = 0;
  for (size_t i = 0; i < names; i++) {
    numbers += sums[i].numbers;
    if (sums[i].worst > worst) worst = sums[i].worst;
    if (sums[i].worst <= 1) continue;
    is_wrong = 1;
    printf("%s is off by %.2g of its tolerance\n", sums[i].name, sums[i].worst);
  }
  printf(
      "%zu results of kernels, %llu numbers: off by %.2g of the tolerance at most\n", names,
      (unsigned long long)numbers, worst);
  return is_wrong;
}

int main(int count, char **arguments) {
  if (count == 3 && strcmp(arguments[1], "run") == 0) return run(arguments[2]);
  if (count == 4 && strcmp(arguments[1], "compare") == 0) {
    FILE *a = fopen(arguments[2], "rb"), *b = fopen(arguments[3], "rb");
    if (a == NULL || b == NULL) return 2;
    return compare(a, b);
  }
  fprintf(stderr, "levels run LEVEL > FILE, or levels compare A B\n");
  return 64;
}
