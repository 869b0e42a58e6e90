#include "CBuildRecord.h"

// Package.swift defines it. It is in a target of its own, so that a new commit compiles this file alone.
#ifndef SEXTANT_COMMIT
#define SEXTANT_COMMIT "unknown"
#endif

const char *sextant_built_commit(void) { return SEXTANT_COMMIT; }
