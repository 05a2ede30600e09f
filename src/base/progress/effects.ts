/** What long work does to the outside beyond its results: reporting, reading a clock, being stopped. */
import { action, renderMessage } from "../core/index.ts";
import type { Machine } from "../machine/index.ts";

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
      readonly work: "spectra" | "edit" | "repair" | "evaluation" | "job";
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

/** All of the outside that long work needs, in one argument. */
export interface Effects {
  report(event: LabEvent): void;
  /** Milliseconds on a clock that only moves forward. */
  now(): number;
  /** Aborted when the run is to stop at the next step; it can be resumed. */
  readonly signal: AbortSignal;
  readonly machine: Machine;
}

/** Thrown when work stops because it was asked to; nothing is lost. */
export class StoppedError extends Error {
  /** The message with its references, as of a `UsageError`. */
  readonly template: string;
  /** `continuation` is what continues the work, as a reference (see `action`); `template` says more, where there is more to say. */
  constructor(
    continuation: string = action("again"),
    template: string = `Stopped; nothing is lost, continue with: ${continuation}`,
  ) {
    super(renderMessage(template));
    this.name = "StoppedError";
    this.template = template;
  }
}
