/* BLAS level 1, as Fortran calls it: vectors. */
#include "lapack.h"

/* Where element 0 of a Fortran vector lies. */
#define START(count, step) ((step) < 0 ? (long)(1 - (count)) * (step) : 0)

int daxpy_(const integer *n, const double *alpha, const double *x, const integer *incx, double *y,
           const integer *incy) {
  integer count = *n, stepX = *incx, stepY = *incy;
  double factor = *alpha;
  if (factor == 0) return 0;
  if (stepX == 1 && stepY == 1) {
    for (integer i = 0; i < count; i++) y[i] += factor * x[i];
    return 0;
  }
  x += START(count, stepX), y += START(count, stepY);
  for (integer i = 0; i < count; i++, x += stepX, y += stepY) *y += factor * *x;
  return 0;
}

int dcopy_(const integer *n, const double *x, const integer *incx, double *y, const integer *incy) {
  integer count = *n, stepX = *incx, stepY = *incy;
  x += START(count, stepX), y += START(count, stepY);
  for (integer i = 0; i < count; i++, x += stepX, y += stepY) *y = *x;
  return 0;
}

int dswap_(const integer *n, double *x, const integer *incx, double *y, const integer *incy) {
  integer count = *n, stepX = *incx, stepY = *incy;
  x += START(count, stepX), y += START(count, stepY);
  for (integer i = 0; i < count; i++, x += stepX, y += stepY) {
    double kept = *x;
    *x = *y, *y = kept;
  }
  return 0;
}

double ddot_(const integer *n, const double *x, const integer *incx, const double *y, const integer *incy) {
  integer count = *n, stepX = *incx, stepY = *incy, i = 0;
  double sums[4] = {0}, rest = 0;
  x += START(count, stepX), y += START(count, stepY);
  if (stepX == 1 && stepY == 1)
    for (; i + 3 < count; i += 4)
      for (integer k = 0; k < 4; k++) sums[k] += x[i + k] * y[i + k];
  for (; i < count; i++) rest += x[(long)i * stepX] * y[(long)i * stepY];
  return (sums[0] + sums[1]) + (sums[2] + sums[3]) + rest;
}

/* Where the first of the largest elements lies, counted from 1. */
integer idamax_(const integer *n, const double *x, const integer *incx) {
  integer largest = *n < 1 ? 0 : 1;
  for (integer i = 1; i < *n; i++)
    if (__builtin_fabs(x[(long)i * *incx]) > __builtin_fabs(x[(long)(largest - 1) * *incx])) largest = i + 1;
  return largest;
}

int dscal_(const integer *n, const double *alpha, double *x, const integer *incx) {
  integer step = *incx;
  for (integer i = 0; i < *n; i++, x += step) *x *= *alpha;
  return 0;
}

int drot_(const integer *n, double *x, const integer *incx, double *y, const integer *incy, const double *cosine,
          const double *sine) {
  integer count = *n, stepX = *incx, stepY = *incy;
  double c = *cosine, s = *sine;
  x += START(count, stepX), y += START(count, stepY);
  for (integer i = 0; i < count; i++, x += stepX, y += stepY) {
    double turned = c * *x + s * *y;
    *y = c * *y - s * *x, *x = turned;
  }
  return 0;
}

/* The sum of squares as scale² · sumsq: squares of the largest and smallest numbers would not fit. */
int dlassq_(const integer *n, const double *x, const integer *incx, double *scale, double *sumsq) {
  x += START(*n, *incx);
  for (integer i = 0; i < *n; i++, x += *incx) {
    double size = __builtin_fabs(*x);
    if (size == 0) continue;
    if (*scale < size) {
      *sumsq = 1 + *sumsq * (*scale / size) * (*scale / size);
      *scale = size;
    } else {
      *sumsq += (size / *scale) * (size / *scale);
    }
  }
  return 0;
}

/* The norm by plain squares where these surely fit, else by scaled ones. */
double dnrm2_(const integer *n, const double *x, const integer *incx) {
  double sum = ddot_(n, x, incx, x, incx);
  if (sum > 1e-280 && sum < 1e300) return __builtin_sqrt(sum);
  double scale = 0, squares = 1;
  dlassq_(n, x, incx, &scale, &squares);
  return sum != sum ? sum : scale * __builtin_sqrt(squares);
}
