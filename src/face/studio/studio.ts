/**
 * The studio's server: pages and data of the runs in one folder. Reads only, answers only to this machine by name, and
 * gives out no path that is not a run of that folder.
 */

import { realpath } from "node:fs/promises";
import { join, relative, resolve } from "node:path";
import { type Context, Hono } from "hono";
import { UsageError } from "../../base/core/index.ts";
import type { Machine } from "../../base/machine/index.ts";
import { isRunFolder, listRuns, openRunFolder } from "../../run/index.ts";
import { findIntruder, listen, type Served } from "../http/index.ts";
import { pageFiles, type RunListing, readListing, readPageFile } from "../view/index.ts";
import { createMemo, type Memo } from "./memo.ts";
import { type OpenedRun, readRunData } from "./run-data.ts";

/** What to serve. */
export interface StudioOptions {
  /** A folder of runs, or one run. */
  readonly folder: string;
  readonly host: string;
  /** 0 for any that is free. */
  readonly port: number;
  readonly machine: Machine;
  /** Hears, once each, of folders that could not be looked into. */
  readonly onProblem: (problem: string) => void;
}

/** What a page may do: its own script and style, and requests to where it came from. */
const policy =
  "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/** Longest query that any page asks. */
const mostQuery = 2000;

/** A request that cannot be answered, with its HTTP status. */
class RequestError extends Error {
  readonly status: 400 | 403 | 404 | 414;
  constructor(status: RequestError["status"], message: string) {
    super(message);
    this.name = "RequestError";
    this.status = status;
  }
}

/** Serves a folder until it is closed. Throws `UsageError` for a port or host that cannot be used. */
export async function startStudio(options: StudioOptions): Promise<Served> {
  return await listen(createApp(options), options);
}

function createApp({ folder, host, machine, onProblem }: StudioOptions): Hono {
  const app = new Hono();
  const told = new Set<string>();
  const list = async (): Promise<readonly string[]> => {
    const { runs, problems } = await listRuns(folder);
    const areInside = await Promise.all(runs.map((run) => liesInside(folder, run)));
    const strangers = runs.filter((_, index) => areInside[index] !== true);
    const links = strangers.map((run) => `Cannot show "${run}": it is a link that leads out of "${folder}"`);
    for (const problem of [...problems, ...links]) if (!told.has(problem)) onProblem(problem);
    for (const problem of [...problems, ...links]) told.add(problem);
    return runs.filter((_, index) => areInside[index]);
  };
  const memo = createMemo();
  app.use(async (context, next) => {
    context.header("content-security-policy", policy);
    context.header("x-content-type-options", "nosniff");
    context.header("referrer-policy", "no-referrer");
    context.header("cache-control", "no-store");
    checkRequest(context, host);
    await next();
  });
  app.onError((error, context) => {
    if (error instanceof RequestError) return context.json({ error: error.message }, error.status);
    // A file that is missing or half-written while a run goes on: the page asks again.
    if (error instanceof UsageError || error instanceof SyntaxError)
      return context.json({ error: error.message }, 404);
    return context.json({ error: `Cannot answer: ${error.message}` }, 500);
  });
  app.notFound((context) => context.json({ error: "There is no such page" }, 404));
  for (const [name, type] of Object.entries(pageFiles)) {
    const serveFile = async (context: Context): Promise<Response> =>
      context.body(await readPageFile(name as keyof typeof pageFiles), 200, { "content-type": type });
    app.get(`/${name}`, serveFile);
    if (name === "index.html") app.get("/", serveFile);
  }
  app.get("/api/runs", async (context) => context.json(await listAll(folder, await list(), memo)));
  app.get("/api/run/:what{.+}", async (context) => {
    const run = await openRun(folder, context.req.query("run") ?? "");
    const data = await readRunData(run, context.req.param("what"), { machine, memo });
    if (data === undefined) throw new RequestError(404, "There is no such data");
    return context.json(data.value);
  });
  return app;
}

/** Only GET, only by the name that was served and from no page of another site, only queries of a sane length. */
function checkRequest(context: Context, host: string): void {
  const { req } = context;
  const intruder = findIntruder(context, host);
  if (intruder !== undefined) throw new RequestError(403, intruder);
  if (req.method !== "GET" && req.method !== "HEAD")
    throw new RequestError(400, "This server only shows; it takes GET requests");
  if (req.url.length > mostQuery) throw new RequestError(414, "The address is too long");
}

/** Whether a run of a folder lies in it, and is not a link to one elsewhere: only what was served is shown. */
async function liesInside(folder: string, run: string): Promise<boolean> {
  const [root, place] = await Promise.all([folder, run].map((one) => realpath(one).catch(() => "")));
  return join(root ?? "", relative(folder, run)) === place;
}

/** The run of that id, which is a path below the folder. Throws `RequestError` for all else. */
async function openRun(folder: string, id: string): Promise<OpenedRun> {
  const refuse = (): never => {
    throw new RequestError(404, `There is no run "${id.slice(0, 100)}" here`);
  };
  if (id === "" || id.includes("\0")) return refuse();
  const path = resolve(folder, id);
  const [root, place] = await Promise.all([folder, path].map((one) => realpath(one).catch(() => "")));
  const way = relative(root ?? "", place ?? "");
  // Links that lead out do not belong to this folder.
  if (
    !root ||
    !place ||
    (way || ".") !== id ||
    way.startsWith("..") ||
    way.includes("/") ||
    !(await isRunFolder(place))
  )
    return refuse();
  // By the path that was given, which commands on the pages repeat.
  return { id, folder: await openRunFolder(join(folder, id)) };
}

async function listAll(folder: string, runs: readonly string[], memo: Memo): Promise<readonly RunListing[]> {
  const describe = async (path: string): Promise<readonly RunListing[]> => {
    const id = relative(folder, path) || ".";
    const files = ["lineage.json", "summary.json"].map((name) => join(path, name));
    try {
      return [await memo.get(`listing ${path}`, files, () => readListing(id, path))];
    } catch {
      // A run that is being written or is damaged must not hide the others.
      return [];
    }
  };
  return (await Promise.all(runs.map(describe))).flat();
}
