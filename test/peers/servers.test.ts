/** Servers of others, asked as a user asks them: the real llama.cpp with a real chat model, from the GGUF that a package carries. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { findAbsence, locatePython, runPeer } from "../support/peers.ts";
import { createTemporaryFolder, parseJson, readOutput, removeFolder, root } from "../support/untwist.ts";

const { isSkipped, because } = findAbsence("llama");
const folder = createTemporaryFolder();
const questions = [
  ["What is the capital of France?", "Paris"],
  ["What is the capital of Italy?", "Rome"],
  ["What is 1 + 1?", "2|two"],
  ["What planet do we live on?", "earth"],
] as const;
let server: ChildProcess;
let address: string;

async function findFreePort(): Promise<number> {
  const probe = createServer().listen(0, "127.0.0.1");
  await once(probe, "listening");
  const place = probe.address();
  probe.close();
  return typeof place === "object" && place !== null ? place.port : 0;
}

/** Resolves once the server answers, which it does when the model is loaded. */
async function untilReady(): Promise<void> {
  while (server.exitCode === null) {
    const isReady = await fetch(`${address}/health`).then(
      ({ ok }) => ok,
      () => false,
    );
    if (isReady) return;
    await wait(100);
  }
  throw new Error("llama_server.py ended before it answered");
}

const ask = async (...more: readonly string[]): Promise<ReturnType<typeof parseJson>> =>
  parseJson(
    await readOutput(
      [
        ...["eval", "--endpoint", `${address}/v1`, "--model", "smollm2", "--environment", "items:items"],
        ...["--splits", "ood", "--json", "--items", ...more],
      ],
      folder,
    ),
  );

beforeAll(async () => {
  if (isSkipped) return;
  mkdirSync(join(folder, "items"));
  for (const split of ["id", "ood"])
    writeFileSync(
      join(folder, "items", `${split}.jsonl`),
      questions
        .map(([question, answer]) => JSON.stringify({ question, answer, metadata: { grader: "regex" } }))
        .join("\n"),
    );
  const weights = (await runPeer("gguf_path.py", [])).trim();
  const port = await findFreePort();
  address = `http://127.0.0.1:${port}`;
  const script = join(root, "test/peers/llama_server.py");
  server = spawn(locatePython("llama"), [script, weights, String(port)], {
    stdio: ["pipe", "ignore", "ignore"],
  });
  await untilReady();
});
afterAll(async () => {
  if (!isSkipped) {
    const ended = once(server, "exit");
    server.stdin?.end();
    await ended;
  }
  removeFolder(folder);
});

describe.skipIf(isSkipped)(`untwist eval --endpoint, of llama.cpp${because}`, () => {
  it("asks a real chat model, whose answers are complete and mostly right", async () => {
    const { items } = await ask();
    expect(items).toHaveLength(questions.length);
    const solved = items.filter(({ parts }: ReturnType<typeof parseJson>) => parts.solved);
    expect(solved.length).toBeGreaterThanOrEqual(questions.length / 2);
    for (const { outcome } of items) expect(["correct", "incorrect"]).toContain(outcome);
  });

  it("counts answers at the limit of tokens as cut off, and none of them as right", async () => {
    const { items } = await ask("--max-new-tokens", "2", "--answers", "cut.jsonl");
    const outcomes = items.map(({ outcome }: ReturnType<typeof parseJson>) => outcome);
    expect(new Set(outcomes)).toEqual(new Set(["cut off"]));
  });
});
