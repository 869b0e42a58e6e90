// The numeric kernels of Sextant: plain C, vectorised, chosen at run time.
//
// Every kernel exists at several levels (portable C, NEON, AVX2, AVX-512) behind one table of function
// pointers. `sxk_active()` is the table for this processor; `sxk_table_for()` hands out the others,
// so that tests compare levels within one process. No kernel allocates, does I/O, or keeps state.
//
// Prefix: `sxk_` (Sextant kernels). Conventions, for all kernels:
// - activations are f32; a matrix is row-major, and a `stride` counts elements from one row to the
//   next;
// - pointers need only the alignment of their element; a count of zero is fine and touches nothing;
// - outputs may be the same array as an input only if the comment allows it;
// - a half-open range (n0..<n1, c0..<c1) lets threads split the work; what a kernel computes for an
//   index does not depend on the range, bit for bit, unless its comment states otherwise;
// - the rounding mode is to nearest and subnormals are not flushed (the process's default).
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// MARK: Levels

typedef enum sxk_level {
  SXK_PORTABLE = 0,    // any processor; vectors of 4 floats
  SXK_NEON = 1,        // AArch64; vectors of 4
  SXK_NEON_DOT = 2,    // AArch64 with dot products of bytes
  SXK_AVX2 = 3,        // AVX2, FMA and F16C; vectors of 8
  SXK_AVX512 = 4,      // AVX-512 F, BW, VL and DQ; vectors of 16
  SXK_AVX512_DOT = 5,  // these with BF16 and VNNI
} sxk_level;

// How a weight is stored: as a number, or in blocks of neighbours in a row. The blocks of all types but the
// last three have 32 elements, and those of the last three 256. Rows are whole blocks: K, and each stride of
// weights, is a multiple of the block. formats/store.md defines their bytes.
typedef enum sxk_type {
  SXK_F32 = 0,
  SXK_BF16 = 1,
  SXK_F16 = 2,
  SXK_Q8 = 3,
  SXK_Q4_0 = 4,
  SXK_Q4_1 = 5,
  SXK_Q5_0 = 6,
  SXK_Q5_1 = 7,
  SXK_Q4_K = 8,
  SXK_Q5_K = 9,
  SXK_Q6_K = 10,
} sxk_type;

#define SXK_Q8_LENGTH 32

// 32 neighbours in a row of a matrix: weight = scale * byte.
typedef struct sxk_q8_block {
  uint16_t scale;  // f16
  int8_t weights[SXK_Q8_LENGTH];
} sxk_q8_block;

// MARK: Arguments

// y[m, n] = bias[n] + sum over k of weight[n, k] * x[m, k].
typedef struct sxk_linear {
  const void *weight;    // [N, K] of weight_type
  size_t weight_stride;  // elements
  sxk_type weight_type;
  const float *x;  // [M, K]
  size_t x_stride;
  const float *bias;  // [N], or NULL
  float *y;           // [M, N]
  size_t y_stride;
  size_t m, k;
} sxk_linear;

#define SXK_LINEAR_MAX_M 8
#define SXK_DOT_MAX_M 8

// `gemm` converts this many columns (rows of weights) by this depth of k at a time.
#define SXK_GEMM_COLUMNS 48
#define SXK_GEMM_DEPTH 1024

// Causal depthwise convolution over time, plus bias:
// y[t, c] = f(bias[c] + sum over j of weight[c, j] * x[t - (K - 1) + j, c]), f = silu or the identity
// The state is x before t = 0; afterwards it contains the last K - 1 inputs. y may be x.
typedef struct sxk_conv {
  const float *x;  // [T, C]
  size_t x_stride;
  const float *weight;  // [C, K]
  const float *bias;    // [C], or NULL
  float *state;         // [C, K - 1], oldest first
  float *y;             // [T, C]
  size_t y_stride;
  size_t t, k;
  int silu;  // 0: the sum itself
} sxk_conv;

#define SXK_CONV_MAX_K 8

