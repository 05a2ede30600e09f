/** Rotary position embeddings (Su et al. 2021) and their scalings for longer texts, with the formulas of transformers. */
import { requireItem } from "../../../base/core/index.ts";

/** The rotary embedding of a layer. */
export interface Rope {
  /** Base θ of the frequencies θ^(−2i/R). */
  readonly theta: number;
  /** R: how many leading elements of a head are rotated; where odd, one more. */
  readonly dimension: number;
  readonly scaling?: RopeScaling;
  /** Whether a text that grows beyond the fixed length is read anew with the frequencies of longer ones (Phi-3). */
  readonly isReadAnew?: true;
  /** Queries at a position are multiplied by 1 + rate · ln(1 + ⌊position / numPositions⌋) (Llama 4). */
  readonly queryGrowth?: { readonly rate: number; readonly numPositions: number };
}

/** How frequencies are changed for texts longer than those of the first training. */
export type RopeScaling = LinearScaling | DynamicScaling | YarnScaling | Llama3Scaling | LongropeScaling;

/** All frequencies divided by the factor (position interpolation, Chen et al. 2023). */
interface LinearScaling {
  readonly type: "linear";
  readonly factor: number;
}

/** A base that grows with the text, once it is longer than `numPositions`. */
interface DynamicScaling {
  readonly type: "dynamic";
  readonly factor: number;
  readonly numPositions: number;
}

/** YaRN (Peng et al. 2023): slow frequencies divided, fast ones kept, a ramp between them. */
interface YarnScaling {
  readonly type: "yarn";
  readonly factor: number;
  /** Positions of the first training. */
  readonly numPositions: number;
  /** Turns within those positions above which a frequency is kept, and below which it is divided. */
  readonly fastTurns: number;
  readonly slowTurns: number;
  /** Whether the ends of the ramp are whole frequencies. */
  readonly isTruncated: boolean;
  /** Multiplies cosines and sines. */
  readonly magnitude: number;
}

/** Llama 3.1: as YaRN, with the ramp over wavelengths. */
interface Llama3Scaling {
  readonly type: "llama3";
  readonly factor: number;
  readonly numPositions: number;
  readonly lowFactor: number;
  readonly highFactor: number;
}

/** LongRoPE (Ding et al. 2024): a divisor for each frequency, one list for texts of up to `numPositions`, one for longer ones. */
interface LongropeScaling {
  readonly type: "longrope";
  readonly numPositions: number;
  readonly shortFactors: readonly number[];
  readonly longFactors: readonly number[];
  /** Multiplies cosines and sines. */
  readonly magnitude: number;
}

/** How many leading elements of a head are rotated: pairs. */
export function countRotated({ dimension }: Rope): number {
  return 2 * Math.ceil(dimension / 2);
}

/** Up to how many tokens the frequencies are the same for all texts; beyond, they depend on a text's length. Infinite for most scalings. */
export function fixedLength({ scaling }: Rope): number {
  return scaling?.type === "dynamic" || scaling?.type === "longrope"
    ? scaling.numPositions
    : Number.POSITIVE_INFINITY;
}

/** What cosines and sines are multiplied by. */
export function ropeMagnitude({ scaling }: Rope): number {
  return scaling !== undefined && "magnitude" in scaling ? scaling.magnitude : 1;
}

/**
 * The angles per position, one a pair, in a text of `numTokens` tokens. Rounded to 32 bits at each step, as transformers does: at positions in
 * the thousands, other roundings turn queries and keys by other angles than those that the model was trained with.
 */
