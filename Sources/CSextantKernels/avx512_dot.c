// The kernels for processors with AVX-512 F, BW, VL, DQ, BF16 and VNNI.
#if defined(__x86_64__)
#include <immintrin.h>

#include <math.h>
#include <string.h>

#include "tables.h"

#define SXK_LEVEL SXK_AVX512_DOT
#define SXK_HAS_AVX512 1
#define SXK_HAS_DOT 1
#define SXK_TABLE sxk_avx512_dot_table
#define VL 16

#pragma clang attribute push( \
    __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,avx512vnni"))), \
    apply_to = function)
#include "bodies/all.h"
#pragma clang attribute pop
#endif
