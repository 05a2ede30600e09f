/* BLAS level 3, as Fortran calls it: products of matrices, all through addProduct(). */
#include <string.h>

#include "lapack.h"


/* C := beta · C on the wanted part. */
static void scalePart(double beta, double *c, integer stride, integer rows, integer columns, integer part) {
  if (beta == 1) return;
  for (integer j = 0; j < columns; j++) {
    integer start = part == lower ? j : 0, end = part == upper ? smaller(rows, j + 1) : rows;
    for (integer i = start; i < end; i++) {
      double *at = c + (long)j * stride + i;
      *at = beta == 0 ? 0 : beta * *at;
    }
  }
}

int dgemm_(const char *turnA, const char *turnB, const integer *m, const integer *n, const integer *k,
                           const double *alpha, const double *a, const integer *lda, const double *b,
                           const integer *ldb, const double *beta, double *c, const integer *ldc, ftnlen la,
                           ftnlen lb) {
  logical isTurnedA = !isLetter(turnA, 'N'), isTurnedB = !isLetter(turnB, 'N');
  scalePart(*beta, c, *ldc, *m, *n, whole);
  Product product = {*m, *n, *k, *alpha, a, isTurnedA ? *lda : 1, isTurnedA ? 1 : *lda,
                     b, isTurnedB ? *ldb : 1, isTurnedB ? 1 : *ldb, c, *ldc, whole, 0};
  addProduct(&product);
  return 0;
}

int dsyrk_(const char *uplo, const char *turn, const integer *n, const integer *k,
                           const double *alpha, const double *a, const integer *lda, const double *beta, double *c,
                           const integer *ldc, ftnlen lu, ftnlen lt) {
  logical isTurned = !isLetter(turn, 'N');
  integer part = isLetter(uplo, 'L') ? lower : upper;
  scalePart(*beta, c, *ldc, *n, *n, part);
  integer along = isTurned ? *lda : 1, across = isTurned ? 1 : *lda;
  Product product = {*n, *n, *k, *alpha, a, along, across, a, across, along, c, *ldc, part, 0};
  addProduct(&product);
  return 0;
}

int dsyr2k_(const char *uplo, const char *turn, const integer *n, const integer *k, const double *alpha,
            const double *a, const integer *lda, const double *b, const integer *ldb, const double *beta, double *c,
            const integer *ldc, ftnlen lu, ftnlen lt) {
  logical isTurned = !isLetter(turn, 'N');
  integer part = isLetter(uplo, 'L') ? lower : upper;
  scalePart(*beta, c, *ldc, *n, *n, part);
  integer alongA = isTurned ? *lda : 1, acrossA = isTurned ? 1 : *lda;
  integer alongB = isTurned ? *ldb : 1, acrossB = isTurned ? 1 : *ldb;
  Product first = {*n, *n, *k, *alpha, a, alongA, acrossA, b, acrossB, alongB, c, *ldc, part, 0};
  Product second = {*n, *n, *k, *alpha, b, alongB, acrossB, a, acrossA, alongA, c, *ldc, part, 0};
  addProduct(&first);
  addProduct(&second);
  return 0;
}

/* The triangle with zeros beside it, its diagonal 1 where it is a unit one: size × size. */
static double *unfold(const double *a, integer lda, integer size, integer part, logical isUnit) {
  double *all = allocate(sizeof(double) * size * size);
  for (integer j = 0; j < size; j++)
    for (integer i = 0; i < size; i++) {
      logical isWanted = part == lower ? i >= j : i <= j;
      all[j * size + i] = i == j && isUnit ? 1 : isWanted ? a[(long)j * lda + i] : 0;
    }
  return all;
}

/* B := alpha · op(A) · B or alpha · B · op(A): the triangles of LAPACK's blocks are small, so they are unfolded. */
int dtrmm_(const char *side, const char *uplo, const char *turn, const char *diag, const integer *m, const integer *n,
           const double *alpha, const double *a, const integer *lda, double *b, const integer *ldb, ftnlen ls,
           ftnlen lu, ftnlen lt, ftnlen ld) {
  logical isLeft = isLetter(side, 'L'), isTurned = !isLetter(turn, 'N');
  integer size = isLeft ? *m : *n;
  if (*m <= 0 || *n <= 0) return 0;
  double *all = unfold(a, *lda, size, isLetter(uplo, 'L') ? lower : upper, isLetter(diag, 'U'));
  double *copy = allocate(sizeof(double) * *m * *n);
  for (integer j = 0; j < *n; j++) {
    memcpy(copy + (long)j * *m, b + (long)j * *ldb, sizeof(double) * *m);
    memset(b + (long)j * *ldb, 0, sizeof(double) * *m);
  }
  integer along = isTurned ? size : 1, across = isTurned ? 1 : size;
  Product product = {*m, *n, size, *alpha, isLeft ? all : copy, isLeft ? along : 1, isLeft ? across : *m,
                     isLeft ? copy : all, isLeft ? 1 : along, isLeft ? *m : across, b, *ldb, whole, 0};
  addProduct(&product);
  free(copy);
  free(all);
  return 0;
}