// The selective scan of Mamba-1, for t = 0, 1, ...:
// h[c, n] = exp(delta[t, c] * a[c, n]) * h[c, n] + delta[t, c] * x[t, c] * b[t, n]
// y[t, c] = (d[c] * x[t, c] + sum over n of h[c, n] * c[t, n]) * silu(z[t, c])
typedef struct sxk_scan {
  float *h;        // [C, N], updated
  const float *a;  // [C, N], usually negative
  const float *delta;  // [T, C]
  size_t delta_stride;
  const float *x;  // [T, C]
  size_t x_stride;
  const float *b;  // [T, N]
  size_t b_stride;
  const float *c;  // [T, N]
  size_t c_stride;
  const float *d;  // [C]
  const float *z;  // [T, C], or NULL: no gate
  size_t z_stride;
  float *y;  // [T, C], none of the inputs
  size_t y_stride;
  size_t t, n;
} sxk_scan;

// The scan of Mamba-2, for t = 0, 1, ...; head i reads row g = i / heads_per_group of b and c:
// h[i, p, n] = decay[t, i] * h[i, p, n] + delta[t, i] * x[t, i, p] * b[t, g, n]
// y[t, i, p] = d[i] * x[t, i, p] + sum over n of h[i, p, n] * c[t, g, n]
typedef struct sxk_head_scan {
  float *h;            // [H, P, N], updated
  const float *decay;  // [T, H]
  const float *delta;  // [T, H]
  const float *x;      // [T, H * P]
  size_t x_stride;
  const float *b;  // [T, G * N]
  size_t b_stride;
  const float *c;  // [T, G * N]
  size_t c_stride;
  const float *d;  // [H]
  float *y;        // [T, H * P], none of the inputs
  size_t y_stride;
  size_t t, heads, heads_per_group, p, n;
} sxk_head_scan;

// The recurrence of RWKV-4, for t = 0, 1, ..., with a = numerator, b = denominator, both divided by
// e^exponent so that nothing overflows:
// y[t, c] = (a[c] + e^(bonus[c] + k[t, c]) * v[t, c]) / (b[c] + e^(bonus[c] + k[t, c]))
// a[c] = e^decay[c] * a[c] + e^k[t, c] * v[t, c]; b[c] = e^decay[c] * b[c] + e^k[t, c]
typedef struct sxk_wkv4 {
  float *numerator, *denominator, *exponent;  // [C], updated; an exponent of -1e30 means zeros
  const float *decay;  // [C], negative
  const float *bonus;  // [C]
  const float *k;      // [T, C]
  size_t k_stride;
  const float *v;  // [T, C]
  size_t v_stride;
  float *y;  // [T, C], none of the inputs
  size_t y_stride;
  size_t t;
} sxk_wkv4;

// The recurrence of RWKV-5 and 6, for t = 0, 1, ... and each head; i counts keys, j values:
// y[t, j] = sum over i of r[t, i] * (s[i, j] + bonus[i] * k[t, i] * v[t, j])
// s[i, j] = decay[t, i] * s[i, j] + k[t, i] * v[t, j]
typedef struct sxk_wkv6 {
  float *state;    // [H, N, N], head, key, value; updated
  const float *r;  // [T, H * N]
  size_t r_stride;
  const float *k;  // [T, H * N]
  size_t k_stride;
  const float *v;  // [T, H * N]
  size_t v_stride;
  const float *decay;   // [T, H * N], from 0 to 1
  size_t decay_stride;  // 0: the same in every step
  const float *bonus;   // [H * N]
  float *y;             // [T, H * N], none of the inputs
  size_t y_stride;
  size_t t, n;
} sxk_wkv6;

// The recurrence of RWKV-7, for t = 0, 1, ... and each head; i counts values, j keys:
// s[i, j] = s[i, j] * decay[t, j] + (sum over l of s[i, l] * a[t, l]) * b[t, j] + v[t, i] * k[t, j]
// y[t, i] = sum over j of s[i, j] * r[t, j], with the s just computed
typedef struct sxk_wkv7 {
  float *state;    // [H, N, N], head, value, key; updated
  const float *r;  // [T, H * N]
  size_t r_stride;
  const float *decay;  // [T, H * N], from 0 to 1
  size_t decay_stride;
  const float *k;  // [T, H * N]
  size_t k_stride;
  const float *v;  // [T, H * N]
  size_t v_stride;
  const float *a;  // [T, H * N]
  size_t a_stride;
  const float *b;  // [T, H * N]
  size_t b_stride;
  float *y;  // [T, H * N], none of the inputs
  size_t y_stride;
  size_t t, n;
} sxk_wkv7;

