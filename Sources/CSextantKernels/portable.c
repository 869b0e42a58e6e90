// The kernels for any processor: vectors of four floats, which every 64-bit processor has.
#include <math.h>
#include <string.h>

#include "tables.h"

#define SXK_LEVEL SXK_PORTABLE
#define SXK_TABLE sxk_portable_table
#define VL 4
#include "bodies/all.h"
