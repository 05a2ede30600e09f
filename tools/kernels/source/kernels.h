/* What the kernels share: types, vectors of four floats, the tape of instructions, and a thread's scratch memory. */
#ifndef KERNELS_H
#define KERNELS_H
#include <wasm_simd128.h>

typedef int integer;
typedef unsigned short half; /* The upper half of a float: bfloat16. */
typedef v128_t vec;

/* Exported to JavaScript. */
#define EXPORT(name) __attribute__((export_name(name)))

#define smaller(a, b) ((a) < (b) ? (a) : (b))
#define larger(a, b) ((a) > (b) ? (a) : (b))

/* Carries out one chunk of an instruction whose arguments are given; `scratch` is this thread's own. */
typedef void (*Kernel)(const integer *arguments, integer chunk, float *scratch);


#define KERNEL(name) void name(const integer *arguments, integer chunk, float *scratch)
KERNEL(mapElements);
KERNEL(sumElements);
KERNEL(multiplyByRows);
KERNEL(multiplyByColumns);
KERNEL(softmaxRows);
KERNEL(logSoftmaxRows);
KERNEL(normalizeRows);
KERNEL(standardizeRows);
KERNEL(markRows);
KERNEL(rotateRows);
KERNEL(gatherRows);
KERNEL(takeFromRows);
KERNEL(fillOneHot);
KERNEL(widenElements);

/* Tells the caller that an id was outside its table: the run fails when it is over. */
void reportOutside(void);

/* The rows, blocks or elements of a chunk. */
typedef struct {
  integer first, end;
} Range;

static inline Range rangeOf(integer chunk, integer grain, integer count) {
  Range range = {chunk * grain, smaller(count, (chunk + 1) * grain)};
  return range;
}
#endif
