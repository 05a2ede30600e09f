/** What every answerer promises, whoever answers: a new one is a line in `cases`. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { type AddingServer, startAddingServer } from "../../../test/support/adding-server.ts";
import { createMachine, createTestEffects } from "../../../test/support/effects.ts";
import { plainRequests } from "../../../test/support/json-server.ts";
import { createMemoryAnswerer } from "../../../test/support/memory-answerer.ts";
import { createTemporaryFolder, removeFolder, root } from "../../../test/support/untwist.ts";
import type { Effects } from "../../base/progress/index.ts";
import { StoppedError } from "../../base/progress/index.ts";
import type { AskedTasks } from "../../run/index.ts";
import { splits } from "../../tasks/environment/index.ts";
import type { Answerer, Assignment, CheckpointSubject } from "./answerer.ts";
import { describeStandalone } from "./assignment.ts";
import { openAnswerer } from "./open-answerer.ts";

const folder = createTemporaryFolder();
const numTasks = 3;

const items = join(folder, "items");
mkdirSync(items);
for (const [offset, split] of splits.entries()) {
  const lines = Array.from({ length: numTasks }, (_, index) => {
    const [a, b] = [index + 1, 10 * offset + index];
    return JSON.stringify({ question: `${a} plus ${b}?`, answer: String(a + b) });
  });
  writeFileSync(join(items, `${split}.jsonl`), lines.join("\n"));
}
const checkpoint = join(folder, "model");
mkdirSync(checkpoint);
writeFileSync(join(checkpoint, "config.json"), "{}");

const servers: AddingServer[] = [];
afterAll(() => {
  for (const server of servers) server.close();
  removeFolder(folder);
});
const start = async (): Promise<AddingServer> => {
  const server = await startAddingServer(checkpoint);
  servers.push(server);
  return server;
};

const sums: AskedTasks = {
  environment: `items:${items}`,
  promptFormat: "chat",
  evaluation: { numTasks, seed: 1, numAttempts: 1, maxNewTokens: 8, batchSize: 4 },
};
const cards: AskedTasks = {
  environment: "general-points",
  promptFormat: "compact",
  evaluation: { numTasks, seed: 1, numAttempts: 1, maxNewTokens: 32, batchSize: 4 },
};
const requests = { ...plainRequests, concurrency: 2, maxTries: 2 };
const assign = (tasks: AskedTasks): Assignment => describeStandalone(tasks, { splits, owner: "the model" });
const asked: CheckpointSubject = { kind: "checkpoint", id: "model", path: checkpoint };

interface Case {
  readonly open: (effects: Effects) => Promise<Answerer> | Answerer;
  readonly subject: CheckpointSubject;
}

const cases: Readonly<Record<string, Case>> = {
  memory: {
    open: ({ signal }) => createMemoryAnswerer(assign(cards), { signal }),
    subject: asked,
  },
  embedded: {
    open: (effects) => openAnswerer({ kind: "embedded" }, assign(cards), effects),
    subject: { kind: "checkpoint", id: "base", path: resolve(root, "models/general-points-base") },
  },
  server: {
    open: (effects) => {
      const program = join(root, "test/support/stand-in-server.mjs");
      const template = `${process.execPath} ${program} {path} {port} ${folder}`;
      return openAnswerer({ kind: "server", template, startMs: 600_000, requests }, assign(sums), effects);
    },
    subject: asked,
  },
  endpoint: {
    open: async (effects) => {
      const { url } = await start();
      return openAnswerer({ kind: "endpoint", url, model: checkpoint, requests }, assign(sums), effects);
    },
    subject: asked,
  },
  adapters: {
    open: async (effects) => {
      const { url } = await start();
      return openAnswerer({ kind: "adapters", url, requests }, assign(sums), effects);
    },
    subject: asked,
  },
};

describe.each(Object.entries(cases))("the answerer %s", (name, { open, subject }) => {
  const effects = (): ReturnType<typeof createTestEffects> =>
    createTestEffects({
      machine: createMachine(join(folder, `cache-${name}`)),
      now: () => performance.now(),
    });

  it("answers every task of every split once, in order, and the same again", async () => {
    const answerer = await open(effects());
    try {
      const { items: first, moved } = await answerer.answer(subject);
      expect(moved).toBeUndefined();
      expect(first.map(({ split, index }) => `${split} ${index}`)).toEqual(
        splits.flatMap((split) => Array.from({ length: numTasks }, (_, index) => `${split} ${index}`)),
      );
      const { items: second } = await answerer.answer(subject);
      expect(second).toEqual(first);
    } finally {
      await answerer.close();
    }
  });

  it("chooses among subjects without making up others, and may be closed without having answered", async () => {
    const answerer = await open(effects());
    expect(await answerer.choose([subject])).toEqual([subject]);
    expect(await answerer.choose([])).toEqual([]);
    await answerer.close();
  });

  it("stops when a stop is wished, and says so", async () => {
    const stop = new AbortController();
    stop.abort();
    const answerer = await open({ ...effects(), signal: stop.signal });
    await expect(answerer.answer(subject)).rejects.toThrow(StoppedError);
    await answerer.close();
  });
});

describe("the answerer adapters", () => {
  it("takes an adapter away again that it loaded, and answers with it as with no other", async () => {
    const server = await start();
    const adapter = join(folder, "adapter");
    mkdirSync(adapter);
    const config = { peft_type: "LORA", base_model_name_or_path: checkpoint, r: 1, lora_alpha: 1 };
    writeFileSync(join(adapter, "adapter_config.json"), JSON.stringify(config));
    const effects = createTestEffects({ machine: createMachine(join(folder, "cache-adapter")) });
    const answerer = openAnswerer({ kind: "adapters", url: server.url, requests }, assign(sums), effects);
    const own = await answerer.answer({ kind: "checkpoint", id: "tuned", path: adapter });
    const base = await answerer.answer(asked);
    expect(own.items.map(({ parts }) => parts.solved)).toEqual(own.items.map(() => false));
    expect(base.items.map(({ parts }) => parts.solved)).toEqual(base.items.map(() => true));
    expect([server.loaded.length, server.adapters.size]).toEqual([1, 0]);
    expect(effects.notices()).toEqual([expect.stringContaining("cannot be verified")]);
  });

  it("refuses checkpoints that do not belong together before any is asked", async () => {
    const server = await start();
    const answerer = openAnswerer(
      { kind: "adapters", url: server.url, requests },
      assign(sums),
      createTestEffects(),
    );
    await expect(answerer.prepare({ all: [asked], missing: [asked] }, createTestEffects())).rejects.toThrow(
      "the run has no adapters",
    );
  });
});
