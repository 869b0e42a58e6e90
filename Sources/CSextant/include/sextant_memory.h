/// For the library itself.
#pragma once

#include "sextant.h"

/// An error with copies of these strings.
sextant_error *sextant_error_make(const char *code, const char *message, const char *remedy);
