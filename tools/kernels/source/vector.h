/*
 * Vectors of four floats, and functions of them to a few units in the last place. Polynomials are those of Cephes
 * (Moshier 1989) for single precision.
 */
#ifndef VECTOR_H
#define VECTOR_H
#include "kernels.h"

#define load(p) wasm_v128_load(p)
#define store(p, v) wasm_v128_store(p, v)
#define splat(x) wasm_f32x4_splat(x)
#define plus(a, b) wasm_f32x4_add(a, b)
#define minus(a, b) wasm_f32x4_sub(a, b)
#define times(a, b) wasm_f32x4_mul(a, b)
#define over(a, b) wasm_f32x4_div(a, b)
/* mask ? a : b, for masks of whole lanes. */
#define choose(mask, a, b) wasm_v128_bitselect(a, b, mask)

/* a · b + c, rounded once where the machine can. */
#ifdef RELAXED
#define multiplyAdd(a, b, c) wasm_f32x4_relaxed_madd(a, b, c)
#else
#define multiplyAdd(a, b, c) plus(times(a, b), c)
#endif

/* Four and four floats of eight halves. */
#define widenLow(v) wasm_i16x8_shuffle(wasm_i32x4_const_splat(0), v, 0, 8, 1, 9, 2, 10, 3, 11)
#define widenHigh(v) wasm_i16x8_shuffle(wasm_i32x4_const_splat(0), v, 4, 12, 5, 13, 6, 14, 7, 15)

static inline float widen(half x) {
  union {
    unsigned bits;
    float value;
  } wide = {(unsigned)x << 16};
  return wide.value;
}

static inline void widenRow(float *to, const half *from, integer count) {
  integer i = 0;
  for (; i + 8 <= count; i += 8) {
    vec v = load(from + i);
    store(to + i, widenLow(v)), store(to + i + 4, widenHigh(v));
  }
  for (; i < count; i++) to[i] = widen(from[i]);
}

static inline float sumLanes(vec v) {
  vec halves = plus(v, wasm_i32x4_shuffle(v, v, 2, 3, 0, 1));
  return wasm_f32x4_extract_lane(halves, 0) + wasm_f32x4_extract_lane(halves, 1);
}

/* The sums of the lanes of four vectors. */
static inline vec sumFour(vec a, vec b, vec c, vec d) {
  vec ab = plus(wasm_i32x4_shuffle(a, b, 0, 4, 1, 5), wasm_i32x4_shuffle(a, b, 2, 6, 3, 7));
  vec cd = plus(wasm_i32x4_shuffle(c, d, 0, 4, 1, 5), wasm_i32x4_shuffle(c, d, 2, 6, 3, 7));
  return plus(wasm_i64x2_shuffle(ab, cd, 0, 2), wasm_i64x2_shuffle(ab, cd, 1, 3));
}

static inline float largestLane(vec v) {
  vec halves = wasm_f32x4_max(v, wasm_i32x4_shuffle(v, v, 2, 3, 0, 1));
  return larger(wasm_f32x4_extract_lane(halves, 0), wasm_f32x4_extract_lane(halves, 1));
}

static inline vec step(vec sum, vec x, float coefficient) { return multiplyAdd(sum, x, splat(coefficient)); }

static inline vec expOf(vec x) {
  // Beyond these, the result is 0 or infinite all the same. NaN stays: comparisons with it fail.
  x = wasm_f32x4_pmin(wasm_f32x4_pmax(x, splat(-104.f)), splat(89.f));
  vec n = wasm_f32x4_nearest(times(x, splat(1.44269504f)));
  vec r = multiplyAdd(n, splat(-0.693359375f), x);
  r = multiplyAdd(n, splat(2.12194440e-4f), r);
  vec p = step(splat(1.9875691500e-4f), r, 1.3981999507e-3f);
  p = step(step(step(step(p, r, 8.3334519073e-3f), r, 4.1665795894e-2f), r, 1.6666665459e-1f), r, 5.0000001201e-1f);
  p = plus(multiplyAdd(times(p, r), r, r), splat(1.f));
  // By 2ⁿ in two steps, so that neither factor leaves the range of floats.
  vec whole = wasm_i32x4_trunc_sat_f32x4(n), first = wasm_i32x4_shr(whole, 1), second = wasm_i32x4_sub(whole, first);
  vec bias = wasm_i32x4_const_splat(127);
  p = times(p, wasm_i32x4_shl(wasm_i32x4_add(first, bias), 23));
  return times(p, wasm_i32x4_shl(wasm_i32x4_add(second, bias), 23));
}

