/*
 * Matrix products by packed blocks and a kernel of 4 × 4 elements in registers (Goto and van de Geijn, ACM TOMS
 * 34(3), 2008). Each element is summed in the same order whatever the number of threads.
 */
#include <wasm_simd128.h>

#include "lapack.h"

enum { tile = 4, blockRows = 128, blockDepth = 256, blockColumns = 1024 };

/* Vectors along the depth: from one to the next, and from one element of a vector to the next. */
typedef struct {
  const double *first;
  integer next, step;
} Vectors;

/* Copies `count` (≤ 4) vectors along the depth side by side, zeros beside them: element p of vector i to [4 p + i]. */
static void packPanel(double *to, const double *from, integer count, integer depth, integer next, integer step) {
  if (count == tile && next == 1) {
    for (integer p = 0; p < depth; p++, from += step, to += tile) {
      wasm_v128_store(to, wasm_v128_load(from));
      wasm_v128_store(to + 2, wasm_v128_load(from + 2));
    }
    return;
  }
  if (count == tile && step == 1) {
    const double *first = from, *second = from + next, *third = second + next, *fourth = third + next;
    integer p = 0;
    for (; p + 1 < depth; p += 2, to += 2 * tile) {
      v128_t a = wasm_v128_load(first + p), b = wasm_v128_load(second + p);
      v128_t c = wasm_v128_load(third + p), d = wasm_v128_load(fourth + p);
      wasm_v128_store(to, wasm_i64x2_shuffle(a, b, 0, 2));
      wasm_v128_store(to + 2, wasm_i64x2_shuffle(c, d, 0, 2));
      wasm_v128_store(to + 4, wasm_i64x2_shuffle(a, b, 1, 3));
      wasm_v128_store(to + 6, wasm_i64x2_shuffle(c, d, 1, 3));
    }
    if (p < depth) to[0] = first[p], to[1] = second[p], to[2] = third[p], to[3] = fourth[p];
    return;
  }
  for (integer p = 0; p < depth; p++, from += step, to += tile)
    for (integer i = 0; i < tile; i++) to[i] = i < count ? from[i * next] : 0;
}

/*
 * Vectors of a block, panel after panel, each element `copies` times (1 or 2). Where elements of one depth lie side by
 * side, few depths at a time: whole lines of the cache are used while they are there.
 */
static void pack(double *to, Vectors from, integer count, integer depth, integer copies) {
  double panel[tile * blockDepth];
  integer stretch = from.next == 1 ? 8 : blockDepth;
  for (integer first = 0; first < depth; first += stretch)
    for (integer start = 0; start < count; start += tile) {
      integer length = smaller(stretch, depth - first);
      double *place = to + (long)(start * depth + first * tile) * copies;
      const double *at = from.first + (long)start * from.next + (long)first * from.step;
      packPanel(copies == 1 ? place : panel, at, smaller(tile, count - start), length, from.next, from.step);
      if (copies == 2)
        for (integer i = 0; i < tile * length; i++) wasm_v128_store(place + 2 * i, wasm_v128_load64_splat(panel + i));
    }
}

#define STEP(at)                                                                          \
  {                                                                                       \
    v128_t top = wasm_v128_load(a + 4 * (at)), bottom = wasm_v128_load(a + 4 * (at) + 2); \
    v128_t one = wasm_v128_load(b + 8 * (at));                                            \
    c00 = wasm_f64x2_add(c00, wasm_f64x2_mul(top, one));                                  \
    c20 = wasm_f64x2_add(c20, wasm_f64x2_mul(bottom, one));                               \
    one = wasm_v128_load(b + 8 * (at) + 2);                                               \
    c01 = wasm_f64x2_add(c01, wasm_f64x2_mul(top, one));                                  \
    c21 = wasm_f64x2_add(c21, wasm_f64x2_mul(bottom, one));                               \
    one = wasm_v128_load(b + 8 * (at) + 4);                                               \
    c02 = wasm_f64x2_add(c02, wasm_f64x2_mul(top, one));                                  \
    c22 = wasm_f64x2_add(c22, wasm_f64x2_mul(bottom, one));                               \
    one = wasm_v128_load(b + 8 * (at) + 6);                                               \
    c03 = wasm_f64x2_add(c03, wasm_f64x2_mul(top, one));                                  \
    c23 = wasm_f64x2_add(c23, wasm_f64x2_mul(bottom, one));                               \
  }

#define ADD(to, sum) wasm_v128_store(to, wasm_f64x2_add(wasm_v128_load(to), wasm_f64x2_mul(scale, sum)))

/*
 * Adds alpha times the product of two packed panels to 4 × 4 elements, column after column. The right panel has each
 * element twice, ready for pairs.
 */
__attribute__((noinline)) static void addTile(const double *a, const double *b, integer depth, double alpha,
                                              double *c, integer stride) {
  v128_t c00 = wasm_f64x2_splat(0), c20 = c00, c01 = c00, c21 = c00, c02 = c00, c22 = c00, c03 = c00, c23 = c00;
  for (;; depth -= 2, a += 8, b += 16) {
    // Pointers that the compiler knows nothing of are kept, and loads get constant offsets.
    __asm__("" : "+r"(a), "+r"(b));
    STEP(0)
    // The branch between two steps keeps V8 from loading for both at once, which would take more registers than there are.
    if (depth <= 1) break;
    STEP(1)
    if (depth <= 2) break;
  }
  v128_t scale = wasm_f64x2_splat(alpha);
  ADD(c, c00);
  ADD(c + 2, c20);
  c += stride;
  ADD(c, c01);
  ADD(c + 2, c21);
  c += stride;
  ADD(c, c02);
  ADD(c + 2, c22);
  c += stride;
  ADD(c, c03);
  ADD(c + 2, c23);
}

