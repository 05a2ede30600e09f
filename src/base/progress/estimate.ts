/** How long a run still takes, from how long its parts took so far. */
import type { LabEvent, StageOutline } from "./effects.ts";

/** Milliseconds that parts take on a 2-core machine: used in proportion until a part was measured itself. */
const typicalMs = { base: 120, sft: 50, rl: 450, evaluation: 1000 } as const;

type Part = keyof typeof typicalMs;

interface Work {
  numLeft: number;
  numMeasured: number;
  measuredMs: number;
}

/** Follows a run's events and tells how much of it is left. */
export interface Estimator {
  observe(event: LabEvent): void;
  /** Work done as a fraction of the whole, 0 to 1. */
  doneFraction(): number;
  remainingMs(): number;
}

function partOf({ id }: Pick<StageOutline, "id">): Part {
  if (id.startsWith("base")) return "base";
  return id === "sft" ? "sft" : "rl";
}

/** An estimator that has seen nothing yet. */
export function createEstimator(): Estimator {
  const empty = (): Work => ({ numLeft: 0, numMeasured: 0, measuredMs: 0 });
  const work: Record<Part, Work> = { base: empty(), sft: empty(), rl: empty(), evaluation: empty() };
  const parts = Object.keys(typicalMs).filter((name): name is Part => name in typicalMs);
  const measured = (): number => parts.reduce((sum, part) => sum + work[part].measuredMs, 0);
  const pace = (): number => {
    const typical = parts.reduce((sum, part) => sum + work[part].numMeasured * typicalMs[part], 0);
    return typical === 0 ? 1 : measured() / typical;
  };
  const msOf = (part: Part): number => {
    const { numMeasured, measuredMs } = work[part];
    return numMeasured === 0 ? typicalMs[part] * pace() : measuredMs / numMeasured;
  };
  const remainingMs = (): number => parts.reduce((sum, part) => sum + work[part].numLeft * msOf(part), 0);
  const record = (part: Part, ms: number): void => {
    const entry = work[part];
    entry.numLeft = Math.max(0, entry.numLeft - 1);
    entry.numMeasured += 1;
    entry.measuredMs += ms;
  };
  return {
    observe: (event) => {
      if (event.kind === "planned") {
        for (const stage of event.stages) work[partOf(stage)].numLeft += stage.numSteps - stage.numDone;
        work.evaluation.numLeft = event.numEvaluations;
      }
      if (event.kind === "step") record(partOf({ id: event.stage }), event.ms);
      if (event.kind === "evaluated") record("evaluation", event.ms);
    },
    remainingMs,
    doneFraction: () => {
      const total = measured() + remainingMs();
      return total === 0 ? 1 : measured() / total;
    },
  };
}
