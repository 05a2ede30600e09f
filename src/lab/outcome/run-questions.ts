/** The questions of a run: made anew from its recipe, or kept beside imported results. */
import { z } from "zod";
import { UsageError } from "../../base/core/index.ts";
import { findTasks, importedEnvironment, importedTasksName, type RunFolder } from "../../run/index.ts";
import { openEnvironment, type Split, splits } from "../../tasks/environment/index.ts";
import { createTasks, hashTask } from "../../tasks/evaluation/index.ts";

/** A question as it was put, and the answer that it has. */
export interface RunQuestion {
  readonly split: Split;
  readonly index: number;
  readonly prompt: string;
  readonly reference: string;
}

const importedSchema = z.object({
  tasks: z.array(
    z.object({ split: z.enum(splits), index: z.number(), prompt: z.string(), reference: z.string() }),
  ),
});

/** Questions that came with answers from another tool. */
async function readImportedTasks(folder: RunFolder): Promise<readonly RunQuestion[]> {
  const { data } = importedSchema.safeParse(await folder.readExtra(importedTasksName));
  if (data !== undefined) return data.tasks;
  throw new UsageError(
    `Cannot read the questions of "${folder.path}": its ${importedTasksName} is missing or damaged; import the results again`,
  );
}

/**
 * The questions of a run, in the order of its items. Throws `UsageError` where they are no longer those that were asked: `items:` were
 * edited, or their path means another folder now.
 */
export async function readQuestions(folder: RunFolder): Promise<readonly RunQuestion[]> {
  const hashes = new Map<string, string>();
  for (const { id } of await folder.readLineage())
    if (hashes.size === 0 && (await folder.hasEvaluation(id)))
      for (const { split, index, promptHash } of await folder.readEvaluation(id))
        hashes.set(`${split} ${index}`, promptHash);
  const { tasks, unknown } = await describeTasks(folder, hashes);
  const [first] = unknown;
  if (first !== undefined)
    throw new UsageError(
      `Cannot give the questions of "${folder.path}": ${first.split.toUpperCase()} question ${first.index} of ${findTasks(folder.recipe)?.environment} is not the one that was asked; put the questions of then back in their place`,
    );
  return tasks;
}

const notKnown = "not known: this is not the task that was asked then";

/** Tasks made anew from the recipe, as far as they are still those that were asked: evaluations keep only hashes of prompts. */
export async function describeTasks(
  folder: RunFolder,
  hashes: ReadonlyMap<string, string>,
): Promise<{
  readonly tasks: readonly RunQuestion[];
  readonly unknown: readonly { readonly split: Split; readonly index: number }[];
}> {
  const asked = findTasks(folder.recipe);
  if (asked === undefined) return { tasks: [], unknown: [] };
  if (asked.environment === importedEnvironment)
    return { tasks: await readImportedTasks(folder), unknown: [] };
  const { promptFormat } = asked;
  const environment = await openEnvironment(asked.environment);
  const { seed, numTasks } = asked.evaluation;
  const tasks = splits.flatMap((split) =>
    createTasks({ environment, promptFormat, seed }, { split, first: 0, numTasks }).map((task, index) => {
      const hash = hashes.get(`${split} ${index}`);
      return hash !== undefined && hash !== hashTask(environment, task, promptFormat)
        ? { split, index, prompt: notKnown, reference: notKnown }
        : {
            split,
            index,
            prompt: environment.prompt(task, promptFormat),
            reference: environment.referenceAnswer(task, promptFormat),
          };
    }),
  );
  return { tasks, unknown: tasks.filter(({ prompt }) => prompt === notKnown) };
}
