/** A server's model asked as a checkpoint of a run: the run's tasks, and answers kept in the run as they come. */
import { splits } from "../environment/index.ts";
import type { EvaluatedItem } from "../evaluation/index.ts";
import type { RunFolder } from "../run/index.ts";
import { askEndpoint, type EndpointChoice } from "./ask-endpoint.ts";
import type { Effects } from "./effects.ts";
import { requireTasks } from "./require-recipe.ts";

/** Asks all of the run's tasks. Throws as `askEndpoint`. */
export async function askCheckpoint(
  folder: RunFolder,
  checkpoint: string,
  {
    choice,
    command,
    effects,
  }: {
    readonly choice: Omit<EndpointChoice, "maxNewTokens">;
    readonly command: string;
    readonly effects: Effects;
  },
): Promise<readonly EvaluatedItem[]> {
  const { environment, rendering, evaluation } = requireTasks(folder);
  const tasks = { environment, rendering, splits, ...evaluation };
  const answers = folder.locate(`answers/${checkpoint}.jsonl`);
  const { items } = await askEndpoint({ ...choice, maxNewTokens: evaluation.maxNewTokens }, tasks, {
    answers,
    command,
    effects,
  });
  return items;
}
