/**
 * A chat model of 135 million parameters, of random bfloat16 weights: the embedded engine beside PyTorch and llama.cpp, two threads, in turns in one
 * run so that all see the same machine. `npm run bench chat-model [rounds=3] [task=NAME]`; the peers' Python environments are those of
 * `tools/make-peers.sh`, found by UNTWIST_PEERS. Prints medians, and ratios to the best form of each peer.
 */
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { createRandom } from "../src/base/core/index.ts";
import {
  createLayout,
  createTextEngine,
  type ModelConfig,
  parseModelConfig,
  readParameters,
  type Text,
  type TextEngine,
  type TextGroup,
} from "../src/engine/model/index.ts";
import { collectParameters } from "../src/engine/model/parameters.ts";
import { openCores } from "../src/engine/parallel/index.ts";
import { adamW, constantSchedule, createSupervisedTrainer } from "../src/training/index.ts";
import { withTemporaryFolder } from "./child.ts";

const numThreads = 2;
const argument = (name: string, otherwise: string): string =>
  process.argv.find((one) => one.startsWith(`${name}=`))?.slice(name.length + 1) ?? otherwise;
const rounds = Number(argument("rounds", "3"));
const peers = process.env.UNTWIST_PEERS ?? join(process.env.HOME ?? "", ".cache/untwist-peers");
const pythons = { PyTorch: "main", "llama.cpp": "llama" } as const;
const scripts = { PyTorch: "bench/pytorch_chat.py", "llama.cpp": "bench/llama_chat.py" } as const;

const tasks = ["stream1", "stream16", "likelihood", "prefill", "sft"] as const;
type Task = (typeof tasks)[number];
/** What is counted in a second. */
const units: Readonly<Record<Task, string>> = {
  stream1: "tokens/s",
  stream16: "tokens/s",
  likelihood: "questions/s",
  prefill: "tokens/s",
  sft: "tokens/s",
};

/** The forms of PyTorch that were the fastest, and how transformers is used as a rule; `bench/pytorch_chat.py forms TASK` lists all. */
const fastForms: Readonly<Record<Task, readonly string[]>> = {
  stream1: ["sum-mixed", "generate-f32"],
  stream16: ["onednn-f32", "generate-f32"],
  likelihood: ["onednn-tree-f32", "hf-padded-f32"],
  prefill: ["onednn-f32"],
  sft: ["compile-f32", "eager-f32"],
};

const greedy = { temperature: 0 };
const random = createRandom(1);
const draw = (length: number): number[] => Array.from({ length }, () => random.integer(1, 49_151));

/** Seconds of the work of a task, and how much that is. */
type Measure = () => Promise<{ readonly count: number; readonly seconds: number }>;

async function finish(group: TextGroup, texts: readonly Text[]): Promise<void> {
  while (texts.some(({ end }) => end === undefined)) await group.advance(Number.POSITIVE_INFINITY);
}

/** The work of each task on the engine. Texts are new each time, so that nothing is known from before. */
async function createWork(folder: string): Promise<Readonly<Record<Task, Measure>>> {
  const config: ModelConfig = parseModelConfig(
    { ...JSON.parse(readFileSync(join(folder, "config.json"), "utf8")), eos_token_id: null },
    "config.json",
  );
  const open = async (): Promise<{ readonly engine: TextEngine; readonly group: TextGroup }> => {
    const engine = createTextEngine(config, { numThreads });
    return { engine, group: await engine.open(readParameters(folder, config)) };
  };
  const { group } = await open();
  const time = async (count: number, work: () => Promise<unknown>): ReturnType<Measure> => {
    const start = performance.now();
    await work();
    return { count, seconds: (performance.now() - start) / 1000 };
  };
  const stream = (numTexts: number) => (): ReturnType<Measure> => {
    const requests = Array.from({ length: numTexts }, () => ({
      prompt: draw(64),
      maxNewTokens: 128,
      sampling: greedy,
      random,
    }));
    return time(numTexts * 128, () => finish(group, requests.map(group.add)));
  };
  const trainer = createSupervisedTrainer(config, {
    optimizer: adamW({ beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0.01, maxGradientNorm: 1 }),
    schedule: constantSchedule(1e-5),
    batchSize: 4,
    cores: openCores(numThreads),
    drawSequences: () => Array.from({ length: 4 }, () => ({ tokens: draw(257), numPromptTokens: 1 })),
  });
  let state: ReturnType<typeof trainer.start> | undefined;
  return {
    stream1: stream(1),
    stream16: stream(16),
    likelihood: () => {
      const requests = Array.from({ length: 24 }, () => draw(80)).flatMap((question) =>
        Array.from({ length: 4 }, () => ({
          prompt: [...question, ...draw(8)],
          maxNewTokens: 0,
          sampling: greedy,
          random,
          scoresFrom: question.length,
        })),
      );
      return time(24, () => finish(group, requests.map(group.add)));
    },
    prefill: () =>
      time(512, () =>
        finish(group, [group.add({ prompt: draw(512), maxNewTokens: 1, sampling: greedy, random })]),
      ),
    sft: async () => {
      state ??= trainer.start(await collectParameters(createLayout(config), readParameters(folder, config)));
      return await time(4 * 256, async () => {
        if (state !== undefined) state = (await trainer.step(state, state.step + 1)).state;
      });
    },
  };
}

