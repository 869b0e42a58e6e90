#include "CBLAS.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

struct sextant_blas_functions sextant_blas;

static const char thread_variable[] = "OPENBLAS_NUM_THREADS";
static pthread_once_t once = PTHREAD_ONCE_INIT;
static char failure[256];
static size_t missing_bytes;

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

/// The library, opened with the variable that keeps it from starting threads.
static void *open_library(void) {
  const char *before = getenv(thread_variable);
  char *kept = before ? strdup(before) : NULL;
  setenv(thread_variable, "1", 1);
  void *library = dlopen("libopenblas.so.0", RTLD_NOW | RTLD_LOCAL);
  if (library == NULL) library = dlopen("libopenblas.so", RTLD_NOW | RTLD_LOCAL);
  if (library == NULL) fail();
  if (kept) {
    setenv(thread_variable, kept, 1);
  } else {
    unsetenv(thread_variable);
  }
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
  // The pool of the caller splits the work; two pools would compete for the processors.
  set_threads(1);
}

const char *sextant_load_blas(size_t *missing) {
  pthread_once(&once, load);
  *missing = missing_bytes;
  return failure[0] ? failure : NULL;
}