static inline vec logOf(vec x) {
  vec tiny = wasm_f32x4_lt(x, splat(1.17549435e-38f));
  vec scaled = choose(tiny, times(x, splat(8388608.f)), x);
  // The exponent that leaves a fraction between √½ and √2.
  vec exponent = wasm_i32x4_shr(wasm_i32x4_sub(scaled, wasm_i32x4_const_splat(0x3f3504f3)), 23);
  vec f = minus(wasm_i32x4_sub(scaled, wasm_i32x4_shl(exponent, 23)), splat(1.f));
  vec e = minus(wasm_f32x4_convert_i32x4(exponent), choose(tiny, splat(23.f), splat(0.f)));
  vec p = step(splat(7.0376836292e-2f), f, -1.1514610310e-1f);
  p = step(step(step(p, f, 1.1676998740e-1f), f, -1.2420140846e-1f), f, 1.4249322787e-1f);
  p = step(step(step(step(p, f, -1.6668057665e-1f), f, 2.0000714765e-1f), f, -2.4999993993e-1f), f, 3.3333331174e-1f);
  vec square = times(f, f);
  vec y = multiplyAdd(e, splat(-2.12194440e-4f), times(times(p, f), square));
  y = plus(multiplyAdd(square, splat(-0.5f), y), f);
  y = multiplyAdd(e, splat(0.693359375f), y);
  y = choose(wasm_f32x4_eq(x, splat(__builtin_inff())), x, y);
  y = choose(wasm_f32x4_eq(x, splat(0.f)), splat(-__builtin_inff()), y);
  return choose(wasm_f32x4_ge(x, splat(0.f)), y, splat(__builtin_nanf("")));
}

static inline vec sigmoidOf(vec x) { return over(splat(1.f), plus(splat(1.f), expOf(wasm_f32x4_neg(x)))); }

static inline vec tanhOf(vec x) {
  vec size = wasm_f32x4_abs(x), square = times(x, x);
  vec p = step(step(splat(-5.70498872745e-3f), square, 2.06390887954e-2f), square, -5.37397155531e-2f);
  p = step(step(p, square, 1.33314422036e-1f), square, -3.33332819422e-1f);
  vec small = multiplyAdd(times(p, square), x, x);
  vec large = minus(splat(1.f), over(splat(2.f), plus(expOf(plus(size, size)), splat(1.f))));
  large = choose(wasm_i32x4_const_splat((integer)0x80000000), x, large);
  return choose(wasm_f32x4_lt(size, splat(0.625f)), small, large);
}

static inline vec erfOf(vec x) {
  vec size = wasm_f32x4_abs(x), square = times(x, x);
  vec p = step(step(splat(7.853861353153693e-5f), square, -8.010193625184903e-4f), square, 5.188327685732524e-3f);
  p = step(step(p, square, -2.685381193529856e-2f), square, 1.128358514861418e-1f);
  p = step(step(p, square, -3.761262582423300e-1f), square, 1.128379165726710f);
  vec small = times(p, x);
  // 1 − erfc by a continued expansion in 1/x², one for 1 … 2 and one beyond.
  vec y = over(splat(1.f), size), z = times(y, y);
  vec near = step(step(splat(2.326819970068386e-2f), z, -1.387039388740657e-1f), z, 3.687424674597105e-1f);
  near = step(step(step(near, z, -5.824733027278666e-1f), z, 6.210004621745983e-1f), z, -4.944515323274145e-1f);
  near = step(step(step(near, z, 3.404879937665872e-1f), z, -2.741127028184656e-1f), z, 5.638259427386472e-1f);
  vec far = step(step(splat(-1.047766399936249e1f), z, 1.297719955372516e1f), z, -7.495518717768503f);
  far = step(step(step(far, z, 2.921019019210786f), z, -1.015265279202700f), z, 4.218463358204948e-1f);
  far = step(step(far, z, -2.820767439740514e-1f), z, 5.641895067754075e-1f);
  vec tail = times(times(expOf(wasm_f32x4_neg(square)), y), choose(wasm_f32x4_lt(size, splat(2.f)), near, far));
  vec large = choose(wasm_i32x4_const_splat((integer)0x80000000), x, minus(splat(1.f), tail));
  return choose(wasm_f32x4_gt(size, splat(1.f)), large, small);
}
#endif
