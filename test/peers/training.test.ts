/** Our training against the real PyTorch and PEFT, step by step: what is trained stays within a thousandth of each step. See training.py. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  createLayout,
  createLoraLayout,
  feedParameters,
  type LoraOptions,
  type ParameterLayout,
  parseModelConfig,
  type Sequence,
} from "../../src/engine/model/index.ts";
import { openCores } from "../../src/engine/parallel/index.ts";
import { type AdamWOptions, adamW, startTraining } from "../../src/training/optimizer.ts";
import { constantSchedule } from "../../src/training/schedule.ts";
import { createSupervisedTrainer } from "../../src/training/supervised-trainer.ts";
import { openSafetensors } from "../../src/weights/checkpoint/index.ts";
import { findAbsence, runPeer } from "../support/peers.ts";
import { createTemporaryFolder, removeFolder } from "../support/untwist.ts";

interface Expected {
  readonly optimizer: AdamWOptions & { readonly learningRate: number };
  readonly lora: LoraOptions | null;
  readonly batches: readonly (readonly Sequence[])[];
  readonly losses: readonly number[];
  readonly norms: readonly number[];
}

const { isSkipped, because } = findAbsence();
const folder = createTemporaryFolder();
const cores = openCores(2);

beforeAll(async () => {
  if (!isSkipped) await runPeer("training.py", [folder]);
}, 300_000);
afterAll(async () => {
  removeFolder(folder);
  await cores.close();
});

/** Reads vectors of a layout, by the number or word before their names, such as "3.". */
async function openVectors(
  path: string,
): Promise<(prefix: string, layout: ParameterLayout) => Promise<Float32Array>> {
  const file = await openSafetensors(path);
  return async (prefix, layout) => {
    const vector = new Float32Array(layout.size);
    for (const [name, place] of Object.entries(feedParameters(layout, vector)))
      place.set((await file.readTensor(prefix + name)).data);
    return vector;
  };
}

const subtract = (one: Float32Array, other: Float32Array): Float32Array =>
  one.map((value, index) => value - other[index]!);

const distance = (one: Float32Array, other: Float32Array): number =>
  Math.hypot(...one.map((value, index) => value - other[index]!));

describe.skipIf(isSkipped)(`training beside PyTorch${because}`, () => {
  it.each(["all weights", "adapters"])(
    "%s: losses, gradients and what is trained, after each of 20 steps",
    async (name) => {
      const place = join(folder, name);
      const expected: Expected = JSON.parse(readFileSync(join(place, "expected.json"), "utf8"));
      const config = parseModelConfig(
        JSON.parse(readFileSync(join(place, "base/config.json"), "utf8")),
        place,
      );
      const readBase = await openVectors(join(place, "base/model.safetensors"));
      const parameters = await readBase("", createLayout(config));
      const read = await openVectors(join(place, "steps.safetensors"));
      const layout = expected.lora === null ? createLayout(config) : createLoraLayout(config, expected.lora);
      const optimizer = adamW(expected.optimizer);
      const trainer = createSupervisedTrainer(config, {
        cores,
        optimizer,
        schedule: constantSchedule(expected.optimizer.learningRate),
        batchSize: 6,
        drawSequences: (step) => expected.batches[step - 1]!,
        ...(expected.lora !== null && { lora: { ...expected.lora, parameters, seed: 1 } }),
      });
      let before = await read("0.", layout);
      let ours = before;
      let state = startTraining(before, optimizer);
      for (const [index, loss] of expected.losses.entries()) {
        const { state: next, metrics } = await trainer.step(state, index + 1);
        state = next;
        const after = await read(`${index + 1}.`, layout);
        expect(Math.abs(metrics.loss - loss), `loss of step ${index + 1}`).toBeLessThan(1e-4 * loss);
        const norm = expected.norms[index]!;
        expect(Math.abs(metrics.gradientNorm - norm), `gradient of step ${index + 1}`).toBeLessThan(
          1e-4 * norm,
        );
        // What this step changed; what is left of the difference adds up: float32's own rounding makes 5e-4 of it in PyTorch.
        const far =
          distance(subtract(state.parameters, ours), subtract(after, before)) / distance(after, before);
        expect(far, `step ${index + 1}`).toBeLessThan(1e-3);
        ours = state.parameters.slice();
        before = after;
      }
      if (expected.lora !== null) {
        const modelLayout = createLayout(config);
        const merged = await read("merged.", modelLayout);
        const moved = distance(merged, parameters);
        expect(distance(await trainer.parameters(state), merged)).toBeLessThan(1e-3 * moved);
      }
      await trainer.release();
    },
    300_000,
  );
});
