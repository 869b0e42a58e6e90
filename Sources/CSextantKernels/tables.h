// The tables that the level files define; NULL-free on the platforms that compile them.
#pragma once
#include "CSextantKernels.h"

extern const sxk_table sxk_portable_table;
#if defined(__aarch64__)
extern const sxk_table sxk_neon_table;
extern const sxk_table sxk_neon_dot_table;
#endif
#if defined(__x86_64__)
extern const sxk_table sxk_avx2_table;
extern const sxk_table sxk_avx512_table;
extern const sxk_table sxk_avx512_dot_table;
#endif
