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

/* Four rows of the right side, as floats. */
typedef struct {
  const float *a, *b, *c, *d;
} Panel;

/* Where fewer than four rows are left, the last one is repeated; what it gives is not stored. */
static Panel readPanel(float *scratch, const Product *p, const Block *block, integer n) {
  const float *rows[panelRows];
  for (integer i = 0; i < panelRows; i++) {
    long at = (long)smaller(n + i, p->columns - 1) * p->rightRow;
    float *wide = scratch + (long)i * p->depth;
    if (p->isHalf) widenRow(wide, block->narrow + at, p->depth);
    rows[i] = p->isHalf ? wide : block->wide + at;
  }
  Panel panel = {rows[0], rows[1], rows[2], rows[3]};
  return panel;
}

/*
 * Two rows of x by a panel. A loop of single steps on six streams: interleaved panels and unrolled loops run at half
 * the speed, since V8 then loads ahead and runs out of registers.
 */
static void multiplyPair(Panel w, const float *x, const float *y, integer depth, vec *toX, vec *toY) {
  vec a = splat(0.f), b = a, c = a, d = a, e = a, f = a, g = a, h = a;
  integer k = 0;
  for (; k + 4 <= depth; k += 4) {
    vec u = load(x + k), v = load(y + k), r;
    r = load(w.a + k), a = multiplyAdd(r, u, a), e = multiplyAdd(r, v, e);
    r = load(w.b + k), b = multiplyAdd(r, u, b), f = multiplyAdd(r, v, f);
    r = load(w.c + k), c = multiplyAdd(r, u, c), g = multiplyAdd(r, v, g);
    r = load(w.d + k), d = multiplyAdd(r, u, d), h = multiplyAdd(r, v, h);
  }
  vec first = sumFour(a, b, c, d), second = sumFour(e, f, g, h);
  for (; k < depth; k++) {
    vec r = wasm_f32x4_make(w.a[k], w.b[k], w.c[k], w.d[k]);
    first = plus(first, times(r, splat(x[k])));
    second = plus(second, times(r, splat(y[k])));
  }
  *toX = first, *toY = second;
}

static void multiplyPanel(Panel panel, const Product *p, const Block *block, integer n) {
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
  for (integer n = block.columns.first; n < block.columns.end; n += panelRows)
    multiplyPanel(readPanel(scratch, p, &block, n), p, &block, n);
}
