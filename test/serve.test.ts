/** Checkpoints of followed runs answered by servers: one started for each, and one at which adapters come and go. */
import { cpSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { locateModel } from "../src/lab/machine/index.ts";
import { type ModelServer, serveModel } from "./support/model-server.ts";
import { expectRefusal } from "./support/refusal.ts";
import { readReport } from "./support/surgery.ts";
import {
  createWorkplace,
  type Json,
  listFilesBelow,
  parseJson,
  removeFolder,
  root,
  runUntwist,
  tinyRecipe,
} from "./support/untwist.ts";

const { folder, at } = createWorkplace();
const servers: ModelServer[] = [];
afterAll(async () => {
  for (const one of servers) await one.close();
  removeFolder(folder);
});

const asked = [
  "--environment",
  "general-points",
  "--prompt-format",
  "compact",
  "--count",
  "24",
  "--max-new-tokens",
  "32",
];
const serving = `${process.execPath} ${join(root, "bin/untwist.js")} serve`;

async function serve(checkpoint: string): Promise<string> {
  const server = await serveModel(checkpoint, "served");
  servers.push(server);
  return server.address;
}

/** The answers of a run, without what only the embedded engine can say. */
function readAnswers(run: string, checkpoint: string): readonly Json[] {
  const lines = readFileSync(at(run, "evaluations", `${checkpoint}.jsonl`), "utf8")
    .trimEnd()
    .split("\n");
  return lines.map(parseJson).map(({ reference, ...item }) => item);
}

const ids = ["base", "sft-4", "sft-12"];
beforeAll(async () => {
  writeFileSync(at("tiny.yaml"), tinyRecipe);
  const { code, stderr } = await runUntwist(
    [
      "run",
      "tiny.yaml",
      "--out",
      "trained",
      "--set",
      "rl=[]",
      "--set",
      "repairs=false",
      "--set",
      "spectra=false",
    ],
    folder,
  );
  expect(code, stderr).toBe(0);
  for (const step of [4, 12])
    cpSync(at(`trained/checkpoints/sft-${step}`), at(`out/checkpoint-${step}`), { recursive: true });
  cpSync(await locateModel("general-points-base"), at("base"), { recursive: true });
  await readReport(["follow", "out", "--base", "base", "--out", "run"], folder);
  await readReport(["eval", "run", ...asked], folder);
});

describe("untwist eval RUN --serve", () => {
  it("gives the answers of the embedded engine, checkpoint by checkpoint, and leaves no server behind", async () => {
    await readReport(["follow", "out", "--base", "base", "--out", "served"], folder);
    const summary = await readReport(
      ["eval", "served", ...asked, "--serve", `${serving} {path} --port {port}`],
      folder,
    );
    for (const id of ids) expect(readAnswers("served", id), id).toEqual(readAnswers("run", id));
    expect(summary.checkpoints.map(({ id }: Json) => id)).toEqual(ids);
    expect(summary.checkpoints[0].loss).toEqual({ id: null, ood: null });
    const [head] = readFileSync(at("served/answers/sft-4.jsonl"), "utf8").split("\n");
    expect(parseJson(head ?? "").identity).toMatchObject({ model: at("out/checkpoint-4") });
    const { stdout } = await runUntwist(["show", "served"], folder);
    expect(stdout).toContain("–");
  });

  const refuse = async (name: string, line: string, ...words: readonly string[]): Promise<void> => {
    await readReport(["follow", "out", "--base", "base", "--out", name], folder);
    const settled = ["eval", name, ...asked, "--serve", "exit 1 {path} {port}"];
    await runUntwist(settled, folder);
    await expectRefusal([["eval", name, ...asked, "--serve", line], ...words], folder);
  };
  it("refuses a server of another model", () =>
    refuse(
      "another",
      `: {path}; exec ${serving} ${at("out/checkpoint-4")} --port {port}`,
      at("base"),
      "checkpoint-4",
      "{path}",
    ));
  it("passes on the last words of a server that ends", () =>
    refuse("ending", "echo no GPU here: {path} {port}; exit 3", "ended", "no GPU here"));
  it("gives up on a server that never answers", async () => {
    await readReport(["follow", "out", "--base", "base", "--out", "mute"], folder);
    await runUntwist(["eval", "mute", ...asked, "--serve", "exit 1 {path} {port}"], folder);
    const mute = ["eval", "mute", ...asked, "--serve", "sleep 60; : {path} {port}", "--serve-timeout", "1"];
    await expectRefusal([mute, "does not answer after 1 s"], folder);
  });

  const unused: Readonly<Record<string, readonly [args: readonly string[], word: string]>> = {
    "a temperature without a server": [["base", "--temperature", "1"], "--temperature"],
    "a judge without a server": [
      ["run", "--judge-model", "m", "--judge-endpoint", "http://127.0.0.1:1"],
      "--judge-model",
    ],
    "a file of answers without a server": [["base", "--answers", "a.jsonl"], "--answers"],
    "splits of a run": [["run", "--splits", "ood"], "--splits"],
    "a model's name beside --serve": [["run", "--model", "m", "--serve", "x {path} {port}"], "--model"],
    "adapters of one folder": [["base", "--lora-endpoint", "http://127.0.0.1:1"], "untwist follow"],
    "an endpoint of a run": [["run", "--endpoint", "http://127.0.0.1:1", "--model", "m"], "--serve"],
  };
  it.each(Object.keys(unused))("refuses what would be left out: %s", async (name) => {
    const [args, word] = unused[name] ?? [[], ""];
    await expectRefusal([["eval", ...args, ...asked], word], folder);
  });
});

describe("adapters at one server", () => {
  const grid = `name: thin\ntarget: sft-12\nsource: sft-4\ngrid:\n  - { what: [directions, vectors], top: [2, 8], layers: ["0-1"] }\n  - { what: [directions], top: [all], layers: ["0"], controls: false }\n`;

  it("give in a repair grid the accuracies of edits in memory", async () => {
    writeFileSync(at("thin.yaml"), grid);
    const [inMemory] = await readReport(["repair", "run", "thin.yaml"], folder);
    // One that was asked through a server, as its repairs are.
    cpSync(at("served"), at("swept"), { recursive: true });
    const address = await serve(at("out/checkpoint-12"));
    const { code, stdout, stderr } = await runUntwist(
      ["repair", "swept", "thin.yaml", "--lora-endpoint", address, "--json"],
      folder,
    );
    expect(code, stderr).toBe(0);
    // All of a matrix's directions, or another matrix in its place, are not a low-rank addition.
    expect(stderr).toMatch(/are not low-rank additions and cannot be adapters; they are left out/);
    const [served] = parseJson(stdout);
    const repairs = new Map(inMemory.repairs.map((repair: Json) => [repair.name, repair]));
    expect(served.repairs.length).toBeGreaterThan(8);
    for (const { name, id, ood, moved } of served.repairs) {
      const expected: Json = repairs.get(name);
      expect({ name, id, ood }).toEqual({ name: expected.name, id: expected.id, ood: expected.ood });
      expect(Math.abs(moved - expected.moved)).toBeLessThan(1e-5);
    }
    const asked = readFileSync(at("swept/summary.json"), "utf8");
    expect(parseJson(asked).repairs).toEqual([served]);
    expect(listFilesBelow(at("swept/repairs")).filter((name) => name.includes("adapters"))).toEqual([]);
  });

  it("are evaluated as the checkpoints that they are", async () => {
    for (const [step, top] of [
      [1, "2"],
      [2, "8"],
    ] as const)
      await readReport(
        [
          "restore",
          "--into",
          "base",
          "--from",
          "out/checkpoint-12",
          "--top",
          top,
          "--as",
          "lora",
          "--matrices",
          "*_proj",
          "--out",
          `lora/checkpoint-${step}`,
        ],
        folder,
      );
    await readReport(["follow", "lora", "--base", "base", "--out", "lora-embedded"], folder);
    await readReport(["eval", "lora-embedded", ...asked], folder);
    await readReport(["follow", "lora", "--base", "base", "--out", "lora-served"], folder);
    const address = await serve(at("base"));
    await readReport(["eval", "lora-served", ...asked, "--lora-endpoint", address], folder);
    for (const id of ["base", "sft-1", "sft-2"])
      expect(readAnswers("lora-served", id), id).toEqual(readAnswers("lora-embedded", id));
    expect(readAnswers("lora-served", "sft-2")).not.toEqual(readAnswers("lora-served", "base"));
    const listed = parseJson(await (await fetch(`${address}v1/models`)).text());
    expect(listed.data.map(({ id }: Json) => id)).toEqual(["served"]);
  });
});
