/** What pages are given: plain data, the same over HTTP and inside a report. The only file of `src` that `web` reads. */
import type { RepairRecord, Summary } from "../../run/index.ts";

export type { RepairRecord, Summary };

/** A run in a list. */
export interface RunListing {
  /** Its folder, relative to the folder that is shown; "." for that folder itself. */
  readonly id: string;
  readonly recipe: string;
  readonly seed: number;
  readonly isFinished: boolean;
  readonly numCheckpoints: number;
  /** OOD tasks solved at the peak and at the end of SFT, of `numTasks`; absent before SFT. */
  readonly ood?: { readonly peak: number; readonly end: number; readonly numTasks: number };
}

/** A run's outcome so far. */
export interface RunView {
  readonly id: string;
  /** Its folder as one types it into a shell where the studio was started, or the report written. */
  readonly path: string;
  readonly isFinished: boolean;
  readonly summary: Summary;
  /** What a watch of the run has raised, as sentences. */
  readonly alerts: readonly string[];
}

/** Numbers logged during the stages of a run, thinned to what a chart can show. */
export interface CurvesView {
  readonly stages: readonly StageCurves[];
}

/** One stage's curves. */
export interface StageCurves {
  /** `sft`, or the name of an RL branch. */
  readonly stage: string;
  readonly steps: readonly number[];
  /** By name; as long as `steps`. */
  readonly series: Readonly<Record<string, readonly (number | null)[]>>;
  /** Of RL stages: histograms of raw advantages at some of the steps. */
  readonly advantages: readonly AdvantageHistogram[];
}

/** Counts of advantages between `low` and `high`, in bins of equal width. */
export interface AdvantageHistogram {
  readonly step: number;
  readonly low: number;
  readonly high: number;
  readonly counts: readonly number[];
}

/** Measures of matrices that the map shows. */
export const weightMeasures = [
  "beyondChance",
  "rotation",
  "spectralShift",
  "relativeUpdate",
  "unchanged",
] as const;

/** A measure of a matrix that pages can show. */
export type WeightMeasure = (typeof weightMeasures)[number];

/** All matrices of all pairs of checkpoints, a number each. */
export interface WeightsView {
  readonly pairs: readonly { readonly before: string; readonly after: string }[];
  readonly matrices: readonly MatrixLabel[];
  /** By measure: one list per pair, with one number per matrix. Angles in radians, all else as fractions. */
  readonly measures: Readonly<Record<WeightMeasure, readonly (readonly (number | null)[])[]>>;
}

/** A matrix of the model. */
export interface MatrixLabel {
  readonly name: string;
  /** Null outside of layers. */
  readonly layer: number | null;
  readonly kind: string;
  readonly rows: number;
  readonly columns: number;
}

/** One matrix in one pair of checkpoints. */
export interface MatrixView extends MatrixLabel {
  readonly before: string;
  readonly after: string;
  /** Descending. */
  readonly values: { readonly before: readonly number[]; readonly after: readonly number[] };
  readonly update: readonly number[];
  readonly subspaces: readonly {
    readonly side: string;
    readonly rank: number;
    /** Radians, ascending. */
    readonly angles: readonly number[];
    /** rms sine of the angles, measured and by chance. */
    readonly chordal: number | null;
    readonly chance: number | null;
    /** rms sine of unrelated subspaces. */
    readonly unrelated: number | null;
  }[];
  readonly energy: readonly {
    readonly rank: number;
    readonly stretch: number;
    readonly rotation: number;
    readonly outside: number;
    readonly insideChance: number;
  }[];
  /** Guards that raised something, with what it means. */
  readonly flags: readonly { readonly flag: string; readonly meaning: string }[];
}

/** |UᵀU'| of the leading singular vectors of a matrix: rows before, columns after, in whole percent. */
export interface OverlapView {
  readonly size: number;
  readonly left: readonly number[];
  readonly right: readonly number[];
}

/** The kinds of grade in a grid of answers, as one letter each. */
export const gradeLetters = {
  solved: "s",
  wrongResult: "w",
  wrongValues: "v",
  wrongFormat: "f",
  /** It did not come to its end, or could not be judged. */
  incomplete: "c",
} as const;

/** Every task and what each checkpoint made of it. */
export interface AnswersView {
  readonly tasks: readonly {
    readonly split: "id" | "ood";
    readonly index: number;
    readonly prompt: string;
    /** An answer that is right. */
    readonly reference: string;
  }[];
  /** By checkpoint: one letter per task, as in `gradeLetters`. */
  readonly grades: Readonly<Record<string, string>>;
  /** By checkpoint, task by task: the last attempt and the name of its grade. */
  readonly answers: Readonly<Record<string, readonly string[]>>;
  readonly outcomes: Readonly<Record<string, readonly string[]>>;
}

/** A chart as text. */
export interface FigureFile {
  /** Without extension. */
  readonly name: string;
  readonly svg: string;
  readonly csv: string;
}

/** What a report holds: the answers to the requests that its pages make, by path. */
export type ReportData = Readonly<Record<string, unknown>>;
