/** What the embedded engine promises beyond the contract of all: each model asked as its own, and repairs made in memory. */
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { createMachine, createTestEffects } from "../../../test/support/effects.ts";
import { createFakePolicies } from "../../../test/support/fake-policies.ts";
import { sumWords, writeSums } from "../../../test/support/questions.ts";
import { createTinyModel } from "../../../test/support/tiny-model.ts";
import { createTemporaryFolder, removeFolder } from "../../../test/support/untwist.ts";
import { UsageError } from "../../base/core/index.ts";
import { type Model, saveModel } from "../../engine/model/index.ts";
import type { AskedTasks } from "../../run/index.ts";
import { findEnvironment, splits } from "../../tasks/environment/index.ts";
import type { Answerer, Assignment, CheckpointSubject, RepairSubject, Subject } from "./answerer.ts";
import { describeStandalone } from "./assignment.ts";
import { createEmbeddedAnswerer, requireCheckpoint } from "./embedded-answerer.ts";
import type { Engine } from "./engine.ts";

const place = createTemporaryFolder();
afterAll(() => removeFolder(place));

const machine = createMachine(join(place, "cache"));
const cards: AskedTasks = {
  environment: "general-points",
  promptFormat: "compact",
  evaluation: { numTasks: 2, seed: 1, numAttempts: 1, maxNewTokens: 4, batchSize: 2 },
};
const assign = (tasks: AskedTasks, template?: Assignment["template"]): Assignment => ({
  ...describeStandalone(tasks, { splits, template, owner: "a checkpoint of mine" }),
  isRemembered: false,
});

/** A checkpoint in memory. */
const hold = (id: string, model: Model): CheckpointSubject => ({ kind: "checkpoint", id, path: "", model });
/** A checkpoint in a folder. */
async function save(id: string, model: Model): Promise<CheckpointSubject> {
  const path = join(place, id);
  await saveModel(path, model);
  return { kind: "checkpoint", id, path };
}

/** An engine that counts its batches and says nothing, so that every task is missed. */
function createFake(
  assignment: Assignment,
  model: Model,
): Engine & { numBatches: number; isReleased: boolean } {
  const { config, tokenizer } = model;
  const fake = {
    assignment,
    environment: findEnvironment("general-points"),
    config,
    tokenizer,
    numBatches: 0,
    isReleased: false,
    policies: createFakePolicies(async (requests) => {
      fake.numBatches += 1;
      return requests.map(() => ({ tokens: [], logProbs: [], isFinished: true }));
    }, config.maxPositions),
    release: async (): Promise<void> => {
      fake.isReleased = true;
    },
  };
  return fake;
}

