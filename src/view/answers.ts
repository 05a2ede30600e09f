/** Answers as pages show them: every task, and what each checkpoint made of it. */
import { z } from "zod";
import { openEnvironment, splits } from "../environment/index.ts";
import { createTasks, hashTask } from "../evaluation/index.ts";
import {
  findTasks,
  type ItemRecord,
  importedEnvironment,
  importedTasksName,
  isFollowed,
  type RunFolder,
} from "../run/index.ts";
import { type AnswersView, verdictLetters } from "./contract.ts";

/** Which part of an answer went wrong first. */
function letterOf({ parts }: ItemRecord): string {
  if (parts.solved) return verdictLetters.solved;
  // Where another tool graded, nobody knows of format and values.
  if (parts.format === false) return verdictLetters.wrongFormat;
  return parts.values === false ? verdictLetters.wrongValues : verdictLetters.wrongResult;
}

/** The answers of all checkpoints that are evaluated so far. */
export async function readAnswers(folder: RunFolder): Promise<AnswersView> {
  const verdicts: Record<string, string> = {};
  const answers: Record<string, readonly string[]> = {};
  const outcomes: Record<string, readonly string[]> = {};
  const hashes = new Map<string, string>();
  for (const { id } of await folder.readLineage()) {
    if (isFollowed(folder.recipe) && !(await folder.hasEvaluation(id))) continue;
    const items = await folder.readEvaluation(id);
    verdicts[id] = items.map(letterOf).join("");
    answers[id] = items.map(({ answer }) => answer);
    outcomes[id] = items.map(({ outcome }) => outcome);
    for (const { split, index, promptHash } of items) hashes.set(`${split} ${index}`, promptHash);
  }
  return { tasks: await describeTasks(folder, hashes), verdicts, answers, outcomes };
}

/** The tasks are made anew from the recipe: evaluations keep only hashes of prompts. */
const importedSchema = z.object({
  tasks: z.array(
    z.object({ split: z.enum(splits), index: z.number(), prompt: z.string(), reference: z.string() }),
  ),
});

/** Questions that came with answers from another tool. */
async function readImportedTasks(folder: RunFolder): Promise<AnswersView["tasks"]> {
  return importedSchema.safeParse(await folder.readExtra(importedTasksName)).data?.tasks ?? [];
}

/** The questions of a run, in the order of its items. */
export async function readQuestions(folder: RunFolder): Promise<AnswersView["tasks"]> {
  return await describeTasks(folder, new Map());
}

async function describeTasks(
  folder: RunFolder,
  hashes: ReadonlyMap<string, string>,
): Promise<AnswersView["tasks"]> {
  const asked = findTasks(folder.recipe);
  if (asked === undefined) return [];
  if (asked.environment === importedEnvironment) return await readImportedTasks(folder);
  const { rendering } = asked;
  const environment = await openEnvironment(asked.environment);
  const { seed, numTasks } = asked.evaluation;
  return splits.flatMap((split) =>
    createTasks({ environment, rendering, seed }, { split, first: 0, numTasks }).map((task, index) => {
      const prompt = environment.prompt(task, rendering);
      const asked = hashes.get(`${split} ${index}`);
      // Another version of untwist may have asked something else.
      if (asked !== undefined && asked !== hashTask(environment, task, rendering))
        return { split, index, prompt: "not known: this version makes other tasks", reference: "not known" };
      return { split, index, prompt, reference: environment.referenceAnswer(task, rendering) };
    }),
  );
}
