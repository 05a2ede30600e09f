/** Chains of elementwise operations as one instruction: what is read, and the steps from there to the result. */
import type { Shape } from "../../shape.ts";
import { chooseGrain, type Instruction, type Word } from "./instruction.ts";
import { broadcastView, joinAxes, type View } from "./view.ts";

/** Steps, by the number that each has in tools/kernels/source/map.c. */
const stepNames = [
  ...(["add", "subtract", "multiply", "divide", "minimum", "maximum", "lessOrEqual", "negate"] as const),
  ...(["exp", "log", "sqrt", "reciprocal", "sigmoid", "tanh", "erf", "relu"] as const),
] as const;

/** The name of an elementwise operation. */
export type StepName = (typeof stepNames)[number];

/** A step whose operands are inputs by their number, or results of earlier steps by the complement of theirs. */
interface Step {
  readonly name: StepName;
  readonly left: number;
  readonly right: number;
}

/** An elementwise expression that has not been carried out yet; without steps, its one input. */
export interface Expression {
  readonly shape: Shape;
  /** Each broadcast to the shape. */
  readonly inputs: readonly View[];
  readonly steps: readonly Step[];
}

/** As many as the kernel has room for, and axes that it can walk. */
const [mostInputs, mostSteps, mostAxes, blockLength] = [8, 12, 6, 256];

/** The expression of a view alone. */
export function expressView(view: View): Expression {
  return { shape: view.shape, inputs: [view], steps: [] };
}

/** A step on operands that broadcast to `shape`, or undefined where it would be too long. Each has no steps yet, or that very shape. */
export function applyStep(
  name: StepName,
  shape: Shape,
  operands: readonly Expression[],
): Expression | undefined {
  const inputs: View[] = [];
  const steps: Step[] = [];
  const addInput = (view: View): number => {
    const wide = broadcastView(view, shape);
    const known = inputs.findIndex((other) => isSameView(other, wide));
    return known >= 0 ? known : inputs.push(wide) - 1;
  };
  const places = operands.map((operand) => {
    const numbers = operand.inputs.map(addInput);
    const first = steps.length;
    const move = (place: number): number => (place < 0 ? ~(first + ~place) : (numbers[place] ?? 0));
    for (const step of operand.steps) steps.push({ ...step, left: move(step.left), right: move(step.right) });
    return operand.steps.length === 0 ? (numbers[0] ?? 0) : ~(steps.length - 1);
  });
  const [left = 0, right = left] = places;
  steps.push({ name, left, right });
  return inputs.length > mostInputs || steps.length > mostSteps ? undefined : { shape, inputs, steps };
}

function isSameView(left: View, right: View): boolean {
  return (
    left.storage === right.storage &&
    left.offset === right.offset &&
    left.strides.every((stride, axis) => stride === right.strides[axis])
  );
}

/** The instruction that writes an expression's value. Throws `RangeError` where its axes cannot be walked. */
export function encodeMap({ inputs, steps }: Expression, out: View): Instruction {
  const joined = joinAxes([out, ...inputs]);
  const axes = joined.length === 0 ? [{ length: 1, strides: [1, ...inputs.map(() => 0)] }] : joined;
  if (axes.length > mostAxes)
    throw new RangeError(`Cannot compute elementwise over ${axes.length} separate axes`);
  const stridesOf = (index: number): readonly number[] => axes.map(({ strides }) => strides[index] ?? 0);
  const length = axes.at(-1)?.length ?? 1;
  const numBlocks =
    axes.slice(0, -1).reduce((count, axis) => count * axis.length, 1) * Math.ceil(length / blockLength);
  const blockNs = 40 + Math.min(length, blockLength) * 0.3 * (steps.length + 1);
  const grain = chooseGrain(numBlocks, blockNs);
  const place = (number: number): number => (number < 0 ? inputs.length + ~number : number);
  const words: readonly Word[] = [
    ...[grain, numBlocks, axes.length, inputs.length, steps.length],
    out,
    ...axes.map((axis) => axis.length),
    ...stridesOf(0),
    ...inputs.flatMap((input, index): readonly Word[] => [input, ...stridesOf(index + 1)]),
    ...steps.flatMap(({ name, left, right }) => [stepNames.indexOf(name), place(left), place(right)]),
  ];
  return {
    kernel: "map",
    words,
    numChunks: Math.ceil(numBlocks / grain),
    reads: inputs.map(({ storage }) => storage),
    writes: [out.storage],
  };
}
