/** Generation with a cache against the plain decoder run again on every longer sequence. */
import { afterAll, describe, expect, it } from "vitest";
import { readGoldenModel } from "../../../../test/golden-model.ts";
import { createRandom } from "../../../base/core/index.ts";
import { compile, op, type Program } from "../../tensor/index.ts";
import type { ModelConfig } from "../config/model-config.ts";
import { runSequences } from "../decoder/decoder.ts";
import { applyHead } from "../decoder/graph.ts";
import { feedPositions } from "../decoder/positions.ts";
import { createLayout, createWeights, feedParameters, initializeParameters } from "../parameters.ts";
import { createGenerator } from "./generate.ts";
import type { Generation, GenerationOptions } from "./policy.ts";
import { greedy } from "./sampling.ts";

const { config: goldenConfig } = readGoldenModel("gqa-untied");
const layout = createLayout(goldenConfig);
const parameters: Float32Array = initializeParameters(
  { ...goldenConfig, initializerRange: 0.4 },
  createRandom(8, "generation"),
);
const V = goldenConfig.vocabularySize;
const maxNewTokens = 10;

/** 40 prompts of 1 … 9 tokens. */
const prompts: readonly (readonly number[])[] = Array.from({ length: 40 }, (_, index) => {
  const random = createRandom(index, "prompt");
  return Array.from({ length: 1 + (index % 9) }, () => random.integer(3, V - 1));
});

const programs = new Map<number, Promise<Program<"logits">>>();
afterAll(async () => {
  for (const program of programs.values()) await (await program).release();
});

/** Log-softmax at the temperature of the last position of a whole sequence, by a pass without any cache. */
async function nextLogProbs(tokens: readonly number[], temperature = 1): Promise<readonly number[]> {
  const T = tokens.length;
  const weights = createWeights(layout);
  const build = (): Promise<Program<"logits">> => {
    const { hidden_NE } = runSequences(goldenConfig, weights, op.input("tokens", [1, T], "int32"));
    return compile({ logits: applyHead(goldenConfig, weights, hidden_NE) }, { numThreads: 1 });
  };
  const program = programs.get(T) ?? build();
  programs.set(T, program);
  const { logits } = await (await program).run({
    ...feedParameters(layout, parameters),
    tokens: Int32Array.from(tokens),
    ...feedPositions(goldenConfig, { B: 1, T: T, texts: [] }),
  });
  const scaled = [...logits.subarray((T - 1) * V)].map((logit) => logit / temperature);
  const total = Math.log(scaled.reduce((sum, x) => sum + Math.exp(x), 0));
  return scaled.map((x) => x - total);
}

interface Continuation {
  readonly tokens: readonly number[];
}

/** Greedy decoding that knows no end. */
async function continueGreedily(prompt: readonly number[]): Promise<Continuation> {
  const tokens: number[] = [];
  for (let count = 0; count < maxNewTokens; count++) {
    const next = await nextLogProbs([...prompt, ...tokens]);
    tokens.push(next.indexOf(Math.max(...next)));
  }
  return { tokens };
}

function cut({ tokens }: Continuation, endToken: number): Expected {
  const end = tokens.indexOf(endToken);
  const length = end < 0 ? tokens.length : end + 1;
  return { tokens: tokens.slice(0, length), isFinished: end >= 0 };
}

type Expected = Pick<Generation, "tokens" | "isFinished">;

const endless: readonly Continuation[] = await Promise.all(prompts.map(continueGreedily));

/** The end token under which most rows end, but at least three do not. */
function chooseEnd(): number {
  const numEnded = (token: number): number => endless.filter(({ tokens }) => tokens.includes(token)).length;
  const candidates = [...Array(V).keys()].filter((token) => numEnded(token) <= prompts.length - 3);
  return candidates.reduce((best, token) => (numEnded(token) > numEnded(best) ? token : best));
}

const endToken = chooseEnd();
const config: ModelConfig = { ...goldenConfig, endToken };
const expected: readonly Expected[] = endless.map((each) => cut(each, endToken));

async function generate(
  chosen: readonly (readonly number[])[],
  options: GenerationOptions,
  { batchSize, seed = 1, first = 0 }: { batchSize: number; seed?: number; first?: number },
): Promise<readonly Generation[]> {
  const generator = createGenerator(config, { batchSize, numThreads: 1 });
  const requests = chosen.map((prompt, index) => ({ prompt, random: createRandom(seed, first + index) }));
  const results = await generator.generate(parameters, requests, options);
  await generator.release();
  return results;
}

function expectGenerations(actual: readonly Generation[], wanted: readonly Expected[]): void {
  expect(actual.map(({ tokens, isFinished }) => ({ tokens, isFinished }))).toEqual(
    wanted.map(({ tokens, isFinished }) => ({ tokens, isFinished })),
  );
  // The likeliest token is certain to be taken.
  for (const { tokens, logProbs } of actual) expect(logProbs).toEqual(tokens.map(() => 0));
}

