// The kernels for ARM processors that add up products of four bytes in one instruction (ARMv8.2 DotProd).
#if defined(__aarch64__)
#include <arm_neon.h>
#include <math.h>
#include <string.h>

#include "tables.h"

#define SXK_LEVEL SXK_NEON_DOT
#define SXK_HAS_NEON 1
#define SXK_HAS_NEON_DOT 1
#define SXK_TABLE sxk_neon_dot_table
#define VL 4

#pragma clang attribute push(__attribute__((target("dotprod"))), apply_to = function)
#include "bodies/all.h"
#pragma clang attribute pop
#endif
