/* What goes by ids and positions: rows of tables, rotations, marks, slots of a cache; and bfloat16 made wide. */
#include "vector.h"

/* The id where it is below the count, else 0, and the run fails. */
static integer checkId(integer id, integer count) {
  if (id >= 0 && id < count) return id;
  reportOutside();
  return 0;
}

typedef struct {
  integer grain, count, width, numRows, rowStride, isHalf;
  const void *table;
  const integer *ids;
  float *out;
} Gather;

KERNEL(gatherRows) {
  (void)scratch;
  const Gather *g = (const Gather *)arguments;
  Range range = rangeOf(chunk, g->grain, g->count);
  for (integer i = range.first; i < range.end; i++) {
    long at = (long)checkId(g->ids[i], g->numRows) * g->rowStride;
    float *to = g->out + (long)i * g->width;
    if (g->isHalf) widenRow(to, (const half *)g->table + at, g->width);
    else __builtin_memcpy(to, (const float *)g->table + at, sizeof(float) * g->width);
  }
}

typedef struct {
  integer grain, count, width;
  const float *from;
  const integer *ids;
  float *out;
} Take;

KERNEL(takeFromRows) {
  (void)scratch;
  const Take *t = (const Take *)arguments;
  Range range = rangeOf(chunk, t->grain, t->count);
  for (integer i = range.first; i < range.end; i++) t->out[i] = t->from[(long)i * t->width + checkId(t->ids[i], t->width)];
}

/* An id outside gives a row of zeros, as in ONNX. */
KERNEL(fillOneHot) {
  (void)scratch;
  const Take *t = (const Take *)arguments;
  Range range = rangeOf(chunk, t->grain, t->count);
  for (integer i = range.first; i < range.end; i++) {
    float *to = t->out + (long)i * t->width;
    for (integer j = 0; j < t->width; j++) to[j] = j == t->ids[i];
  }
}

typedef struct {
  integer grain, count;
  const half *from;
  float *out;
} Widen;

KERNEL(widenElements) {
  (void)scratch;
  const Widen *w = (const Widen *)arguments;
  Range range = rangeOf(chunk, w->grain, w->count);
  widenRow(w->out + range.first, w->from + range.first, range.end - range.first);
}

/* Heads [B, H, T, D] of any strides but that of D, which is 1; positions [B, T] pick rows of tables [P, D / 2]. */
typedef struct {
  integer grain, numRows, numHeads, numTokens, width, numPositions;
  const float *from;
  integer batch, head, token;
  float *out;
  integer outBatch, outHead, outToken;
  const float *cosine, *sine;
  const integer *positions;
} Rotate;

static void rotateRow(float *to, const float *x, const float *c, const float *s, integer count) {
  integer i = 0;
  for (; i + 4 <= count; i += 4) {
    vec a = load(x + i), b = load(x + count + i), cosine = load(c + i), sine = load(s + i);
    store(to + i, minus(times(a, cosine), times(b, sine)));
    store(to + count + i, plus(times(b, cosine), times(a, sine)));
  }
  for (; i < count; i++) {
    float a = x[i], b = x[count + i];
    to[i] = a * c[i] - b * s[i], to[count + i] = b * c[i] + a * s[i];
  }
}

KERNEL(rotateRows) {
  (void)scratch;
  const Rotate *r = (const Rotate *)arguments;
  Range range = rangeOf(chunk, r->grain, r->numRows);
  integer pairs = r->width / 2;
  for (integer row = range.first; row < range.end; row++) {
    integer token = row % r->numTokens, rest = row / r->numTokens, head = rest % r->numHeads, batch = rest / r->numHeads;
    long at = (long)checkId(r->positions[batch * r->numTokens + token], r->numPositions) * pairs;
    const float *x = r->from + (long)batch * r->batch + (long)head * r->head + (long)token * r->token;
    float *to = r->out + (long)batch * r->outBatch + (long)head * r->outHead + (long)token * r->outToken;
    rotateRow(to, x, r->cosine + at, r->sine + at, pairs);
  }
}
