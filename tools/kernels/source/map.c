/*
 * Elementwise expressions with NumPy's broadcasting, copies of strided tensors among them: a short list of steps carried
 * out on blocks that stay in the cache, so that a chain of operations reads and writes memory once.
 */
#include "vector.h"

enum { blockLength = 256, mostInputs = 8, mostSteps = 12, mostAxes = 6 };

/*
 * The result has `rank` axes, innermost last. After the struct: lengths of the axes; strides of the result; for each
 * input its place and strides; steps as [operation, left, right]. An operand below numInputs is an input, one above the
 * result of an earlier step. Without steps, the first input is copied.
 */
typedef struct {
  integer grain, numBlocks, rank, numInputs, numSteps;
  float *out;
} Map;

typedef float Cells[blockLength + 4];

static inline float *roundedEnd(float *to, integer count) { return to + ((count + 3) & ~3); }

#define unary(name, expression)                                                         \
  static void name(float *to, const float *from, const float *unused, integer count) {  \
    (void)unused;                                                                       \
    for (float *end = roundedEnd(to, count); to < end; to += 4, from += 4) {            \
      vec x = load(from);                                                               \
      store(to, expression);                                                            \
    }                                                                                   \
  }
#define binary(name, expression)                                                        \
  static void name(float *to, const float *left, const float *right, integer count) {   \
    for (float *end = roundedEnd(to, count); to < end; to += 4, left += 4, right += 4) { \
      vec x = load(left), y = load(right);                                              \
      store(to, expression);                                                            \
    }                                                                                   \
  }

binary(addTwo, plus(x, y))
binary(subtractTwo, minus(x, y))
binary(multiplyTwo, times(x, y))
binary(divideTwo, over(x, y))
binary(takeMinimum, wasm_f32x4_min(x, y))
binary(takeMaximum, wasm_f32x4_max(x, y))
binary(compareTwo, wasm_v128_and(wasm_f32x4_le(x, y), splat(1.f)))
unary(negateOne, wasm_f32x4_neg(x))
unary(expOne, expOf(x))
unary(logOne, logOf(x))
unary(rootOne, wasm_f32x4_sqrt(x))
unary(invertOne, over(splat(1.f), x))
unary(sigmoidOne, sigmoidOf(x))
unary(tanhOne, tanhOf(x))
unary(erfOne, erfOf(x))
unary(reluOne, wasm_f32x4_max(x, splat(0.f)))

/* By number, as `stepNames` in src/engine/tensor/kernel/plan/map-tree.ts. */
static void (*const operations[])(float *, const float *, const float *, integer) = {
    addTwo, subtractTwo, multiplyTwo, divideTwo, takeMinimum, takeMaximum, compareTwo, negateOne,
    expOne, logOne,      rootOne,     invertOne, sigmoidOne,  tanhOne,     erfOne,     reluOne,
};

/* An input at a block: as it lies in memory, or brought together. */
static const float *readInput(const float *from, integer stride, integer count, float *cells) {
  if (stride == 1) return from;
  if (stride == 0)
    for (integer i = 0; i < count; i += 4) store(cells + i, splat(*from));
  else
    for (integer i = 0; i < count; i++) cells[i] = from[(long)i * stride];
  return cells;
}

static void writeResult(float *to, integer stride, const float *from, integer count) {
  if (stride == 1) __builtin_memcpy(to, from, sizeof(float) * count);
  else
    for (integer i = 0; i < count; i++) to[(long)i * stride] = from[i];
}

/* Where the block begins in a tensor of those strides. */
static long offsetOf(const integer *places, const integer *strides, integer rank) {
  long offset = 0;
  for (integer axis = 0; axis < rank; axis++) offset += (long)places[axis] * strides[axis];
  return offset;
}

