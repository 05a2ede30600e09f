/**
 * Servers of others, asked as a user asks them: the real llama.cpp with a real chat model, from the GGUF that a package carries, and
 * `transformers serve`, which is started for each checkpoint.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { cpSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { locateModel } from "../../src/lab/machine/index.ts";
import { findFreePort } from "../support/free-port.ts";
import { findAbsence, locatePython, runPeer } from "../support/peers.ts";
import { createTemporaryFolder, parseJson, readOutput, removeFolder, root } from "../support/untwist.ts";

const { isSkipped, because } = findAbsence("llama");
const folder = createTemporaryFolder();
const questions = [
  ["What is the capital of France?", "Paris"],
  ["What is the capital of Italy?", "Rome"],
  ["What is 1 + 1?", "2|two"],
  ["What planet do we live on?", "earth"],
  ["What is the capital of Japan?", "Tokyo"],
  ["How many days are in a week?", "7|seven"],
] as const;
let server: ChildProcess;
let address: string;

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
  it("asks a real chat model, and grades its answers as far as they are complete", async () => {
    const { items } = await ask("--max-new-tokens", "48");
    expect(items).toHaveLength(questions.length);
    const right = items.filter(({ outcome }: ReturnType<typeof parseJson>) => outcome === "correct");
    expect(right.length).toBeGreaterThan(0);
    for (const { answer } of right)
      expect(questions.some(([, expected]) => new RegExp(expected, "i").test(answer))).toBe(true);
    for (const { outcome } of items) expect(["correct", "incorrect", "cut off"]).toContain(outcome);
  });

  it("counts answers at the limit of tokens as cut off, and none of them as right", async () => {
    const { items } = await ask("--max-new-tokens", "2", "--answers", "cut.jsonl");
    const outcomes = items.map(({ outcome }: ReturnType<typeof parseJson>) => outcome);
    expect(new Set(outcomes)).toEqual(new Set(["cut off"]));
  });
});

const main = findAbsence();
describe.skipIf(main.isSkipped)(`untwist eval --serve, by transformers serve${main.because}`, () => {
  it("gives the very answers of the embedded engine, by the same chat template", async () => {
    const base = await locateModel("general-points-base");
    for (const name of ["base", "tuned"]) {
      cpSync(base, join(folder, "models", name), { recursive: true });
      const template = "{% for message in messages %}{{ message.content }} {% endfor %}";
      writeFileSync(join(folder, "models", name, "chat_template.jinja"), template);
    }
    mkdirSync(join(folder, "cards"));
    const lines = ["1 2 3 4", "5 6 7 8", "10 12 2 2"].map((question) => ({ question, answer: "24" }));
    for (const split of ["id", "ood"])
      writeFileSync(
        join(folder, "cards", `${split}.jsonl`),
        lines.map((line) => JSON.stringify(line)).join("\n"),
      );
    const serve = `HF_HUB_OFFLINE=1 CUDA_VISIBLE_DEVICES= ${join(dirname(locatePython()), "transformers")} serve {path} --port {port} --device cpu --dtype float32`;
    const answers: string[][] = [];
    for (const [run, ...way] of [["embedded"], ["served", "--serve", serve]] as const) {
      await readOutput(["follow", "models/tuned", "--base", "models/base", "--out", run], folder);
      const asked = ["--environment", "items:cards", "--max-new-tokens", "8", ...way];
      await readOutput(["eval", run, ...asked], folder);
      for (const checkpoint of ["base", "sft-1"]) {
        const text = readFileSync(join(folder, run, `evaluations/${checkpoint}.jsonl`), "utf8");
        answers.push(
          text
            .trim()
            .split("\n")
            .map((line) => parseJson(line).answer),
        );
      }
    }
    const [embedded = []] = answers;
    expect(embedded.every((answer) => /^[\d ]+$/.test(answer))).toBe(true);
    expect(answers).toEqual([embedded, embedded, embedded, embedded]);
  });
});
