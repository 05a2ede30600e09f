/** The studio's server and the report: what they give out of run folders, and what they make of hostile requests. */
import { createHash } from "node:crypto";
import {
  cpSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { Agent, type IncomingHttpHeaders, request } from "node:http";
import { connect } from "node:net";
import { networkInterfaces } from "node:os";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { gunzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readOverlaps, summarize } from "../src/lab/index.ts";
import { type Studio, startStudio } from "../src/server/index.ts";
import { expectRefusal } from "./support/refusal.ts";
import { readParquet } from "./support/spectra.ts";
import {
  createTemporaryFolder,
  parseJson,
  removeFolder,
  runUntwist,
  startUntwist,
  tinyRecipe,
} from "./support/untwist.ts";

type Json = ReturnType<typeof parseJson>;

const folder = createTemporaryFolder();
const home = join(folder, "runs");
const run = join(home, "run");
const cache = { UNTWIST_CACHE: join(folder, "cache") };
const { UNTWIST_CACHE: ownCache } = process.env;
const studios: Studio[] = [];
afterAll(async () => {
  if (ownCache === undefined) delete process.env.UNTWIST_CACHE;
  else process.env.UNTWIST_CACHE = ownCache;
  for (const studio of studios) await studio.close();
  removeFolder(folder);
});

const readJson = (...path: readonly string[]): Json => parseJson(readFileSync(join(...path), "utf8"));
const readLines = (...path: readonly string[]): readonly Json[] =>
  readFileSync(join(...path), "utf8")
    .trimEnd()
    .split("\n")
    .map(parseJson);
const round = (value: unknown): number => Number(Number(value).toPrecision(4));
const writeJson = (path: string, value: unknown): void => writeFileSync(path, JSON.stringify(value));

async function open(shown: string, host = "127.0.0.1"): Promise<Studio> {
  const studio = await startStudio({ folder: shown, host, port: 0, tools: { summarize, readOverlaps } });
  studios.push(studio);
  return studio;
}

interface Reply {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
}

interface Question {
  readonly method?: string;
  /** `null` for none at all. */
  readonly host?: string | null;
  readonly agent?: Agent;
}

/** Sends a request as it is written: nothing is normalized, neither its path nor the Host header. */
function ask({ address }: Pick<Studio, "address">, path: string, question: Question = {}): Promise<Reply> {
  const { hostname, port, host: own } = new URL(address);
  const { method = "GET", host = own, agent = new Agent() } = question;
  const headers = host === null ? {} : { host };
  const target = { hostname: hostname.replaceAll(/[[\]]/g, ""), port, path, method, agent };
  return new Promise((resolve, reject) => {
    const asked = request({ ...target, headers, setHost: false }, (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (part: string) => {
        text += part;
      });
      response.on("end", () =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers, text }),
      );
    });
    asked.on("error", reject).end();
  });
}

async function get(studio: Pick<Studio, "address">, path: string): Promise<Json> {
  const { status, headers, text } = await ask(studio, path);
  expect(status, `${path}: ${text}`).toBe(200);
  expect(headers["content-type"]).toMatch(/^application\/json/);
  return parseJson(text);
}

