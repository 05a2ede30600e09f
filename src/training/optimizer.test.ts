/** AdamW step by step against its formulas; against PyTorch it is compared in training-step.test.ts. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { adamW, globalNorm, startTraining, type TrainingState } from "./optimizer.ts";

const settings = { beta1: 0.9, beta2: 0.99, epsilon: 1e-8, weightDecay: 0, maxGradientNorm: 1e9 };
const parts = (values: readonly number[], length = values.length): readonly Float32Array[] =>
  Array.from({ length: Math.ceil(values.length / length) }, (_, index) =>
    Float32Array.from(values.slice(index * length, (index + 1) * length)),
  );

const target = [3, -2, 0.5];
const curvature = [1, 4, 0.25];
/** Of ½ Σ curvature (x − target)². */
const slope = ({ parameters }: Pick<TrainingState, "parameters">): readonly number[] =>
  [...parameters].map((value, index) => curvature[index]! * (value - target[index]!));

describe("adamW()", () => {
  it("starts with state vectors of zeros", () => {
    const optimizer = adamW(settings);
    expect(startTraining(new Float32Array(2), optimizer)).toEqual({
      step: 0,
      parameters: new Float32Array(2),
      slots: { firstMoment: new Float32Array(2), secondMoment: new Float32Array(2) },
    });
  });

  it("reaches the minimum of a quadratic", () => {
    const optimizer = adamW({ ...settings, maxGradientNorm: 5 });
    let state = startTraining(new Float32Array(3), optimizer);
    for (let step = 1; step <= 300; step++)
      state = optimizer.apply(state, parts(slope(state)), { learningRate: 0.2 * 0.98 ** step }).state;
    expect(state.step).toBe(300);
    for (const [index, value] of target.entries()) expect(state.parameters[index]).toBeCloseTo(value, 2);
  });

  it("moves by the learning rate at first, whatever the size of the gradient", () => {
    const optimizer = adamW(settings);
    const { state } = optimizer.apply(
      startTraining(new Float32Array(3), optimizer),
      parts([30, -0.2, 1e-3]),
      {
        learningRate: 0.01,
      },
    );
    for (const [index, value] of [-0.01, 0.01, -0.01].entries())
      expect(state.parameters[index]).toBeCloseTo(value, 6);
  });

  it("follows the formulas in 64-bit floats, in whatever parts the gradient comes", () => {
    const vectors = fc.array(fc.float({ min: -3, max: 3, noNaN: true }), { minLength: 4, maxLength: 4 });
    fc.assert(
      fc.property(
        vectors,
        fc.array(vectors, { minLength: 1, maxLength: 5 }),
        fc.integer({ min: 1, max: 4 }),
        (start, gradients, length) => {
          const optimizer = adamW({ ...settings, weightDecay: 0.1, maxGradientNorm: 2 });
          let state = startTraining(Float32Array.from(start), optimizer);
          const expected = { parameters: [...start], first: [0, 0, 0, 0], second: [0, 0, 0, 0] };
          for (const [index, gradient] of gradients.entries()) {
            const result = optimizer.apply(state, parts(gradient, length), { learningRate: 0.05 });
            state = result.state;
            const norm = Math.hypot(...gradient);
            expect(result.gradientNorm).toBeCloseTo(norm, 5);
            const step = index + 1;
            for (const at of gradient.keys()) {
              const g = gradient[at]! * Math.min(1, 2 / (norm + 1e-6));
              expected.first[at] = 0.9 * expected.first[at]! + 0.1 * g;
              expected.second[at] = 0.99 * expected.second[at]! + 0.01 * g * g;
              const root = Math.sqrt(expected.second[at]! / (1 - 0.99 ** step));
              const move =
                expected.first[at]! / (1 - 0.9 ** step) / (root + 1e-8) + 0.1 * expected.parameters[at]!;
              expected.parameters[at]! -= 0.05 * move;
            }
          }
          for (const [at, value] of expected.parameters.entries())
            expect(Math.abs(state.parameters[at]! - value)).toBeLessThan(2e-5);
        },
      ),
    );
  });

  it("decays parameters without a gradient, and scales updates one by one", () => {
    const optimizer = adamW({ ...settings, weightDecay: 0.5 });
    const start = startTraining(Float32Array.of(2, -4, 0), optimizer);
    const options = { learningRate: 0.1, updateFactors: [1, 10, 1] };
    const { state } = optimizer.apply(start, parts([0, 0, 0], 1), options);
    expect([...state.parameters]).toEqual([1.9, -2, 0].map(Math.fround));
  });

  it("changes the vectors of the state in place, and no others", () => {
    const optimizer = adamW(settings);
    const parameters = Float32Array.of(1, 2);
    const start = startTraining(parameters, optimizer);
    const { state } = optimizer.apply(start, parts([1, 1]), { learningRate: 0.1 });
    expect(state.parameters).toBe(start.parameters);
    expect(state.slots).toBe(start.slots);
    expect([...parameters]).toEqual([1, 2]);
  });

  it("refuses a gradient that does not cover the parameters", () => {
    const optimizer = adamW(settings);
    const start = startTraining(new Float32Array(3), optimizer);
    expect(() => optimizer.apply(start, parts([1, 1]), { learningRate: 0.1 })).toThrow(RangeError);
  });
});

describe("globalNorm()", () => {
  it("is the norm of all parts together", () => {
    expect(globalNorm([Float32Array.of(3), Float32Array.of(0, -4)])).toBe(5);
    expect(globalNorm([])).toBe(0);
  });
});
