/** A model of a run answers the tasks that all its checkpoints are measured on. */
import { splits } from "../environment/index.ts";
import { type EvaluatedItem, evaluate } from "../evaluation/index.ts";
import { isFollowed } from "../run/index.ts";
import { StoppedError } from "./effects.ts";
import type { Workshop } from "./workshop.ts";

/**
 * The run's evaluation, with these parameters. Throws `StoppedError` between batches once a stop is wished; `command` is what
 * continues then.
 */
export async function answerTasks(
  workshop: Workshop,
  parameters: Float32Array,
  command: string,
): Promise<readonly EvaluatedItem[]> {
  const { tasks, effects, environment, config, tokenizer, folder } = workshop;
  // Our own training learns from plain prompts, and is asked by the same.
  const template = isFollowed(folder.recipe) ? folder.recipe.asking?.template : undefined;
  return evaluate({ config, tokenizer, parameters }, workshop, {
    ...tasks.evaluation,
    environment,
    rendering: tasks.rendering,
    template,
    splits,
    onBatch: () => {
      if (effects.signal.aborted) throw new StoppedError(command);
    },
  });
}
