/** Models behind servers: our client over real HTTP, with everything going wrong, against our own server. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { locateModel } from "../src/lab/machine/index.ts";
import { type FlakyProxy, faults, startFlakyProxy } from "./support/flaky-proxy.ts";
import { type ModelServer, serveModel } from "./support/model-server.ts";
import { expectRefusal, type Mistake } from "./support/refusal.ts";
import {
  createTemporaryFolder,
  type Json,
  parseJson,
  removeFolder,
  runUntwist,
  startUntwist,
} from "./support/untwist.ts";

const folder = createTemporaryFolder();
let server: ModelServer;
let proxy: FlakyProxy;
beforeAll(async () => {
  server = await serveModel("general-points-base", "base");
  proxy = await startFlakyProxy(server.address, { share: 0.2, slowMs: 2500 });
});
afterAll(async () => {
  proxy.close();
  await server.close();
  removeFolder(folder);
});

const tasks = ["--environment", "general-points", "--prompt-format", "compact", "--max-new-tokens", "32"];
const ask = (address: string, ...more: readonly string[]): readonly string[] => [
  ...["eval", "--endpoint", address, "--model", "base", ...tasks, "--json", "--items", ...more],
];
async function readEvaluation(args: readonly string[]): Promise<Json> {
  const { code, stdout, stderr } = await runUntwist(args, folder);
  expect(code, stderr).toBe(0);
  return parseJson(stdout);
}
const readAnswers = (path: string): readonly Json[] =>
  readFileSync(join(folder, path), "utf8")
    .split("\n")
    .filter((line) => line.endsWith("}"))
    .slice(1)
    .map(parseJson);

describe("untwist eval --endpoint", () => {
  const many = ["--count", "100", "--attempts", "5", "--concurrency", "32"];
  const hard = [...many, "--api", "completions", "--timeout", "2", "--answers", "hard.jsonl"];
  let undisturbed: Json;
  beforeAll(async () => {
    undisturbed = await readEvaluation(
      ask(server.address, ...many, "--api", "completions", "--answers", "easy.jsonl"),
    );
  });

  it("gives the answers that the embedded engine gives, exactly", async () => {
    const embedded = await readEvaluation([
      "eval",
      "general-points-base",
      ...tasks,
      "--count",
      "100",
      "--attempts",
      "5",
      "--json",
      "--items",
    ]);
    const withoutScore = embedded.items.map(({ reference, ...item }: Json) => item);
    expect(undisturbed.items).toEqual(withoutScore);
    expect(undisturbed.results.ood.solved).toEqual(embedded.results.ood.solved);
    expect(undisturbed.identity).toMatchObject({
      model: "base",
      root: await locateModel("general-points-base"),
    });
    expect(undisturbed.identity.fingerprint).toMatch(/^[0-9a-f]{16}$/);
  });

  it("loses and repeats nothing when a fifth of the requests go wrong and it is killed twice", async () => {
    for (const numAnswers of [120, 360]) {
      const { child, outcome } = startUntwist(ask(proxy.address, ...hard), folder);
      while (!existsSync(join(folder, "hard.jsonl")) || readAnswers("hard.jsonl").length < numAnswers)
        await wait(20);
      child.kill("SIGKILL");
      expect((await outcome).code).toBeNull();
    }
    const kept = readAnswers("hard.jsonl").length;
    expect(kept).toBeGreaterThanOrEqual(360);
    const resumed = await readEvaluation(ask(proxy.address, ...hard));
    expect(resumed.items).toEqual(undisturbed.items);
    expect(resumed.results).toEqual(undisturbed.results);
    expect(new Set(resumed.items.map(({ split, index }: Json) => `${split} ${index}`)).size).toBe(200);
    // What was asked before is not asked again, and every answer is kept once.
    expect(resumed.usage.numKnown).toBeGreaterThanOrEqual(kept - 1);
    expect(resumed.usage.numRetries).toBeGreaterThan(8);
    const keys = readAnswers("hard.jsonl").map(({ key }) => key);
    expect(new Set(keys).size).toBe(keys.length);
    expect(keys.length).toBe(resumed.usage.numKnown + resumed.usage.numAsked);
    for (const fault of faults) expect(proxy.counts[fault], fault).toBeGreaterThan(1);
  });

  it("asks a chat in the same words, and nothing at all the second time", async () => {
    const chat = ["--count", "20", "--answers", "chat.jsonl"];
    const first = await readEvaluation(ask(server.address, ...chat));
    expect(first.items.map(({ answer }: Json) => answer)).toEqual(
      undisturbed.items.filter(({ index }: Json) => index < 20).map(({ answer }: Json) => answer),
    );
    const again = await readEvaluation(ask(server.address, ...chat, "--price", "0.5,1.5"));
    expect(again.items).toEqual(first.items);
    expect(again.usage).toMatchObject({ numAsked: 0, numKnown: first.usage.numAsked });
    const { numPromptTokens, numNewTokens, cost } = again.usage;
    expect(cost).toBeCloseTo((0.5 * numPromptTokens + 1.5 * numNewTokens) / 1e6, 12);
  });

  it("draws the same answers again for the same seed", async () => {
    const drawn = ["--count", "20", "--temperature", "1"];
    const [first, second] = [
      await readEvaluation(ask(server.address, ...drawn, "--answers", "drawn-1.jsonl")),
      await readEvaluation(ask(server.address, ...drawn, "--answers", "drawn-2.jsonl", "--concurrency", "1")),
    ];
    expect(second.items.map(({ answer }: Json) => answer)).toEqual(
      first.items.map(({ answer }: Json) => answer),
    );
    expect(first.items.map(({ answer }: Json) => answer)).not.toEqual(
      undisturbed.items.filter(({ index }: Json) => index < 20).map(({ answer }: Json) => answer),
    );
  });
});

describe("a server that", () => {
  const servers: Server[] = [];
  /** A server whose every completion is this. */
  async function serveAnswer(body: object | string, status = 200): Promise<string> {
    const models = { object: "list", data: [{ id: "base" }] };
    const one = createServer((incoming, outgoing) => {
      const answer = incoming.url?.endsWith("/models") ? models : body;
      outgoing.writeHead(incoming.url?.endsWith("/models") ? 200 : status, {
        "content-type": "application/json",
      });
      outgoing.end(typeof answer === "string" ? answer : JSON.stringify(answer));
    });
    servers.push(one);
    await new Promise<void>((resolve) => one.listen(0, "127.0.0.1", resolve));
    return `http://127.0.0.1:${(one.address() as AddressInfo).port}`;
  }
  const answerOf = (content: string | null): object => ({
    choices: [{ message: { content }, finish_reason: "stop" }],
  });
  const briefly = ["--count", "2", "--attempts", "1", "--prompt-format", "chat"];
  const few = (name: string): readonly string[] => [...briefly, "--answers", `${name}.jsonl`];
  const elsewhere = createTemporaryFolder();
  afterAll(() => {
    for (const one of servers) one.close();
    removeFolder(elsewhere);
  });
  /** A cache of its own, so that no answers are known. */
  const fresh = (name: string): { readonly UNTWIST_CACHE: string } => ({
    UNTWIST_CACHE: join(elsewhere, name),
  });

  it("answers nothing, or nonsense, is graded as wrong", async () => {
    for (const [index, content] of [null, "", "I like turtles", "{{{[["].entries()) {
      const { results, items } = await readEvaluation(
        ask(await serveAnswer(answerOf(content)), ...few(`nonsense-${index}`)),
      );
      expect(results.id.solved).toEqual({ correct: 0, total: 2 });
      expect(items).toHaveLength(4);
    }
  });

  it("thinks aloud is graded by what follows the thinking, and by nothing where it never ends", async () => {
    const thought = '<think>{"formula": "1"}\nno</think>\n\n{"formula": "2*12"}';
    const { items } = await readEvaluation(ask(await serveAnswer(answerOf(thought)), ...few("thought")));
    expect(items[0].answer).toBe('{"formula": "2*12"}');
    const endless = await readEvaluation(
      ask(await serveAnswer(answerOf("<think>hm, hm")), ...few("endless")),
    );
    expect(endless.items[0].answer).toBe("");
  });

  it("judges answers is asked about each, and its grade counts", async () => {
    const items = (count: number): string =>
      Array.from({ length: count }, (_, index) =>
        JSON.stringify({
          question: `Who? ${index}`,
          answer: `right ${index}`,
          metadata: { grader: "judge" },
        }),
      ).join("\n");
    mkdirSync(join(folder, "judged"), { recursive: true });
    for (const split of ["id", "ood"]) writeFileSync(join(folder, `judged/${split}.jsonl`), items(3));
    const environment = ["--environment", "items:judged"];
    const address = await serveAnswer(answerOf("somebody"));
    const grades: readonly (readonly [string, string])[] = [
      ['<think>{"right": false}?</think> So {"right": true}', "correct"],
      ['{"right": false}', "incorrect"],
      ["who knows", "not judged"],
    ];
    for (const [said, outcome] of grades) {
      const judge = ["--judge-endpoint", await serveAnswer(answerOf(said)), "--judge-model", "base"];
      const args = [
        "eval",
        "--endpoint",
        address,
        "--model",
        "base",
        ...environment,
        ...judge,
        "--json",
        "--items",
      ];
      const { code, stdout, stderr } = await runUntwist(args, folder, fresh(`judge ${outcome}`));
      expect(code, stderr).toBe(0);
      expect(parseJson(stdout).items.map((item: Json) => item.outcome)).toEqual(
        Array.from({ length: 6 }, () => outcome),
      );
    }
    const withoutJudge = ["eval", "--endpoint", address, "--model", "base", ...environment];
    const { code, stderr } = await runUntwist(withoutJudge, folder, fresh("no judge"));
    expect([code, stderr.trimEnd().split("\n").at(-1)]).toEqual([
      2,
      expect.stringContaining("--judge-endpoint"),
    ]);
  });

  it("refuses its key, its model or its question is told in its own words, at once", async () => {
    const refusals: readonly (readonly [number, object | string, string])[] = [
      [401, { error: { message: "bad key" } }, "UNTWIST_API_KEY"],
      [400, { error: { message: "max_tokens is too large: 9999" } }, "max_tokens is too large"],
      [404, { message: "The model `base` does not exist." }, "does not exist"],
      [422, { detail: "no" }, "422"],
    ];
    for (const [status, body, words] of refusals) {
      const address = await serveAnswer(body, status);
      await expectRefusal(
        [ask(address, ...briefly, "--tries", "9"), "base", words],
        folder,
        fresh(`${status}`),
      );
    }
  });

  it("fails too often in a row is given up, with what it said last", async () => {
    const address = await serveAnswer("no luck", 503);
    await expectRefusal([ask(address, ...briefly, "--tries", "3"), "503", "no luck"], folder, fresh("tired"));
    const broken = await serveAnswer('{"choices": [');
    await expectRefusal([ask(broken, ...briefly, "--tries", "2"), "cut off"], folder, fresh("broken"));
  });
});