describe("the prompts of these tests", () => {
  it("end at different times, more than half of them early and some not at all", () => {
    const lengths = expected.filter(({ isFinished }) => isFinished).map(({ tokens }) => tokens.length);
    expect(lengths.filter((length) => length < maxNewTokens).length).toBeGreaterThan(prompts.length / 2);
    expect(new Set(lengths).size).toBeGreaterThan(3);
    expect(lengths.length).toBeLessThan(prompts.length);
  });
});

describe("Generator.generate()", () => {
  const options = { maxNewTokens, sampling: greedy };

  it("decodes greedily what whole passes give, as rows of different lengths end and batches shrink", async () => {
    expectGenerations(await generate(prompts, options, { batchSize: 40 }), expected);
  });

  it("gives the same when more texts come than a batch takes", async () => {
    expectGenerations(await generate(prompts, options, { batchSize: 17 }), expected);
    expectGenerations(await generate(prompts.slice(0, 6), options, { batchSize: 4 }), expected.slice(0, 6));
  });

  it("continues each text as if it were alone", async () => {
    for (const index of [0, 7, 8, 23, 39])
      expectGenerations(await generate([prompts[index]!], options, { batchSize: 40 }), [expected[index]!]);
  });

  it("does not depend on the order of texts", async () => {
    const reversed = await generate([...prompts].reverse(), options, { batchSize: 40 });
    expectGenerations([...reversed].reverse(), expected);
  });

  it("cuts at maxNewTokens and says that the text is not finished", async () => {
    const results = await generate(prompts, { ...options, maxNewTokens: 1 }, { batchSize: 40 });
    for (const [index, { tokens, isFinished }] of results.entries()) {
      expect(tokens).toEqual(expected[index]!.tokens.slice(0, 1));
      expect(isFinished).toBe(tokens[0] === endToken);
    }
  });

  it("continues nothing for no texts", async () => {
    expect(await generate([], options, { batchSize: 4 })).toEqual([]);
  });

  it("generates up to the last position and refuses one more", async () => {
    const room = { ...options, maxNewTokens: config.maxPositions - prompts[8]!.length };
    const [result] = await generate([prompts[8]!], room, { batchSize: 1 });
    expect(result!.tokens.slice(0, maxNewTokens)).toEqual(expected[8]!.tokens);
    const over = { ...options, maxNewTokens: room.maxNewTokens + 1 };
    await expect(generate([prompts[8]!], over, { batchSize: 1 })).rejects.toThrow(RangeError);
    await expect(generate(prompts, over, { batchSize: 40 })).rejects.toThrow(/64 positions/);
  });
});

describe("Generator.generate() with references", () => {
  const options = { maxNewTokens, sampling: greedy };
  /** Every other prompt has one, of 0 … 20 tokens: longer than the answers, too. */
  const references = prompts.map((_, index) =>
    index % 2 === 0
      ? undefined
      : Array.from({ length: index % 3 === 0 ? index % 21 : 3 }, (_, at) => 3 + ((at * 5 + index) % (V - 3))),
  );

  it("scores them as whole passes do, and continues the prompts as if they were not there", async () => {
    for (const batchSize of [40, 17]) {
      const generator = createGenerator(config, { batchSize, numThreads: 1 });
      const requests = prompts.map((prompt, index) => ({
        prompt,
        random: createRandom(1, index),
        reference: references[index],
      }));
      const results = await generator.generate(parameters, requests, options);
      await generator.release();
      expectGenerations(results, expected);
      for (const [index, { referenceLogProbs }] of results.entries()) {
        const reference = references[index];
        expect(referenceLogProbs?.length).toBe(reference?.length);
        for (const [at, token] of (reference ?? []).entries()) {
          const next = await nextLogProbs([...prompts[index]!, ...reference!.slice(0, at)]);
          expect(Math.abs(referenceLogProbs![at]! - next[token]!)).toBeLessThan(1e-4);
        }
      }
    }
  });
});

