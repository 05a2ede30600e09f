/** The studio's server: what it gives out of a run folder, and what it makes of hostile requests. */

import { createHash } from "node:crypto";
import { symlinkSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import type { Served } from "../src/face/http/index.ts";
import { readParquet } from "./support/spectra.ts";
import { ask, createStudioFixture, expectError, get, readJson, readLines, round } from "./support/studio.ts";
import type { Json } from "./support/untwist.ts";

const { folder, home, run, open, copyRun } = createStudioFixture();
let studio: Served;
beforeAll(async () => {
  studio = await open(home);
});

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
    const { peakAccuracy, sftEnd } = trajectory;
    expect(peakAccuracy.correct).toBeGreaterThan(sftEnd.ood.correct);
    expect(await get(studio, "/api/runs")).toEqual([
      {
        id: "run",
        recipe: "tiny",
        seed: 1,
        isFinished: true,
        numCheckpoints: checkpoints.length,
        ood: { peak: peakAccuracy.correct, end: sftEnd.ood.correct, numTasks: 24 },
      },
    ]);
  });

  it("give a run as its summary says it, shown alone as well", async () => {
    const summary = readJson(run, "summary.json");
    expect(await get(studio, "/api/run/run?run=run")).toEqual({
      id: "run",
      path: run,
      isFinished: true,
      alerts: [],
      summary,
    });
    const alone = await open(run);
    expect(await get(alone, "/api/runs")).toMatchObject([{ id: ".", numCheckpoints: 7 }]);
    expect(await get(alone, "/api/run/run?run=.")).toEqual({
      id: ".",
      path: run,
      isFinished: true,
      alerts: [],
      summary,
    });
  });

  it("give every answer, with as many solved as the summary counts", async () => {
    const { tasks, grades, answers, outcomes } = await get(studio, "/api/run/answers?run=run");
    const { checkpoints } = readJson(run, "summary.json");
    expect(Object.keys(grades)).toEqual(checkpoints.map(({ id }: Json) => id));
    for (const { id, accuracy, format } of checkpoints) {
      const items = readLines(run, "evaluations", `${id}.jsonl`);
      expect(answers[id]).toEqual(items.map(({ answer }) => answer));
      expect(outcomes[id]).toEqual(items.map(({ outcome }) => outcome));
      const split = (name: string): string =>
        [...grades[id]].filter((_, index) => tasks[index].split === name).join("");
      for (const name of ["id", "ood"] as const) {
        expect(split(name)).toMatch(/^[swvfc]{24}$/);
        expect(split(name).split("s").length - 1).toBe(accuracy[name].correct);
        // An answer that did not come to its end has no right format either.
        expect(split(name).split(/[fc]/).length - 1).toBe(24 - format[name].correct);
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
    const { peak, sftEnd } = readJson(run, "summary.json").trajectory;
    const overlaps = await get(studio, `/api/run/overlaps/${peak.checkpoint}/${sftEnd.checkpoint}?run=run`);
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
  let guarded: Served;
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

  it("by a page of another site is refused, on every path", async () => {
    for (const path of ["/", "/index.js", "/api/runs", "/api/run/run?run=run"])
      for (const origin of ["https://else.where", "null"])
        expect((await ask(guarded, path, { origin })).status, `${path} ${origin}`).toBe(403);
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
