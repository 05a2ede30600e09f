/* What both forms of matrix products share: the arguments of the instruction, and which block of it a chunk is. */
#ifndef PRODUCT_H
#define PRODUCT_H
#include "vector.h"

/* out(b, i, j) = scale · Σₚ left(b, i, p) · right(b, p, j) over two axes of batches b. Strides count elements. */
typedef struct {
  integer rows, depth, columns;
  /* Rows and columns of a chunk, and how many chunks that makes of the rows and columns of one product. */
  integer rowGrain, columnGrain, rowChunks, columnChunks;
  float scale;
  integer isHalf; /* Whether the right side is bfloat16. */
  const float *left;
  const void *right;
  float *out;
  /* From a row of the left side, a row of the right side's memory, and a row of the result to the next. */
  integer leftRow, rightRow, outRow;
  /* The second axis of batches: its length, and its strides; the first one's strides. */
  integer numInner;
  integer leftInner, rightInner, outInner, leftOuter, rightOuter, outOuter;
} Product;

/* A chunk: a block of rows and columns of one product of the batch. */
typedef struct {
  Range rows, columns;
  const float *left;
  const float *wide; /* The right side where it is float, */
  const half *narrow; /* and where it is bfloat16. */
  float *out;
} Block;

static inline Block blockOf(const Product *p, integer chunk) {
  // Columns first: the rows of the left side stay in the cache.
  integer columnChunk = chunk % p->columnChunks, rest = chunk / p->columnChunks;
  integer rowChunk = rest % p->rowChunks, batch = rest / p->rowChunks;
  integer outer = batch / p->numInner, inner = batch % p->numInner;
  long right = (long)outer * p->rightOuter + (long)inner * p->rightInner;
  Block block = {
      rangeOf(rowChunk, p->rowGrain, p->rows),
      rangeOf(columnChunk, p->columnGrain, p->columns),
      p->left + (long)outer * p->leftOuter + (long)inner * p->leftInner,
      (const float *)p->right + right,
      (const half *)p->right + right,
      p->out + (long)outer * p->outOuter + (long)inner * p->outInner,
  };
  return block;
}

/* Writes the first `count` (≤ 4) lanes. */
static inline void storeLanes(float *to, vec v, integer count) {
  if (count == 4) {
    store(to, v);
    return;
  }
  to[0] = wasm_f32x4_extract_lane(v, 0);
  if (count > 1) to[1] = wasm_f32x4_extract_lane(v, 1);
  if (count > 2) to[2] = wasm_f32x4_extract_lane(v, 2);
}
#endif