describe("Generator.generate() of prompts that begin alike", () => {
  const options = { maxNewTokens, sampling: greedy };
  const beginning = Array.from({ length: 21 }, (_, at) => 3 + ((at * 7) % (V - 3)));

  it.each([
    [21, "any length"],
    [17, "a length between programs"],
    [15, "a few tokens"],
  ])("continues and scores them as whole passes do: %i tokens, %s", async (length) => {
    // One of them is no more than the beginning, so that its last token is read apart.
    const tails = [[], ...prompts.slice(0, 11)];
    const texts = tails.map((tail) => [...beginning.slice(0, length), ...tail]);
    const generator = createGenerator(config, { batchSize: 16, numThreads: 1 });
    const reference = [3, 5, 4];
    const requests = texts.map((prompt, index) => ({ prompt, random: createRandom(1, index), reference }));
    const results = await generator.generate(parameters, requests, options);
    const alone = await Promise.all(texts.map(continueGreedily));
    expectGenerations(
      results,
      alone.map((each) => cut(each, endToken)),
    );
    for (const [index, prompt] of texts.entries())
      for (const [at, token] of reference.entries()) {
        const next = await nextLogProbs([...prompt, ...reference.slice(0, at)]);
        expect(Math.abs(results[index]!.referenceLogProbs![at]! - next[token]!)).toBeLessThan(1e-4);
      }
    await generator.release();
  });

  it("reads prompts that are the same throughout", async () => {
    const same = [beginning, beginning, beginning];
    const [first, ...others] = await generate(same, options, { batchSize: 4 });
    const alone = cut(await continueGreedily(beginning), endToken);
    expectGenerations([first!, ...others], [alone, alone, alone]);
  });
});

describe("Generator.generate() when sampling", () => {
  const options = { maxNewTokens, sampling: { temperature: 0.8, topP: 0.95 } };

  it("gives the log-softmax at the temperature of each token it drew", async () => {
    const results = await generate(prompts.slice(0, 12), options, { batchSize: 12 });
    for (const [index, { tokens, logProbs }] of results.entries())
      for (const [at, token] of tokens.entries()) {
        const before = [...prompts[index]!, ...tokens.slice(0, at)];
        const next = await nextLogProbs(before, options.sampling.temperature);
        expect(Math.abs(logProbs[at]! - next[token]!)).toBeLessThan(1e-4);
      }
  });

  it("repeats for the same seed and differs for another", async () => {
    const [once, again, other] = [
      await generate(prompts, options, { batchSize: 40 }),
      await generate(prompts, options, { batchSize: 40 }),
      await generate(prompts, options, { batchSize: 40, seed: 2 }),
    ];
    expect(again).toEqual(once);
    expect(other.map(({ tokens }) => tokens)).not.toEqual(once.map(({ tokens }) => tokens));
  });

  it("draws the same tokens whichever texts share the batch", async () => {
    const together = await generate(prompts, options, { batchSize: 40 });
    const inTurns = await generate(prompts, options, { batchSize: 16 });
    expect(inTurns.map(({ tokens }) => tokens)).toEqual(together.map(({ tokens }) => tokens));
    for (const first of [3, 17, 30]) {
      const [alone] = await generate([prompts[first]!], options, { batchSize: 40, first });
      expect(alone!.tokens).toEqual(together[first]!.tokens);
      expect(alone!.isFinished).toBe(together[first]!.isFinished);
    }
  });

  it("draws for several samples of a prompt, which is read once, what each would draw alone", async () => {
    const copies = Array.from({ length: 40 }, (_, index) => prompts[index % 4]!);
    const together = await generate(copies, options, { batchSize: 40 });
    for (const first of [0, 5, 18, 39]) {
      const [alone] = await generate([copies[first]!], options, { batchSize: 40, first });
      expect(together[first]!.tokens).toEqual(alone!.tokens);
      for (const [at, logProb] of together[first]!.logProbs.entries())
        expect(Math.abs(logProb - alone!.logProbs[at]!)).toBeLessThan(1e-5);
    }
    expect(new Set(together.map(({ tokens }) => tokens.join())).size).toBeGreaterThan(20);
  });

  it("scores the references of copies as those of one", async () => {
    const reference = [3, 5, 4];
    const generator = createGenerator(config, { batchSize: 40, numThreads: 1 });
    const requests = Array.from({ length: 40 }, (_, index) => ({
      prompt: prompts[8]!,
      random: createRandom(1, index),
      ...(index % 2 === 0 && { reference }),
    }));
    const results = await generator.generate(parameters, requests, { maxNewTokens, sampling: greedy });
    await generator.release();
    for (const [index, { referenceLogProbs }] of results.entries()) {
      expect(referenceLogProbs === undefined).toBe(index % 2 === 1);
      for (const [at, token] of index % 2 === 0 ? reference.entries() : []) {
        const next = await nextLogProbs([...prompts[8]!, ...reference.slice(0, at)]);
        expect(Math.abs(referenceLogProbs![at]! - next[token]!)).toBeLessThan(1e-4);
      }
    }
  });

  it("ends a text exactly where it drew the end token", async () => {
    for (const { tokens, isFinished } of await generate(prompts, options, { batchSize: 40 })) {
      expect(tokens.slice(0, -1)).not.toContain(endToken);
      expect(isFinished).toBe(tokens.at(-1) === endToken);
      expect(isFinished || tokens.length === maxNewTokens).toBe(true);
    }
  });
});
