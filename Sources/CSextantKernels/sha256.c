// SHA-256 (FIPS 180-4, 6.2.2) of two messages at a time. Each instruction for two rounds needs the result
// of the one before and takes several cycles: a second message fills the gaps.
#include "CSextantKernels.h"

#if defined(__x86_64__)
#include <immintrin.h>

// The first 32 bits of the fractional parts of the cube roots of the first 64 primes (4.2.2).
static const uint32_t constants[64] __attribute__((aligned(16))) = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

#define MESSAGES 2
#define EACH _Pragma("clang loop unroll(full)") for (int m = 0; m < MESSAGES; m++)

__attribute__((target("sha,ssse3,sse4.1"))) static void digest_blocks(
    uint32_t *const states[MESSAGES], const uint8_t *const messages[MESSAGES], size_t blocks) {
  const __m128i big_endian = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
  // The instructions expect the eight words a..h as (f, e, b, a) and (h, g, d, c), from the lowest
  // lane on.
  __m128i feba[MESSAGES], hgdc[MESSAGES];
  EACH {
    const __m128i dcba = _mm_loadu_si128((const __m128i *)states[m]);
    const __m128i hgfe = _mm_loadu_si128((const __m128i *)(states[m] + 4));
    const __m128i cdab = _mm_shuffle_epi32(dcba, 0xb1), efgh = _mm_shuffle_epi32(hgfe, 0x1b);
    feba[m] = _mm_alignr_epi8(cdab, efgh, 8);
    hgdc[m] = _mm_blend_epi16(efgh, cdab, 0xf0);
  }
  for (size_t block = 0; block < blocks; block++) {
    __m128i feba_before[MESSAGES], hgdc_before[MESSAGES];
    // The last 16 words of the schedule.
    __m128i words[MESSAGES][4];
    EACH {
      feba_before[m] = feba[m];
      hgdc_before[m] = hgdc[m];
      const __m128i *const from = (const __m128i *)(messages[m] + block * 64);
#pragma clang loop unroll(full)
      for (int i = 0; i < 4; i++)
        words[m][i] = _mm_shuffle_epi8(_mm_loadu_si128(from + i), big_endian);
    }
#pragma clang loop unroll(full)
    for (int four = 0; four < 16; four++) {
      const __m128i k = _mm_load_si128((const __m128i *)(constants + four * 4));
      EACH {
        __m128i *const w = words[m];
        const __m128i oldest = w[four % 4], older = w[(four + 1) % 4], newer = w[(four + 2) % 4],
                      newest = w[(four + 3) % 4];
        const __m128i sum = _mm_add_epi32(oldest, k);
        hgdc[m] = _mm_sha256rnds2_epu32(hgdc[m], feba[m], sum);
        feba[m] = _mm_sha256rnds2_epu32(feba[m], hgdc[m], _mm_shuffle_epi32(sum, 0x0e));
        if (four < 12) {
          const __m128i partial = _mm_add_epi32(
              _mm_sha256msg1_epu32(oldest, older), _mm_alignr_epi8(newest, newer, 4));
          w[four % 4] = _mm_sha256msg2_epu32(partial, newest);
        }
      }
    }
    EACH {
      feba[m] = _mm_add_epi32(feba[m], feba_before[m]);
      hgdc[m] = _mm_add_epi32(hgdc[m], hgdc_before[m]);
    }
  }
  EACH {
    const __m128i abef = _mm_shuffle_epi32(feba[m], 0x1b), cdgh = _mm_shuffle_epi32(hgdc[m], 0xb1);
    _mm_storeu_si128((__m128i *)states[m], _mm_blend_epi16(abef, cdgh, 0xf0));
    _mm_storeu_si128((__m128i *)(states[m] + 4), _mm_alignr_epi8(cdgh, abef, 8));
  }
}
#endif

int sxk_sha256_pair(
    uint32_t *first_state, const uint8_t *first, uint32_t *second_state, const uint8_t *second,
    size_t blocks) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("sha") && __builtin_cpu_supports("sse4.1")) {
    uint32_t *const states[MESSAGES] = {first_state, second_state};
    const uint8_t *const messages[MESSAGES] = {first, second};
    digest_blocks(states, messages, blocks);
    return 1;
  }
#endif
  (void)first_state, (void)first, (void)second_state, (void)second, (void)blocks;
  return 0;
}
