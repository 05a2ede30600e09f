/** Checkpoints of followed runs answered by servers: one started for each, and one at which adapters come and go. */
import { cpSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { locateModel } from "../src/lab/machine/index.ts";
import { type ModelServer, serveModel } from "./support/model-server.ts";
import { expectRefusal } from "./support/refusal.ts";
import { readReport } from "./support/surgery.ts";
import {
  createTemporaryFolder,
  type Json,
  listFilesBelow,
  parseJson,
  removeFolder,
  root,
  runUntwist,
  tinyRecipe,
} from "./support/untwist.ts";

const folder = createTemporaryFolder();
const at = (...path: readonly string[]): string => join(folder, ...path);
const servers: ModelServer[] = [];
afterAll(async () => {
  for (const one of servers) await one.close();
  removeFolder(folder);
});

const asked = [
  "--environment",
  "general-points",
  "--rendering",
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
  it("refuses a command without a place for the path", () =>
    expectRefusal(
      [["eval", "mute", ...asked, "--serve", "vllm serve model --port {port}"], "{path}"],
      folder,
    ));
});

describe("untwist eval FOLDER", () => {
  it("is answered by a server that is started for it, as the embedded engine answers", async () => {
    const served = ["--items", "--serve", `${serving} {path} --port {port}`];
    const own = await readReport(["eval", "out/checkpoint-12", ...asked, "--items"], folder);
    const { items, usage } = await readReport(["eval", "out/checkpoint-12", ...asked, ...served], folder);
    expect(items).toEqual(own.items.map(({ reference, ...item }: Json) => item));
    expect(usage).toMatchObject({ numAsked: 48, numKnown: 0 });
    // Its answers are kept by its folder and files.
    const again = await readReport(["eval", "out/checkpoint-12", ...asked, ...served], folder);
    expect([again.items, again.usage.numAsked]).toEqual([items, 0]);
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

describe("checkpoints of one run with tokenizers of their own", () => {
  const templates = {
    forwards: "{% for m in messages %}{{ m.content }} {% endfor %}",
    twice: "{% for m in messages %}{{ m.content }} {{ m.content }} {% endfor %}",
  };
  const chats = ["--environment", "items:cards", "--max-new-tokens", "6"];
  beforeAll(() => {
    mkdirSync(at("cards"));
    const lines = ["1 2 3 4", "5 6 7 8", "10 12 2 2"].map((question) => ({ question, answer: "24" }));
    for (const split of ["id", "ood"])
      writeFileSync(at(`cards/${split}.jsonl`), lines.map((line) => JSON.stringify(line)).join("\n"));
    for (const [name, template] of Object.entries({ ...templates, none: undefined })) {
      cpSync(at("base"), at(name), { recursive: true });
      if (template !== undefined) writeFileSync(at(name, "chat_template.jinja"), template);
    }
    // One that is padded otherwise, as trainers leave it.
    const config = parseJson(readFileSync(at("twice/config.json"), "utf8"));
    writeFileSync(at("twice/config.json"), JSON.stringify({ ...config, pad_token_id: 1 }));
  });

  it("are each asked by their own", async () => {
    await readReport(["follow", "twice", "--base", "forwards", "--out", "templates"], folder);
    await readReport(["eval", "templates", ...chats], folder);
    for (const [id, name] of [
      ["base", "forwards"],
      ["sft-1", "twice"],
    ] as const) {
      const { items } = await readReport(["eval", name, ...chats, "--items"], folder);
      const own = items.map(({ reference, ...item }: Json) => item);
      expect(readAnswers("templates", id), id).toEqual(own);
    }
    expect(readAnswers("templates", "base")).not.toEqual(readAnswers("templates", "sft-1"));
  });

  it("are refused where one has no room for its prompts", async () => {
    cpSync(at("forwards"), at("long"), { recursive: true });
    const template =
      "{% for m in messages %}{% for _ in range(999) %}{{ m.content }} {% endfor %}{% endfor %}";
    writeFileSync(at("long/chat_template.jinja"), template);
    await readReport(["follow", "long", "--base", "forwards", "--out", "roomless"], folder);
    const { code, stderr } = await runUntwist(["eval", "roomless", ...chats], folder);
    expect([code, stderr]).toEqual([2, expect.stringMatching(/3996 tokens.*sft-1 has 128 positions/)]);
  });

  it("are refused where only some have a chat template, unless all are asked by plain text", async () => {
    await readReport(["follow", "forwards", "--base", "none", "--out", "mixed"], folder);
    await expectRefusal([["eval", "mixed", ...chats], "sft-1 has a chat template and base has none"], folder);
    await expectRefusal([["eval", "none", ...chats, "--template", "model"], "it has none"], folder);
    await readReport(["eval", "mixed", ...chats, "--template", "none"], folder);
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
    // All of a matrix's directions, or another matrix in its place, are no low-rank addition.
    expect(stderr).toMatch(/are no low-rank additions and cannot be adapters; they are left out/);
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

  /** A server that says of adapters what a test wants, and answers the same whatever is loaded. */
  async function serveLies(
    listsAdapters: boolean,
    noise = 0,
  ): Promise<{ readonly address: string; close(): void }> {
    const loaded: string[] = [];
    let numAsked = 0;
    const server = createServer((incoming, outgoing) => {
      const parts: Buffer[] = [];
      incoming.on("data", (part: Buffer) => parts.push(part));
      incoming.on("end", () => {
        const body = parts.length === 0 ? {} : parseJson(Buffer.concat(parts).toString());
        if (incoming.url?.endsWith("/load_lora_adapter")) loaded.push(body.lora_name);
        const data = [
          { id: "served", root: at("base") },
          ...(listsAdapters ? loaded : []).map((id) => ({ id })),
        ];
        const completion = {
          choices: [
            { text: "", logprobs: { token_logprobs: [-0.5 - noise * Math.abs(Math.sin(numAsked++))] } },
          ],
        };
        outgoing.end(JSON.stringify(incoming.url?.endsWith("/models") ? { data } : completion));
      });
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return {
      address: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
      close: () => server.close(),
    };
  }

  for (const [name, listsAdapters, words] of [
    ["loads an adapter and does not list it", false, "does not list it"],
    ["lists an adapter and answers as without it", true, "just as without it"],
  ] as const)
    it(`refuse a server that ${name}`, async () => {
      const { address, close } = await serveLies(listsAdapters);
      const run = `lies-${listsAdapters}`;
      await readReport(["follow", "lora", "--base", "base", "--out", run], folder);
      const { code, stderr } = await runUntwist(["eval", run, ...asked, "--lora-endpoint", address], folder);
      expect([code, stderr.trimEnd().split("\n").at(-1)]).toEqual([2, expect.stringContaining(words)]);
      close();
    });

  it("are told where a server's own noise is as large as what they change", async () => {
    const { address, close } = await serveLies(true, 1e-3);
    await readReport(["follow", "lora", "--base", "base", "--out", "lies-noise"], folder);
    const { stderr } = await runUntwist(["eval", "lies-noise", ...asked, "--lora-endpoint", address], folder);
    expect(stderr).toContain("no more differently than twice without it");
    close();
  });

  it("refuse a server of another base, naming what it serves", async () => {
    const address = await serve(at("out/checkpoint-4"));
    await expectRefusal(
      [["eval", "lies-true", ...asked, "--lora-endpoint", address], at("base"), '"served"', "checkpoint-4"],
      folder,
    );
  });

  it("refuse checkpoints that are no adapters", async () => {
    await readReport(["follow", "out", "--base", "base", "--out", "whole"], folder);
    mkdirSync(at("unused"));
    const address = await serve(at("base"));
    await runUntwist(["eval", "whole", ...asked, "--serve", "exit 1 {path} {port}"], folder);
    await expectRefusal(
      [["eval", "whole", ...asked, "--lora-endpoint", address], "no adapters", "--serve"],
      folder,
    );
  });
});
