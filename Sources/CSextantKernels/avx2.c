// The kernels for processors with AVX2, FMA and F16C.
#if defined(__x86_64__)
#include <immintrin.h>

#include <math.h>
#include <string.h>

#include "tables.h"

#define SXK_LEVEL SXK_AVX2
#define SXK_HAS_AVX2 1
#define SXK_TABLE sxk_avx2_table
#define VL 8

#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), \
                             apply_to = function)
#include "bodies/all.h"
#pragma clang attribute pop
#endif
