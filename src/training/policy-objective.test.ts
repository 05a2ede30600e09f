/** The GRPO and PPO objectives against float64 PyTorch (test/golden/model), to 1e-4 of the largest element. */
import { describe, expect, it } from "vitest";
import { flatten, readGoldenModel, relativeError } from "../../test/golden-model.ts";
import {
  chooseRows,
  createValueHeadLayout,
  createWeights,
  feedParameters,
  feedPositions,
  joinLayouts,
  normalize,
  type ParameterLayout,
  runSequences,
  type Weights,
} from "../engine/model/index.ts";
import { compile, gradients, op, type TensorData } from "../engine/tensor/index.ts";
import { estimateValues, grpoObjective, ppoObjective } from "./policy-objective.ts";
import type { Objective } from "./training-step.ts";

const tolerance = 1e-4;
const { file, config, layout, parameters } = readGoldenModel("gqa-untied");
const given = file.reinforcement!;
const { grpo, ppo } = given;
const [B = 0, T = 0] = given.tokens_BT.shape;
const mask = Float32Array.from(given.mask_BT.data);
const {
  R,
  weights: tokenWeights,
  ...chosen
} = chooseRows(Int32Array.from(given.actions_BT.data), normalize(mask));
const tokenFeeds = {
  tokens: Int32Array.from(given.tokens_BT.data),
  ...chosen,
  tokenWeights,
  ...feedPositions(config, { B: B, T: T, texts: [] }),
};
/** Of an array [B, T], the elements of answers. */
const choose = (values: ArrayLike<number>): Float32Array =>
  Float32Array.from(chosen.rows, (place) => values[place] ?? 0);
/** Rows of the last prompt tokens in [B · T, E] hidden states. */
const lastPromptRows = Int32Array.from(ppo.lastPromptIndex_B.data, (last, row) => row * T + last);

type Results = Readonly<Record<string, Float32Array>>;

/** The objective's loss, metrics and gradients by parameter name. */
async function run(
  objective: Objective,
  { over, weights, feeds }: { over: ParameterLayout; weights: Weights; feeds: Record<string, TensorData> },
): Promise<{ readonly results: Results; readonly gradientOf: Results; readonly norm: number }> {
  const blocks = gradients(objective.loss, weights.tensors);
  const names = over.entries.map(({ name }) => name);
  const outputs = Object.fromEntries(blocks.map((block, index) => [`gradient ${names[index]}`, block]));
  const program = await compile(
    { loss: objective.loss, ...objective.metrics, ...outputs },
    { numThreads: 1 },
  );
  const results: Results = await program.run(feeds);
  await program.release();
  const gradientOf = Object.fromEntries(names.map((name) => [name, results[`gradient ${name}`]!]));
  const norm = Math.hypot(...Object.values(gradientOf).flatMap((values) => [...values]));
  return { results, gradientOf, norm };
}

/** mean over the answer of e^d − d − 1, d = log π_other − log π. */
function meanDivergence(other: readonly number[]): number {
  const gaps = grpo.logProbs_BT.data
    .map((logProb, index) => other[index]! - logProb)
    .filter((_, index) => mask[index] === 1);
  return gaps.reduce((sum, gap) => sum + Math.exp(gap) - gap - 1, 0) / gaps.length;
}

describe("grpoObjective()", () => {
  const start = [...grpo.oldLogProbs_BT.data].map((value) => value - 0.3);
  const feeds = {
    ...feedParameters(layout, parameters),
    ...tokenFeeds,
    oldLogProbs: choose(grpo.oldLogProbs_BT.data),
    startLogProbs: choose(start),
    referenceLogProbs: choose(grpo.referenceLogProbs_BT.data),
    tokenAdvantages: Float32Array.from(
      chosen.rows,
      (place) => grpo.advantages_B.data[Math.floor(place / T)]!,
    ),
  };
  const compute = async (change: Record<string, TensorData> = {}): ReturnType<typeof run> => {
    const weights = createWeights(layout);
    const options = { clipRange: grpo.clipEpsilon, klWeight: grpo.klCoefficient, temperature: 1 };
    const objective = grpoObjective(config, weights, { B, T, R, ...options });
    return await run(objective, { over: layout, weights, feeds: { ...feeds, ...change } });
  };

  it("has PyTorch's loss, divergence, clip share and entropy", async () => {
    const { results } = await compute();
    expect(relativeError(results.loss!, [grpo.loss])).toBeLessThan(tolerance);
    expect(relativeError(results.klToReference!, [grpo.kl])).toBeLessThan(tolerance);
    expect(relativeError(results.clipShare!, [grpo.clipShare])).toBeLessThan(tolerance);
    expect(relativeError(results.entropy!, [grpo.entropy])).toBeLessThan(tolerance);
    expect(relativeError(results.klToStart!, [meanDivergence(start)])).toBeLessThan(tolerance);
  });

  it("has PyTorch's gradient of every parameter", async () => {
    const { gradientOf, norm } = await compute();
    expect(Object.keys(grpo.gradients)).toEqual(Object.keys(gradientOf));
    for (const [name, values] of Object.entries(gradientOf))
      expect(relativeError(values, grpo.gradients[name]!.data), name).toBeLessThan(tolerance);
    expect(relativeError([norm], [grpo.gradNorm])).toBeLessThan(tolerance);
  });

  it("is untouched by what stands outside the answers, however large", async () => {
    const spoil = (values: TensorData, by: number): Float32Array =>
      Float32Array.from(values, (value, index) => (tokenWeights[index]! > 0 ? value : by));
    const before = await compute();
    const after = await compute({
      oldLogProbs: spoil(feeds.oldLogProbs, -1e4),
      startLogProbs: spoil(feeds.startLogProbs, 1e4),
      referenceLogProbs: spoil(feeds.referenceLogProbs, 1e4),
    });
    expect(after).toEqual(before);
  });
});

