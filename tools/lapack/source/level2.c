/* BLAS level 2, as Fortran calls it: matrices and vectors. Bound by memory, so each element is read once. */
#include <string.h>
#include <wasm_simd128.h>

#include "lapack.h"


/* y += x₀ · a₀ + … + x₃ · a₃ over `count` elements, columns `stride` apart. */
static void addFour(double *y, const double *a, integer stride, const double *x, integer count) {
  const double *b = a + stride, *c = b + stride, *d = c + stride;
  v128_t one = wasm_f64x2_splat(x[0]), two = wasm_f64x2_splat(x[1]);
  v128_t three = wasm_f64x2_splat(x[2]), four = wasm_f64x2_splat(x[3]);
  integer i = 0;
  for (; i + 1 < count; i += 2) {
    v128_t first = wasm_f64x2_add(wasm_f64x2_mul(wasm_v128_load(a + i), one), wasm_f64x2_mul(wasm_v128_load(b + i), two));
    v128_t rest = wasm_f64x2_add(wasm_f64x2_mul(wasm_v128_load(c + i), three), wasm_f64x2_mul(wasm_v128_load(d + i), four));
    wasm_v128_store(y + i, wasm_f64x2_add(wasm_v128_load(y + i), wasm_f64x2_add(first, rest)));
  }
  if (i < count) y[i] += (a[i] * x[0] + b[i] * x[1]) + (c[i] * x[2] + d[i] * x[3]);
}

static void addOne(double *y, const double *a, double x, integer count) {
  v128_t factor = wasm_f64x2_splat(x);
  integer i = 0;
  for (; i + 1 < count; i += 2)
    wasm_v128_store(y + i, wasm_f64x2_add(wasm_v128_load(y + i), wasm_f64x2_mul(wasm_v128_load(a + i), factor)));
  if (i < count) y[i] += a[i] * x;
}

static double sumOf(v128_t pair) { return wasm_f64x2_extract_lane(pair, 0) + wasm_f64x2_extract_lane(pair, 1); }

/* sums[j] = a_j · x for four columns. */
static void dotFour(double *sums, const double *a, integer stride, const double *x, integer count) {
  const double *b = a + stride, *c = b + stride, *d = c + stride;
  v128_t first = wasm_f64x2_splat(0), second = first, third = first, fourth = first;
  integer i = 0;
  for (; i + 1 < count; i += 2) {
    v128_t at = wasm_v128_load(x + i);
    first = wasm_f64x2_add(first, wasm_f64x2_mul(wasm_v128_load(a + i), at));
    second = wasm_f64x2_add(second, wasm_f64x2_mul(wasm_v128_load(b + i), at));
    third = wasm_f64x2_add(third, wasm_f64x2_mul(wasm_v128_load(c + i), at));
    fourth = wasm_f64x2_add(fourth, wasm_f64x2_mul(wasm_v128_load(d + i), at));
  }
  double last = i < count ? x[i] : 0;
  sums[0] = sumOf(first) + (i < count ? a[i] * last : 0);
  sums[1] = sumOf(second) + (i < count ? b[i] * last : 0);
  sums[2] = sumOf(third) + (i < count ? c[i] * last : 0);
  sums[3] = sumOf(fourth) + (i < count ? d[i] * last : 0);
}

static double dotOne(const double *a, const double *x, integer count) {
  v128_t sums = wasm_f64x2_splat(0), more = sums;
  integer i = 0;
  for (; i + 3 < count; i += 4) {
    sums = wasm_f64x2_add(sums, wasm_f64x2_mul(wasm_v128_load(a + i), wasm_v128_load(x + i)));
    more = wasm_f64x2_add(more, wasm_f64x2_mul(wasm_v128_load(a + i + 2), wasm_v128_load(x + i + 2)));
  }
  double rest = 0;
  for (; i < count; i++) rest += a[i] * x[i];
  return sumOf(wasm_f64x2_add(sums, more)) + rest;
}

/* Where element 0 of a Fortran vector lies. */
static long startOf(integer count, integer step) { return step < 0 ? (long)(1 - count) * step : 0; }

/* The vector with its elements side by side: itself, or a copy times `scale`. */
static double *gather(const double *x, integer count, integer step, double scale) {
  double *copy = allocate(sizeof(double) * larger(count, 1));
  const double *from = x + startOf(count, step);
  for (integer i = 0; i < count; i++) copy[i] = scale * from[(long)i * step];
  return copy;
}

/* y := y · beta + sums. */
static void addBack(double *y, integer count, integer step, double beta, const double *sums) {
  double *to = y + startOf(count, step);
  for (integer i = 0; i < count; i++, to += step) *to = (beta == 0 ? 0 : beta * *to) + sums[i];
}

typedef struct {
  const double *a;
  integer stride, rows, columns;
  const double *x;
  double *y;
} Matvec;