/** Expects one sentence of what is wrong, as JSON, and gives it. */
async function expectError(studio: Studio, path: string, question?: Question): Promise<string> {
  const { status, headers, text } = await ask(studio, path, question);
  expect(status, `${path.slice(0, 80)}: ${text.slice(0, 200)}`).toBeGreaterThanOrEqual(400);
  expect(status, `${path.slice(0, 80)}: ${text}`).toBeLessThan(500);
  expect(headers["content-type"]).toMatch(/^application\/json/);
  const { error, ...rest } = parseJson(text);
  expect(rest).toEqual({});
  expect(error).toMatch(/^[A-Z"][^\n]{8,}$/);
  return error;
}

/** A copy of the run, with its weights by a link. */
function copyRun(path: string): string {
  const left = new Set([join(run, "checkpoints"), join(run, "report.html")]);
  cpSync(run, path, { recursive: true, filter: (source) => !left.has(source) });
  symlinkSync(join(run, "checkpoints"), join(path, "checkpoints"), "dir");
  return path;
}

let studio: Studio;
beforeAll(async () => {
  writeFileSync(join(folder, "tiny.yaml"), tinyRecipe);
  const { code, stderr } = await runUntwist(["run", "tiny.yaml", "--out", "runs/run"], folder, cache);
  expect(code, stderr).toBe(0);
  Object.assign(process.env, cache);
  studio = await open(home);
}, 120_000);

describe("the page", () => {
  it("comes with its script and style, and may load nothing but these", async () => {
    const page = await ask(studio, "/");
    expect(await ask(studio, "/index.html")).toMatchObject({ status: 200, text: page.text });
    expect(page.headers["content-type"]).toBe("text/html; charset=utf-8");
    const named = [...page.text.matchAll(/ (?:src|href)="(?!data:)([^"]*)"/g)].map(([, path]) => path);
    expect(named.sort()).toEqual(["./page.css", "./page.js"]);
    const types = { "page.js": "text/javascript; charset=utf-8", "page.css": "text/css; charset=utf-8" };
    for (const [name, type] of Object.entries(types)) {
      const { status, headers, text } = await ask(studio, `/${name}`);
      expect({ status, type: headers["content-type"] }).toEqual({ status: 200, type });
      expect(text.length).toBeGreaterThan(1000);
    }
  });

  it("is kept from running what others put in, from being framed and from being guessed at", async () => {
    for (const path of ["/", "/page.js", "/page.css", "/api/runs", "/nothing"]) {
      const { headers } = await ask(studio, path);
      const policy = String(headers["content-security-policy"]);
      const rules = new Map(
        policy.split(/;\s*/).map((rule) => [rule.split(" ")[0], rule.split(" ").slice(1)]),
      );
      expect(Object.fromEntries(rules), path).toMatchObject({
        "default-src": ["'none'"],
        "script-src": ["'self'"],
        "connect-src": ["'self'"],
        "base-uri": ["'none'"],
        "form-action": ["'none'"],
        "frame-ancestors": ["'none'"],
      });
      expect(policy).not.toMatch(/http|\*|unsafe-eval/);
      expect(headers).toMatchObject({
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
      });
      expect(headers).not.toHaveProperty("access-control-allow-origin");
    }
  });
});

describe("the data", () => {
  it("list runs with the counts of their summaries", async () => {
    const { trajectory, checkpoints } = readJson(run, "summary.json");
    const { peak, sftEnd } = trajectory;
    expect(peak.ood.correct).toBeGreaterThan(sftEnd.ood.correct);
    expect(await get(studio, "/api/runs")).toEqual([
      {
        id: "run",
        recipe: "tiny",
        seed: 1,
        isFinished: true,
        numCheckpoints: checkpoints.length,
        ood: { peak: peak.ood.correct, end: sftEnd.ood.correct, numTasks: 24 },
      },
    ]);
  });

  it("give a run as its summary says it, shown alone as well", async () => {
    const summary = readJson(run, "summary.json");
    expect(await get(studio, "/api/run/run?run=run")).toEqual({
      id: "run",
      path: run,
      isFinished: true,
      summary,
    });
    const alone = await open(run);
    expect(await get(alone, "/api/runs")).toMatchObject([{ id: ".", numCheckpoints: 7 }]);
    expect(await get(alone, "/api/run/run?run=.")).toEqual({
      id: ".",
      path: run,
      isFinished: true,
      summary,
    });
  });

  it("give every answer, with as many solved as the summary counts", async () => {
    const { tasks, verdicts, answers, outcomes } = await get(studio, "/api/run/answers?run=run");
    const { checkpoints } = readJson(run, "summary.json");
    expect(Object.keys(verdicts)).toEqual(checkpoints.map(({ id }: Json) => id));
    for (const { id, accuracy, format } of checkpoints) {
      const items = readLines(run, "evaluations", `${id}.jsonl`);
      expect(answers[id]).toEqual(items.map(({ answer }) => answer));
      expect(outcomes[id]).toEqual(items.map(({ outcome }) => outcome));
      const split = (name: string): string =>
        [...verdicts[id]].filter((_, index) => tasks[index].split === name).join("");
      for (const name of ["id", "ood"] as const) {
        expect(split(name)).toMatch(/^[swvf]{24}$/);
        expect(split(name).split("s").length - 1).toBe(accuracy[name].correct);
        expect(split(name).split("f").length - 1).toBe(24 - format[name].correct);
      }
    }
    // Prompts are made anew; their hashes say that they are those that were answered.
    const hash = (text: string): string => createHash("sha256").update(text).digest("hex").slice(0, 16);
    const given = tasks.map(({ split, index, prompt }: Json) => [split, index, hash(prompt)]);
    const items = readLines(run, "evaluations/base.jsonl");
    expect(given).toEqual(items.map(({ split, index, promptHash }) => [split, index, promptHash]));
  });

  it("give the curves that were logged, stage by stage", async () => {
    const { stages } = await get(studio, "/api/run/curves?run=run");
    expect(stages.map(({ stage }: Json) => stage)).toEqual(["sft", "grpo-from-8", "ppo-from-4"]);
    for (const { stage, steps, series, advantages } of stages) {
      const lines = readLines(run, "metrics", `${stage}.jsonl`);
      expect(steps).toEqual(lines.map(({ step }) => step));
      expect(series.loss).toEqual(lines.map(({ loss }) => round(loss)));
      expect(series["gradient norm"]).toEqual(lines.map(({ gradientNorm }) => round(gradientNorm)));
      if (stage === "sft") expect(advantages).toEqual([]);
      else {
        expect(series.reward).toEqual(lines.map(({ reward }) => round(reward.mean)));
        expect(advantages).toEqual(
          lines.map(({ step, advantage: { histogram } }) => {
            const { low, high, counts } = histogram;
            return { step, low, high, counts };
          }),
        );
      }
    }
  });

  it("give the weights as the tables hold them, a number for each matrix of each pair", async () => {
    const { pairs, matrices, measures } = await get(studio, "/api/run/weights?run=run");
    const { spectra } = readJson(run, "summary.json");
    expect(pairs).toEqual(spectra.pairs.map(({ before, after }: Json) => ({ before, after })));
    const read = async (table: string): Promise<readonly Json[]> =>
      (await readParquet(join(run, "spectra", `${table}.parquet`))).rows;
    const [updates, values, sparsity] = [await read("updates"), await read("values"), await read("sparsity")];
    expect(pairs.length * matrices.length).toBe(updates.length);
    for (const [row, pair] of pairs.entries())
      for (const [column, { name, layer, kind, rows, columns }] of matrices.entries()) {
        const find = (table: readonly Json[]): Json =>
          table.find((one) => one.name === name && one.before === pair.before && one.after === pair.after);
        const update = find(updates);
        expect([layer, kind, rows, columns]).toEqual(
          [update.layer, update.kind, update.rows, update.columns].map((value) =>
            typeof value === "bigint" ? Number(value) : value,
          ),
        );
        const given = Object.entries(measures).map(([key, table]) => [key, (table as Json)[row][column]]);
        const { beyondChance, ...exact } = Object.fromEntries(given);
        expect(exact).toEqual({
          rotation: round(update.rotation),
          relativeUpdate: round(update.relative),
          spectralShift: round(find(values).spectral_shift),
          unchanged: round(find(sparsity).bitwise),
        });
        expect(beyondChance / (update.rotation / update.rotation_chance)).toBeCloseTo(1, 2);
      }
  });

  it("give one pair matrix by matrix, as the tables hold it, and none for a pair that was not compared", async () => {
    const pair = { before: "sft-4", after: "sft-12" };
    // Nine digits: values are subtracted from each other.
    const exact = (value: number): number => Number(value.toPrecision(9));
    const matrices = await get(studio, "/api/run/pair/sft-4/sft-12?run=run");
    const read = async (table: string): Promise<readonly Json[]> =>
      (await readParquet(join(run, "spectra", `${table}.parquet`))).rows.filter(
        ({ before, after }) => before === pair.before && after === pair.after,
      );
    const [updates, values, subspaces] = [
      await read("updates"),
      await read("values"),
      await read("subspaces"),
    ];
    expect(matrices.map(({ name }: Json) => name)).toEqual(values.map(({ name }) => name));
    for (const [index, matrix] of matrices.entries()) {
      const of = (table: readonly Json[]): readonly Json[] =>
        table.filter(({ name }) => name === matrix.name);
      const [update] = of(updates);
      expect(matrix).toMatchObject(pair);
      expect(matrix.values.before).toEqual([...values[index].values_before].map(exact));
      expect(matrix.values.after).toEqual([...values[index].values_after].map(exact));
      expect(matrix.update).toEqual([...update.values].map(round));
      expect(matrix.energy.map(({ outside }: Json) => outside)).toEqual(
        [...update.energy_outside].map(round),
      );
      expect(matrix.flags.map(({ flag }: Json) => flag)).toEqual([...values[index].flags]);
      expect(matrix.subspaces).toEqual(
        of(subspaces).map(({ side, rank, angles, chordal, chance, chance_unrelated }) => ({
          side,
          rank: Number(rank),
          angles: [...angles].map(round),
          chordal: round(chordal),
          chance: round(chance),
          unrelated: round(chance_unrelated),
        })),
      );
    }
    for (const none of ["sft-12/sft-4", "nothing/nothing", "..%2F..", "%00/%00", "__proto__/constructor"])
      expect(await get(studio, `/api/run/pair/${none}?run=run`)).toEqual([]);
  });

  it("give overlaps of leading vectors that are rows and columns of a rotation, and none without weights", async () => {
    const overlaps = await get(studio, "/api/run/overlaps/sft-4/sft-12?run=run");
    const { matrices } = await get(studio, "/api/run/weights?run=run");
    expect(Object.keys(overlaps).sort()).toEqual(matrices.map(({ name }: Json) => name).sort());
    for (const { size, left, right } of Object.values<Json>(overlaps))
      for (const side of [left, right]) {
        expect(side).toHaveLength(size * size);
        for (let row = 0; row < size; row++) {
          const percents: readonly number[] = side.slice(row * size, (row + 1) * size);
          // No part of a unit vector is longer than the whole, but for rounding to percent.
          expect(percents.reduce((sum, percent) => sum + percent ** 2, 0)).toBeLessThan(10_000 + 200 * size);
          expect(Math.min(...percents)).toBeGreaterThanOrEqual(0);
        }
      }
    const itself = await get(studio, "/api/run/overlaps/sft-4/sft-4?run=run");
    for (const { size, left } of Object.values<Json>(itself))
      expect(left).toEqual(
        Array.from({ length: size * size }, (_, index) => (index % (size + 1) === 0 ? 100 : 0)),
      );
    for (const none of ["nothing/nothing", "..%2F..", "__proto__/constructor"])
      expect(await get(studio, `/api/run/overlaps/${none}?run=run`)).toEqual({});
  });
});

describe("a hostile request", () => {
  const outside = join(folder, "outside/run");
  let guarded: Studio;
  let expected: Json;
  beforeAll(async () => {
    copyRun(outside);
    const inner = join(folder, "guarded");
    copyRun(join(inner, "run"));
    symlinkSync(outside, join(inner, "link"), "dir");
    guarded = await open(inner);
    expected = await get(guarded, "/api/runs");
  });
  const expectUnharmed = async (): Promise<void> => {
    expect(await get(guarded, "/api/runs")).toEqual(expected);
    expect(await get(guarded, "/api/run/run?run=run")).toMatchObject({ id: "run", isFinished: true });
  };

  it("for a run that is none of the folder's is told so, in whatever way it leads there", async () => {
    expect(expected.map(({ id }: Json) => id)).toEqual(["run"]);
    const leading = ["..", "../..", "../outside/run", "run/../../outside/run", outside, "/", "/etc", "link"];
    const odd = [
      "",
      ".",
      "run\0",
      "\0",
      "run\0/../../outside/run",
      "..\\outside\\run",
      "run\\",
      "run/metrics",
    ];
    const ids = [...leading, ...odd].flatMap((id) => {
      const once = encodeURIComponent(id).replaceAll(".", "%2e");
      return [/[\0\\]/.test(id) ? once : id, once, once.replaceAll("%", "%25")];
    });
    for (const id of [...ids, "%", "%ff", "%c0%ae%c0%ae"])
      for (const what of ["run", "weights", "pair/sft-4/sft-12"])
        expect(await expectError(guarded, `/api/run/${what}?run=${id}`), id).toMatch(/^There is no run /);
    await expectError(guarded, "/api/run/run");
    await expectUnharmed();
  });

  it("for a run by another spelling of its name is refused, and does not change what others are given", async () => {
    const absolute = join(folder, "guarded/run");
    for (const id of [
      "./run",
      "run/",
      "run/../run",
      "../guarded/run",
      absolute,
      encodeURIComponent(absolute),
    ])
      expect(await expectError(guarded, `/api/run/run?run=${id}`), id).toMatch(/^There is no run /);
    await expectUnharmed();
  });

  it("for a file beside the page is told that there is none", async () => {
    const up = ["/../package.json", "/%2e%2e/package.json", "/..%2fpackage.json", "/%252e%252e/package.json"];
    const odd = ["/page.js/../../package.json", "/./../cli/index.js", "//etc/passwd", "/page.js%00", "/api"];
    for (const path of [...up, ...odd]) expect(await expectError(guarded, path)).toMatch(/^There is no /);
    await expectUnharmed();
  });

  it("for data of an unknown name is told that there is none", async () => {
    for (const what of [
      "nothing",
      "constructor",
      "__proto__",
      "summary.json",
      "..%2frecipe.yaml",
      "%E0%A4%A",
    ])
      await expectError(guarded, `/api/run/${what}?run=run`);
    await expectUnharmed();
  });

  it("for a known name with more behind it is told that there is none", async () => {
    for (const what of [
      "run/more",
      "weights/..",
      "answers/1",
      "curves/x",
      "pair/sft-4/sft-12/x",
      "pair/..%2F../..",
      "pair/sft-4",
    ])
      await expectError(guarded, `/api/run/${what}?run=run`);
    await expectUnharmed();
  });

  it("by another name than the server's, or by none, is refused", async () => {
    for (const host of [
      "evil.example",
      "127.0.0.1.evil.example",
      "evil.example:80",
      "0.0.0.0",
      "127.0.0.1:x",
    ])
      for (const path of ["/", "/api/runs"])
        expect((await ask(guarded, path, { host })).status, host).toSatisfy((status) =>
          /^40[03]$/.test(status),
        );
    expect(await expectError(guarded, "/api/runs", { host: "evil.example" })).toContain('"evil.example"');
    // Node refuses these itself.
    for (const host of [null, "a b", "127.0.0.1@evil.example"])
      expect((await ask(guarded, "/api/runs", { host })).status, String(host)).toBe(400);
    for (const host of ["localhost", "127.0.0.1", "localhost:1"])
      expect((await ask(guarded, "/api/runs", { host })).status, host).toBe(200);
    await expectUnharmed();
  });

  it("that would change something is refused", async () => {
    for (const method of ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
      for (const path of ["/", "/api/runs", "/api/run/run?run=run"])
        await expectError(guarded, path, { method });
    await expectUnharmed();
  });

  it("that is refused is told so under the same policy as all else", async () => {
    for (const question of [{ host: "evil.example" }, { method: "POST" }])
      expect((await ask(guarded, "/api/runs", question)).headers).toMatchObject({
        "content-security-policy": expect.stringContaining("default-src 'none'"),
        "x-content-type-options": "nosniff",
      });
  });

  it("of any length is refused", async () => {
    await expectError(guarded, `/api/run/run?run=${"a".repeat(5000)}`);
    await expectError(guarded, `/${"a".repeat(5000)}`);
    // Longer than Node reads of a request at all.
    expect((await ask(guarded, `/api/run/run?run=${"a".repeat(100_000)}`)).status).toBe(431);
    await expectUnharmed();
  });
});

/** The folder of a run is named as it was given. */
function withoutPath(value: Json): Json {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
  const { path: _, ...rest } = value;
  return rest;
}

/** What a report holds. */
function unpack(page: string): Json {
  const packed = /<script type="text\/plain" id="report-data">([^<]*)<\/script>/.exec(page)?.[1] ?? "";
  return parseJson(gunzipSync(Buffer.from(packed, "base64")).toString("utf8"));
}

describe("a folder that changes", () => {
  const every = ["run", "curves", "answers", "weights", "pair/sft-4/sft-12"];
  const spoil = (path: string): void => {
    const whole = readFileSync(path);
    writeFileSync(path, whole.subarray(0, Math.floor(whole.length / 2)));
  };
  const spoilLine = (path: string): void =>
    writeFileSync(path, readFileSync(path, "utf8").replace(/\n.{40}/, "\n"));
  const listIds = async (from: Studio): Promise<readonly string[]> =>
    (await get(from, "/api/runs")).map(({ id }: Json) => id);

  type Damage = readonly [file: string, lost: readonly string[], isListed: boolean, damage?: typeof spoil];
  const damages: Readonly<Record<string, Damage>> = {
    "a half-written summary": ["summary.json", ["run"], false],
    "a half-written lineage": ["lineage.json", ["curves", "answers"], true],
    "a half-written record": ["run.json", every, true],
    "a half-written recipe": ["recipe.yaml", every, true, (path) => writeFileSync(path, "name: [tiny")],
    "a damaged line among the answers": ["evaluations/sft-8.jsonl", ["answers"], true, spoilLine],
    "no answers of a checkpoint": ["evaluations/sft-8.jsonl", ["answers"], true, (path) => rmSync(path)],
    "a half-written table of updates": ["spectra/updates.parquet", every.slice(3), true],
    "a half-written table of values": ["spectra/values.parquet", every.slice(3), true],
    "an empty table": ["spectra/updates.parquet", every.slice(3), true, (path) => writeFileSync(path, "")],
  };
  for (const [index, [name, [file, lost, isListed, damage = spoil]]] of Object.entries(damages).entries())
    it(`with ${name} still shows all else, and the rest once the file is whole`, async () => {
      const place = join(folder, `damaged-${index}`);
      for (const id of ["a", "b", "c"]) copyRun(join(place, id));
      const whole = readFileSync(join(place, "b", file));
      damage(join(place, "b", file));
      const shown = await open(place);
      expect(await listIds(shown)).toEqual(isListed ? ["a", "b", "c"] : ["a", "c"]);
      for (const what of every)
        if (lost.includes(what)) await expectError(shown, `/api/run/${what}?run=b`);
        else expect(await get(shown, `/api/run/${what}?run=b`), what).toBeTruthy();
      writeFileSync(join(place, "b", file), whole);
      expect(await listIds(shown)).toEqual(["a", "b", "c"]);
      for (const what of every.slice(1))
        expect(await get(shown, `/api/run/${what}?run=b`)).toEqual(
          await get(shown, `/api/run/${what}?run=a`),
        );
    });

  it("without runs shows an empty list, then the first run, and no longer one that disappeared", async () => {
    const place = join(folder, "empty");
    mkdirSync(join(place, "notes"), { recursive: true });
    const shown = await open(place);
    expect(await get(shown, "/api/runs")).toEqual([]);
    for (const id of ["a", "b"]) copyRun(join(place, id));
    for (const what of every) await get(shown, `/api/run/${what}?run=a`);
    rmSync(join(place, "a"), { recursive: true });
    expect(await listIds(shown)).toEqual(["b"]);
    for (const what of every) await expectError(shown, `/api/run/${what}?run=a`);
  });

  it("that disappears as a whole is said to be missing, and shown again once it is back", async () => {
    const place = join(folder, "gone");
    copyRun(join(place, "a"));
    const shown = await open(place);
    rmSync(place, { recursive: true });
    await expectError(shown, "/api/runs");
    await expectError(shown, "/api/run/run?run=a");
    expect((await ask(shown, "/")).status).toBe(200);
    copyRun(join(place, "a"));
    expect(await listIds(shown)).toEqual(["a"]);
  });

  it("shows a run from before its first checkpoint to its end, as it grows", async () => {
    const place = join(folder, "growing/run");
    copyRun(place);
    for (const name of ["summary.json", "evaluations", "spectra"])
      rmSync(join(place, name), { recursive: true });
    const { schema, checkpoints } = readJson(run, "lineage.json");
    const summary = readJson(run, "summary.json");
    const keep = (count: number): void =>
      writeJson(join(place, "lineage.json"), { schema, checkpoints: checkpoints.slice(0, count) });
    keep(0);
    const shown = await open(join(place, ".."));
    const none = [{ id: "run", recipe: "tiny", seed: 1, isFinished: false, numCheckpoints: 0 }];
    expect(await get(shown, "/api/runs")).toEqual(none);
    expect(await get(shown, "/api/run/weights?run=run")).toMatchObject({ pairs: [], matrices: [] });
    expect(await get(shown, "/api/run/answers?run=run")).toMatchObject({ verdicts: {}, answers: {} });
    for (const [index, { id }] of checkpoints.entries()) {
      cpSync(join(run, "evaluations", `${id}.jsonl`), join(place, "evaluations", `${id}.jsonl`));
      keep(index + 1);
      const { isFinished, summary: soFar } = await get(shown, "/api/run/run?run=run");
      expect({ isFinished, checkpoints: soFar.checkpoints }).toEqual({
        isFinished: false,
        checkpoints: summary.checkpoints.slice(0, index + 1),
      });
      expect(await get(shown, "/api/runs")).toMatchObject([{ isFinished: false, numCheckpoints: index + 1 }]);
      expect(Object.keys((await get(shown, "/api/run/answers?run=run")).verdicts)).toHaveLength(index + 1);
    }
    cpSync(join(run, "spectra"), join(place, "spectra"), { recursive: true });
    cpSync(join(run, "summary.json"), join(place, "summary.json"));
    expect(await get(shown, "/api/runs")).toEqual(await get(studio, "/api/runs"));
    for (const what of every)
      expect(withoutPath(await get(shown, `/api/run/${what}?run=run`))).toEqual(
        withoutPath(await get(studio, `/api/run/${what}?run=run`)),
      );
  });

  it("shows the curves of a stage as it goes on: as many points as a chart can show, up to the last", async () => {
    const place = copyRun(join(folder, "longer/run"));
    const file = join(place, "metrics/sft.jsonl");
    const shown = await open(join(place, ".."));
    expect((await get(shown, "/api/run/curves?run=run")).stages[0].steps).toHaveLength(12);
    const line = (step: number): string => `${JSON.stringify({ step, loss: 1 / step })}\n`;
    writeFileSync(
      file,
      `${Array.from({ length: 2000 }, (_, index) => line(index + 1)).join("")}{"step":2001,"lo`,
    );
    const { steps, series } = (await get(shown, "/api/run/curves?run=run")).stages[0];
    expect(steps.length).toBeGreaterThan(100);
    expect(steps.length).toBeLessThanOrEqual(400);
    expect([steps[0], steps.at(-1)]).toEqual([1, 2000]);
    expect(series.loss).toEqual(steps.map((step: number) => round(1 / step)));
  });

  it("shows the curves of a stage before its first checkpoint", async () => {
    const place = copyRun(join(folder, "begun/run"));
    rmSync(join(place, "summary.json"));
    const { schema, checkpoints } = readJson(run, "lineage.json");
    writeJson(join(place, "lineage.json"), { schema, checkpoints: checkpoints.slice(0, 1) });
    for (const name of ["grpo-from-8", "ppo-from-4"]) rmSync(join(place, `metrics/${name}.jsonl`));
    const { stages } = await get(await open(join(place, "..")), "/api/run/curves?run=run");
    expect(stages.map(({ stage }: Json) => stage)).toEqual(["sft"]);
  });
});

describe("untwist studio", () => {
  const tryConnect = (host: string, port: number): Promise<boolean> =>
    new Promise((resolve) => {
      const socket = connect({ host, port, timeout: 2000 }, () => resolve(true));
      socket.on("error", () => resolve(false)).on("timeout", () => resolve(false));
      socket.on("close", () => resolve(false)).on("connect", () => socket.destroy());
    });

  it("serves this machine only, says where, and ends on Ctrl-C at once, whoever is still connected", async () => {
    const { child, outcome } = startUntwist(["studio", "runs"], folder);
    let printed = "";
    child.stdout?.on("data", (part: string) => {
      printed += part;
    });
    while (!printed.includes("\n") && child.exitCode === null) await wait(5);
    const address = /http:\/\/127\.0\.0\.1:\d+\//.exec(printed)?.[0] ?? "";
    expect(address, printed).not.toBe("");
    const agent = new Agent({ keepAlive: true });
    const { text } = await ask({ address }, "/api/runs", { agent });
    expect(parseJson(text)).toEqual(await get(studio, "/api/runs"));
    const port = Number(new URL(address).port);
    const others = Object.values(networkInterfaces())
      .flatMap((list = []) => list)
      .map((one) => one.address)
      .filter((one) => one !== "127.0.0.1");
    expect(await tryConnect("127.0.0.1", port)).toBe(true);
    // All of 127.0.0.0/8 is this machine, but only one address of it was asked for.
    for (const host of ["127.0.0.2", "::1", ...others])
      expect(await tryConnect(host, port), host).toBe(false);
    const start = performance.now();
    child.kill("SIGINT");
    const { code, stderr, stdout } = await outcome;
    expect(performance.now() - start).toBeLessThan(1000);
    expect({ code, stderr, numLines: stdout.split("\n").length }).toEqual({
      code: 0,
      stderr: "",
      numLines: 2,
    });
    agent.destroy();
  });

  it("refuses ports, folders and hosts that it cannot use", async () => {
    const { port } = new URL(studio.address);
    await expectRefusal([["studio", "runs", "--port", port], port, "--port"], folder);
    for (const wrong of ["some", "65536", "1.5", "0x50", ""])
      await expectRefusal([["studio", "runs", `--port=${wrong}`], `"${wrong}"`], folder);
    await expectRefusal([["studio", "nowhere"], '"nowhere"'], folder);
    await expectRefusal([["studio", "tiny.yaml"], '"tiny.yaml"'], folder);
    await expectRefusal(
      [["studio", "runs", "--host", "nowhere.invalid"], "nowhere.invalid", "--host"],
      folder,
    );
  });

  it("does not serve every address for want of a host", async () => {
    await expect(open(home, "")).rejects.toThrow(/--host/);
  });

  it("says where it serves on IPv6 in a way that browsers understand", async () => {
    const hasIPv6 = await open(home, "::1").catch(() => undefined);
    if (hasIPv6 === undefined) return;
    expect(hasIPv6.address).toMatch(/^http:\/\/\[::1\]:\d+\/$/);
    expect((await ask(hasIPv6, "/api/runs")).status).toBe(200);
  });
});

describe("untwist report", () => {
  const report = join(folder, "out/report.html");
  let page: string;
  beforeAll(async () => {
    const outcome = await runUntwist(["report", "runs/run", "--out", "out/report.html"], folder, cache);
    expect(outcome).toEqual({ code: 0, stdout: "Written to out/report.html\n", stderr: "" });
    page = readFileSync(report, "utf8");
  });

  it("writes one file that asks nothing of any network", () => {
    expect(readdirSync(join(folder, "out"))).toEqual(["report.html"]);
    // The run has ended with one of its own.
    expect(readFileSync(join(run, "report.html"), "utf8")).toBe(page);
    expect(Buffer.byteLength(page)).toBeLessThan(3_000_000);
    const markup = page.replaceAll(/(<script[^>]*>)[\s\S]*?<\/script>/g, "$1");
    expect(markup).toMatch(/<script type="module">/);
    expect(markup).toContain('<div id="root">');
    const attributes = [...markup.matchAll(/\s(?:src|href|srcset|action|data)\s*=\s*["']?([^"'\s>]*)/gi)];
    for (const [, value] of attributes) expect(value).toMatch(/^data:/);
    expect(markup).not.toMatch(/@import|url\(\s*["']?(?:https?:)?\/\//i);
    const policy = /http-equiv="Content-Security-Policy" content="([^"]*)"/.exec(markup)?.[1] ?? "";
    expect(policy).toMatch(/^default-src 'none';/);
    expect(policy).not.toMatch(/http|connect-src|'self'/);
    expect(markup.indexOf("Content-Security-Policy")).toBeLessThan(markup.indexOf("<style>"));
  });

  it("holds what the server gives for the same run", async () => {
    const data = unpack(page);
    const pair = "sft-4/sft-12";
    const names = ["run", "runs", "curves", "weights", "answers", `pair/${pair}`, `overlaps/${pair}`];
    expect(Object.keys(data)).toEqual(expect.arrayContaining(names));
    for (const [path, value] of Object.entries(data))
      expect(withoutPath(value), path).toEqual(
        withoutPath(await get(studio, path === "runs" ? "/api/runs" : `/api/run/${path}?run=run`)),
      );
  });

  it("lies in the run where nothing else is said, and takes the place of an older one as a whole", async () => {
    const place = copyRun(join(folder, "reported/run"));
    writeFileSync(join(place, "report.html"), "old");
    linkSync(join(place, "report.html"), join(folder, "reported/link.html"));
    const { code, stderr } = await runUntwist(["report", "run"], join(folder, "reported"), cache);
    expect(code, stderr).toBe(0);
    const written = unpack(readFileSync(join(place, "report.html"), "utf8"));
    const expected = unpack(page);
    expect({ ...written, run: withoutPath(written.run) }).toEqual({
      ...expected,
      run: withoutPath(expected.run),
    });
    // Written in place, the old file would have changed under its other name.
    expect(readFileSync(join(folder, "reported/link.html"), "utf8")).toBe("old");
    expect(readdirSync(place).sort()).toEqual(readdirSync(run).sort());
  });

  it("refuses a folder as its file, and runs that it cannot read, leaving an older report alone", async () => {
    await expectRefusal([["report", "runs/run", "--out", "out"], '"out"', "--out"], folder);
    await expectRefusal([["report", "runs/run", "--out", ""], "--out"], folder);
    await expectRefusal([["report", "runs"], '"runs"'], folder);
    await expectRefusal([["report", "nowhere"], '"nowhere"'], folder);
    const place = copyRun(join(folder, "refused/run"));
    cpSync(report, join(place, "report.html"));
    const refuse = (...named: readonly string[]): Promise<void> =>
      expectRefusal([["report", "run"], ...named], join(folder, "refused"), cache);
    const lineage = readFileSync(join(place, "lineage.json"));
    writeJson(join(place, "lineage.json"), { schema: 1, checkpoints: [] });
    await refuse('"run"', "no checkpoint");
    writeFileSync(join(place, "lineage.json"), lineage.subarray(0, 100));
    await refuse("lineage.json");
    writeFileSync(join(place, "lineage.json"), lineage);
    writeFileSync(join(place, "spectra/updates.parquet"), "PAR1");
    await refuse("updates.parquet");
  });

  it("shows a run whose weights were removed, all but what only they could say", async () => {
    const place = copyRun(join(folder, "light/run"));
    rmSync(join(place, "checkpoints"));
    const shown = await open(join(place, ".."));
    for (const what of ["run", "curves", "answers", "weights", "pair/sft-4/sft-12"])
      expect(withoutPath(await get(shown, `/api/run/${what}?run=run`))).toEqual(
        withoutPath(await get(studio, `/api/run/${what}?run=run`)),
      );
    expect((await ask(shown, "/api/run/overlaps/sft-4/sft-12?run=run")).status).toBeLessThan(500);
    const { code, stderr } = await runUntwist(["report", "run"], join(folder, "light"), cache);
    expect(code, stderr).toBe(0);
  });
});
