/** Evaluation of a small random model on general points: what is asked matters here, not what it answers. */
import { createHash } from "node:crypto";
import { afterAll, describe, expect, it } from "vitest";
import { createRandom } from "../../base/core/index.ts";
import {
  createWordTokenizer,
  encodeExample,
  initializeParameters,
  listParameters,
  type Model,
  parseModelConfig,
} from "../../engine/model/index.ts";
import { createPolicyEngine } from "../../engine/parallel/index.ts";
import { findEnvironment } from "../environment/index.ts";
import { type EvaluatedItem, type EvaluationOptions, evaluate } from "./evaluate.ts";

const environment = findEnvironment("general-points");
const tokenizer = createWordTokenizer(environment.vocabulary);
const config = parseModelConfig(
  {
    model_type: "llama",
    vocab_size: environment.vocabulary.length + 3,
    hidden_size: 16,
    intermediate_size: 24,
    num_hidden_layers: 1,
    num_attention_heads: 2,
    max_position_embeddings: 64,
    eos_token_id: 1,
    pad_token_id: 0,
  },
  "",
);
const createModel = (seed: number): Model => ({
  config,
  tokenizer,
  parameters: initializeParameters(config, createRandom(seed, "model")),
});
const policies = createPolicyEngine(config, { batchSize: 16, numThreads: 1, numBytes: 0 });
afterAll(() => policies.release());

const ask = async (
  model: Model,
  change: Partial<EvaluationOptions> = {},
): Promise<readonly EvaluatedItem[]> =>
  evaluate(model, await policies.open(listParameters(config, model.parameters)), {
    environment,
    promptFormat: "compact",
    splits: ["id", "ood"],
    numTasks: 5,
    seed: 1,
    numAttempts: 1,
    maxNewTokens: 8,
    batchSize: 4,
    ...change,
  });

const hashes = (items: readonly EvaluatedItem[]): readonly string[] =>
  items.map(({ promptHash }) => promptHash);

describe("evaluate()", async () => {
  const model = createModel(1);
  const items = await ask(model);

  it("gives an item a task, in order of split and index", () => {
    expect(items.map(({ split, index }) => `${split} ${index}`)).toEqual(
      ["id", "ood"].flatMap((split) => [0, 1, 2, 3, 4].map((index) => `${split} ${index}`)),
    );
    expect(new Set(hashes(items)).size).toBe(10);
  });

  it("asks every model the same tasks for the same seed, and others for another", async () => {
    const other = await ask(createModel(2));
    expect(hashes(other)).toEqual(hashes(items));
    expect(other.map(({ answer }) => answer)).not.toEqual(items.map(({ answer }) => answer));
    expect(hashes(await ask(model, { seed: 2 })).filter((hash) => hashes(items).includes(hash))).toEqual([]);
  });

  it("asks the same tasks however many there are, and whatever splits are asked", async () => {
    expect(hashes(await ask(model, { numTasks: 3, splits: ["ood"] }))).toEqual(hashes(items).slice(5, 8));
  });

  it("gives the same items again, whatever is scored together", async () => {
    expect(await ask(model)).toEqual(items);
    const together = await ask(model, { batchSize: 16 });
    expect(together.map(({ answer }) => answer)).toEqual(items.map(({ answer }) => answer));
    for (const [index, { reference }] of together.entries()) {
      expect(reference?.numTokens).toBe(items[index]?.reference?.numTokens);
      expect(reference?.negativeLogLikelihood).toBeCloseTo(
        items[index]?.reference?.negativeLogLikelihood ?? 0,
        4,
      );
    }
  });

  it("names a prompt by the first 16 digits of its SHA-256", () => {
    // Frozen: stored evaluations are compared by it. A change here changes what was asked, or how it is named.
    const first = createRandom(1, "evaluation", "id").integer(0, 2 ** 30);
    const task = environment.createTask({ split: "id", seed: first, index: 0, promptFormat: "compact" });
    const prompt = environment.prompt(task, "compact");
    expect(items[0]?.promptHash).toBe(createHash("sha256").update(prompt).digest("hex").slice(0, 16));
  });

  it("scores the reference answer with its end token near the uniform loss of an untrained model", () => {
    for (const { reference = { numTokens: 0, negativeLogLikelihood: 0 } } of items) {
      expect(reference.numTokens).toBeGreaterThan(10);
      const loss = reference.negativeLogLikelihood / reference.numTokens;
      expect(Math.abs(loss - Math.log(config.vocabularySize))).toBeLessThan(0.5);
    }
  });

  it("asks once, or as often as allowed while the answer is wrong", async () => {
    expect(items.map(({ numAttempts }) => numAttempts)).toEqual(items.map(() => 1));
    const patient = await ask(model, { numAttempts: 3, numTasks: 2 });
    expect(patient.map(({ parts, numAttempts }) => parts.solved || numAttempts === 3)).toEqual([
      true,
      true,
      true,
      true,
    ]);
  });
});

describe("encodeExample()", () => {
  it("joins prompt, answer and end token, and knows where the answer begins", () => {
    const { tokens, numPromptTokens } = encodeExample(
      tokenizer,
      { prompt: "c: 5 J ; play", answer: "n: 5 10" },
      1,
    );
    expect(tokens).toEqual([...tokenizer.encode("c: 5 J ; play"), ...tokenizer.encode("n: 5 10"), 1]);
    expect(numPromptTokens).toBe(5);
  });
});
