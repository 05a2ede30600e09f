/** A model of a run answers the tasks that all its checkpoints are measured on. */

import { StoppedError } from "../../base/progress/index.ts";
import { splits } from "../../tasks/environment/index.ts";
import { type EvaluatedItem, evaluate } from "../../tasks/evaluation/index.ts";
import { findTemplateUse, type Workshop } from "./workshop.ts";

/**
 * The run's evaluation, with these parameters. Throws `StoppedError` between batches once a stop is wished; `command` is what
 * continues then.
 */
export async function answerTasks(
  workshop: Workshop,
  parameters: Float32Array,
): Promise<readonly EvaluatedItem[]> {
  const { tasks, effects, environment, config, tokenizer, folder, generator } = workshop;
  return evaluate({ config, tokenizer, parameters }, generator, {
    ...tasks.evaluation,
    environment,
    rendering: tasks.rendering,
    template: findTemplateUse(folder),
    splits,
    onBatch: () => {
      if (effects.signal.aborted) throw new StoppedError();
    },
  });
}