describe("untwist eval refuses", () => {
  beforeAll(() => {
    mkdirSync(join(folder, "kept"), { recursive: true });
    const asking = { api: "chat", temperature: 0, maxNewTokens: 32, fields: {} };
    const head = { identity: { model: "base", root: "/elsewhere" }, asking };
    writeFileSync(join(folder, "kept/other.jsonl"), `${JSON.stringify(head)}\n`);
    writeFileSync(join(folder, "kept/damaged.jsonl"), '{"identity"\n{}\n');
    writeFileSync(join(folder, "kept/notes.jsonl"), '{"a": 1}\n');
  });
  const at = (): string => server.address;
  const mistakes: Readonly<Record<string, () => Mistake>> = {
    "a server that is down": () => [
      ask("http://127.0.0.1:59871/v1"),
      "http://127.0.0.1:59871/v1",
      "nothing listens",
    ],
    "a model that is not served": () => [[...ask(at()), "--model", "other"], '"other"', '"base"'],
    "a server without the name of a model": () => [["eval", "--endpoint", at(), ...tasks], "--model"],
    "an address without its scheme": () => [ask("127.0.0.1:8000"), '"127.0.0.1:8000"', "http://"],
    "an address of another kind": () => [ask("ftp://host/"), '"ftp://host/"'],
    "answers of another model": () => [
      ask(at(), "--answers", "kept/other.jsonl"),
      "kept/other.jsonl",
      "root",
      "/elsewhere",
    ],
    "answers that are damaged, with the line": () => [
      ask(at(), "--answers", "kept/damaged.jsonl"),
      "kept/damaged.jsonl",
      "line 1",
    ],
    "answers that are something else": () => [ask(at(), "--answers", "kept/notes.jsonl"), "kept/notes.jsonl"],
    "tasks without an environment": () => [["eval", "--endpoint", at(), "--model", "base"], "--environment"],
    "an unknown environment": () => [
      ["eval", "--endpoint", at(), "--model", "base", "--environment", "chess"],
      '"chess"',
    ],
    "an unknown interface": () => [ask(at(), "--api", "telepathy"), '"telepathy"', "completions"],
    "fields that are not valid JSON": () => [ask(at(), "--body", "{top_p: 1}"), "--body"],
    "a price of one number": () => [ask(at(), "--price", "1"), "--price"],
    "a judge without a name": () => [ask(at(), "--judge-endpoint", at()), "--judge-model"],
    "a judge on the embedded engine": () => [
      ["eval", "general-points-base", "--environment", "items:judged", "--count", "2"],
      "judge",
      "--endpoint",
    ],
    "no patience": () => [ask(at(), "--concurrency", "0"), "--concurrency", '"0"'],
    "a folder and a server at once": () => [
      ["eval", "kept", "--endpoint", at(), "--environment", "general-points"],
      "kept",
      "--model",
    ],
  };
  for (const [name, mistake] of Object.entries(mistakes)) it(name, () => expectRefusal(mistake(), folder));
});
