// The plugin for MPI: see sextant_mpi.h.
#include "sextant_mpi.h"

#include <mpi.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

// MPI 3 counts with int, so long messages go in pieces.
#define PIECE ((uint64_t)1 << 26)
// Tests of a request before the process begins to sleep between them.
#define QUICK_TESTS 2000

static sextant_mpi table;

// Waits for requests. A process that waits long sleeps, and leaves its core to the processes that work.
static int wait_for(int count, MPI_Request *requests) {
  const struct timespec pause = {0, 20000};
  for (long tests = 0;; tests++) {
    int done = 0, code = MPI_Testall(count, requests, &done, MPI_STATUSES_IGNORE);
    if (code != MPI_SUCCESS || done) return code;
    if (tests >= QUICK_TESTS) nanosleep(&pause, NULL);
  }
}

static int counts(const uint64_t *out, uint64_t *in) {
  MPI_Request request;
  int code = MPI_Ialltoall(out, 1, MPI_UINT64_T, in, 1, MPI_UINT64_T, MPI_COMM_WORLD, &request);
  return code == MPI_SUCCESS ? wait_for(1, &request) : code;
}

static int piece(uint64_t count, uint64_t at) { return (int)(count - at < PIECE ? count - at : PIECE); }

// One message to a process and one from another, piece by piece.
static int swap(const char *out, uint64_t out_count, int to, char *in, uint64_t in_count, int from) {
  for (uint64_t at = 0; at < out_count || at < in_count; at += PIECE) {
    MPI_Request requests[2] = {MPI_REQUEST_NULL, MPI_REQUEST_NULL};
    int code = MPI_SUCCESS;
    if (at < in_count)
      code = MPI_Irecv(in + at, piece(in_count, at), MPI_BYTE, from, 1, MPI_COMM_WORLD, &requests[0]);
    if (code == MPI_SUCCESS && at < out_count)
      code = MPI_Isend(out + at, piece(out_count, at), MPI_BYTE, to, 1, MPI_COMM_WORLD, &requests[1]);
    if (code == MPI_SUCCESS) code = wait_for(2, requests);
    if (code != MPI_SUCCESS) return code;
  }
  return MPI_SUCCESS;
}

static int exchange(const void *const *out, const uint64_t *out_counts, void *const *in,
                    const uint64_t *in_counts) {
  int rank = table.rank, size = table.size;
  memcpy(in[rank], out[rank], in_counts[rank]);
  // In step s each process sends to the process s places after it, so no process receives two messages at once.
  for (int s = 1; s < size; s++) {
    int to = (rank + s) % size, from = (rank - s + size) % size;
    int code = swap(out[to], out_counts[to], to, in[from], in_counts[from], from);
    if (code != MPI_SUCCESS) return code;
  }
  return MPI_SUCCESS;
}

static int finish(void) { return MPI_Finalize(); }

static void give_up(int32_t status) { MPI_Abort(MPI_COMM_WORLD, status); }

static void describe(int code, char *text, uint64_t capacity) {
  char message[MPI_MAX_ERROR_STRING] = "";
  int length = 0;
  MPI_Error_string(code, message, &length);
  snprintf(text, capacity, "%s", message);
}

const sextant_mpi *sextant_mpi_open(char *text, uint64_t capacity) {
  static char library[MPI_MAX_LIBRARY_VERSION_STRING];
  int threads = 0, length = 0, rank = 0, size = 1;
  int code = MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &threads);
  if (code != MPI_SUCCESS) {
    describe(code, text, capacity);
    return NULL;
  }
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  MPI_Get_library_version(library, &length);
  table = (sextant_mpi){SEXTANT_MPI_VERSION, rank, size, library, counts, exchange, finish, give_up, describe};
  return &table;
}
