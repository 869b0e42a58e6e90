// A system without seccomp, for tests.
#pragma once

/// Makes the calling thread, and processes that it starts, unable to install a filter of system calls.
///
/// Returns 0, or the errno of the failure.
int sextant_test_forbid_filters(void);
