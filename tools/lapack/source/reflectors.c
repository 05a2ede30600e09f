/* The triangle T of a block of Householder reflections I − V T Vᵀ, from all inner products of V at once. */
#include <string.h>

#include "lapack.h"


/* V, size × count: units on a diagonal that starts at row `first`, zeros on its far side. */
typedef struct {
  const double *v;
  integer along, across, size, count, first;
  logical isForward;
} Reflectors;

static double elementOf(const Reflectors *r, integer row, integer column) {
  integer below = row - r->first - column;
  if (below == 0) return 1;
  if (r->isForward ? below < 0 : below > 0) return 0;
  return r->v[(long)row * r->along + (long)column * r->across];
}

/* VᵀV on and above its diagonal: the triangular rows one by one, the rest as a product. */
static void innerProducts(const Reflectors *r, double *gram) {
  integer count = r->count;
  memset(gram, 0, sizeof(double) * count * count);
  for (integer j = 0; j < count; j++)
    for (integer i = 0; i < j; i++)
      for (integer row = r->first; row < r->first + count; row++)
        gram[j * count + i] += elementOf(r, row, i) * elementOf(r, row, j);
  const double *rest = r->v + (r->isForward ? (long)count * r->along : 0);
  Product product = {count, count, r->size - count, 1, rest, r->across, r->along,
                     rest, r->along, r->across, gram, count, upper, 0};
  addProduct(&product);
}

int dlarft_(const char *direct, const char *stored, const integer *n, const integer *k, const double *v,
            const integer *ldv, const double *tau, double *t, const integer *ldt, ftnlen ld, ftnlen ls) {
  logical isForward = isLetter(direct, 'F'), isByColumns = isLetter(stored, 'C');
  integer count = *k;
  if (*n == 0) return 0;
  Reflectors reflectors = {v, isByColumns ? 1 : *ldv, isByColumns ? *ldv : 1, *n, count, isForward ? 0 : *n - count,
                           isForward};
  double *gram = allocate(sizeof(double) * count * count);
  innerProducts(&reflectors, gram);
  for (integer step = 0; step < count; step++) {
    integer i = isForward ? step : count - 1 - step;
    double *column = t + (long)i * *ldt;
    for (integer j = isForward ? 0 : i + 1; j < (isForward ? i : count); j++) {
      double sum = 0;
      for (integer l = isForward ? j : i + 1; l <= (isForward ? i - 1 : j); l++)
        sum += t[(long)l * *ldt + j] * (isForward ? gram[i * count + l] : gram[l * count + i]);
      column[j] = -tau[i] * sum;
    }
    column[i] = tau[i];
  }
  free(gram);
  return 0;
}