// The gated delta rule, for t = 0, 1, ... and each head h of H; i and l count keys, j values:
// s[i, j] = decay[t, i] * s[i, j]
// s[i, j] = s[i, j] + k[t, i] * beta[t] * (v[t, j] - sum over l of s[l, j] * k[t, l])
// y[t, j] = scale * sum over i of s[i, j] * q[t, i], with the s just computed
// Head h reads the key head h / heads_per_key of q and k.
typedef struct sxk_gated_delta {
  float *state;    // [H, K, V], head, key, value; updated
  const float *q;  // [T, key heads * K]
  size_t q_stride;
  const float *k;  // [T, key heads * K]
  size_t k_stride;
  const float *v;  // [T, H * V]
  size_t v_stride;
  const float *decay;  // [T, H * decays_per_head], from 0 to 1
  size_t decay_stride;
  const float *beta;  // [T, H]
  size_t beta_stride;
  float *y;  // [T, H * V], none of the inputs
  size_t y_stride;
  size_t t, keys, values, heads_per_key;
  size_t decays_per_head;  // 1: one for all keys of a head; else `keys`
  float scale;
} sxk_gated_delta;

// Attention of one sequence, causal. The query t of T is at `position + t` and sees the positions
// up to its own, the last `window` of them if that is not 0:
// y[t, h] = sum over j of w[j] * value[j], w = softmax(scale * (q[t, h] . key[j]) + slope[h] * (j - i))
// Head h reads the key head h / group. A page of keys is [key heads][width][SXK_PAGE], a page of values
// [key heads][SXK_PAGE][value width rounded up to 16]; what no query has written is zero.
typedef struct sxk_attention {
  const float *q;  // [T, ...]: head h starts at h * q_head_stride
  size_t q_stride, q_head_stride;
  const float *const *keys;    // pages
  const float *const *values;  // pages
  const float *slopes;         // [heads], or NULL: no linear bias
  float *y;                    // [T, heads * value_width]
  size_t y_stride;
  size_t position, window, group;
  size_t width, value_width;  // of a head of queries and keys, and of values
  float scale;
} sxk_attention;

#define SXK_PAGE 64
// Positions whose softmax is computed together, a multiple of the page; the segments of a row are then
// merged in their order.
#define SXK_SEGMENT 256
#define SXK_ATTENTION_MAX_WIDTH 512  // of a head of values

// Rotary position embedding, in place: row r of x turns by the angles r % T.
typedef struct sxk_rotation {
  float *x;  // [rows, ...]: head h starts at h * head_stride
  size_t x_stride, head_stride, heads;
  const float *cosines;  // [T, half]
  const float *sines;    // [T, half]
  size_t t, half;
} sxk_rotation;

// MARK: The table

