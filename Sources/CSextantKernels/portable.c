#include "CSextantKernels.h"
