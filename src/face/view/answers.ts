/** Answers as pages show them: every task, and what each checkpoint made of it. */
import { UsageError } from "../../base/core/index.ts";
import { describeTasks } from "../../lab/outcome/index.ts";
import { type ItemRecord, isFollowed, type RunFolder } from "../../run/index.ts";
import { countIncomplete } from "../../tasks/evaluation/index.ts";
import { type AnswersView, gradeLetters } from "./contract.ts";

/** Which part of an answer went wrong first. */
function letterOf({ parts, outcome }: ItemRecord): string {
  if (parts.solved) return gradeLetters.solved;
  if (outcome in countIncomplete({ [outcome]: 1 })) return gradeLetters.incomplete;
  // Where another tool graded, nobody knows of format and values.
  if (parts.format === false) return gradeLetters.wrongFormat;
  return parts.values === false ? gradeLetters.wrongValues : gradeLetters.wrongResult;
}

/** The answers of all checkpoints that are evaluated so far. */
export async function readAnswers(folder: RunFolder): Promise<AnswersView> {
  const grades: Record<string, string> = {};
  const answers: Record<string, readonly string[]> = {};
  const outcomes: Record<string, readonly string[]> = {};
  const hashes = new Map<string, string>();
  for (const { id } of await folder.readLineage()) {
    if (isFollowed(folder.recipe) && !(await folder.hasEvaluation(id))) continue;
    const items = await folder.readEvaluation(id);
    grades[id] = items.map(letterOf).join("");
    answers[id] = items.map(({ answer }) => answer);
    outcomes[id] = items.map(({ outcome }) => outcome);
    for (const { split, index, promptHash } of items) hashes.set(`${split} ${index}`, promptHash);
  }
  const tasks = await describeShown(folder, hashes);
  return { tasks, grades, answers, outcomes };
}

/** What a page shows of tasks: answers are there to be seen also where the questions are gone. */
async function describeShown(
  folder: RunFolder,
  hashes: ReadonlyMap<string, string>,
): Promise<AnswersView["tasks"]> {
  try {
    return (await describeTasks(folder, hashes)).tasks;
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    const prompt = `not known: ${error.message}`;
    return [...hashes.keys()].map((place) => {
      const [split, index] = place.split(" ");
      return { split: split === "id" ? "id" : "ood", index: Number(index), prompt, reference: "not known" };
    });
  }
}
