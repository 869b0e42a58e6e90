// The functions of a message-passing library that Sextant uses, as a table that a plugin fills in.
//
// The plugin `sextant_mpi.c` is compiled with the `mpicc` of the place where it will run (`make mpi`). It lies beside the
// executable, and is opened only in a process that a launcher of MPI started. So one executable runs with every MPI, and
// needs none. All functions are called by one thread.
#pragma once
#include <stdint.h>

// Changes whenever the table changes.
#define SEXTANT_MPI_VERSION 1

typedef struct sextant_mpi {
  uint32_t version;
  // This process among all, from 0, and the number of processes.
  int32_t rank, size;
  // The name and version of the library.
  const char *library;
  // out[r] goes to process r; in[r] comes from process r.
  int (*counts)(const uint64_t *out, uint64_t *in);
  // out_counts[r] bytes go to process r, in_counts[r] bytes come from it. Both ends know the counts.
  int (*exchange)(const void *const *out, const uint64_t *out_counts, void *const *in,
                  const uint64_t *in_counts);
  // Ends MPI. All processes call it.
  int (*finish)(void);
  // Ends all processes of the job, with this exit status.
  void (*give_up)(int32_t status);
  // The text of a code that one of the functions above returned. 0 is success.
  void (*describe)(int code, char *text, uint64_t capacity);
} sextant_mpi;

// The type of the plugin's function `sextant_mpi_open`. It starts MPI. The result is null if that fails: `text` then
// contains the reason.
typedef const sextant_mpi *(*sextant_mpi_open_function)(char *text, uint64_t capacity);