describe("createEmbeddedAnswerer()", () => {
  it("uses the engine that it is given for models of its shape, and leaves it to whoever gave it", async () => {
    const model = createTinyModel();
    const engine = createFake(assign(cards), model);
    const answerer = createEmbeddedAnswerer(assign(cards), createTestEffects({ machine }), { engine });
    const { items } = await answerer.answer(hold("same", createTinyModel({ seed: 2 })));
    expect([engine.numBatches, items.map(({ answer }) => answer)]).toEqual([2, ["", "", "", ""]]);
    // One of another shape is answered by programs of its own.
    const longer = createTinyModel({ maxPositions: 72 });
    const own = await answerer.answer(hold("longer", longer));
    expect([engine.numBatches, engine.isReleased]).toEqual([2, false]);
    expect(own.items.length).toBe(4);
    await answerer.close();
    expect(engine.isReleased).toBe(false);
  });

  it("answers for a checkpoint by its own weights, in memory or in its folder, in whatever order", async () => {
    const answerer = createEmbeddedAnswerer(assign(cards), createTestEffects({ machine }));
    const models = [1, 2].map((seed) => createTinyModel({ seed }));
    const inMemory = models.map((model, index) => hold(`memory ${index}`, model));
    const stored = await Promise.all(models.map((model, index) => save(`stored-${index}`, model)));
    const ask = async (subject: Subject): Promise<readonly unknown[]> =>
      (await answerer.answer(subject)).items;
    const [first, second] = [await ask(inMemory[0]!), await ask(inMemory[1]!)];
    expect(second).not.toEqual(first);
    expect([await ask(stored[1]!), await ask(stored[0]!)]).toEqual([second, first]);
    await answerer.close();
  });

  it("puts chats by each model's own template", async () => {
    const environment = writeSums(join(place, "sums"), 2);
    const chats = { ...cards, environment, promptFormat: "chat" } as const;
    const create = (template: string): Model =>
      createTinyModel({ words: sumWords, maxPositions: 20, template });
    const [once, twice, long] = [1, 2, 5].map((times) =>
      create(`{% for _ in range(${times}) %}{{ messages[0].content }} {% endfor %}`),
    );
    const open = (): Answerer =>
      createEmbeddedAnswerer(assign(chats, "model"), createTestEffects({ machine }));
    const answerer = open();
    const scores = new Set<number | undefined>();
    for (const model of [once!, twice!]) {
      const { items } = await answerer.answer(hold("one", model));
      const alone = open();
      expect((await alone.answer(hold("alone", model))).items).toEqual(items);
      await alone.close();
      scores.add(items[0]?.reference?.negativeLogLikelihood);
    }
    // The same weights after two prompts.
    expect(scores.size).toBe(2);
    const roomless = answerer.answer(hold("sft-7", long!));
    await expect(roomless).rejects.toThrow(UsageError);
    await expect(roomless).rejects.toThrow("prompts of 20 tokens with up to 4 more: sft-7 has 20 positions");
    const plain = answerer.answer(hold("sft-8", createTinyModel({ words: sumWords })));
    await expect(plain).rejects.toThrow("it has no chat template");
    await answerer.close();
  });

  it("says of whom it answers and how far it is, and whose weights are not numbers", async () => {
    const model = createTinyModel();
    const engine = createFake(assign(cards), model);
    const told: string[] = [];
    const effects = createTestEffects({ machine });
    const answerer = createEmbeddedAnswerer(assign(cards), effects, {
      engine,
      onProgress: ({ id }, doneFraction) => told.push(`${id} ${doneFraction}`),
    });
    await answerer.answer(hold("a", model));
    expect([told, effects.notices()]).toEqual([["a 0", "a 0.5"], []]);
    const parameters = model.parameters.with(3, Number.NaN);
    await answerer.answer(hold("b", { ...model, parameters }));
    expect(effects.notices()).toEqual([expect.stringMatching(/^b: its weights hold NaN or infinite values/)]);
  });
});

describe("repairs in memory", async () => {
  const [end, peak] = [
    await save("end", createTinyModel()),
    await save("peak", createTinyModel({ seed: 2 })),
  ];
  const describeRepair = (strength: number): RepairSubject => ({
    kind: "repair",
    id: `rolled back by ${strength}`,
    grid: "few",
    key: String(strength),
    target: end,
    source: peak,
    operation: { operation: "rollback", strength, matrices: "*" },
    isIdentity: false,
  });

  it("answer as what they are made of, and say how far they moved", async () => {
    const answerer = createEmbeddedAnswerer(assign(cards), createTestEffects({ machine }));
    const [whole, nothing] = [describeRepair(1), describeRepair(0)];
    await answerer.prepare({ all: [end, whole], missing: [end, whole] }, createTestEffects({ machine }));
    const [restored, kept] = [await answerer.answer(whole), await answerer.answer(nothing)];
    expect(restored.items).toEqual((await answerer.answer(peak)).items);
    expect(kept.items).toEqual((await answerer.answer(end)).items);
    expect(restored.items).not.toEqual(kept.items);
    const [own, other] = [createTinyModel().parameters, createTinyModel({ seed: 2 }).parameters];
    const difference = own.map((value, index) => value - (other[index] ?? 0));
    expect(restored.moved).toBeCloseTo(Math.hypot(...difference) / Math.hypot(...own), 5);
    expect(kept.moved).toBe(0);
    await answerer.close();
  });

  it("leave the checkpoints that they are made of as they are", async () => {
    const answerer = createEmbeddedAnswerer(assign(cards), createTestEffects({ machine }));
    const before = (await answerer.answer(end)).items;
    const half = await answerer.answer(describeRepair(0.5));
    expect(half.items).not.toEqual(before);
    expect((await answerer.answer(end)).items).toEqual(before);
    expect((await answerer.answer(describeRepair(0))).items).toEqual(before);
    await answerer.close();
  });

  it("are refused by who has whole checkpoints only", () => {
    expect(requireCheckpoint(end)).toBe(end);
    expect(() => requireCheckpoint(describeRepair(1))).toThrow(UsageError);
    expect(() => requireCheckpoint(describeRepair(1))).toThrow('the repair "rolled back by 1"');
  });
});
