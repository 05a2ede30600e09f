import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { createFollowedRun } from "../../../test/support/followed-run.ts";
import { type Question, writeQuestions } from "../../../test/support/questions.ts";
import { createTemporaryFolder, removeFolder } from "../../../test/support/untwist.ts";
import { UsageError } from "../../base/core/index.ts";
import { type ItemRecord, importedEnvironment, importedTasksName, type RunFolder } from "../../run/index.ts";
import { openEnvironment, splits } from "../../tasks/environment/index.ts";
import { createTasks, hashTask } from "../../tasks/evaluation/index.ts";
import { describeTasks, readQuestions } from "./run-questions.ts";

const place = createTemporaryFolder();
afterAll(() => removeFolder(place));

const evaluation = { numTasks: 3, seed: 1, numAttempts: 1, maxNewTokens: 8, batchSize: 1 };
const questions = {
  id: ["1", "2", "3"].map((answer): Question => ({ question: `Which one is ${answer}?`, answer })),
  ood: ["4", "5", "6"].map((answer): Question => ({ question: `Which one is ${answer}?`, answer })),
};

/** What was answered to the questions that an environment has now. */
async function answer(environment: string): Promise<readonly ItemRecord[]> {
  const opened = await openEnvironment(environment);
  const asked = { environment: opened, promptFormat: "chat", seed: 1 } as const;
  return splits.flatMap((split) =>
    createTasks(asked, { split, first: 0, numTasks: 3 }).map(
      (task, index): ItemRecord => ({
        split,
        index,
        promptHash: hashTask(opened, task, "chat"),
        answer: "",
        numAttempts: 1,
        outcome: "incorrect",
        reward: 0,
        parts: { solved: false },
      }),
    ),
  );
}

/** A followed run that was asked a user's own questions, its second checkpoint alone. */
async function open(name: string): Promise<{ readonly folder: RunFolder; readonly items: string }> {
  const items = join(place, `${name}-items`);
  const environment = writeQuestions(items, questions);
  const run = await createFollowedRun(
    join(place, name),
    { base: "a", "sft-1": "b" },
    { environment, evaluation },
  );
  await run.writeEvaluation("sft-1", await answer(environment));
  return { folder: run, items };
}

describe("readQuestions()", () => {
  it("gives every question with its answer, in the order of the items", async () => {
    const { folder } = await open("whole");
    const found = await readQuestions(folder);
    expect(found.map(({ split, index }) => `${split} ${index}`)).toEqual(
      splits.flatMap((split) => [0, 1, 2].map((index) => `${split} ${index}`)),
    );
    for (const { prompt, reference } of found) expect(prompt).toBe(`Which one is ${reference}?`);
    const references = found.map(({ split, reference }) => `${split} ${reference}`).sort();
    expect(references).toEqual(["id 1", "id 2", "id 3", "ood 4", "ood 5", "ood 6"]);
  });

  it.each([
    ["a question", { question: "Which one is not 5?", answer: "5" }],
    ["an answer", { question: "Which one is 5?", answer: "50" }],
  ])("refuses questions of which %s was edited since, and says which", async (what, edited) => {
    const { folder, items } = await open(`edited-${what.replace(" ", "-")}`);
    const before = (await readQuestions(folder)).find(({ reference }) => reference === "5");
    writeQuestions(items, { ...questions, ood: questions.ood.with(1, edited) });
    await expect(readQuestions(folder)).rejects.toThrow(UsageError);
    await expect(readQuestions(folder)).rejects.toThrow(
      `OOD question ${before?.index} of items:${items} is not the one that was asked`,
    );
  });

  it("has none of a run that was not asked yet, and today's of one that has no answers yet", async () => {
    expect(await readQuestions(await createFollowedRun(join(place, "unasked"), { base: "a" }))).toEqual([]);
    const environment = writeQuestions(join(place, "items"), questions);
    const run = await createFollowedRun(join(place, "new"), { base: "a" }, { environment, evaluation });
    expect((await readQuestions(run)).length).toBe(6);
  });

  it("gives those that came with imported results, and refuses them where they are missing or damaged", async () => {
    const asked = { environment: importedEnvironment, evaluation };
    const run = await createFollowedRun(join(place, "imported"), { base: "a" }, asked);
    const refuse = async (): Promise<void> => {
      await expect(readQuestions(run)).rejects.toThrow(UsageError);
      await expect(readQuestions(run)).rejects.toThrow(`${importedTasksName} is missing or damaged`);
    };
    await refuse();
    const tasks = [{ split: "ood", index: 7, prompt: "Why?", reference: "Because" }];
    writeFileSync(join(run.path, importedTasksName), JSON.stringify({ tasks, more: 1 }));
    expect(await readQuestions(run)).toEqual(tasks);
    writeFileSync(join(run.path, importedTasksName), JSON.stringify({ tasks: [{ split: "else" }] }));
    await refuse();
  });
});

describe("describeTasks()", () => {
  it("gives what is still known, and says of the rest that it is not", async () => {
    const { folder, items } = await open("partly");
    const hashes = new Map(
      (await folder.readEvaluation("sft-1")).map(({ split, index, promptHash }) => [
        `${split} ${index}`,
        promptHash,
      ]),
    );
    const before = await describeTasks(folder, hashes);
    expect(before.unknown).toEqual([]);
    const edited = before.tasks.find(({ reference }) => reference === "2");
    writeQuestions(items, { ...questions, id: questions.id.with(1, { question: "Another?", answer: "2" }) });
    const { tasks, unknown } = await describeTasks(folder, hashes);
    expect(unknown).toMatchObject([{ split: "id", index: edited?.index }]);
    for (const [position, task] of tasks.entries()) {
      const isEdited = before.tasks[position] === edited;
      const notKnown = "not known: this is not the task that was asked then";
      expect(task).toEqual(
        isEdited ? { ...edited, prompt: notKnown, reference: notKnown } : before.tasks[position],
      );
    }
  });
});
