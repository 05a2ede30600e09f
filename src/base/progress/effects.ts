/** What the lab does to the outside beyond the run folder: telling what happens, reading a clock, being stopped. */

/** Something that happened during a run. */
export type LabEvent =
  | { readonly kind: "planned"; readonly stages: readonly StageOutline[]; readonly numEvaluations: number }
  | {
      readonly kind: "step";
      readonly stage: string;
      readonly step: number;
      readonly ms: number;
      readonly metrics: Readonly<Record<string, unknown>>;
    }
  | {
      readonly kind: "evaluated";
      readonly checkpoint: string;
      readonly ms: number;
      readonly id: { readonly correct: number; readonly total: number };
      readonly ood: { readonly correct: number; readonly total: number };
    }
  | {
      readonly kind: "progress";
      /** The kind of work. */
      readonly work: "spectra" | "edit" | "sweep" | "evaluation" | "job";
      /** What was done last. */
      readonly what: string;
      readonly doneFraction: number;
      /** Absent until there is something to go by. */
      readonly remainingMs?: number;
    }
  | { readonly kind: "notice"; readonly text: string }
  | { readonly kind: "finished"; readonly folder: string };

/** A stage as far as progress is concerned. */
export interface StageOutline {
  readonly id: string;
  readonly numSteps: number;
  /** Steps already taken by an earlier process. */
  readonly numDone: number;
}

/** The lab's outside. */
export interface Effects {
  report(event: LabEvent): void;
  /** Milliseconds on a clock that only moves forward. */
  now(): number;
  /** Aborted when the run is to stop at the next step; it can be resumed. */
  readonly signal: AbortSignal;
}

/** Thrown when work stops because it was asked to; nothing is lost. */
export class StoppedError extends Error {
  /** `command` is what continues the work; `text` says more than that, where there is more to say. */
  constructor(command: string, text = `Stopped; nothing is lost, continue with: ${command}`) {
    super(text);
    this.name = "StoppedError";
  }
}

/** The command that continues a run. */
export function resumeCommand(folder: string): string {
  return `untwist run --resume --out ${folder}`;
}
