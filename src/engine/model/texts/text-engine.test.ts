/** Texts that come and go against generation in fixed batches, and against scores of whole sequences. */
import { afterAll, describe, expect, it } from "vitest";
import { readGoldenModel } from "../../../../test/golden-model.ts";
import { createRandom } from "../../../base/core/index.ts";
import { compile, op } from "../../tensor/index.ts";
import type { ModelConfig } from "../config/model-config.ts";
import { runSequences } from "../decoder/decoder.ts";
import { applyHead } from "../decoder/graph.ts";
import { feedPositions } from "../decoder/positions.ts";
import { createGenerator } from "../generation/generate.ts";
import { greedy, type Sampling } from "../generation/sampling.ts";
import {
  createLayout,
  createWeights,
  feedParameters,
  initializeParameters,
  listParameters,
} from "../parameters.ts";
import type { Text, TextRequest } from "./text.ts";
import { createTextEngine, type TextGroup } from "./text-engine.ts";

// Long enough for several sizes of caches and parts of prompts.
const config: ModelConfig = { ...readGoldenModel("gqa-untied").config, maxPositions: 300 };
const parameters = initializeParameters({ ...config, initializerRange: 0.4 }, createRandom(8, "texts"));
const named = listParameters(config, parameters);
const V = config.vocabularySize;

const engine = createTextEngine(config, { numThreads: 1 });
const generator = createGenerator(config, { batchSize: 16, numThreads: 1 });
afterAll(async () => {
  await engine.release();
  await generator.release();
});

const lengths = [3, 1, 8, 9, 40, 130, 5, 62, 63, 64, 200];
const prompts = lengths.map((length, index) => {
  const random = createRandom(index, "prompt");
  return Array.from({ length }, () => random.integer(3, V - 1));
});
const limits = [90, 5, 1, 33, 30, 20, 70, 2, 2, 2, 100];

const ask = (index: number, more: Partial<TextRequest> = {}): TextRequest => ({
  prompt: prompts[index] ?? [],
  maxNewTokens: limits[index] ?? 1,
  sampling: greedy,
  random: createRandom(index, "answer"),
  ...more,
});

const tokensOf = ({ added }: Text): readonly number[] => added.map(({ token }) => token);

/** Advances until all texts have ended; gives what each call gave. */
async function finish(group: TextGroup, texts: readonly Text[]): Promise<readonly (readonly Text[])[]> {
  const calls: (readonly Text[])[] = [];
  while (texts.some(({ end }) => end === undefined)) calls.push(await group.advance(64));
  return calls;
}

/** What generation in a fixed batch of one gives. */
async function generate(index: number, sampling: Sampling = greedy): Promise<readonly number[]> {
  const [found] = await generator.generate(
    parameters,
    [{ prompt: prompts[index] ?? [], random: createRandom(index, "answer") }],
    { maxNewTokens: limits[index] ?? 1, sampling },
  );
  return found?.tokens ?? [];
}

