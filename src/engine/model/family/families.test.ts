/**
 * Small models of every family with random parameters: generation with a cache against whole passes, and gradients against finite differences. That
 * they equal transformers is for test/peers/families.test.ts.
 */
import { describe, expect, it } from "vitest";
import { familyConfigs } from "../../../../test/support/family-configs.ts";
import { createRandom } from "../../../base/core/index.ts";
import { compile, gradients, op, sizeOf, type Tensor } from "../../tensor/index.ts";
import type { ModelConfig } from "../config/model-config.ts";
import { parseModelConfig } from "../config/parse-config.ts";
import { runSequences } from "../decoder/decoder.ts";
import { applyHead } from "../decoder/graph.ts";
import { feedPositions } from "../decoder/positions.ts";
import { createGenerator } from "../generation/generate.ts";
import { greedy } from "../generation/sampling.ts";
import { addAdapters, createLoraLayout, initializeLora, mergeAdapters, mergedPrefix } from "../lora.ts";
import { createLayout, createWeights, feedParameters, listParameters } from "../parameters.ts";
import { createTextEngine } from "../texts/text-engine.ts";
import { familyNames } from "./family-name.ts";

/** Endless, so that all texts run to their limit. */
function readFamily(name: (typeof familyNames)[number]): ModelConfig {
  const { endToken: _, ...config } = parseModelConfig({ model_type: name, ...familyConfigs[name] }, name);
  return config;
}

/** Parameters of which all matter: norms and biases are random, too. */
function drawParameters(config: ModelConfig): Float32Array {
  const random = createRandom(3, config.family);
  const layout = createLayout(config);
  const parameters = new Float32Array(layout.size);
  for (const { shape, offset } of layout.entries)
    for (let index = offset; index < offset + sizeOf(shape); index++)
      parameters[index] = shape.length === 1 ? 0.5 + random.uniform() : 0.3 * random.normal();
  return parameters;
}

async function compilePass(
  config: ModelConfig,
  T: number,
): Promise<(parameters: Float32Array, tokens: readonly number[]) => Promise<Float32Array>> {
  const layout = createLayout(config);
  const weights = createWeights(layout);
  const { hidden_NE } = runSequences(config, weights, op.input("tokens", [1, T], "int32"));
  const program = await compile({ logits: applyHead(config, weights, hidden_NE) }, { numThreads: 1 });
  return async (parameters, tokens) => {
    const texts = [{ start: 0, numTokens: tokens.length }];
    const { logits } = await program.run({
      ...feedParameters(layout, parameters),
      tokens: Int32Array.from({ length: T }, (_, index) => tokens[index] ?? 0),
      ...feedPositions(config, { B: 1, T, texts }),
    });
    return logits;
  };
}

const numNew = 24;

/** Greedy continuations by passes over all that there is, and how clearly each token won. */
async function continueByPasses(
  config: ModelConfig,
  parameters: Float32Array,
  prompt: readonly number[],
): Promise<{ readonly tokens: readonly number[]; readonly margins: readonly number[] }> {
  const V = config.vocabularySize;
  const pass = await compilePass(config, prompt.length + numNew);
  const [tokens, margins]: [number[], number[]] = [[], []];
  for (let count = 0; count < numNew; count++) {
    const all = [...prompt, ...tokens];
    const row = (await pass(parameters, all)).subarray((all.length - 1) * V, all.length * V);
    const [best = 0, second = 0] = [...row].sort((a, b) => b - a);
    tokens.push(row.indexOf(best));
    margins.push(best - second);
  }
  return { tokens, margins };
}

const prompts = [5, 12].map((length, index) => {
  const random = createRandom(index, "families");
  return Array.from({ length }, () => random.integer(3, 30));
});