/* Rows or columns of a part, and elements below which sharing costs more than it saves. */
enum { rowsOfPart = 512, columnsOfPart = 128, leastElements = 1 << 15 };

static void applyRows(const void *work, integer part, integer thread) {
  const Matvec *w = work;
  integer start = part * rowsOfPart, count = smaller(rowsOfPart, w->rows - start), j = 0;
  for (; j + 3 < w->columns; j += 4) addFour(w->y + start, w->a + (long)j * w->stride + start, w->stride, w->x + j, count);
  for (; j < w->columns; j++) addOne(w->y + start, w->a + (long)j * w->stride + start, w->x[j], count);
}

static void applyColumns(const void *work, integer part, integer thread) {
  const Matvec *w = work;
  integer j = part * columnsOfPart, end = smaller(w->columns, j + columnsOfPart);
  for (; j + 3 < end; j += 4) dotFour(w->y + j, w->a + (long)j * w->stride, w->stride, w->x, w->rows);
  for (; j < end; j++) w->y[j] = dotOne(w->a + (long)j * w->stride, w->x, w->rows);
}

static void shareOrNot(Part run, const void *work, integer parts, double elements) {
  if (elements >= leastElements) return share(run, work, parts);
  for (integer part = 0; part < parts; part++) run(work, part, 0);
}

int dgemv_(const char *turn, const integer *m, const integer *n, const double *alpha, const double *a,
           const integer *lda, const double *x, const integer *incx, const double *beta, double *y,
           const integer *incy, ftnlen lt) {
  logical isTurned = !isLetter(turn, 'N');
  integer sizeX = isTurned ? *m : *n, sizeY = isTurned ? *n : *m;
  if (*m <= 0 || *n <= 0) return 0;
  double *from = gather(x, sizeX, *incx, *alpha), *sums = allocate(sizeof(double) * sizeY);
  memset(sums, 0, sizeof(double) * sizeY);
  Matvec work = {a, *lda, *m, *n, from, sums};
  integer size = isTurned ? columnsOfPart : rowsOfPart;
  shareOrNot(isTurned ? applyColumns : applyRows, &work, (sizeY + size - 1) / size, (double)*m * *n);
  addBack(y, sizeY, *incy, *beta, sums);
  free(sums);
  free(from);
  return 0;
}

int dger_(const integer *m, const integer *n, const double *alpha, const double *x, const integer *incx,
          const double *y, const integer *incy, double *a, const integer *lda) {
  if (*m <= 0 || *n <= 0 || *alpha == 0) return 0;
  double *column = gather(x, *m, *incx, *alpha);
  const double *factor = y + startOf(*n, *incy);
  for (integer j = 0; j < *n; j++) addOne(a + (long)j * *lda, column, factor[(long)j * *incy], *m);
  free(column);
  return 0;
}

/* Of four columns below their triangle: y += A · x[0 … 3], and dots = Aᵀ · x[4 …]. */
static void applyBoth(double *y, double *dots, const double *a, integer stride, const double *x, integer count) {
  const double *b = a + stride, *c = b + stride, *d = c + stride, *below = x + 4;
  v128_t one = wasm_f64x2_splat(x[0]), two = wasm_f64x2_splat(x[1]);
  v128_t three = wasm_f64x2_splat(x[2]), four = wasm_f64x2_splat(x[3]);
  v128_t first = wasm_f64x2_splat(0), second = first, third = first, fourth = first;
  integer i = 0;
  for (; i + 1 < count; i += 2) {
    v128_t at = wasm_v128_load(below + i), sum = wasm_v128_load(y + i), element = wasm_v128_load(a + i);
    sum = wasm_f64x2_add(sum, wasm_f64x2_mul(element, one));
    first = wasm_f64x2_add(first, wasm_f64x2_mul(element, at));
    element = wasm_v128_load(b + i);
    sum = wasm_f64x2_add(sum, wasm_f64x2_mul(element, two));
    second = wasm_f64x2_add(second, wasm_f64x2_mul(element, at));
    element = wasm_v128_load(c + i);
    sum = wasm_f64x2_add(sum, wasm_f64x2_mul(element, three));
    third = wasm_f64x2_add(third, wasm_f64x2_mul(element, at));
    element = wasm_v128_load(d + i);
    sum = wasm_f64x2_add(sum, wasm_f64x2_mul(element, four));
    fourth = wasm_f64x2_add(fourth, wasm_f64x2_mul(element, at));
    wasm_v128_store(y + i, sum);
  }
  dots[0] = sumOf(first), dots[1] = sumOf(second), dots[2] = sumOf(third), dots[3] = sumOf(fourth);
  if (i >= count) return;
  y[i] += (a[i] * x[0] + b[i] * x[1]) + (c[i] * x[2] + d[i] * x[3]);
  dots[0] += a[i] * below[i], dots[1] += b[i] * below[i], dots[2] += c[i] * below[i], dots[3] += d[i] * below[i];
}