static void runBlock(const Map *map, const integer *places, integer count) {
  Cells cells[mostInputs], results[mostSteps];
  const float *values[mostInputs + mostSteps];
  integer rank = map->rank, numInputs = map->numInputs;
  const integer *strides = (const integer *)(map + 1) + rank, *at = strides + rank;
  for (integer input = 0; input < numInputs; input++, at += 1 + rank) {
    const float *from = (const float *)at[0] + offsetOf(places, at + 1, rank);
    values[input] = readInput(from, at[rank], count, cells[input]);
  }
  float *out = map->out + offsetOf(places, strides, rank);
  integer outStride = strides[rank - 1], isDirect = outStride == 1 && count % 4 == 0;
  const float *last = values[0];
  for (integer step = 0; step < map->numSteps; step++, at += 3) {
    integer isLast = step == map->numSteps - 1;
    float *to = isLast && isDirect ? out : results[step];
    operations[at[0]](to, values[at[1]], values[at[2]], count);
    values[numInputs + step] = last = to;
  }
  if (last != out) writeResult(out, outStride, last, count);
}

KERNEL(mapElements) {
  (void)scratch;
  const Map *map = (const Map *)arguments;
  const integer *lengths = (const integer *)(map + 1);
  integer length = lengths[map->rank - 1], blocksPerRow = (length + blockLength - 1) / blockLength;
  Range blocks = rangeOf(chunk, map->grain, map->numBlocks);
  for (integer block = blocks.first; block < blocks.end; block++) {
    integer places[mostAxes], row = block / blocksPerRow;
    for (integer axis = map->rank - 2; axis >= 0; axis--) places[axis] = row % lengths[axis], row /= lengths[axis];
    integer first = block % blocksPerRow * blockLength;
    places[map->rank - 1] = first;
    runBlock(map, places, smaller(blockLength, length - first));
  }
}

/* Sums over axes. After the struct: lengths and strides of the kept axes, then of the others, innermost last. */
typedef struct {
  integer grain, count, numKept, numSummed;
  const float *from;
  float *out;
} Sum;

static float sumAlong(const float *from, const integer *lengths, const integer *strides, integer numAxes) {
  if (numAxes == 0) return *from;
  integer length = lengths[0], stride = strides[0], i = 0;
  float sum = 0;
  if (numAxes == 1 && stride == 1) {
    vec a = splat(0.f), b = a;
    for (; i + 8 <= length; i += 8) a = plus(a, load(from + i)), b = plus(b, load(from + i + 4));
    sum = sumLanes(plus(a, b));
  }
  for (; i < length; i++) sum += sumAlong(from + (long)i * stride, lengths + 1, strides + 1, numAxes - 1);
  return sum;
}

/* Four neighbors at once. */
static vec sumColumns(const float *from, const integer *lengths, const integer *strides, integer numAxes) {
  if (numAxes == 0) return load(from);
  vec sum = splat(0.f);
  for (integer i = 0; i < lengths[0]; i++)
    sum = plus(sum, sumColumns(from + (long)i * strides[0], lengths + 1, strides + 1, numAxes - 1));
  return sum;
}

KERNEL(sumElements) {
  (void)scratch;
  const Sum *s = (const Sum *)arguments;
  const integer *lengths = (const integer *)(s + 1), *strides = lengths + s->numKept;
  const integer *summed = strides + s->numKept, *along = summed + s->numSummed;
  integer last = s->numKept - 1;
  integer hasNeighbors = last >= 0 && strides[last] == 1 && lengths[last] % 4 == 0 && s->grain % 4 == 0;
  Range range = rangeOf(chunk, s->grain, s->count);
  for (integer index = range.first; index < range.end; index += hasNeighbors ? 4 : 1) {
    long offset = 0;
    for (integer axis = last, rest = index; axis >= 0; axis--)
      offset += (long)(rest % lengths[axis]) * strides[axis], rest /= lengths[axis];
    if (hasNeighbors) store(s->out + index, sumColumns(s->from + offset, summed, along, s->numSummed));
    else s->out[index] = sumAlong(s->from + offset, summed, along, s->numSummed);
  }
}
