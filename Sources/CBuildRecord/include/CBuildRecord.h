// What the build knows of its origin.
#pragma once

/// The commit that was built, as the variable SEXTANT_COMMIT of the environment named it; "unknown" without it.
const char *sextant_built_commit(void);