/* A tile on an edge: computed whole beside C, and only what is wanted is added. */
static void addEdge(const Product *p, const double *a, const double *b, integer depth, integer row, integer column) {
  double sums[tile * tile] = {0};
  addTile(a, b, depth, p->alpha, sums, tile);
  for (integer j = 0; j < smaller(tile, p->columns - column); j++)
    for (integer i = 0; i < smaller(tile, p->rows - row); i++) {
      integer below = row + i - column - j + p->offset;
      if ((p->part == lower && below < 0) || (p->part == upper && below > 0)) continue;
      p->c[(long)(column + j) * p->stride + row + i] += sums[j * tile + i];
    }
}

/* Whether no element, or each element, of a tile is wanted. */
static logical isOutside(const Product *p, integer row, integer column) {
  integer below = row - column + p->offset;
  return (p->part == lower && below + tile - 1 < 0) || (p->part == upper && below - tile + 1 > 0);
}

static logical isInside(const Product *p, integer row, integer column) {
  if (row + tile > p->rows || column + tile > p->columns) return 0;
  integer below = row - column + p->offset;
  return p->part == whole || (p->part == lower ? below - tile + 1 >= 0 : below + tile - 1 <= 0);
}

typedef struct {
  integer row, rows, column, columns, depth;
} Block;

static void addBlock(const Product *p, const double *left, const double *right, Block block) {
  for (integer j = 0; j < block.columns; j += tile)
    for (integer i = 0; i < block.rows; i += tile) {
      integer row = block.row + i, column = block.column + j;
      if (isOutside(p, row, column)) continue;
      const double *a = left + (long)i * block.depth, *b = right + (long)j * block.depth * 2;
      if (isInside(p, row, column))
        addTile(a, b, block.depth, p->alpha, p->c + (long)column * p->stride + row, p->stride);
      else
        addEdge(p, a, b, block.depth, row, column);
    }
}

/* Whether a block of rows has nothing that is wanted. */
static logical isEmpty(const Product *p, Block block) {
  integer below = block.row - block.column + p->offset;
  return (p->part == lower && below + block.rows - 1 < 0) || (p->part == upper && below - block.columns + 1 > 0);
}

static void addOnThread(const Product *p, integer thread) {
  double *left = packedBlocks(thread), *right = left + packedLeft;
  for (integer column = 0; column < p->columns; column += blockColumns)
    for (integer start = 0; start < p->depth; start += blockDepth) {
      integer depth = smaller(blockDepth, p->depth - start);
      integer columns = smaller(blockColumns, p->columns - column);
      const double *b = p->b + (long)start * p->bDepth + (long)column * p->bColumn;
      pack(right, (Vectors){b, p->bColumn, p->bDepth}, columns, depth, 2);
      for (integer row = 0; row < p->rows; row += blockRows) {
        Block block = {row, smaller(blockRows, p->rows - row), column, columns, depth};
        if (isEmpty(p, block)) continue;
        const double *a = p->a + (long)row * p->aRow + (long)start * p->aDepth;
        pack(left, (Vectors){a, p->aRow, p->aDepth}, block.rows, depth, 1);
        addBlock(p, left, right, block);
      }
    }
}

/* Parts for each thread, so that a thread that is held up leaves its share to others; their least width. */
enum { partsOfThread = 4, leastWidth = 64 };

/* Multiplications below which sharing costs more than it saves. */
static const double leastWork = 1 << 18;

/* A product in parts of so many columns or rows. */
typedef struct {
  Product whole;
  integer width;
} Shared;

static void addColumns(const void *work, integer part, integer thread) {
  const Shared *shared = work;
  Product p = shared->whole;
  integer start = part * shared->width;
  p.columns = smaller(shared->width, p.columns - start);
  p.b += (long)start * p.bColumn;
  p.c += (long)start * p.stride;
  p.offset -= start;
  addOnThread(&p, thread);
}

static void addRows(const void *work, integer part, integer thread) {
  const Shared *shared = work;
  Product p = shared->whole;
  integer start = part * shared->width;
  p.rows = smaller(shared->width, p.rows - start);
  p.a += (long)start * p.aRow;
  p.c += start;
  p.offset += start;
  addOnThread(&p, thread);
}

void addProduct(const Product *p) {
  if (p->rows <= 0 || p->columns <= 0 || p->depth <= 0 || p->alpha == 0) return;
  integer parts = partsOfThread * countThreads(), size = larger(p->columns, p->rows);
  if (countThreads() == 1 || (double)p->rows * p->columns * p->depth < leastWork) return addOnThread(p, 0);
  integer width = larger(leastWidth, ((size + parts - 1) / parts + tile - 1) / tile * tile);
  Shared shared = {*p, width};
  share(p->columns >= p->rows ? addColumns : addRows, &shared, (size + width - 1) / width);
}