describe("ppoObjective()", () => {
  const over = joinLayouts(layout, createValueHeadLayout(config));
  const joined = flatten(over, { ...file.parameters, ...ppo.valueHead });
  /** The whole sum of a row on its first answer token: the objective only sees the sum. */
  const oldLogProbs = new Float32Array(B * T);
  for (const [row, total] of ppo.oldSequenceLogProbs_B.data.entries())
    oldLogProbs[row * T + mask.subarray(row * T).indexOf(1)] = total;
  const feeds = {
    ...feedParameters(over, joined),
    ...tokenFeeds,
    rowTokens: Float32Array.from({ length: B * R }, (_, index) => {
      const [row, token] = [Math.floor(index / R), index % R];
      return tokenWeights[token]! > 0 && Math.floor(chosen.rows[token]! / T) === row ? 1 : 0;
    }),
    rowWeights: new Float32Array(B).fill(1 / B),
    oldLogProbs: choose(oldLogProbs),
    startLogProbs: choose(grpo.oldLogProbs_BT.data),
    referenceLogProbs: choose(grpo.referenceLogProbs_BT.data),
    advantages: Float32Array.from(ppo.advantages_B.data),
    oldValues: Float32Array.from(ppo.oldValues_B.data),
    returns: Float32Array.from(ppo.returns_B.data),
    lastPromptRows: lastPromptRows.map((row) => chosen.places[row]!),
  };
  const compute = async (): ReturnType<typeof run> => {
    const weights = createWeights(over);
    const objective = ppoObjective(config, weights, {
      B,
      T,
      R,
      temperature: 1,
      clipRange: ppo.clipEpsilon,
      valueClipRange: ppo.valueClipEpsilon,
      valueWeight: ppo.valueCoefficient,
      entropyWeight: ppo.entropyCoefficient,
    });
    return await run(objective, { over, weights, feeds });
  };

  it("has PyTorch's loss, value loss, entropy and clip share", async () => {
    expect(ppo.valueClipEpsilon).toBe(ppo.clipEpsilon);
    const { results } = await compute();
    expect(relativeError(results.loss!, [ppo.loss])).toBeLessThan(tolerance);
    expect(relativeError(results.valueLoss!, [ppo.valueLoss])).toBeLessThan(tolerance);
    expect(relativeError(results.entropy!, [ppo.entropy])).toBeLessThan(tolerance);
    expect(relativeError(results.clipShare!, [ppo.clipShare])).toBeLessThan(tolerance);
    expect(relativeError(results.klToReference!, [grpo.kl])).toBeLessThan(tolerance);
    const toStart = meanDivergence(grpo.oldLogProbs_BT.data);
    expect(relativeError(results.klToStart!, [toStart])).toBeLessThan(tolerance);
  });

  it("has PyTorch's gradient of every parameter, the value head's included", async () => {
    const { gradientOf, norm } = await compute();
    expect(Object.keys(ppo.gradients)).toEqual(Object.keys(gradientOf));
    for (const [name, values] of Object.entries(gradientOf))
      expect(relativeError(values, ppo.gradients[name]!.data), name).toBeLessThan(tolerance);
    expect(relativeError([norm], [ppo.gradNorm])).toBeLessThan(tolerance);
  });

  it("estimates PyTorch's values", async () => {
    const weights = createWeights(over);
    const { hidden_NE } = runSequences(config, weights, op.input("tokens", [B, T], "int32"));
    const program = await compile({ values: estimateValues(weights, hidden_NE, B) }, { numThreads: 1 });
    const { values } = await program.run({ ...feeds, lastPromptRows });
    await program.release();
    expect(relativeError(values, ppo.values_B.data)).toBeLessThan(tolerance);
  });
});
