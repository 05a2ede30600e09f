/** A run for tests of the studio: what asks its server, and what reads the run beside it. */

import { cpSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { Agent, type IncomingHttpHeaders, request } from "node:http";
import { homedir } from "node:os";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { afterAll, beforeAll, expect } from "vitest";
import { readMachine } from "../../src/base/machine/index.ts";
import type { Served } from "../../src/face/http/index.ts";
import { startStudio } from "../../src/face/studio/index.ts";
import {
  createTemporaryFolder,
  type Json,
  parseJson,
  removeFolder,
  runUntwist,
  tinyRecipe,
} from "./untwist.ts";

/** A folder with a finished run in it, and how to show it. */
export interface StudioFixture {
  readonly folder: string;
  /** Folder of runs, and the one run in it. */
  readonly home: string;
  readonly run: string;
  /** Environment of commands, so that they share one cache. */
  readonly cache: Readonly<Record<string, string>>;
  /** Opens a studio, to be closed when the tests end. */
  open(shown: string, host?: string): Promise<Served>;
  /** A copy of the run, with its weights by a link. */
  copyRun(path: string): string;
}

/** Carries out a tiny run before the tests of the file that calls it, and removes everything after them. */
export function createStudioFixture(): StudioFixture {
  const folder = createTemporaryFolder();
  const home = join(folder, "runs");
  const run = join(home, "run");
  const cache = { UNTWIST_CACHE: join(folder, "cache") };
  const studios: Served[] = [];
  beforeAll(async () => {
    writeFileSync(join(folder, "tiny.yaml"), tinyRecipe);
    const { code, stderr } = await runUntwist(["run", "tiny.yaml", "--out", "runs/run"], folder, cache);
    expect(code, stderr).toBe(0);
  });
  afterAll(async () => {
    for (const studio of studios) await studio.close();
    removeFolder(folder);
  });
  return {
    folder,
    home,
    run,
    cache,
    open: async (shown, host = "127.0.0.1") => {
      const studio = await startStudio({
        folder: shown,
        host,
        port: 0,
        machine: readMachine({ ...process.env, ...cache }, homedir()),
        onProblem: () => undefined,
      });
      studios.push(studio);
      return studio;
    },
    copyRun: (path) => {
      const left = new Set([join(run, "checkpoints"), join(run, "report.html")]);
      cpSync(run, path, { recursive: true, filter: (source) => !left.has(source) });
      symlinkSync(join(run, "checkpoints"), join(path, "checkpoints"), "dir");
      return path;
    },
  };
}

export const readJson = (...path: readonly string[]): Json => parseJson(readFileSync(join(...path), "utf8"));
export const readLines = (...path: readonly string[]): readonly Json[] =>
  readFileSync(join(...path), "utf8")
    .trimEnd()
    .split("\n")
    .map(parseJson);
export const round = (value: unknown): number => Number(Number(value).toPrecision(4));
export const writeJson = (path: string, value: unknown): void => writeFileSync(path, JSON.stringify(value));
export interface Reply {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
}

export interface Question {
  readonly method?: string;
  /** `null` for none at all. */
  readonly host?: string | null;
  /** The site of the page that asks. */
  readonly origin?: string;
  readonly agent?: Agent;
}

/** Sends a request as it is written: nothing is normalized, neither its path nor the Host header. */
export function ask(
  { address }: Pick<Served, "address">,
  path: string,
  question: Question = {},
): Promise<Reply> {
  const { hostname, port, host: own } = new URL(address);
  const { method = "GET", host = own, origin, agent = new Agent() } = question;
  const headers = { ...(host !== null && { host }), ...(origin !== undefined && { origin }) };
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

export async function get(studio: Pick<Served, "address">, path: string): Promise<Json> {
  const { status, headers, text } = await ask(studio, path);
  expect(status, `${path}: ${text}`).toBe(200);
  expect(headers["content-type"]).toMatch(/^application\/json/);
  return parseJson(text);
}

/** Expects one sentence of what is wrong, as JSON, and gives it. */
export async function expectError(studio: Served, path: string, question?: Question): Promise<string> {
  const { status, headers, text } = await ask(studio, path, question);
  expect(status, `${path.slice(0, 80)}: ${text.slice(0, 200)}`).toBeGreaterThanOrEqual(400);
  expect(status, `${path.slice(0, 80)}: ${text}`).toBeLessThan(500);
  expect(headers["content-type"]).toMatch(/^application\/json/);
  const { error, ...rest } = parseJson(text);
  expect(rest).toEqual({});
  expect(error).toMatch(/^[A-Z"][^\n]{8,}$/);
  return error;
}
/** The folder of a run is named as it was given. */
export function withoutPath(value: Json): Json {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
  const { path: _, ...rest } = value;
  return rest;
}

/** What a report holds. */
export function unpack(page: string): Json {
  const packed = /<script type="text\/plain" id="report-data">([^<]*)<\/script>/.exec(page)?.[1] ?? "";
  return parseJson(gunzipSync(Buffer.from(packed, "base64")).toString("utf8"));
}