interface PeerResult {
  readonly rate: number;
  readonly peak_mb: number;
}

type Peer = keyof typeof pythons;

/** What a peer's script prints, by its own Python unless another is named. */
function runPeer(peer: Peer, options: readonly string[], by: Peer = peer): string | undefined {
  const python = join(peers, pythons[by], "bin/python");
  if (!existsSync(python) || !existsSync(scripts[peer])) return undefined;
  const { status, stdout } = spawnSync(python, [scripts[peer], ...options], {
    encoding: "utf8",
    timeout: 900_000,
  });
  return status === 0 ? stdout : undefined;
}

const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;

/** As the peers measure themselves: calls for some seconds after one that warms up; the median of their rates. */
async function measureRate(work: Measure): Promise<number> {
  await work();
  const found: number[] = [];
  for (const end = performance.now() + 8000; performance.now() < end || found.length < 2; ) {
    const { count, seconds } = await work();
    found.push(count / seconds);
  }
  return median(found);
}

/** Rates by task and who reached them. */
const rates = new Map<string, number[]>();
const add = (task: Task, name: string, rate: number): void => {
  const key = `${task} ${name}`;
  rates.set(key, [...(rates.get(key) ?? []), rate]);
};

function printTask(task: Task): void {
  const found = [...rates].filter(([key]) => key.startsWith(`${task} `));
  const ours = median(rates.get(`${task} untwist`) ?? []);
  for (const [key, values] of found) {
    const name = key.slice(task.length + 1);
    const spread = `${Math.min(...values).toFixed(1)} to ${Math.max(...values).toFixed(1)}`;
    const ratio = name === "untwist" ? "" : `   ratio ${(ours / median(values)).toFixed(2)}`;
    console.log(
      `${task.padEnd(10)} ${name.padEnd(28)} ${median(values).toFixed(1).padStart(8)} ${units[task]} (${spread})${ratio}`,
    );
  }
}

await withTemporaryFolder(async (folder) => {
  const [model, gguf] = [join(folder, "model"), join(folder, "model.gguf")];
  const hasPyTorch = runPeer("PyTorch", ["make", model]) !== undefined;
  if (!hasPyTorch)
    throw new Error("The peers' Python was not found: tools/make-peers.sh FOLDER, UNTWIST_PEERS");
  const hasLlama = runPeer("llama.cpp", ["make", model, gguf], "PyTorch") !== undefined;
  const work = await createWork(model);
  const only = argument("task", "");
  for (const task of tasks.filter((one) => only === "" || one === only)) {
    const forms = argument("forms", "") === "" ? fastForms[task] : argument("forms", "").split(",");
    for (let round = 0; round < rounds; round++) {
      add(task, "untwist", await measureRate(work[task]));
      for (const form of forms) {
        const printed = runPeer("PyTorch", ["run", model, task, form, "--seconds", "8"]);
        const result: PeerResult | undefined =
          printed === undefined ? undefined : JSON.parse(printed.trim().split("\n").at(-1) ?? "");
        if (result !== undefined) add(task, `PyTorch ${form}`, result.rate);
      }
      if (hasLlama && (task === "stream1" || task === "prefill")) {
        const printed = runPeer("llama.cpp", ["run", gguf, task]);
        if (printed !== undefined)
          add(task, "llama.cpp f16", JSON.parse(printed.trim().split("\n").at(-1) ?? "").rate);
      }
    }
    printTask(task);
  }
  console.log(
    `medians of ${rounds} rounds in turns, ${numThreads} threads, load ${readFileSync("/proc/loadavg", "utf8").slice(0, 14)}, peak of this process ${(process.resourceUsage().maxRSS / 1e6).toFixed(2)} GB`,
  );
});
process.exit(0);
