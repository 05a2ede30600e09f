/** Policies of texts that come and go against those in fixed batches, and what prompts share against prompts that are read alone. */
import { afterAll, describe, expect, it } from "vitest";
import { readGoldenModel } from "../../../../test/golden-model.ts";
import { createRandom } from "../../../base/core/index.ts";
import type { ModelConfig } from "../config/model-config.ts";
import { createGenerator } from "../generation/generate.ts";
import type { Generation, GenerationRequest } from "../generation/policy.ts";
import { greedy } from "../generation/sampling.ts";
import { initializeParameters, listParameters } from "../parameters.ts";
import type { Text } from "./text.ts";
import { createTextEngine, type TextGroup } from "./text-engine.ts";
import { createTextPolicy } from "./text-policy.ts";

const config: ModelConfig = { ...readGoldenModel("gqa-untied").config, maxPositions: 200 };
const parameters = initializeParameters({ ...config, initializerRange: 0.4 }, createRandom(8, "policy"));
const V = config.vocabularySize;
const engine = createTextEngine(config, { numThreads: 1 });
const generator = createGenerator(config, { batchSize: 16, numThreads: 1 });
const group = await engine.open(listParameters(config, parameters));
afterAll(async () => {
  await engine.release();
  await generator.release();
});

const draw = (name: string, length: number): readonly number[] => {
  const random = createRandom(3, name);
  return Array.from({ length }, () => random.integer(3, V - 1));
};
/** Questions behind the same instructions, each with its options. */
const instructions = draw("instructions", 30);
const requests: readonly GenerationRequest[] = Array.from({ length: 12 }, (_, index) => ({
  prompt: [...instructions, ...draw(`question ${index % 5}`, 3 + 4 * (index % 5))],
  random: createRandom(index, "answer"),
  reference: index % 3 === 0 ? undefined : draw(`option ${index}`, 1 + (index % 7)),
}));

/** What all are equal in but for rounding. */
function round({ tokens, logProbs, isFinished, referenceLogProbs }: Generation): unknown {
  const near = (values: readonly number[]): unknown =>
    values.map((value) => expect.closeTo(value, 3) as unknown);
  return {
    tokens,
    isFinished,
    logProbs: near(logProbs),
    ...(referenceLogProbs !== undefined && { referenceLogProbs: near(referenceLogProbs) }),
  };
}

describe("createTextPolicy()", () => {
  for (const [name, sampling] of [
    ["greedy", greedy],
    ["drawn", { temperature: 0.9, topP: 0.9 }],
  ] as const)
    it(`gives what fixed batches give, with few texts at a time or many (${name})`, async () => {
      const options = { maxNewTokens: 20, sampling };
      const wanted = await generator.generate(parameters, requests.map(renew), options);
      for (const batchSize of [1, 5, 64]) {
        const policy = createTextPolicy({ engine, group, batchSize });
        const found = await policy.generate(requests.map(renew), options);
        expect(found).toEqual(wanted.map(round));
      }
    });

  it("takes the texts in turns that memory has no room for together", async () => {
    const options = { maxNewTokens: 20, sampling: greedy };
    let [most, running] = [0, 0];
    const counted: Pick<TextGroup, "add" | "advance" | "clear"> = {
      ...group,
      add: (request) => {
        if (request.maxNewTokens > 0) running++;
        most = Math.max(most, running);
        return group.add(request);
      },
      advance: async (maxTokens) => {
        const changed = await group.advance(maxTokens);
        running -= changed.filter(({ end, request }) => end !== undefined && request.maxNewTokens > 0).length;
        return changed;
      },
    };
    const small = { ...engine, measureRoom: () => 2 * engine.measure(64) + 1 };
    const policy = createTextPolicy({ engine: small, group: counted, batchSize: 64 });
    const found = await policy.generate(requests.map(renew), options);
    expect(most).toBe(2);
    const wanted = await generator.generate(parameters, requests.map(renew), options);
    expect(found).toEqual(wanted.map(round));
  });

  it("refuses a prompt without room for an answer, and leaves out a reference without room for it", async () => {
    const policy = createTextPolicy({ engine, group, batchSize: 2 });
    const random = createRandom(1);
    const options = { maxNewTokens: 5, sampling: greedy };
    for (const prompt of [[], draw("long", 196)])
      await expect(policy.generate([{ prompt, random }], options)).rejects.toThrow(RangeError);
    await expect(policy.generate([{ prompt: [5], random }], { ...options, maxNewTokens: 0 })).rejects.toThrow(
      RangeError,
    );
    const prompt = draw("long", 195);
    const references = [draw("fits", 5), draw("does not", 6)];
    const found = await policy.generate(
      references.map((reference) => ({ prompt, random, reference })),
      options,
    );
    expect(found.map(({ referenceLogProbs }) => referenceLogProbs?.length)).toEqual([5, undefined]);
  });
});

