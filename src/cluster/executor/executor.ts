/** Who carries out packs: the same interface for this machine and for schedulers of clusters. */
import { UsageError } from "../../base/core/index.ts";
import type { Resources } from "./resources.ts";

/** Who can carry out jobs, and whether packs go on when the process that handed them over ends. */
const detachment = { local: false, slurm: true, kubernetes: true, exec: false } as const;

/** The name of an executor. */
export type ExecutorName = keyof typeof detachment;

/** All of them. */
export const executorNames = Object.keys(detachment) as readonly ExecutorName[];

/** Whether packs go on when the process that handed them over ends: then any other may ask for them and cancel them. */
export const isDetached = (name: ExecutorName): boolean => detachment[name];

/** Packs that were handed to an executor together. */
export interface Submission {
  /** Counts up within the job. */
  readonly number: number;
  readonly executor: ExecutorName;
  /** Positions of pieces, pack by pack. */
  readonly packs: readonly (readonly number[])[];
  readonly resources: Resources;
  /** By pack, those that are known to have ended. */
  readonly ended: Readonly<Record<string, { readonly cause: Cause }>>;
}

/** A submission and the job that it belongs to. */
export interface PlacedSubmission extends Submission {
  readonly job: string;
  /** The folder of the job. */
  readonly folder: string;
  /** When the job was made: another of the same plan, made after that one was deleted, is not taken for it. */
  readonly made: string;
}

/** One pack of a submission. */
export interface PlacedPack {
  readonly submission: PlacedSubmission;
  readonly pack: number;
}

/** All packs of submissions. */
export function listPlacedPacks(submissions: readonly PlacedSubmission[]): readonly PlacedPack[] {
  return submissions.flatMap((submission) => submission.packs.map((_, pack) => ({ submission, pack })));
}

/** Why a process ended that did not do all of its work, as far as its executor knows. */
export type Cause = "completed" | "failed" | "memory" | "time" | "node" | "cancelled";

/** How a pack stands. */
export type PackState =
  | {
      readonly kind: "waiting";
      readonly reason?: string;
      /** What to do where it would wait forever. */
      readonly advice?: string;
    }
  | { readonly kind: "running"; readonly node?: string }
  | { readonly kind: "ended"; readonly cause: Cause; readonly node?: string };

/** Commands by which a person does what an executor cannot reach. */
export interface ByHand {
  readonly start: (submission: PlacedSubmission) => string;
  readonly end: (submission: PlacedSubmission) => string;
}

/** Carries out packs. All of it may be asked by another process than the one that submitted, where it is detached. */
export interface Executor {
  readonly name: ExecutorName;
  /** Of one that only writes down what is to be done. Nothing is submitted to it a second time unless somebody asks. */
  readonly byHand?: ByHand;
  /** Resources as far as they are to be had there; all of them, without this. Throws `UnreachableError`. */
  fit?(resources: Resources): Promise<Resources>;
  /** Hands packs over. Throws `UsageError` where they are refused, `UnreachableError` where nobody answers. */
  submit(submission: PlacedSubmission): Promise<void>;
  /** What would be submitted, as a person reads it. */
  describe(submission: PlacedSubmission): Promise<string>;
  /** How all packs of all submissions stand, by one question. Throws `UnreachableError`. */
  poll(submissions: readonly PlacedSubmission[]): Promise<readonly (readonly PackState[])[]>;
  /** Ends packs that run or wait; others are left as they are. */
  cancel(packs: readonly PlacedPack[]): Promise<void>;
  /** What the processes of a pack printed last, up to `mostLogBytes`; empty where there is nothing. */
  logs(submission: PlacedSubmission, pack: number): Promise<string>;
  /** Releases what it holds; packs of an executor that is not detached end. */
  close(): Promise<void>;
}

/** How much of a log is looked at: its last lines say how a process ended. */
export const mostLogBytes = 2 ** 16;

/** A scheduler that does not answer now, and may later. */
export class UnreachableError extends UsageError {
  override readonly name = "UnreachableError";
}