describe("TextGroup", () => {
  for (const sampling of [greedy, { temperature: 0.9, topP: 0.9 }])
    it(`continues texts that come one after the other as if each were alone (temperature ${sampling.temperature})`, async () => {
      const group = await engine.open(named);
      const texts: Text[] = [];
      for (const index of prompts.keys()) {
        texts.push(group.add(ask(index, { sampling })));
        await group.advance(64);
        await group.advance(64);
      }
      await finish(group, texts);
      for (const [index, text] of texts.entries()) {
        expect(tokensOf(text), `text ${index}`).toEqual(await generate(index, sampling));
        const ended = tokensOf(text).at(-1) === config.endToken;
        expect(text.end).toBe(ended ? "stop" : "length");
      }
      // Several really grew beyond their first caches.
      expect(texts.filter(({ added }, index) => added.length + lengths[index]! > 64).length).toBeGreaterThan(
        3,
      );
    });

  it("gives a token a call to each text, and only what changed", async () => {
    const group = await engine.open(named);
    const text = group.add(ask(3, { maxNewTokens: 4 }));
    const calls = await finish(group, [text]);
    expect(calls).toEqual(calls.map(() => [text]));
    expect(calls).toHaveLength(text.added.length);
    expect(await group.advance(64)).toEqual([]);
  });

  it("goes on as before when others are dropped, read or not", async () => {
    const group = await engine.open(named);
    const texts = prompts.map((_, index) => group.add(ask(index)));
    const dropped = new Set([2, 4, 5, 7, 9]);
    for (let call = 0; texts.some(({ end }, index) => end === undefined && !dropped.has(index)); call++) {
      for (const index of dropped) if (index === call) group.drop(texts[index]!);
      await group.advance(64);
    }
    for (const [index, text] of texts.entries())
      if (!dropped.has(index)) expect(tokensOf(text)).toEqual(await generate(index));
    const numAdded = texts.map(({ added }) => added.length);
    expect(await group.advance(64)).toEqual([]);
    expect(texts.map(({ added }) => added.length)).toEqual(numAdded);
  });

  it("scores prompt and answer as a pass over the whole does, with the likeliest tokens", async () => {
    const group = await engine.open(named);
    const text = group.add(ask(5, { scoresFrom: 0, numLikeliest: 3, maxNewTokens: 6 }));
    const only = group.add(ask(10, { scoresFrom: 0, numLikeliest: 1, maxNewTokens: 0 }));
    await finish(group, [text, only]);
    expect([only.end, only.added, only.scored.length]).toEqual(["length", [], 200]);
    for (const [scores, numLikeliest] of [
      [[...text.scored, ...text.added], 3],
      [only.scored, 1],
    ] as const) {
      const [first, ...rest] = scores;
      expect(first).toEqual({ token: first?.token, likeliest: [] });
      const logProbs = await scoreWhole(scores.map(({ token }) => token));
      for (const [index, { token, logProb, likeliest }] of rest.entries()) {
        const row = logProbs.slice(index * V, (index + 1) * V);
        expect(Math.abs((logProb ?? 0) - row[token]!)).toBeLessThan(1e-4);
        const sorted = [...row].sort((a, b) => b - a).slice(0, numLikeliest);
        expect(likeliest.length).toBe(numLikeliest);
        for (const [rank, best] of likeliest.entries()) {
          expect(Math.abs(best.logProb - sorted[rank]!)).toBeLessThan(1e-4);
          expect(Math.abs(row[best.token]! - sorted[rank]!)).toBeLessThan(1e-4);
        }
      }
    }
  });

  it("runs to the last position, and refuses one more", async () => {
    const { endToken: _, ...endless } = config;
    const other = createTextEngine(endless, { numThreads: 1 });
    const group = await other.open(named);
    const room = config.maxPositions - prompts[6]!.length;
    const text = group.add(ask(6, { maxNewTokens: room }));
    await finish(group, [text]);
    expect([text.end, text.added.length]).toEqual(["length", room]);
    expect(() => group.add(ask(6, { maxNewTokens: room + 1 }))).toThrow(/300 positions/);
    expect(() => group.add(ask(6, { prompt: [] }))).toThrow(RangeError);
    await other.release();
  });

  it("measures the memory that a text takes, which grows with it and ends with the positions", () => {
    const sizes = [1, 64, 65, 128, 300].map((numTokens) => engine.measure(numTokens));
    const slot = engine.measure(1) / 64;
    expect(sizes.map((size) => size / slot)).toEqual([64, 64, 128, 128, 304]);
  });
});

async function scoreWhole(tokens: readonly number[]): Promise<Float32Array> {
  const T = tokens.length;
  const { hidden_NE } = runSequences(
    config,
    createWeights(createLayout(config)),
    op.input("tokens", [1, T], "int32"),
  );
  const program = await compile(
    { logProbs: op.logSoftmax(applyHead(config, createWeights(createLayout(config)), hidden_NE)) },
    { numThreads: 1 },
  );
  const { logProbs } = await program.run({
    ...feedParameters(createLayout(config), parameters),
    tokens: Int32Array.from(tokens),
    ...feedPositions(config, { B: 1, T: T, texts: [] }),
  });
  await program.release();
  return logProbs;
}
