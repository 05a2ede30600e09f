/** One progress for work in several phases, each of which tells of itself from 0 to 1. */
import type { Effects } from "./effects.ts";

/** The outside of each phase, whose progress becomes that of the whole. `costs` are in proportion to time. */
export function createPhases(effects: Effects, costs: readonly number[]): readonly Effects[] {
  const startMs = effects.now();
  const total = costs.reduce((sum, cost) => sum + cost, 0);
  return costs.map((cost, phase) => {
    const before = costs.slice(0, phase).reduce((sum, earlier) => sum + earlier, 0);
    return {
      ...effects,
      report: (event) => {
        if (event.kind !== "progress") return effects.report(event);
        const doneFraction = total === 0 ? 1 : (before + event.doneFraction * cost) / total;
        const remainingMs = ((effects.now() - startMs) * (1 - doneFraction)) / doneFraction;
        const { remainingMs: _, ...rest } = event;
        effects.report({ ...rest, doneFraction, ...(doneFraction > 0 && { remainingMs }) });
      },
    };
  });
}