describe.each(familyNames)("%s", (name) => {
  const config = readFamily(name);
  const parameters = drawParameters(config);

  it("continues texts with a cache as whole passes do, in fixed batches and as texts come", async () => {
    const wanted = await Promise.all(prompts.map((prompt) => continueByPasses(config, parameters, prompt)));
    // A tie would prove nothing.
    expect(Math.min(...wanted.flatMap(({ margins }) => margins))).toBeGreaterThan(1e-4);
    const generator = createGenerator(config, { batchSize: 16, numThreads: 1 });
    const random = createRandom(1);
    const found = await generator.generate(
      parameters,
      prompts.map((prompt) => ({ prompt, random })),
      { maxNewTokens: numNew, sampling: greedy },
    );
    await generator.release();
    expect(found.map(({ tokens }) => tokens)).toEqual(wanted.map(({ tokens }) => tokens));
    const engine = createTextEngine(config, { numThreads: 1 });
    const group = await engine.open(listParameters(config, parameters));
    const request = { maxNewTokens: numNew, sampling: greedy, random };
    const texts = prompts.map((prompt) => group.add({ ...request, prompt }));
    while (texts.some(({ end }) => end === undefined)) await group.advance(64);
    await engine.release();
    expect(texts.map(({ added }) => added.map(({ token }) => token))).toEqual(
      wanted.map(({ tokens }) => tokens),
    );
  });

  it("gives with adapters what it gives with them added in, and without a change what it gave before", async () => {
    const T = 12;
    const lora = { rank: 3, alpha: 5 };
    const [layout, loraLayout] = [createLayout(config), createLoraLayout(config, lora)];
    const adapters = createWeights(loraLayout);
    const weights = addAdapters(createWeights(layout), adapters, lora);
    const { hidden_NE } = runSequences(config, weights, op.input("tokens", [1, T], "int32"));
    const program = await compile(
      { logits: applyHead(config, weights, hidden_NE), ...mergeAdapters(config, weights) },
      { numThreads: 1 },
    );
    const random = createRandom(5, name);
    const tokens = Array.from({ length: T }, () => random.integer(3, 30));
    const pass = await compilePass(config, T);
    const adapt = async (vector: Float32Array): Promise<Record<string, Float32Array>> => ({
      ...(await program.run({
        ...feedParameters(layout, parameters),
        ...feedParameters(loraLayout, vector),
        tokens: Int32Array.from(tokens),
        ...feedPositions(config, { B: 1, T, texts: [{ start: 0, numTokens: T }] }),
      })),
    });
    const start = await adapt(initializeLora(loraLayout, random));
    const before = await pass(parameters, tokens);
    expect(Math.max(...start.logits!.map((logit, index) => Math.abs(logit - before[index]!)))).toBeLessThan(
      1e-5,
    );
    const drawn = Float32Array.from({ length: loraLayout.size }, () => 0.2 * random.normal());
    const { logits, ...merged } = await adapt(drawn);
    const moved = parameters.slice();
    const places = feedParameters(layout, moved);
    for (const [matrix, values] of Object.entries(merged))
      places[matrix.slice(mergedPrefix.length)]!.set(values);
    const after = await pass(moved, tokens);
    expect(Math.max(...after.map((logit, index) => Math.abs(logit - before[index]!)))).toBeGreaterThan(0.1);
    expect(Math.max(...after.map((logit, index) => Math.abs(logit - logits![index]!)))).toBeLessThan(2e-4);
    // Every matrix of a layer, and nothing else.
    const matrices = layout.entries.filter(
      ({ name: each, shape }) => shape.length === 2 && /\.\d+\./.test(each),
    );
    expect(Object.keys(merged).sort()).toEqual(matrices.map(({ name: each }) => mergedPrefix + each).sort());
    await program.release();
  });

  it("has the gradient that finite differences show", async () => {
    // With all experts chosen: where a choice changes, the loss jumps.
    const { experts } = config;
    const smooth =
      experts === undefined ? config : { ...config, experts: { ...experts, numChosen: experts.numExperts } };
    const T = 20;
    const layout = createLayout(config);
    const weights = createWeights(layout);
    const { hidden_NE } = runSequences(smooth, weights, op.input("tokens", [1, T], "int32"));
    const logProbs = op.logSoftmax(applyHead(smooth, weights, hidden_NE));
    const loss = op.mean(op.takeLast(logProbs, op.input("targets", [T], "int32")));
    const slopes = gradients(loss, weights.tensors);
    const outputs: Record<string, Tensor> = { loss };
    for (const [index, slope] of slopes.entries()) outputs[`slope${index}`] = slope;
    const program = await compile(outputs, { numThreads: 1 });
    const random = createRandom(7, name);
    const draw = (): Int32Array => Int32Array.from({ length: T }, () => random.integer(3, 30));
    const feeds = {
      tokens: draw(),
      targets: draw(),
      ...feedPositions(config, { B: 1, T, texts: [{ start: 0, numTokens: T }] }),
    };
    const lossAt = async (values: Float32Array): Promise<number> =>
      (await program.run({ ...feedParameters(layout, values), ...feeds })).loss![0]!;
    const found = await program.run({ ...feedParameters(layout, parameters), ...feeds });
    for (const [index, { name: tensor, offset }] of layout.entries.entries()) {
      const slope = found[`slope${index}`]!;
      const norm = Math.hypot(...slope);
      // Along its own gradient the loss changes by its norm, to the second order.
      const step = Math.min(5e-4 / norm, 5e-3);
      const moved = (sign: number): Float32Array => {
        const values = parameters.slice();
        for (const [at, value] of slope.entries()) values[offset + at]! += (sign * step * value) / norm;
        return values;
      };
      const change = (await lossAt(moved(1))) - (await lossAt(moved(-1)));
      // The loss itself is known to 32 bits.
      expect(Math.abs(change - 2 * step * norm), tensor).toBeLessThan(0.03 * 2 * step * norm + 2e-6);
    }
    await program.release();
  });
});
