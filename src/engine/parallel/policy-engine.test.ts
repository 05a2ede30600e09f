/** Policies on kernels and on ONNX Runtime: the same to who asks, and chosen by what is to be done. */
import { describe, expect, it } from "vitest";
import { readGoldenModel } from "../../../test/golden-model.ts";
import { createRandom } from "../../base/core/index.ts";
import { greedy, initializeParameters, listParameters, type ModelConfig } from "../model/index.ts";
import { createPolicyEngine, fitsKernels, type OpenPolicy, usesKernels } from "./policy-engine.ts";

const config: ModelConfig = { ...readGoldenModel("gqa-untied").config, maxPositions: 64 };
const draw = (seed: number): Float32Array =>
  initializeParameters({ ...config, initializerRange: 0.4 }, createRandom(seed, "engine"));
const large = { batchSize: 4, numBytes: 2 ** 27 };

describe("createPolicyEngine()", () => {
  const kinds = { kernels: large, "ONNX Runtime": { batchSize: 4, numBytes: 1000 } };
  for (const [name, options] of Object.entries(kinds))
    it(`opens one policy after the other, each with its own weights (${name})`, async () => {
      expect(usesKernels(config, options)).toBe(name === "kernels");
      const engine = createPolicyEngine(config, { ...options, numThreads: 1 });
      const open = (parameters: Float32Array): Promise<OpenPolicy> =>
        engine.open(listParameters(config, parameters));
      const answers: unknown[] = [];
      const fingerprints: string[] = [];
      for (const seed of [1, 2, 1]) {
        const policy = await open(draw(seed));
        expect([policy.areFinite(), policy.maxPositions]).toEqual([true, 64]);
        const request = { prompt: [4, 5, 6], random: createRandom(1), reference: [7, 8] };
        const [answer] = await policy.generate([request], { maxNewTokens: 12, sampling: greedy });
        expect(answer?.referenceLogProbs?.length).toBe(2);
        answers.push(answer);
        fingerprints.push(policy.fingerprint());
        policy.close();
      }
      expect(answers[2]).toEqual(answers[0]);
      expect(answers[1]).not.toEqual(answers[0]);
      expect([fingerprints[2] === fingerprints[0], new Set(fingerprints).size]).toEqual([true, 2]);
      const broken = await open(draw(1).with(5, Number.NaN));
      expect(broken.areFinite()).toBe(false);
      broken.close();
      await engine.release();
      expect(fingerprints[0]).toMatch(/^[0-9a-f]{64}$/);
      known.add(fingerprints[0] ?? "");
    });

  const known = new Set<string>();
  it("calls the same weights the same, wherever they run", () => {
    expect(known.size).toBe(1);
  });
});

describe("usesKernels()", () => {
  it("takes them for few texts of a large model, and where 32-bit floats would fill the memory", () => {
    expect(usesKernels(config, large)).toBe(true);
    expect(usesKernels(config, { ...large, batchSize: 128 })).toBe(false);
    expect(usesKernels(config, { ...large, batchSize: 128, numTexts: 16 })).toBe(true);
    const memoryBytes = 4 * draw(1).length;
    expect(usesKernels(config, { ...large, batchSize: 128, memoryBytes })).toBe(true);
    expect(usesKernels(config, { ...large, batchSize: 128, memoryBytes: 2 * memoryBytes })).toBe(false);
    for (const [numBytes, fits] of [
      [2 ** 26 - 1, false],
      [2 ** 26, true],
      [3 * 2 ** 30, true],
      [3 * 2 ** 30 + 1, false],
    ] as const) {
      expect(fitsKernels(numBytes)).toBe(fits);
      expect(usesKernels(config, { ...large, numBytes })).toBe(fits);
    }
  });
});
