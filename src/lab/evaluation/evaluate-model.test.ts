import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { createMachine, createTestEffects } from "../../../test/support/effects.ts";
import { sumWords, writeQuestions, writeSums } from "../../../test/support/questions.ts";
import { createTinyModel } from "../../../test/support/tiny-model.ts";
import { createTemporaryFolder, listFilesBelow, removeFolder } from "../../../test/support/untwist.ts";
import { UsageError } from "../../base/core/index.ts";
import { StoppedError } from "../../base/progress/index.ts";
import { saveModel } from "../../engine/model/index.ts";
import { splits } from "../../tasks/environment/index.ts";
import { memoryFolder } from "../cache/answer-memory.ts";
import { evaluateModel, type ModelEvaluation, type ModelEvaluationOptions } from "./evaluate-model.ts";

const place = createTemporaryFolder();
afterAll(() => removeFolder(place));

const cards = join(place, "cards");
await saveModel(cards, createTinyModel());
const sums = writeSums(join(place, "sums"), 3);
const template = "{% for m in messages %}{{ m.content }} {{ m.content }}{% endfor %}";
const adder = join(place, "adder");
await saveModel(adder, createTinyModel({ words: sumWords, maxPositions: 24, template }));

/** Effects with a cache of its own, in which nothing was answered yet. */
const isolate = (name: string, signal = new AbortController().signal): ReturnType<typeof createTestEffects> =>
  createTestEffects({ machine: createMachine(join(place, `cache-${name}`)), signal });

const evaluate = (
  model: string,
  effects: ReturnType<typeof createTestEffects>,
  change: Partial<ModelEvaluationOptions> = {},
): Promise<ModelEvaluation> =>
  evaluateModel(
    model,
    { environment: "general-points", splits, numTasks: 3, maxNewTokens: 4, ...change },
    effects,
  );

describe("evaluateModel()", () => {
  it("asks all tasks of the splits in order, counts them, and says what was asked and how", async () => {
    const { environment, tasks, template: used, results, items } = await evaluate(cards, isolate("whole"));
    expect([environment, tasks.promptFormat, used]).toEqual(["general-points", "compact", "none"]);
    expect(tasks.evaluation).toMatchObject({ numTasks: 3, seed: 1, maxNewTokens: 4 });
    expect(items.map(({ split, index }) => `${split} ${index}`)).toEqual(
      splits.flatMap((split) => [0, 1, 2].map((index) => `${split} ${index}`)),
    );
    for (const split of splits) {
      const own = items.filter((item) => item.split === split);
      const correct = own.filter(({ parts }) => parts.solved).length;
      expect(results[split]?.solved).toEqual({ correct, total: 3 });
      const [nats, numTokens] = own.reduce(
        ([sum, count], { reference }) => [
          sum + (reference?.negativeLogLikelihood ?? 0),
          count + (reference?.numTokens ?? 0),
        ],
        [0, 0],
      );
      expect(results[split]?.loss).toBeCloseTo(nats / numTokens, 9);
    }
  });

  it("asks one split as it asks it beside the other", async () => {
    const effects = isolate("split");
    const both = await evaluate(cards, effects);
    const ood = await evaluate(cards, effects, { splits: ["ood"] });
    expect(Object.keys(ood.results)).toEqual(["ood"]);
    expect(ood.items).toEqual(both.items.slice(3));
  });

  it("puts chats by the model's own template, or by plain text where that is wanted", async () => {
    const chats = { environment: sums, maxNewTokens: undefined };
    const own = await evaluate(adder, isolate("template"), chats);
    const plain = await evaluate(adder, isolate("plain"), { ...chats, template: "none" });
    expect([own.template, plain.template]).toEqual(["model", "none"]);
    // Four words of a sum, or twice as many, and the rest of 24 positions for the answer.
    expect([own, plain].map(({ tasks }) => tasks.evaluation.maxNewTokens)).toEqual([24 - 8, 24 - 4]);
    expect(own.items.map(({ promptHash }) => promptHash)).toEqual(
      plain.items.map(({ promptHash }) => promptHash),
    );
    const refusal = evaluate(cards, isolate("none"), { promptFormat: "chat", template: "model" });
    await expect(refusal).rejects.toThrow(UsageError);
  });

  it("goes on after a stop with the batch that was not answered, to the same answers", async () => {
    const whole = await evaluate(cards, isolate("unstopped"));
    const stop = new AbortController();
    const effects = isolate("stopped", stop.signal);
    // As the batch of ID begins: it is answered, and that of OOD is not.
    const stopping = { ...effects, report: (): void => stop.abort() };
    const countKept = (): number =>
      listFilesBelow(join(place, "cache-stopped")).filter((name) => name.startsWith(memoryFolder)).length;
    await expect(evaluate(cards, stopping)).rejects.toThrow(StoppedError);
    expect(countKept()).toBe(1);
    const again = isolate("stopped");
    expect(await evaluate(cards, again)).toEqual(whole);
    expect([countKept(), again.notices()]).toEqual([2, [expect.stringContaining("gave before are taken")]]);
    const progress = again.events.flatMap((event) => (event.kind === "progress" ? [event.doneFraction] : []));
    expect(progress).toEqual([0, 0.5]);
  });

  it("refuses what it cannot ask before it asks anything", async () => {
    const judged = writeQuestions(join(place, "judged"), {
      id: [{ question: "1 ?", answer: "1", grader: "judge" }],
      ood: [{ question: "2 ?", answer: "2", grader: "judge" }],
    });
    const effects = isolate("refused");
    for (const [model, change, words] of [
      [join(place, "nowhere"), {}, "nowhere"],
      [cards, { environment: judged }, "take a judge"],
      [cards, { environment: "chess" }, '"chess"'],
      [cards, { maxNewTokens: 64 }, "64 positions"],
      [cards, { environment: sums, numTasks: 4 }, "has 3"],
    ] as const) {
      await expect(evaluate(model, effects, change)).rejects.toThrow(UsageError);
      await expect(evaluate(model, effects, change)).rejects.toThrow(words);
    }
    expect(effects.events).toEqual([]);
    expect(listFilesBelow(place).filter((name) => name.startsWith("cache-refused"))).toEqual([]);
  });
});
