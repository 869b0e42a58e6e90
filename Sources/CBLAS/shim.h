#pragma once
#include <cblas.h>

// LAPACK, which OpenBLAS contains and declares nowhere. Column-major; every argument by address.

/// Eigenvalues (ascending) and, with `job` 'V', eigenvectors of a symmetric matrix, in place.
void dsyevd_(const char *job, const char *triangle, const int *n, double *a, const int *stride,
             double *values, double *work, const int *work_count, int *iwork,
             const int *iwork_count, int *info);

/// The Cholesky factor of a symmetric positive definite matrix, in place.
void dpotrf_(const char *triangle, const int *n, double *a, const int *stride, int *info);

/// Solves for `columns` right sides with the factor of `dpotrf_`, in place.
void dpotrs_(const char *triangle, const int *n, const int *columns, const double *a,
             const int *stride, double *b, const int *b_stride, int *info);
