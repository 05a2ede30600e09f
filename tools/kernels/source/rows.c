/* Functions of rows: softmax, norms, marks of the largest elements. Rows lie one after another. */
#include "vector.h"

typedef struct {
  integer grain, numRows, width;
  const float *from;
  float *out;
  /* Norms: a weight, whether it is bfloat16, and ε; marks: how many. */
  const void *weight;
  integer isHalf;
  float epsilon;
  integer count;
} Rows;

#define eachRow(rows)                                                                                   \
  (void)scratch;                                                                                        \
  const Rows *rows = (const Rows *)arguments;                                                           \
  Range range = rangeOf(chunk, rows->grain, rows->numRows);                                             \
  const float *x = rows->from + (long)range.first * rows->width;                                        \
  float *y = rows->out + (long)range.first * rows->width;                                               \
  for (integer row = range.first; row < range.end; row++, x += rows->width, y += rows->width)

static float largestOf(const float *x, integer width) {
  integer i = 0;
  float largest = x[0];
  if (width >= 4) {
    vec most = load(x);
    for (i = 4; i + 4 <= width; i += 4) most = wasm_f32x4_max(most, load(x + i));
    largest = largestLane(most);
  }
  for (; i < width; i++) largest = larger(largest, x[i]);
  return largest;
}

/* Up to three elements as a vector, with `rest` in the other lanes; and back. */
static vec loadFew(const float *x, integer count, float rest) {
  float lanes[4] = {x[0], count > 1 ? x[1] : rest, count > 2 ? x[2] : rest, rest};
  return load(lanes);
}

static void storeFew(float *y, vec v, integer count) {
  float lanes[4];
  store(lanes, v);
  for (integer i = 0; i < count; i++) y[i] = lanes[i];
}

/* Writes e^(x − largest), where it is to be written, and returns the sum. */
static float sumExp(const float *x, float *y, integer width, float largest) {
  vec top = splat(largest), sum = splat(0.f);
  integer i = 0;
  for (; i + 4 <= width; i += 4) {
    vec e = expOf(minus(load(x + i), top));
    if (y != 0) store(y + i, e);
    sum = plus(sum, e);
  }
  if (i < width) {
    vec e = expOf(minus(loadFew(x + i, width - i, -__builtin_inff()), top));
    if (y != 0) storeFew(y + i, e, width - i);
    sum = plus(sum, e);
  }
  return sumLanes(sum);
}

KERNEL(softmaxRows) {
  eachRow(rows) {
    float inverse = 1 / sumExp(x, y, rows->width, largestOf(x, rows->width));
    integer i = 0;
    for (; i + 4 <= rows->width; i += 4) store(y + i, times(load(y + i), splat(inverse)));
    for (; i < rows->width; i++) y[i] *= inverse;
  }
}

KERNEL(logSoftmaxRows) {
  eachRow(rows) {
    float largest = largestOf(x, rows->width);
    float shift = wasm_f32x4_extract_lane(logOf(splat(sumExp(x, 0, rows->width, largest))), 0);
    for (integer i = 0; i < rows->width; i++) y[i] = x[i] - largest - shift;
  }
}

/* Σ (x − mean)², lanes summed in the same order for all widths. */
static float sumSquares(const float *x, integer width, float mean) {
  vec a = splat(0.f), b = a;
  integer i = 0;
  for (; i + 8 <= width; i += 8) {
    vec u = minus(load(x + i), splat(mean)), v = minus(load(x + i + 4), splat(mean));
    a = multiplyAdd(u, u, a), b = multiplyAdd(v, v, b);
  }
  float sum = sumLanes(plus(a, b));
  for (; i < width; i++) sum += (x[i] - mean) * (x[i] - mean);
  return sum;
}

KERNEL(normalizeRows) {
  eachRow(rows) {
    float meanSquare = sumSquares(x, rows->width, 0) / rows->width;
    float factor = 1 / __builtin_sqrtf(meanSquare + rows->epsilon);
    const half *narrow = rows->weight;
    const float *wide = rows->weight;
    integer i = 0;
    if (rows->isHalf)
      for (; i + 8 <= rows->width; i += 8) {
        vec w = load(narrow + i);
        store(y + i, times(times(load(x + i), splat(factor)), widenLow(w)));
        store(y + i + 4, times(times(load(x + i + 4), splat(factor)), widenHigh(w)));
      }
    else
      for (; i + 4 <= rows->width; i += 4) store(y + i, times(times(load(x + i), splat(factor)), load(wide + i)));
    for (; i < rows->width; i++) y[i] = x[i] * factor * (rows->isHalf ? widen(narrow[i]) : wide[i]);
  }
}

KERNEL(standardizeRows) {
  eachRow(rows) {
    vec a = splat(0.f);
    integer i = 0;
    for (; i + 4 <= rows->width; i += 4) a = plus(a, load(x + i));
    float total = sumLanes(a);
    for (; i < rows->width; i++) total += x[i];
    float mean = total / rows->width;
    float variance = sumSquares(x, rows->width, mean) / rows->width;
    float factor = 1 / __builtin_sqrtf(variance + rows->epsilon);
    for (i = 0; i + 4 <= rows->width; i += 4) store(y + i, times(minus(load(x + i), splat(mean)), splat(factor)));
    for (; i < rows->width; i++) y[i] = (x[i] - mean) * factor;
  }
}

/* Marks one largest element after another; there are few. */
KERNEL(markRows) {
  eachRow(rows) {
    for (integer i = 0; i < rows->width; i++) y[i] = 0;
    for (integer left = rows->count; left > 0; left--) {
      integer best = -1;
      for (integer i = 0; i < rows->width; i++)
        if (y[i] == 0 && (best < 0 || x[i] > x[best])) best = i;
      y[best] = 1;
    }
  }
}
