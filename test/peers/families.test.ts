/** Every family that the engine runs against the real transformers: logits, greedy texts, adapters of the real PEFT. See families.py for the cases. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { createRandom } from "../../src/base/core/index.ts";
import { createGenerator } from "../../src/engine/model/generation/generate.ts";
import { greedy } from "../../src/engine/model/generation/sampling.ts";
import { loadModel, type Model } from "../../src/engine/model/index.ts";
import { computeLogits } from "../support/logits.ts";
import { findAbsence, runPeer } from "../support/peers.ts";
import { createTemporaryFolder, removeFolder } from "../support/untwist.ts";

const { isSkipped, because } = findAbsence();
const folder = createTemporaryFolder();
afterAll(() => removeFolder(folder));

/** Cases that we refuse, and what is said of each: transformers carries out something that nobody who wrote the file can have meant, or images. */
const refusals: Readonly<Record<string, RegExp>> = {
  "gemma3-with-vision": /"model_type" is "gemma3"/,
  "gemma3-text-part": /"model_type" is "gemma3"/,
  // "type" alone is not applied there.
  "gemma3-type-old": /"rope_scaling" has no "rope_type"/,
  "llama-precedence": /they must agree/,
  "llama-tied-in-vain": /lm_head\.weight and model\.embed_tokens\.weight differ/,
  "olmo3-flat": /is not of a kind of layers/,
};

/** Where scores of attention are not scaled down, rounding makes most of them. */
const loose = new Set(["granite-sparse"]);
const tolerance = (name: string): number => (loose.has(name) ? 2e-4 : 5e-5);

interface Expected {
  readonly base?: string;
  readonly sequences: readonly (readonly number[])[];
  readonly greedy: readonly {
    readonly prompt: readonly number[];
    readonly tokens: readonly number[];
    readonly margins: readonly number[];
  }[];
}

/** What transformers gives in 32 and in 64 bits. */
function readLogits(name: string): readonly [Float32Array, Float64Array] {
  const read = (file: string): ArrayBuffer => {
    const { buffer, byteOffset, byteLength } = readFileSync(join(folder, name, file));
    return buffer.slice(byteOffset, byteOffset + byteLength) as ArrayBuffer;
  };
  return [new Float32Array(read("expected.f32")), new Float64Array(read("expected.f64"))];
}

/**
 * How far a logit is from what lies between those of transformers in 32 and in 64 bits: what rounding makes of it there differs from processor to
 * processor.
 */
function distance(
  value: number,
  { single, double }: { readonly single: number; readonly double: number },
): number {
  return Math.max(0, Math.min(single, double) - value, value - Math.max(single, double));
}

/** Greedy texts without an end, token for token, up to a token that won by so little that rounding decides. */
async function expectTexts({ config, parameters }: Model, { greedy: texts }: Expected): Promise<void> {
  const { endToken: _, otherEndTokens: __, ...endless } = config;
  const generator = createGenerator(endless, { batchSize: 16, numThreads: 1 });
  for (const { prompt, tokens, margins } of texts) {
    const request = { prompt, random: createRandom(1) };
    const options = { maxNewTokens: tokens.length, sampling: greedy };
    const [found] = await generator.generate(parameters, [request], options);
    const tie = margins.findIndex((margin) => margin < 1e-3);
    const count = tie < 0 ? tokens.length : tie;
    expect(found?.tokens.slice(0, count)).toEqual(tokens.slice(0, count));
  }
  await generator.release();
}

if (!isSkipped) await runPeer("families.py", [folder]);
const cases = isSkipped ? [] : readdirSync(folder);

describe.skipIf(isSkipped)(`families${because}`, () => {
  it("rotary frequencies: the golden file is what transformers says", async () => {
    const golden = new URL("../golden/rope.json", import.meta.url);
    expect(JSON.parse(await runPeer("rope.py", []))).toEqual(JSON.parse(readFileSync(golden, "utf8")));
  });

  it.each(cases.filter((name) => refusals[name] === undefined))("%s: as transformers", async (name) => {
    const expected: Expected = JSON.parse(readFileSync(join(folder, name, "expected.json"), "utf8"));
    const base = expected.base === undefined ? {} : { base: join(folder, expected.base) };
    const model = await loadModel(join(folder, name), base);
    const [single, double] = readLogits(name);
    const found = await Promise.all(expected.sequences.map((tokens) => computeLogits(model, tokens)));
    const all = found.flatMap((logits) => [...logits]);
    expect([single.length, double.length]).toEqual([all.length, all.length]);
    const distances = all.map((value, index) =>
      distance(value, { single: single[index]!, double: double[index]! }),
    );
    expect(Math.max(...distances)).toBeLessThan(tolerance(name));
    await expectTexts(model, expected);
  });

  it.each(Object.entries(refusals))("%s: refused", async (name, reason) => {
    const error: unknown = await loadModel(join(folder, name)).then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    expect(error).toMatchObject({ message: expect.stringMatching(reason) });
  });
});
