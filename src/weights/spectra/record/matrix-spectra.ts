/** What two checkpoints' tensors say about each other: the records that are cached, printed and written as tables. */

import type { MarchenkoPasturFit } from "../../chance/index.ts";
import type { FloatDtype } from "../../checkpoint/index.ts";
import type { FactorMethod } from "../../linalg/index.ts";
import type { Sparsity, SparsityCounts } from "../sparsity.ts";
import type { NumericalRank, PowerLaw } from "../spectrum.ts";
import type { SubspaceComparison } from "../subspace.ts";
import type { EnergySplit, Intruders } from "../update.ts";

/** A value before and after. */
export interface Change<Value> {
  readonly before: Value;
  readonly after: Value;
}

/** Numbers by rank, as JSON keys. */
export type ByRank<Value> = Readonly<Record<string, Value>>;

/** Both sides of a matrix. */
export interface BothSides<Value> {
  readonly left: Value;
  readonly right: Value;
}

/** What is known of any tensor, of whatever number of axes. */
export interface ElementComparison {
  /** Σ of the squares of the elements, before and after: squares of Frobenius norms. */
  readonly squares: Change<number>;
  /** ‖after − before‖_F². */
  readonly updateSquares: number;
  /** Expected ‖rounding‖_F² of storing the tensor before in bf16: Σ ulp² / 12. */
  readonly roundingSquares: number;
  readonly counts: SparsityCounts;
  /** Of different formats: whether one side is the other rounded to its format, element by element. */
  readonly isRounded: boolean;
}

/** Subspace measures at one rank on one side, beside chance; the angles themselves are in `principalAngles`. */
export interface SubspaceRecord extends Omit<SubspaceComparison, "angles"> {
  /** `chordal` of a random update of the same norm: null (a). */
  readonly chance?: number;
  /** chordal / chance. */
  readonly beyondChance?: number;
}

/** What random models give, `chordal` unless it says otherwise; absent where there is nothing to compare with. */
export interface Nulls {
  /** (a) A random update of the same Frobenius norm. */
  readonly randomUpdate?: BothSides<ByRank<number>>;
  /** (a) ‖Δσ‖ / ‖σ‖ of such an update, from one seeded draw; small matrices only. */
  readonly spectralShift?: number;
  /** (b) Two unrelated random subspaces, and their smallest angle in radians. */
  readonly randomSubspaces: BothSides<ByRank<{ readonly chordal: number; readonly smallestAngle: number }>>;
  /** (c) Rounding the matrix before to bf16. */
  readonly bf16Rounding?: BothSides<ByRank<number>> & { readonly frobenius: number };
}

/** What guards raise. */
export const flags = [
  "unchanged",
  "rounded",
  "random-before",
  "random-after",
  "replaced",
  "below-rounding",
  "undetermined",
  "distance-shrank",
  "tie-lost",
  "not-finite",
] as const;
export type Flag = (typeof flags)[number];

/** What each flag says, in words. */
export const flagMeanings: { readonly [Name in Flag]: string } = {
  unchanged: "the same numbers",
  rounded: "the same numbers once both are in the coarser of their formats",
  "random-before": "the spectrum before is that of random noise: were the weights loaded?",
  "random-after": "the spectrum after is that of random noise: were the weights loaded?",
  replaced: "the update is larger than the weights were: not the same model?",
  "below-rounding": "the update is smaller than what storing in bf16 would cause",
  undetermined: "at some rank no gap between the values fixes the subspace: its angles mean nothing there",
  "distance-shrank": "nearer to its reference than an earlier checkpoint of the same training",
  "tie-lost": "a loader that ties drops lm_head: the model that answers is not the one that was trained",
  "not-finite": "NaN, infinite or beyond 32-bit floats: not compared",
};

/** The comparison of one matrix, without its name: what two tensors with these bytes always give. */
export interface MatrixComparison {
  readonly shape: readonly [number, number];
  readonly dtype: Change<FloatDtype>;
  readonly singularValues: Change<readonly number[]> & {
    readonly method: Change<FactorMethod>;
    /** No value is further from the exact one than this. */
    readonly error: Change<number>;
  };
  /** ‖Δσ‖ / ‖σ‖; absent for a zero matrix. */
  readonly spectralShift?: number;
  /** Mean and largest |Δσ| / σ over the values above the numerical rank's tolerance. */
  readonly relativeChange?: { readonly mean: number; readonly largest: number };
  readonly stableRank: Partial<Change<number>>;
  readonly entropyRank: Partial<Change<number>>;
  readonly powerLaw: Partial<Change<PowerLaw>>;
  /** Radians, ascending, by rank. */
  readonly principalAngles: BothSides<ByRank<readonly number[]>>;
  readonly subspaces: BothSides<readonly SubspaceRecord[]>;
  /** Vector by vector: angles and bounds in radians, and the mean angle weighted by σ². */
  readonly directions: BothSides<readonly number[]> & {
    readonly bounds: readonly number[];
    readonly weighted: BothSides<number>;
  };
  readonly update: UpdateRecord;
  readonly sparsity: Sparsity;
  readonly elements: ElementComparison;
  readonly nulls: Nulls;
  /** Guard (d): whether the spectra are those of i.i.d. noise (Marchenko and Pastur). */
  readonly randomness: Partial<Change<MarchenkoPasturFit>>;
  readonly flags: readonly Flag[];
}

/** The update Δ = after − before. */
export interface UpdateRecord {
  readonly frobenius: number;
  /** ‖Δ‖_F / ‖before‖_F; absent when before is zero. */
  readonly relative?: number;
  readonly spectral: number;
  readonly singularValues: readonly number[];
  readonly stableRank?: number;
  readonly entropyRank?: number;
  /** Fewest directions that hold 90, 95 and 99 % of ‖Δ‖_F²; absent where not all values are known. */
  readonly energyRanks?: { readonly "90": number; readonly "95": number; readonly "99": number };
  readonly numericalRank?: NumericalRank;
  /** At the rank to speak of first, the largest that leaves all angles free; absent for no update. */
  readonly energy?: EnergySplit;
  readonly energyByRank: readonly EnergySplit[];
  readonly intruders: Intruders;
}

/** The comparison of a tensor that is not a matrix: its elements only. */
export interface VectorComparison {
  readonly shape: readonly number[];
  readonly dtype: Change<FloatDtype>;
  readonly update: Pick<UpdateRecord, "frobenius" | "relative">;
  readonly sparsity: Sparsity;
  readonly elements: ElementComparison;
  readonly flags: readonly Flag[];
}

/** Which tensor it is. */
export interface TensorLabel {
  readonly name: string;
  /** Number of the layer; absent outside of layers. */
  readonly layer?: number;
  /** What it does in its layer, such as `q_proj`. */
  readonly kind: string;
}

/** A matrix of two checkpoints. */
export type MatrixSpectra = TensorLabel & MatrixComparison;
/** Any other tensor of two checkpoints. */
export type VectorSpectra = TensorLabel & VectorComparison;

/** Any cached comparison. */
export type Comparison = MatrixComparison | VectorComparison;
