// The few functions of OpenBLAS that are used, loaded when the first of them is needed.
//
// Linked in the usual way, OpenBLAS starts a thread for each processor as soon as the process is
// loaded, for any process, and never ends if those threads get no memory.
//
// The names are Sextant's own, so that a program may use OpenBLAS's header together with Sextant.
#pragma once

#include <stddef.h>

enum sextant_blas_order { SextantRowMajor = 101 };
enum sextant_blas_transpose { SextantNoTrans = 111, SextantTrans = 112 };

/// The functions, once `sextant_load_blas` has succeeded.
struct sextant_blas_functions {
  void (*dgemm)(enum sextant_blas_order, enum sextant_blas_transpose, enum sextant_blas_transpose, int, int, int, double,
                const double *, int, const double *, int, double, double *, int);
  void (*sgemm)(enum sextant_blas_order, enum sextant_blas_transpose, enum sextant_blas_transpose, int, int, int, float,
                const float *, int, const float *, int, float, float *, int);
  void (*dgemv)(enum sextant_blas_order, enum sextant_blas_transpose, int, int, double, const double *, int,
                const double *, int, double, double *, int);
  void (*dsyevd)(const char *, const char *, const int *, double *, const int *, double *, double *,
                 const int *, int *, const int *, int *);
  void (*dpotrf)(const char *, const int *, double *, const int *, int *);
  void (*dpotrs)(const char *, const int *, const int *, const double *, const int *, double *,
                 const int *, int *);
};

extern struct sextant_blas_functions sextant_blas;

/// Loads OpenBLAS, which then uses one thread for each call. The first call does the work; any thread
/// may call at any time.
///
/// Returns null, or the fault. `missing` becomes the number of bytes that could not be had if too little
/// memory is the reason, and otherwise 0.
const char *sextant_load_blas(size_t *missing);

/// OpenBLAS's name of the processors that its kernels are for, such as "Haswell", once it is loaded.
const char *sextant_blas_core(void);

// MARK: CBLAS

/// C := alpha op(A) op(B) + beta C, in f64.
static inline void sextant_dgemm(enum sextant_blas_order order, enum sextant_blas_transpose trans_a,
                               enum sextant_blas_transpose trans_b, int m, int n, int k, double alpha,
                               const double *a, int a_stride, const double *b, int b_stride,
                               double beta, double *c, int c_stride) {
  sextant_blas.dgemm(order, trans_a, trans_b, m, n, k, alpha, a, a_stride, b, b_stride, beta, c,
                     c_stride);
}

/// C := alpha op(A) op(B) + beta C, in f32.
static inline void sextant_sgemm(enum sextant_blas_order order, enum sextant_blas_transpose trans_a,
                               enum sextant_blas_transpose trans_b, int m, int n, int k, float alpha,
                               const float *a, int a_stride, const float *b, int b_stride,
                               float beta, float *c, int c_stride) {
  sextant_blas.sgemm(order, trans_a, trans_b, m, n, k, alpha, a, a_stride, b, b_stride, beta, c,
                     c_stride);
}

/// y := alpha op(A) x + beta y, in f64.
static inline void sextant_dgemv(enum sextant_blas_order order, enum sextant_blas_transpose trans, int m, int n,
                               double alpha, const double *a, int a_stride, const double *x,
                               int x_step, double beta, double *y, int y_step) {
  sextant_blas.dgemv(order, trans, m, n, alpha, a, a_stride, x, x_step, beta, y, y_step);
}

// MARK: LAPACK, which OpenBLAS contains. Column-major; every argument by address.

/// Eigenvalues (ascending) and, with `job` 'V', eigenvectors of a symmetric matrix, in place.
static inline void sextant_dsyevd(const char *job, const char *triangle, const int *n, double *a,
                           const int *stride, double *values, double *work, const int *work_count,
                           int *iwork, const int *iwork_count, int *info) {
  sextant_blas.dsyevd(job, triangle, n, a, stride, values, work, work_count, iwork, iwork_count,
                      info);
}

/// The Cholesky factor of a symmetric positive definite matrix, in place.
static inline void sextant_dpotrf(const char *triangle, const int *n, double *a, const int *stride,
                           int *info) {
  sextant_blas.dpotrf(triangle, n, a, stride, info);
}

/// Solves for `columns` right sides with the factor of `sextant_dpotrf`, in place.
static inline void sextant_dpotrs(const char *triangle, const int *n, const int *columns, const double *a,
                           const int *stride, double *b, const int *b_stride, int *info) {
  sextant_blas.dpotrs(triangle, n, columns, a, stride, b, b_stride, info);
}
