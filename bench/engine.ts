/**
 * Training and sampling speed of the engine beside PyTorch's: same model, same batches, two threads, taken in turns in
 * one run so that both see the same machine. Prints medians and ratios; without PyTorch, ours alone.
 */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { createRandom } from "../src/base/core/index.ts";
import { createLlamaConfig, initializeParameters } from "../src/engine/model/index.ts";
import { createAsker, openCores } from "../src/engine/parallel/index.ts";
import { adamW, constantSchedule, createSupervisedTrainer } from "../src/training/index.ts";

const numThreads = 2;
const numRounds = 5;
const cores = openCores(numThreads);
const peers = process.env.UNTWIST_PEERS ?? join(process.env.HOME ?? "", ".cache/untwist-peers");
const python = join(peers, "main/bin/python");
const [promptLength, answerLength] = [20, 29];

/** How the PyTorch is written; see pytorch_engine.py. */
const styles = { train: ["standard", "tuned", "compiled"], sample: ["standard", "tuned"] } as const;

/** The model of the `general-points` recipe; no end token is ever drawn, so that every answer has full length. */
const config = createLlamaConfig({
  vocabularySize: 127,
  hiddenSize: 96,
  intermediateSize: 256,
  numLayers: 3,
  numHeads: 4,
  normEpsilon: 1e-5,
  maxPositions: 128,
  endToken: 0,
  padToken: 0,
});

type Task = "train" | "sample";
const batchSizes: Readonly<Record<Task, number>> = { train: 64, sample: 128 };

const parameters = initializeParameters(config, createRandom(1));
const random = createRandom(2);
const drawTokens = (length: number): number[] =>
  Array.from({ length }, () => random.integer(1, config.vocabularySize - 1));

/** Seconds that `work` takes, the median of repeated calls over about a second, after half a second as PyTorch has it to warm up. */
async function time(work: () => Promise<void>): Promise<number> {
  const seconds: number[] = [];
  for (const end = performance.now() + 500; performance.now() < end; ) await work();
  for (const end = performance.now() + 1000; performance.now() < end; ) {
    const start = performance.now();
    await work();
    seconds.push((performance.now() - start) / 1000);
  }
  return median(seconds);
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)]!;
}

async function createTraining(): Promise<() => Promise<void>> {
  const optimizer = adamW({ beta1: 0.9, beta2: 0.98, epsilon: 1e-8, weightDecay: 0.01, maxGradientNorm: 1 });
  const sequences = Array.from({ length: batchSizes.train }, () => ({
    tokens: drawTokens(49),
    numPromptTokens: promptLength,
  }));
  const trainer = createSupervisedTrainer(config, {
    optimizer,
    schedule: constantSchedule(1e-3),
    batchSize: batchSizes.train,
    cores,
    drawSequences: () => sequences,
  });
  let state = trainer.start(parameters);
  return async () => {
    state = (await trainer.step(state, state.step + 1)).state;
  };
}

async function createSampling(): Promise<() => Promise<void>> {
  const endless = { ...config, endToken: -1 };
  const asker = createAsker(cores, { config: endless, parameters, batchSize: batchSizes.sample });
  const prompts = Array.from({ length: batchSizes.sample }, () => drawTokens(promptLength));
  return async () => {
    const requests = prompts.map((prompt, row) => ({ prompt, random: createRandom(3, row) }));
    await asker.generate(requests, {
      maxNewTokens: answerLength,
      sampling: { temperature: 1 },
    });
  };
}

/** Tokens of one call: every position of a training batch, every drawn token of sampling. */
const numTokens: Readonly<Record<Task, number>> = {
  train: batchSizes.train * 48,
  sample: batchSizes.sample * answerLength,
};

interface PyTorchResult {
  readonly tokensPerSecond: number;
  readonly torch: string;
  readonly blas: string;
}

function runPyTorch(task: Task, style: string): PyTorchResult | undefined {
  const options = [
    "--task",
    task,
    "--style",
    style,
    "--vocab",
    String(config.vocabularySize),
    "--repeats",
    "3",
    "--seconds",
    "0.5",
  ];
  const { status, stdout } = spawnSync(python, ["bench/pytorch_engine.py", ...options], { encoding: "utf8" });
  return status === 0 ? JSON.parse(stdout) : undefined;
}

const work = { train: await createTraining(), sample: await createSampling() };
const speeds = new Map<string, number[]>();
const add = (name: string, value: number): number =>
  speeds.set(name, [...(speeds.get(name) ?? []), value]).size;
const hasPyTorch = spawnSync(python, ["-c", "import torch"]).status === 0;
const versions = new Set<string>();
for (let round = 0; round <= numRounds; round++)
  for (const task of ["train", "sample"] as const) {
    const seconds = await time(work[task]);
    // The first round warms up.
    if (round > 0) add(`${task} untwist`, numTokens[task] / seconds);
    for (const style of hasPyTorch && round > 0 ? styles[task] : []) {
      const result = runPyTorch(task, style);
      if (result === undefined) continue;
      add(`${task} ${style}`, result.tokensPerSecond);
      versions.add(`${style}: PyTorch ${result.torch}, ${result.blas}`);
    }
  }

const shown = (name: string): number => Math.round(median(speeds.get(name) ?? [Number.NaN]));
for (const task of ["train", "sample"] as const) {
  const ours = shown(`${task} untwist`);
  console.log(`${task.padEnd(7)} untwist           ${String(ours).padStart(7)} tokens/s`);
  for (const style of styles[task]) {
    if (!speeds.has(`${task} ${style}`)) continue;
    const theirs = shown(`${task} ${style}`);
    console.log(
      `${task.padEnd(7)} PyTorch ${style.padEnd(9)} ${String(theirs).padStart(7)} tokens/s   ratio ${(ours / theirs).toFixed(2)}`,
    );
  }
}
for (const version of versions) console.log(version);
if (!hasPyTorch)
  console.log(
    "PyTorch was not found (tools/make-peers.sh FOLDER, UNTWIST_PEERS), so there is nothing to compare with",
  );
console.log(
  `medians of ${numRounds} rounds in turns, ${numThreads} threads, model of ${parameters.length} parameters`,
);
process.exit(0);