export function ropeFrequencies(rope: Rope, numTokens: number): Float32Array {
  const { theta, dimension: R, scaling } = rope;
  const periods = ropePeriods(theta, R);
  switch (scaling?.type) {
    case undefined:
      return periods.map((period) => 1 / period);
    case "linear":
      return periods.map((period) => single(1 / period) / scaling.factor);
    case "dynamic": {
      const { factor, numPositions } = scaling;
      const length = Math.max(numTokens, numPositions);
      const growth = single(single((factor * length) / numPositions) - (factor - 1));
      return ropePeriods(theta * single(growth ** (R / (R - 2))), R).map((period) => 1 / period);
    }
    case "yarn": {
      const [low, high] = findRamp(rope, scaling);
      return periods.map((period, index) => {
        const slow = single(Math.min(1, Math.max(0, (index - low) / (high - low))));
        return (
          single(single(1 / single(scaling.factor * period)) * slow) +
          single(single(1 / period) * single(1 - slow))
        );
      });
    }
    case "llama3":
      return periods.map((period) => slowDown(single(1 / period), scaling));
    case "longrope": {
      const { numPositions, shortFactors, longFactors } = scaling;
      const factors = numTokens > numPositions ? longFactors : shortFactors;
      return periods.map((period, index) => 1 / single(single(requireItem(factors, index)) * period));
    }
  }
}

/** The nearest 32-bit float. */
const single = Math.fround;

/** θ^(2i/R) of each pair i. */
function ropePeriods(theta: number, R: number): Float32Array {
  return Float32Array.from(
    { length: Math.ceil(R / 2) },
    (_, index) => single(theta) ** single((2 * index) / R),
  );
}

/** A frequency as Llama 3 has it: divided where it turns seldom, kept where it turns often, in between in between. */
function slowDown(frequency: number, { factor, numPositions, lowFactor, highFactor }: Llama3Scaling): number {
  const wavelength = single((2 * Math.PI) / frequency);
  if (wavelength > numPositions / lowFactor) return frequency / factor;
  if (wavelength < numPositions / highFactor) return frequency;
  const fast = single(single(single(numPositions / wavelength) - lowFactor) / (highFactor - lowFactor));
  return single(single(single(1 - fast) * frequency) / factor) + single(fast * frequency);
}

/** The frequencies between which YaRN goes from kept to divided. */
function findRamp(
  { theta, dimension: R }: Rope,
  { numPositions, fastTurns, slowTurns, isTruncated }: YarnScaling,
): readonly [number, number] {
  const place = (turns: number): number =>
    (R * Math.log(numPositions / (turns * 2 * Math.PI))) / (2 * Math.log(theta));
  const ends = [place(fastTurns), place(slowTurns)] as const;
  const [first, last] = isTruncated ? [Math.floor(ends[0]), Math.ceil(ends[1])] : ends;
  const [low, high] = [Math.max(first, 0), Math.min(last, R - 1)];
  // A ramp of no length would divide by zero.
  return [low, low === high ? high + 0.001 : high];
}

/** Cosines and sines [positions, pairs], times the rope's magnitude. */
export interface RotaryTables {
  readonly cosine: Float32Array;
  readonly sine: Float32Array;
}

/** How tables are made: for a text of `numTokens` tokens, times `scale`, and where they are for queries, grown as the rope says. */
export interface TableOptions {
  readonly numTokens: number;
  readonly scale?: number;
  readonly isForQueries?: boolean;
}

/** The tables of those positions. */
export function rotaryTables(
  rope: Rope,
  positions: ArrayLike<number>,
  { numTokens, scale = 1, isForQueries = false }: TableOptions,
): RotaryTables {
  const frequencies = ropeFrequencies(rope, numTokens);
  const [half, size] = [frequencies.length, scale * ropeMagnitude(rope)];
  const fill = (f: (angle: number) => number): Float32Array =>
    Float32Array.from({ length: positions.length * half }, (_, index) => {
      const position = requireItem(positions, Math.floor(index / half));
      const value = single(f(single(position * requireItem(frequencies, index % half)))) * size;
      return isForQueries ? value * queryGrowth(rope, position) : value;
    });
  return { cosine: fill(Math.cos), sine: fill(Math.sin) };
}

function queryGrowth({ queryGrowth: growth }: Rope, position: number): number {
  if (growth === undefined) return 1;
  return 1 + growth.rate * Math.log(1 + Math.floor(position / growth.numPositions));
}
