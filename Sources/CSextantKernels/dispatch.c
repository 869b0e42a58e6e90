// Chooses the kernels once: by processor, or by the environment.
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "tables.h"

#if defined(__aarch64__)
#if defined(__linux__)
#include <sys/auxv.h>

// Whether the processor has dot products of bytes (`asimddp` in /proc/cpuinfo).
static int has_neon_dot(void) { return (getauxval(AT_HWCAP) >> 20 & 1) != 0; }
#else
static int has_neon_dot(void) { return 0; }
#endif
#endif

const char *sxk_level_name(sxk_level level) {
  switch (level) {
  case SXK_PORTABLE: return "portable";
  case SXK_NEON: return "neon";
  case SXK_NEON_DOT: return "neon-dot";
  case SXK_AVX2: return "avx2";
  case SXK_AVX512: return "avx512";
  case SXK_AVX512_DOT: return "avx512-dot";
  }
  return "unknown";
}

const sxk_table *sxk_table_for(sxk_level level) {
  if (level == SXK_PORTABLE) return &sxk_portable_table;
#if defined(__aarch64__)
  if (level == SXK_NEON) return &sxk_neon_table;
  if (level == SXK_NEON_DOT) return has_neon_dot() ? &sxk_neon_dot_table : NULL;
#endif
#if defined(__x86_64__)
  // The builtins also ask whether the operating system saves the wide registers.
  __builtin_cpu_init();
  const int avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                   __builtin_cpu_supports("f16c");
  if (level == SXK_AVX2) return avx2 ? &sxk_avx2_table : NULL;
  if (level == SXK_AVX512) {
    const int avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                       __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
    return avx2 && avx512 ? &sxk_avx512_table : NULL;
  }
  if (level == SXK_AVX512_DOT) {
    const int dot = __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512vnni");
    return dot && sxk_table_for(SXK_AVX512) != NULL ? &sxk_avx512_dot_table : NULL;
  }
#endif
  return NULL;
}

const sxk_table *sxk_choose(const char *wanted) {
  const sxk_table *best = NULL;
  for (int level = SXK_AVX512_DOT; level >= SXK_PORTABLE; level--) {
    const sxk_table *table = sxk_table_for((sxk_level)level);
    if (table == NULL) continue;
    if (best == NULL) best = table;
    if (wanted != NULL && strcmp(wanted, sxk_level_name(table->level)) == 0) return table;
  }
  return best;
}

const sxk_table *sxk_active(void) {
  // Two threads that race here choose the same table.
  static _Atomic(const sxk_table *) chosen = NULL;
  const sxk_table *table = atomic_load_explicit(&chosen, memory_order_relaxed);
  if (table == NULL) {
    table = sxk_choose(getenv("SEXTANT_KERNELS"));
    atomic_store_explicit(&chosen, table, memory_order_relaxed);
  }
  return table;
}
