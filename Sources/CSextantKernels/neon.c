// The kernels for ARM processors: the portable bodies with the registers and conversions that every
// AArch64 processor has.
#if defined(__aarch64__)
#include <arm_neon.h>
#include <math.h>
#include <string.h>

#include "tables.h"

#define SXK_LEVEL SXK_NEON
#define SXK_HAS_NEON 1
#define SXK_TABLE sxk_neon_table
#define VL 4
#include "bodies/all.h"
#endif