typedef struct sxk_table {
  sxk_level level;

  // Conversions. To bf16 and f16: nearest even, overflow to infinity, subnormals kept, NaN made
  // quiet with the top of its payload. From bf16 and f16: exact (an f16 NaN is made quiet).
  void (*f32_from_bf16)(float *y, const uint16_t *x, size_t count);
  void (*f32_from_f16)(float *y, const uint16_t *x, size_t count);
  void (*f32_from_f64)(float *y, const double *x, size_t count);
  void (*bf16_from_f32)(uint16_t *y, const float *x, size_t count);
  void (*f16_from_f32)(uint16_t *y, const float *x, size_t count);
  void (*f64_from_f32)(double *y, const float *x, size_t count);

  // How many elements have all these bits set; x needs no alignment.
  size_t (*nonfinite_16)(const void *x, uint16_t exponent, size_t count);
  size_t (*nonfinite_32)(const void *x, uint32_t exponent, size_t count);
  size_t (*nonfinite_64)(const void *x, uint64_t exponent, size_t count);

  // Blocks; the count is one of elements. To q8: the scale is the largest magnitude / 127, rounded up
  // to an f16, so that no element is off by more than half of it; a block with a number that is not
  // finite or beyond 127 * 65504 becomes NaN. From blocks: the numbers of ggml, bit for bit.
  void (*f32_from_blocks)(float *y, const void *x, sxk_type type, size_t count);
  void (*q8_from_f32)(sxk_q8_block *y, const float *x, size_t count);

  // Products with 1 <= m <= SXK_LINEAR_MAX_M: the weights are read once. Each output has the bits that `gemm`
  // gives it.
  void (*linear)(const sxk_linear *job, size_t n0, size_t n1);

  // Products with any m. First x is packed into panels of `panel_rows()` rows, the last filled up
  // with zeros: ceil(m / panel_rows) * panel_rows * k floats. Then `gemm` computes the panels
  // p0..<p1 by the columns n0..<n1; it reads x from the panels alone. Scratch, which may be NULL
  // for f32 weights: SXK_GEMM_COLUMNS * SXK_GEMM_DEPTH floats.
  size_t (*panel_rows)(void);
  void (*pack_panels)(
      float *panels, const float *x, size_t x_stride, size_t m, size_t k, size_t p0, size_t p1);
  void (*gemm)(
      const sxk_linear *job, const float *panels, float *scratch, size_t p0, size_t p1, size_t n0,
      size_t n1);

  // The same with x rounded first: to blocks of bytes for weights in blocks, and to bf16 for bf16
  // weights, k even, if the processor has instructions for it (`dot_gemm` is not NULL then). Few rows
  // (1 <= m <= SXK_DOT_MAX_M): `dot_rows` rounds the m rows of the job's x to `dot_row_bytes(type, k)`
  // bytes each, which `dot_linear` reads in place of x. Many rows, for bf16 weights: panels of pairs,
  // `panel_rows() * k / 2` each.
  size_t (*dot_row_bytes)(sxk_type type, size_t k);
  void (*dot_rows)(void *rows, const sxk_linear *job);
  void (*dot_linear)(const sxk_linear *job, const void *rows, size_t n0, size_t n1);
  void (*dot_pack_panels)(
      uint32_t *panels, const float *x, size_t x_stride, size_t m, size_t k, size_t p0, size_t p1);
  void (*dot_gemm)(
      const sxk_linear *job, const uint32_t *panels, size_t p0, size_t p1, size_t n0, size_t n1);

  // Elementwise; y may be x.
  void (*exp)(float *y, const float *x, size_t count);
  void (*sigmoid)(float *y, const float *x, size_t count);
  void (*tanh)(float *y, const float *x, size_t count);
  void (*silu)(float *y, const float *x, size_t count);
  void (*squared_relu)(float *y, const float *x, size_t count);  // max(x, 0)^2
  void (*softplus)(float *y, const float *x, const float *bias_or_null, size_t count);
  void (*gelu)(float *y, const float *x, size_t count);       // x * Phi(x)
  void (*gelu_tanh)(float *y, const float *x, size_t count);  // its approximation by a tanh
  void (*add)(float *y, const float *x, size_t count);              // y += x
  void (*mul)(float *y, const float *x, size_t count);              // y *= x
  void (*axpy)(float *y, float a, const float *x, size_t count);    // y += a * x
  void (*scale)(float *y, float a, size_t count);                   // y *= a
  void (*silu_mul)(float *y, const float *z, size_t count);         // y *= silu(z)
  void (*sigmoid_mul)(float *y, const float *z, size_t count);      // y *= sigmoid(z)
  // y = p + (q - p) * weight; y may be p or q.
  void (*lerp)(float *y, const float *p, const float *q, const float *weight, size_t count);

  // Reductions. Sums are f32 in several partial sums. Maxima skip NaN; `max` of nothing is
  // -infinity. `argmax` is the first index of the largest value, and 0 when there is none.
  float (*dot)(const float *x, const float *y, size_t count);
  float (*sum)(const float *x, size_t count);
  float (*max)(const float *x, size_t count);
  size_t (*argmax)(const float *x, size_t count);
  // y = exp(x - shift), and their sum. y may be x, or NULL.
  float (*exp_sum)(float *y_or_null, const float *x, float shift, size_t count);

  // The Kullback-Leibler divergence, the sum of p (log p - log q), of q = softmax(logits) from
  // p = softmax(target); the shifts are the log-sum-exps. Also the entropy of q, and q - p, which
  // is the divergence's gradient by the logits and may replace them.
  float (*divergence)(
      float *gradient_or_null, float *entropy_or_null, const float *logits, float shift,
      const float *target, float target_shift, size_t count);

  // Norms of one row; y may be x. rms: x / sqrt(mean(x^2) + epsilon) * weight.
  // layer: (x - mean) / sqrt(variance + epsilon) * weight + bias. Weight and bias may be NULL.
  void (*rms_norm)(float *y, const float *x, const float *weight, float epsilon, size_t count);
  void (*layer_norm)(
      float *y, const float *x, const float *weight, const float *bias, float epsilon,
      size_t count);

  // Recurrences over the channels c0..<c1 or the heads h0..<h1. Whether y of a scan is summed over n
  // in vectors or one after the other depends on T; the state h has the same bits however T is cut.
  void (*convolve)(const sxk_conv *job, size_t c0, size_t c1);
  void (*selective_scan)(const sxk_scan *job, size_t c0, size_t c1);
  void (*head_scan)(const sxk_head_scan *job, size_t h0, size_t h1);

  // Recurrences of RWKV, over channels or heads. The results do not depend on how T is split.
  void (*wkv4)(const sxk_wkv4 *job, size_t c0, size_t c1);
  void (*wkv6)(const sxk_wkv6 *job, size_t h0, size_t h1);
  void (*wkv7)(const sxk_wkv7 *job, size_t h0, size_t h1);

  // The gated delta rule, over heads. The results do not depend on how T is split.
  void (*gated_delta)(const sxk_gated_delta *job, size_t h0, size_t h1);

  // Rows r0..<r1 of one key head, where row r is the query r / group of its head r % group.
  void (*attend)(const sxk_attention *job, size_t key_head, size_t r0, size_t r1);
  // The same in two steps, so that threads share the positions of few rows: a segment of the rows
  // 0..<rows, then all segments from 0 on. The part of row r for a segment has `attention_part_size`
  // floats, at r * part_stride of its segment's parts; segments follow one another in a row's parts.
  size_t (*attention_part_size)(const sxk_attention *job);
  void (*attend_segment)(
      const sxk_attention *job, size_t key_head, size_t rows, size_t segment, float *parts,
      size_t part_stride);
  void (*attend_merge)(
      const sxk_attention *job, size_t key_head, size_t rows, size_t segments, const float *parts,
      size_t part_stride);
  void (*rotate)(const sxk_rotation *job, size_t row0, size_t row1);

  // Moments: sums[c] += sum over the rows of x[row, c], in f64.
  void (*add_rows_f64)(double *sums, const float *x, size_t x_stride, size_t rows, size_t count);
} sxk_table;