/* A symmetric matrix's columns `from` up to `end` of its lower triangle, times x, into sums of its own. */
static void applyTriangle(const Matvec *w, integer from, integer end, double *sums) {
  integer size = w->rows, j = from;
  for (; j + 3 < end; j += 4) {
    const double *a = w->a + (long)j * w->stride;
    for (integer k = 0; k < 4; k++) {
      sums[j + k] += a[(long)k * w->stride + j + k] * w->x[j + k];
      for (integer i = k + 1; i < 4; i++) {
        double element = a[(long)k * w->stride + j + i];
        sums[j + i] += element * w->x[j + k];
        sums[j + k] += element * w->x[j + i];
      }
    }
    double dots[4];
    applyBoth(sums + j + 4, dots, a + j + 4, w->stride, w->x + j, size - j - 4);
    for (integer k = 0; k < 4; k++) sums[j + k] += dots[k];
  }
  for (; j < end; j++) {
    const double *a = w->a + (long)j * w->stride;
    addOne(sums + j + 1, a + j + 1, w->x[j], size - j - 1);
    sums[j] += a[j] * w->x[j] + dotOne(a + j + 1, w->x + j + 1, size - j - 1);
  }
}

/* Parts of a symmetric product: each has sums of its own, so their number is fixed to keep results the same. */
enum { triangleParts = 8, leastShared = 128 };

/* Where a part starts, so that all have the same area. */
static integer startOfPart(integer size, integer part) {
  if (part >= triangleParts) return size;
  return (integer)(size * (1 - __builtin_sqrt(1 - (double)part / triangleParts))) & ~3;
}

static void applyPart(const void *work, integer part, integer thread) {
  const Matvec *w = work;
  integer from = startOfPart(w->rows, part);
  double *sums = w->y + (long)part * w->rows;
  memset(sums + from, 0, sizeof(double) * (w->rows - from));
  applyTriangle(w, from, startOfPart(w->rows, part + 1), sums);
}

/* Only the lower triangle is stored: LAPACK is asked for nothing else here. */
int dsymv_(const char *uplo, const integer *n, const double *alpha, const double *a, const integer *lda,
           const double *x, const integer *incx, const double *beta, double *y, const integer *incy, ftnlen lu) {
  integer size = *n, parts = size < leastShared ? 1 : triangleParts;
  if (size <= 0) return 0;
  if (!isLetter(uplo, 'L')) __builtin_trap();
  double *from = gather(x, size, *incx, *alpha), *sums = allocate(sizeof(double) * size * parts);
  Matvec work = {a, *lda, size, size, from, sums};
  if (parts == 1) {
    memset(sums, 0, sizeof(double) * size);
    applyTriangle(&work, 0, size, sums);
  } else {
    shareOrNot(applyPart, &work, parts, (double)size * size / 2);
    for (integer part = 1; part < parts; part++)
      for (integer i = startOfPart(size, part); i < size; i++) sums[i] += sums[(long)part * size + i];
  }
  addBack(y, size, *incy, *beta, sums);
  free(sums);
  free(from);
  return 0;
}

int dsyr2_(const char *uplo, const integer *n, const double *alpha, const double *x, const integer *incx,
           const double *y, const integer *incy, double *a, const integer *lda, ftnlen lu) {
  integer size = *n;
  if (size <= 0) return 0;
  if (!isLetter(uplo, 'L')) __builtin_trap();
  double *first = gather(x, size, *incx, 1), *second = gather(y, size, *incy, 1);
  for (integer j = 0; j < size; j++) {
    double *column = a + (long)j * *lda + j;
    addOne(column, first + j, *alpha * second[j], size - j);
    addOne(column, second + j, *alpha * first[j], size - j);
  }
  free(second);
  free(first);
  return 0;
}

/* x := op(A) · x for a triangle; those of LAPACK's blocks are small. */
int dtrmv_(const char *uplo, const char *turn, const char *diag, const integer *n, const double *a,
           const integer *lda, double *x, const integer *incx, ftnlen lu, ftnlen lt, ftnlen ld) {
  integer size = *n;
  logical isLower = isLetter(uplo, 'L'), isTurned = !isLetter(turn, 'N'), isUnit = isLetter(diag, 'U');
  double *from = gather(x, size, *incx, 1), *to = x + startOf(size, *incx);
  for (integer i = 0; i < size; i++) {
    double sum = isUnit ? from[i] : from[i] * a[(long)i * *lda + i];
    logical isBefore = isLower != isTurned;
    for (integer j = isBefore ? 0 : i + 1; j < (isBefore ? i : size); j++)
      sum += from[j] * (isTurned ? a[(long)i * *lda + j] : a[(long)j * *lda + i]);
    to[(long)i * *incx] = sum;
  }
  free(from);
  return 0;
}
