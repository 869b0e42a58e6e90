#include "CBLAS.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

struct sextant_blas_functions sextant_blas;

static const char thread_variable[] = "OPENBLAS_NUM_THREADS";
static const char core_variable[] = "OPENBLAS_CORETYPE";
static pthread_once_t once = PTHREAD_ONCE_INIT;
static char failure[256];
static size_t missing_bytes;
static const char *(*core_name)(void);

// The address space that the library and its first buffer take, and a little more.
static const size_t needed_bytes = (size_t)192 << 20;

static int has_room(size_t byte_count) {
  void *room = mmap(NULL, byte_count, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (room == MAP_FAILED) return 0;
  munmap(room, byte_count);
  return 1;
}

static void fail(void) {
  const char *reason = dlerror();
  snprintf(failure, sizeof failure, "%s", reason ? reason : "libopenblas cannot be loaded");
  // The loader's reason for too little memory is "failed to map segment".
  if (!has_room(needed_bytes)) missing_bytes = needed_bytes;
}

// The kernels of OpenBLAS for this processor; null for OpenBLAS's own choice.
//
// OpenBLAS knows processors by their model numbers. For a processor that is newer than itself it takes kernels
// for SSE3, which are 3 to 5 times slower. Chosen by the instructions, the kernels are also the same on all
// machines of a kind, and so is the rounding.
static const char *kernels(void) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
    return "SkylakeX";
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return "Haswell";
#endif
  return NULL;
}

/// Sets a variable, or removes it if the value is null.
static void set(const char *variable, const char *value) {
  if (value) {
    setenv(variable, value, 1);
  } else {
    unsetenv(variable);
  }
}

/// The library, opened with the variables that keep it from starting threads and choose its kernels.
static void *open_library(void) {
  const char *threads = getenv(thread_variable), *core = getenv(core_variable);
  char *kept = threads ? strdup(threads) : NULL;
  set(thread_variable, "1");
  if (core == NULL) set(core_variable, kernels());
  void *library = dlopen("libopenblas.so.0", RTLD_NOW | RTLD_LOCAL);
  if (library == NULL) library = dlopen("libopenblas.so", RTLD_NOW | RTLD_LOCAL);
  if (library == NULL) fail();
  set(thread_variable, kept);
  if (core == NULL) set(core_variable, NULL);
  free(kept);
  return library;
}

static void load(void) {
  void *library = open_library();
  if (library == NULL) return;
  void (*set_threads)(int) = NULL;
  const struct {
    const char *name;
    void *place;
  } functions[] = {
      {"cblas_dgemm", &sextant_blas.dgemm},   {"cblas_sgemm", &sextant_blas.sgemm},
      {"cblas_dgemv", &sextant_blas.dgemv},   {"dsyevd_", &sextant_blas.dsyevd},
      {"dpotrf_", &sextant_blas.dpotrf},      {"dpotrs_", &sextant_blas.dpotrs},
      {"openblas_set_num_threads", &set_threads},
  };
  for (size_t index = 0; index < sizeof functions / sizeof functions[0]; index++) {
    void *symbol = dlsym(library, functions[index].name);
    if (symbol == NULL) return fail();
    memcpy(functions[index].place, &symbol, sizeof symbol);
  }
  // Not in every build of the library.
  void *name = dlsym(library, "openblas_get_corename");
  memcpy(&core_name, &name, sizeof name);
  // The pool of the caller splits the work; two pools would compete for the processors.
  set_threads(1);
}

const char *sextant_blas_core(void) { return core_name ? core_name() : "unknown"; }

const char *sextant_load_blas(size_t *missing) {
  pthread_once(&once, load);
  *missing = missing_bytes;
  return failure[0] ? failure : NULL;
}
