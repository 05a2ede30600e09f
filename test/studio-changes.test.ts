import { once } from "node:events";
import { cpSync, linkSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { Agent } from "node:http";
import { connect } from "node:net";
import { networkInterfaces } from "node:os";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { beforeAll, describe, expect, it } from "vitest";
import type { Served } from "../src/face/http/index.ts";
import { expectRefusal } from "./support/refusal.ts";
import {
  ask,
  createStudioFixture,
  expectError,
  get,
  readJson,
  round,
  unpack,
  withoutPath,
  writeJson,
} from "./support/studio.ts";
import { type Json, parseJson, runUntwist, startUntwist } from "./support/untwist.ts";

const { folder, home, run, cache, open, copyRun } = createStudioFixture();
let studio: Served;
beforeAll(async () => {
  studio = await open(home);
});

describe("a folder that changes", () => {
  const every = ["run", "curves", "answers", "weights", "pair/sft-4/sft-12"];
  const spoil = (path: string): void => {
    const whole = readFileSync(path);
    writeFileSync(path, whole.subarray(0, Math.floor(whole.length / 2)));
  };
  const spoilLine = (path: string): void =>
    writeFileSync(path, readFileSync(path, "utf8").replace(/\n.{40}/, "\n"));
  const listIds = async (from: Served): Promise<readonly string[]> =>
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
    expect(await get(shown, "/api/run/answers?run=run")).toMatchObject({ grades: {}, answers: {} });
    for (const [index, { id }] of checkpoints.entries()) {
      cpSync(join(run, "evaluations", `${id}.jsonl`), join(place, "evaluations", `${id}.jsonl`));
      keep(index + 1);
      const { isFinished, summary: soFar } = await get(shown, "/api/run/run?run=run");
      expect({ isFinished, checkpoints: soFar.checkpoints }).toEqual({
        isFinished: false,
        checkpoints: summary.checkpoints.slice(0, index + 1),
      });
      expect(await get(shown, "/api/runs")).toMatchObject([{ isFinished: false, numCheckpoints: index + 1 }]);
      expect(Object.keys((await get(shown, "/api/run/answers?run=run")).grades)).toHaveLength(index + 1);
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
    // Half a request: a server that waited for the rest of it would say after a minute that it waits no more.
    const half = connect({ host: "127.0.0.1", port }, () => half.write("GET / HTTP/1.1\r\n"));
    let toldTooLate = "";
    half.on("data", (part) => {
      toldTooLate += String(part);
    });
    const hasLeft = new Promise<void>((resolve) => {
      half.on("error", () => undefined).on("close", () => resolve());
    });
    await once(half, "connect");
    child.kill("SIGINT");
    const { code, stderr, stdout } = await outcome;
    await hasLeft;
    expect(toldTooLate).toBe("");
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
    const { peak, sftEnd } = parseJson(readFileSync(join(run, "summary.json"), "utf8")).trajectory;
    const pair = `${peak.checkpoint}/${sftEnd.checkpoint}`;
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
