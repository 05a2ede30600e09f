/*
 * Matrix products whose right side lies as it is written, rows of the depth with columns side by side: sums of its rows,
 * weighted by the left side. Strips of 16 columns are copied together where many rows use them.
 */
#include "product.h"

enum { stripColumns = 16, fewRows = 4 };

/* A strip: where its first row is, and from one row to the next. */
typedef struct {
  const float *first;
  integer stride;
} Strip;

static void packStrip(float *to, const Product *p, const Block *block, Range columns) {
  integer count = columns.end - columns.first;
  for (integer k = 0; k < p->depth; k++, to += stripColumns) {
    long at = (long)k * p->rightRow + columns.first;
    if (count < stripColumns) {
      for (integer i = 0; i < stripColumns; i++)
        to[i] = i >= count ? 0 : p->isHalf ? widen(block->narrow[at + i]) : block->wide[at + i];
    } else if (p->isHalf) {
      vec u = load(block->narrow + at), v = load(block->narrow + at + 8);
      store(to, widenLow(u)), store(to + 4, widenHigh(u)), store(to + 8, widenLow(v)), store(to + 12, widenHigh(v));
    } else {
      for (integer i = 0; i < stripColumns; i += 4) store(to + i, load(block->wide + at + i));
    }
  }
}

static void storeStrip(float *to, const vec *sums, float scale, integer count) {
  for (integer i = 0; 4 * i < count; i++) storeLanes(to + 4 * i, times(sums[i], splat(scale)), smaller(4, count - 4 * i));
}

/* Two rows of the left side by a strip. */
static void multiplyPair(Strip strip, const float *x, const float *y, integer depth, vec *toX, vec *toY) {
  vec a = splat(0.f), b = a, c = a, d = a, e = a, f = a, g = a, h = a;
  const float *w = strip.first;
  for (integer k = 0; k < depth; k++, w += strip.stride) {
    vec u = wasm_v128_load32_splat(x + k), v = wasm_v128_load32_splat(y + k), r;
    r = load(w), a = multiplyAdd(u, r, a), e = multiplyAdd(v, r, e);
    r = load(w + 4), b = multiplyAdd(u, r, b), f = multiplyAdd(v, r, f);
    r = load(w + 8), c = multiplyAdd(u, r, c), g = multiplyAdd(v, r, g);
    r = load(w + 12), d = multiplyAdd(u, r, d), h = multiplyAdd(v, r, h);
  }
  toX[0] = a, toX[1] = b, toX[2] = c, toX[3] = d;
  toY[0] = e, toY[1] = f, toY[2] = g, toY[3] = h;
}

/* One row by the 16 columns at `at`, which are not packed. */
static void multiplyRow(const Product *p, const Block *block, const float *x, long at, vec *sums) {
  vec a = splat(0.f), b = a, c = a, d = a;
  if (p->isHalf) {
    const half *w = block->narrow + at;
    for (integer k = 0; k < p->depth; k++, w += p->rightRow) {
      vec u = wasm_v128_load32_splat(x + k), r = load(w), s = load(w + 8);
      a = multiplyAdd(u, widenLow(r), a), b = multiplyAdd(u, widenHigh(r), b);
      c = multiplyAdd(u, widenLow(s), c), d = multiplyAdd(u, widenHigh(s), d);
    }
  } else {
    const float *w = block->wide + at;
    for (integer k = 0; k < p->depth; k++, w += p->rightRow) {
      vec u = wasm_v128_load32_splat(x + k);
      a = multiplyAdd(u, load(w), a), b = multiplyAdd(u, load(w + 4), b);
      c = multiplyAdd(u, load(w + 8), c), d = multiplyAdd(u, load(w + 12), d);
    }
  }
  sums[0] = a, sums[1] = b, sums[2] = c, sums[3] = d;
}

static void multiplyStrip(Strip strip, const Product *p, const Block *block, Range columns) {
  integer count = columns.end - columns.first;
  for (integer m = block->rows.first; m < block->rows.end; m += 2) {
    const float *x = block->left + (long)m * p->leftRow;
    float *to = block->out + (long)m * p->outRow + columns.first;
    integer isPair = m + 1 < block->rows.end;
    vec first[4], second[4];
    multiplyPair(strip, x, isPair ? x + p->leftRow : x, p->depth, first, second);
    storeStrip(to, first, p->scale, count);
    if (isPair) storeStrip(to + p->outRow, second, p->scale, count);
  }
}

KERNEL(multiplyByColumns) {
  const Product *p = (const Product *)arguments;
  Block block = blockOf(p, chunk);
  for (integer n = block.columns.first; n < block.columns.end; n += stripColumns) {
    Range columns = {n, smaller(n + stripColumns, block.columns.end)};
    integer isWhole = columns.end - n == stripColumns;
    if (p->rows == 1 && isWhole) {
      vec sums[4];
      multiplyRow(p, &block, block.left, n, sums);
      storeStrip(block.out + n, sums, p->scale, stripColumns);
    } else if (isWhole && !p->isHalf && p->rows < fewRows) {
      Strip strip = {block.wide + n, p->rightRow};
      multiplyStrip(strip, p, &block, columns);
    } else {
      packStrip(scratch, p, &block, columns);
      Strip strip = {scratch, stripColumns};
      multiplyStrip(strip, p, &block, columns);
    }
  }
}