// The table in use: sxk_choose(getenv("SEXTANT_KERNELS")), decided on the first call.
const sxk_table *sxk_active(void);

// The table of the level called `wanted` (a name of `sxk_level_name`) when this processor can run it,
// else, or when `wanted` is NULL or unknown, the best that it can.
const sxk_table *sxk_choose(const char *wanted_or_null);

// The table of a level, or NULL when this processor or this build lacks it.
const sxk_table *sxk_table_for(sxk_level level);

// "portable", "neon", "neon-dot", "avx2", "avx512", "avx512-dot".
const char *sxk_level_name(sxk_level level);

// Blocks of type SXK_Q4_1 for `count` numbers: scale and minimum are halves that make the sum of a block's
// squared errors small. Every machine makes the same blocks. A block with a number that is not finite or
// beyond 65504 becomes NaN.
void sxk_q4_from_f32(void *y, const float *x, size_t count);

// The processors that the calling thread may run on; 0 if the system does not report them.
int sxk_processor_count(void);

// One spin-loop hint to the processor, for threads that wait a few microseconds.
void sxk_pause(void);

// Continues two SHA-256 computations with `blocks` blocks of 64 bytes each. The states are the
// eight words of the hash value, and may not be the same. Returns 0, with nothing done, if the
// processor has no instructions for it.
int sxk_sha256_pair(
    uint32_t *first_state, const uint8_t *first, uint32_t *second_state, const uint8_t *second,
    size_t blocks);

#ifdef __cplusplus
}
#endif