/** The request with a stream that nothing was drawn from. */
const renew = (request: GenerationRequest, index: number): GenerationRequest => ({
  ...request,
  random: createRandom(index, "answer"),
});

async function finish(texts: readonly Text[], own: TextGroup): Promise<void> {
  while (texts.some(({ end }) => end === undefined)) await own.advance(64);
}

describe("a prompt that begins as the one before", () => {
  const base = draw("shared", 100);
  const ask = { random: createRandom(1), sampling: greedy, numLikeliest: 2 };
  const cases = [
    { name: "scored from its beginning", maxNewTokens: 0, scoresFrom: 0 },
    { name: "scored from the middle", maxNewTokens: 0, scoresFrom: 60 },
    { name: "scored behind what is shared, and continued", maxNewTokens: 3, scoresFrom: 90 },
    { name: "only continued", maxNewTokens: 3 },
  ];
  const seconds: readonly (readonly [what: string, prompt: readonly number[]])[] = [
    ["the same", base],
    ["goes on", [...base, ...draw("more", 40)]],
    ["differs early", [...base.slice(0, 20), ...draw("other", 60)]],
    ["differs at its last token", [...base.slice(0, 99), 3 + ((base[99]! - 2) % (V - 4))]],
    ["is its beginning", base.slice(0, 70)],
    ["shares too little to count", [...base.slice(0, 5), ...draw("own", 60)]],
  ];
  for (const { name, ...rest } of cases)
    for (const first of cases)
      it(`${name}, after one ${first.name}, is scored and continued as alone`, async () => {
        for (const [what, prompt] of seconds) {
          group.clear();
          const alone = group.add({ ...ask, ...rest, prompt });
          await finish([alone], group);
          group.clear();
          const { name: _, ...before } = first;
          const texts = [
            { ...ask, ...before, prompt: base },
            { ...ask, ...rest, prompt },
          ].map(group.add);
          await finish(texts, group);
          const [, second] = texts;
          expect(describeText(second!), what).toEqual(describeText(alone, 4));
        }
      });
});

describe("what was read last", () => {
  it("is not read again", async () => {
    const prompt = draw("long", 190);
    const numCalls = async (own: readonly number[]): Promise<number> => {
      const text = group.add({ prompt: own, maxNewTokens: 1, sampling: greedy, random: createRandom(1) });
      for (let count = 1; ; count++) {
        await group.advance(1);
        if (text.end !== undefined) return count;
      }
    };
    group.clear();
    // A part has 128 tokens at most.
    expect([await numCalls(prompt), await numCalls(prompt)]).toEqual([2, 1]);
    expect(await numCalls([...prompt.slice(0, 100), ...draw("rest", 60)])).toBe(1);
    expect(await numCalls(draw("another", 190))).toBe(2);
  });
});

/** Tokens and scores, to so many digits where they are expected. */
function describeText({ scored, added, end }: Text, numDigits?: number): unknown {
  const near = (value: number | undefined): unknown =>
    value === undefined || numDigits === undefined ? value : expect.closeTo(value, numDigits);
  const describe = ({ token, logProb, likeliest }: Text["scored"][number]): unknown => ({
    token,
    logProb: near(logProb),
    likeliest: likeliest.map((one) => ({ ...one, logProb: near(one.logProb) })),
  });
  return { scored: scored.map(describe), added: added.map(describe), end };
}
