/* What the translated Fortran expects: a few functions of its runtime, and what LAPACK asks of the machine. */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lapack.h"

void *allocate(unsigned long size) {
  void *memory = malloc(size);
  // An address of 0 can be written to here.
  if (memory == NULL) __builtin_trap();
  return memory;
}

logical isLetter(const char *given, char letter) { return (*given & ~32) == letter; }

logical lsame_(const char *a, const char *b, ftnlen la, ftnlen lb) { return (*a & ~32) == (*b & ~32); }

/* Wrong arguments are told by `info`, too. */
int xerbla_(const char *routine, const integer *info, ftnlen length) { return 0; }

logical disnan_(const double *x) { return *x != *x; }

double d_sign(const double *a, const double *b) { return copysign(*a, *b); }
integer i_nint(const float *x) { return (integer)(*x >= 0 ? floorf(*x + 0.5f) : -floorf(0.5f - *x)); }
double pow_dd(const double *a, const double *b) { return pow(*a, *b); }

double pow_di(const double *a, const integer *b) {
  double base = *b < 0 ? 1 / *a : *a, power = 1;
  for (unsigned n = *b < 0 ? -*b : *b; n > 0; n >>= 1, base *= base)
    if (n & 1) power *= base;
  return power;
}

integer pow_ii(const integer *a, const integer *b) {
  integer power = 1;
  for (integer n = 0; n < *b; n++) power *= *a;
  return power;
}

/* Fortran's texts: padded with spaces. */
int s_copy(char *to, const char *from, ftnlen room, ftnlen length) {
  memset(to, ' ', room);
  memcpy(to, from, smaller(room, length));
  return 0;
}

integer s_cmp(const char *a, const char *b, ftnlen la, ftnlen lb) {
  for (ftnlen i = 0; i < larger(la, lb); i++) {
    integer gap = (i < la ? a[i] : ' ') - (i < lb ? b[i] : ' ');
    if (gap != 0) return gap;
  }
  return 0;
}

int s_cat(char *to, char *const parts[], const integer lengths[], const integer *count, ftnlen room) {
  memset(to, ' ', room);
  for (integer i = 0; i < *count; i++) {
    memcpy(to, parts[i], smaller(room, lengths[i]));
    to += smaller(room, lengths[i]);
    room -= smaller(room, lengths[i]);
  }
  return 0;
}

double dlamch_(const char *what, ftnlen length) {
  switch (*what & ~32) {
    case 'E': return DBL_EPSILON / 2;
    case 'P': return DBL_EPSILON;
    case 'B': return 2;
    case 'S':
    case 'U': return DBL_MIN;
    case 'O': return DBL_MAX;
    default: __builtin_trap();
  }
}

/* A sum that is surely rounded, and a size of memory as a number: both are so here by themselves. */
double dlamc3_(const double *a, const double *b) { return *a + *b; }
double droundup_lwork__(const integer *size) { return *size; }

/* Sizes of blocks and where blocks begin to pay (measured), and constants of LAPACK's own ilaenv. */
integer ilaenv_(const integer *question, const char *name, const char *options, const integer *n1,
                const integer *n2, const integer *n3, const integer *n4, ftnlen ln, ftnlen lo) {
  switch (*question) {
    case 1: return 32;
    case 2: return 2;
    case 3: return s_cmp(name, "DSYTRD", ln, 6) == 0 ? 32 : 128;
    case 9: return 25;
    case 10:
    case 11: return 1;
    default: __builtin_trap();
  }
}

/* A plane rotation with c · f + s · g = r and −s · f + c · g = 0 (Anderson, ACM TOMS 44(1), 2017). */
int dlartg_(const double *f, const double *g, double *c, double *s, double *r) {
  const double least = DBL_MIN, most = 1 / DBL_MIN, low = sqrt(least), high = sqrt(most / 2);
  double sizeF = fabs(*f), sizeG = fabs(*g);
  if (*g == 0) {
    *c = 1, *s = 0, *r = *f;
  } else if (*f == 0) {
    *c = 0, *s = copysign(1, *g), *r = sizeG;
  } else if (sizeF > low && sizeF < high && sizeG > low && sizeG < high) {
    double length = sqrt(*f * *f + *g * *g);
    *c = sizeF / length, *r = copysign(length, *f), *s = *g / *r;
  } else {
    double unit = smaller(most, larger(least, larger(sizeF, sizeG)));
    double x = *f / unit, y = *g / unit, length = sqrt(x * x + y * y);
    *c = fabs(x) / length, *r = copysign(length, *f), *s = y / *r, *r *= unit;
  }
  return 0;
}
