/** One training whose checkpoints lie in several folders: a course that was resumed into a new one. */
import { UsageError } from "../../base/core/index.ts";
import type { FoundTraining } from "./find-trainings.ts";

/** A part of a training. */
export interface TrainingPart {
  readonly found: FoundTraining;
  /** Steps that were taken before its own first, where it counts them anew. */
  readonly after?: number | undefined;
}

/**
 * The parts, in the order in which they were trained, as one training under the folder of the first. Throws `UsageError` where
 * the steps of a later part do not come after those of an earlier one.
 */
export function mergeTrainings(parts: readonly TrainingPart[]): FoundTraining {
  const [first, ...others] = parts.map(countOn);
  if (first === undefined) throw new RangeError("Cannot merge no trainings");
  let merged = first;
  for (const next of others) {
    const [last, begin] = [merged.checkpoints.at(-1), next.checkpoints[0]];
    if (last !== undefined && begin !== undefined && begin.step <= last.step)
      throw new UsageError(
        `Cannot follow "${next.folder}" as what comes after "${last.folder}", step ${last.step}: it begins with step ${begin.step}; where it counts its steps anew, say so in the lineage file by after: ${last.step}, else move away what it replaces`,
      );
    merged = join(merged, next);
  }
  return merged;
}

/** A part with its steps counted from the beginning of the first. */
function countOn({ found, after = 0 }: TrainingPart): FoundTraining {
  const move = <Item extends { readonly step: number }>(items: readonly Item[]): readonly Item[] =>
    items.map((item) => ({ ...item, step: item.step + after }));
  return {
    ...found,
    checkpoints: move(found.checkpoints),
    partial: move(found.partial),
    leftOut: move(found.leftOut),
    log: { ...found.log, steps: move(found.log.steps) },
  };
}

function join(first: FoundTraining, second: FoundTraining): FoundTraining {
  // What the second part logged begins where it took over.
  const [begin] = second.log.steps;
  const before = first.log.steps.filter(({ step }) => begin === undefined || step < begin.step);
  return {
    ...first,
    checkpoints: [...first.checkpoints, ...second.checkpoints],
    partial: [...first.partial, ...second.partial],
    leftOut: [...first.leftOut, ...second.leftOut],
    notes: [...first.notes, ...second.notes],
    log: {
      steps: [...before, ...second.log.steps],
      unread: [...first.log.unread, ...second.log.unread],
    },
  };
}
