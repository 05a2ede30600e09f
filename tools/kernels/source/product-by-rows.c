/*
 * Matrix products whose right side holds, for each column of the result, a row along the depth: x Wᵀ with weights as
 * models store them. One row of x reads W as a stream, a row at a time, which is as fast as the memory gives it. More
 * rows share panels of four rows of W, widened into this thread's cache.
 */
#include "product.h"

enum { panelRows = 4 };

static float dotHalf(const float *x, const half *w, integer depth) {
  vec a = splat(0.f), b = a, c = a, d = a;
  integer k = 0;
  for (; k + 16 <= depth; k += 16) {
    vec v = load(w + k), u = load(w + k + 8);
    a = multiplyAdd(widenLow(v), load(x + k), a);
    b = multiplyAdd(widenHigh(v), load(x + k + 4), b);
    c = multiplyAdd(widenLow(u), load(x + k + 8), c);
    d = multiplyAdd(widenHigh(u), load(x + k + 12), d);
  }
  float sum = sumLanes(plus(plus(a, b), plus(c, d)));
  for (; k < depth; k++) sum += x[k] * widen(w[k]);
  return sum;
}

static float dotFloat(const float *x, const float *w, integer depth) {
  vec a = splat(0.f), b = a, c = a, d = a;
  integer k = 0;
  for (; k + 16 <= depth; k += 16) {
    a = multiplyAdd(load(w + k), load(x + k), a);
    b = multiplyAdd(load(w + k + 4), load(x + k + 4), b);
    c = multiplyAdd(load(w + k + 8), load(x + k + 8), c);
    d = multiplyAdd(load(w + k + 12), load(x + k + 12), d);
  }
  float sum = sumLanes(plus(plus(a, b), plus(c, d)));
  for (; k < depth; k++) sum += x[k] * w[k];
  return sum;
}

static void multiplyRow(const Product *p, const Block *block) {
  for (integer n = block->columns.first; n < block->columns.end; n++) {
    long at = (long)n * p->rightRow;
    float sum = p->isHalf ? dotHalf(block->left, block->narrow + at, p->depth)
                          : dotFloat(block->left, block->wide + at, p->depth);
    block->out[n] = p->scale * sum;
  }
}

/* A panel: for each four of the depth, four floats of each of the four rows; then what is left of the depth, by rows. */
static void packHalf(float *to, const half *const *rows, integer depth) {
  const half *a = rows[0], *b = rows[1], *c = rows[2], *d = rows[3];
  integer k = 0;
  for (; k + 8 <= depth; k += 8, to += 32) {
    vec p = load(a + k), q = load(b + k), r = load(c + k), s = load(d + k);
    store(to, widenLow(p)), store(to + 4, widenLow(q)), store(to + 8, widenLow(r)), store(to + 12, widenLow(s));
    store(to + 16, widenHigh(p)), store(to + 20, widenHigh(q)), store(to + 24, widenHigh(r)), store(to + 28, widenHigh(s));
  }
  for (; k + 4 <= depth; k += 4, to += 16)
    for (integer i = 0; i < 4; i++)
      to[i] = widen(a[k + i]), to[4 + i] = widen(b[k + i]), to[8 + i] = widen(c[k + i]), to[12 + i] = widen(d[k + i]);
  for (; k < depth; k++, to += 4) to[0] = widen(a[k]), to[1] = widen(b[k]), to[2] = widen(c[k]), to[3] = widen(d[k]);
}

static void packFloat(float *to, const float *const *rows, integer depth) {
  const float *a = rows[0], *b = rows[1], *c = rows[2], *d = rows[3];
  integer k = 0;
  for (; k + 4 <= depth; k += 4, to += 16)
    store(to, load(a + k)), store(to + 4, load(b + k)), store(to + 8, load(c + k)), store(to + 12, load(d + k));
  for (; k < depth; k++, to += 4) to[0] = a[k], to[1] = b[k], to[2] = c[k], to[3] = d[k];
}

/* Where fewer than four rows are left, the last one is repeated; what it gives is not stored. */
static void packPanel(float *to, const Product *p, const Block *block, integer n) {
  const half *narrow[panelRows];
  const float *wide[panelRows];
  for (integer i = 0; i < panelRows; i++) {
    long at = (long)smaller(n + i, p->columns - 1) * p->rightRow;
    narrow[i] = block->narrow + at, wide[i] = block->wide + at;
  }
  if (p->isHalf) packHalf(to, narrow, p->depth);
  else packFloat(to, wide, p->depth);
}

#define addPair(i)                                                        \
  {                                                                       \
    vec u = load(x + 4 * i), v = load(y + 4 * i), w;                      \
    w = load(panel + 16 * i), a = multiplyAdd(w, u, a), e = multiplyAdd(w, v, e);      \
    w = load(panel + 16 * i + 4), b = multiplyAdd(w, u, b), f = multiplyAdd(w, v, f);  \
    w = load(panel + 16 * i + 8), c = multiplyAdd(w, u, c), g = multiplyAdd(w, v, g);  \
    w = load(panel + 16 * i + 12), d = multiplyAdd(w, u, d), h = multiplyAdd(w, v, h); \
  }

/* Two rows of x by a panel. */
static void multiplyPair(const float *panel, const float *x, const float *y, integer depth, vec *toX, vec *toY) {
  vec a = splat(0.f), b = a, c = a, d = a, e = a, f = a, g = a, h = a;
  integer k = 0;
  for (; k + 16 <= depth; k += 16, x += 16, y += 16, panel += 64) {
    addPair(0) addPair(1) addPair(2) addPair(3)
  }
  for (; k + 4 <= depth; k += 4, x += 4, y += 4, panel += 16) addPair(0);
  vec first = sumFour(a, b, c, d), second = sumFour(e, f, g, h);
  for (; k < depth; k++, x++, y++, panel += 4) {
    first = plus(first, times(load(panel), splat(*x)));
    second = plus(second, times(load(panel), splat(*y)));
  }
  *toX = first, *toY = second;
}

static void multiplyPanel(const float *panel, const Product *p, const Block *block, integer n) {
  integer count = smaller(panelRows, block->columns.end - n);
  vec scale = splat(p->scale);
  for (integer m = block->rows.first; m < block->rows.end; m += 2) {
    const float *x = block->left + (long)m * p->leftRow;
    float *to = block->out + (long)m * p->outRow + n;
    integer isPair = m + 1 < block->rows.end;
    vec first, second;
    multiplyPair(panel, x, isPair ? x + p->leftRow : x, p->depth, &first, &second);
    storeLanes(to, times(first, scale), count);
    if (isPair) storeLanes(to + p->outRow, times(second, scale), count);
  }
}

KERNEL(multiplyByRows) {
  const Product *p = (const Product *)arguments;
  Block block = blockOf(p, chunk);
  if (p->rows == 1) {
    multiplyRow(p, &block);
    return;
  }
  for (integer n = block.columns.first; n < block.columns.end; n += panelRows) {
    packPanel(scratch, p, &block, n);
    multiplyPanel(scratch, p, &block, n);
  }
}
