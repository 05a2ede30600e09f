/**
 * Whether `untwist serve` stays fit for others while clients come and go: 32 clients that ask, half of them for streams, and hang
 * up at random; meanwhile /health is asked again and again, and a client that stays counts how long its short answers take.
 *
 * npm run bench serve-load [seconds=120] [clients=32]
 */
import type { ChildProcess } from "node:child_process";
import { cpSync, readFileSync, writeFileSync } from "node:fs";
import { loadavg } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { startChild, withTemporaryFolder } from "./child.ts";

const readOption = (name: string): string | undefined =>
  process.argv.find((argument) => argument.startsWith(`${name}=`))?.slice(name.length + 1);
const numSeconds = Number(readOption("seconds") ?? 120);
const numClients = Number(readOption("clients") ?? 32);
const mostHealthMs = 100;
/** An answer of 8 tokens beside 31 others; one that waited for an abandoned answer would take minutes. */
const mostShortMs = 5000;
/** After which whoever stays gives up too, so that the bench ends with a result whatever the server does. */
const mostWaitMs = 60_000;
const mostGrowth = 1.1;

const prompt = "rule J = 10 , Q = 10 , K = 10 ; c: 5 J 3 A ; show";

/** A model whose answers take thousands of steps: the shipped one, with more positions and without an end. */
function createEndless(folder: string): void {
  cpSync(resolve("models/general-points-base"), folder, { recursive: true });
  const path = join(folder, "config.json");
  const config: unknown = JSON.parse(readFileSync(path, "utf8"));
  writeFileSync(
    path,
    JSON.stringify({ ...Object(config), max_position_embeddings: 8192, eos_token_id: null }),
  );
}

interface Server {
  readonly child: ChildProcess;
  readonly address: string;
}

async function startServer(folder: string): Promise<Server> {
  const args = [resolve("bin/untwist.js"), "serve", folder, "--name", "endless", "--port", "0"];
  const child = startChild(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
  const text = await readUntil(child, / at http:\S+\/v1/);
  return { child, address: / at (http:\S+\/)v1/.exec(text)?.[1] ?? "" };
}

/** What a child prints until it matches; what comes later is read too, since nobody may keep a server from saying it. */
function readUntil(child: ChildProcess, pattern: RegExp): Promise<string> {
  return new Promise((settle, fail) => {
    let text = "";
    child.stdout?.on("data", (part) => {
      text += String(part);
      if (pattern.test(text)) settle(text);
    });
    child.on("close", () => fail(new Error(`A child ended before it printed ${pattern}: ${text}`)));
  });
}

/** Resident memory of a process, in MB. */
function readMemory({ pid }: ChildProcess): number {
  const [, kilobytes = "0"] = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8")) ?? [];
  return Number(kilobytes) / 1024;
}

/** What happened. */
interface Tally {
  /** Of the server, and of one that does nothing. */
  healthMs: readonly (readonly number[])[];
  readonly shortMs: number[];
  readonly memory: number[];
  numAsked: number;
  numLeft: number;
  numFailed: number;
}

async function ask(
  { address }: Server,
  body: object,
  signal: AbortSignal,
): Promise<{ readonly status: number }> {
  const response = await fetch(`${address}v1/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ model: "endless", prompt, ...body }),
    signal,
  });
  await response.arrayBuffer();
  return response;
}

/** Asks and hangs up after a while. */
async function askFor(ms: number, server: Server, body: object): Promise<{ readonly status: number }> {
  // Held by its timer: the signals of AbortSignal.timeout can be collected before their time.
  const leave = new AbortController();
  const timer = setTimeout(() => leave.abort(), ms);
  try {
    return await ask(server, body, leave.signal);
  } finally {
    clearTimeout(timer);
  }
}

/** Asks for a long answer, and hangs up after a while, however far it is. */
async function comeAndGo(server: Server, tally: Tally, isOver: () => boolean): Promise<void> {
  while (!isOver()) {
    tally.numAsked += 1;
    const stays = Math.random() < 0.1;
    const body = {
      max_tokens: stays ? 20 : undefined,
      stream: Math.random() < 0.5,
      n: Math.random() < 0.2 ? 4 : 1,
    };
    try {
      const { status } = stays
        ? await askFor(mostWaitMs, server, body)
        : await askFor(50 + Math.random() * 3000, server, { ...body, max_tokens: 8000 });
      if (status !== 200) tally.numFailed += 1;
    } catch (error) {
      if (!stays && error instanceof Error && error.name === "AbortError") tally.numLeft += 1;
      else {
        tally.numFailed += 1;
        console.error(error);
      }
    }
  }
}

/** Asks for a few tokens; an answer that never comes took as long as anyone waits. */
async function askShort(server: Server): Promise<void> {
  try {
    await askFor(mostWaitMs, server, { max_tokens: 8 });
  } catch (error) {
    if (!(error instanceof Error && error.name === "AbortError")) throw error;
  }
}

async function measure(run: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await run();
  return performance.now() - start;
}

/** Asks addresses in turn until it is told to end, and says how long each took: in a process of its own, which does nothing else. */
const prober = `
const addresses = process.argv.slice(1);
const found = addresses.map(() => []);
// Its own first requests load and compile what fetch needs, which is not the server's time.
for (let time = 0; time < 20; time++) await (await fetch(addresses[1])).arrayBuffer();
console.log("ready");
process.on("SIGTERM", () => { console.log(JSON.stringify(found)); process.exit(0); });
for (;;) for (const [index, address] of addresses.entries()) {
  const start = performance.now();
  await (await fetch(address)).arrayBuffer();
  found[index].push(performance.now() - start);
  await new Promise((resolve) => setTimeout(resolve, 25));
}`;

/**
 * A server that does nothing: what it takes is what this machine and its other work take. It also ends a process once its own
 * input ends, which it does however the bench ends.
 */
const idler = `
import { createServer } from "node:http";
const server = createServer((_, response) => response.end());
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
process.stdin.resume().on("end", () => {
  process.kill(Number(process.argv[1]), "SIGKILL");
  process.exit();
});`;

function startScript(script: string, ...args: readonly string[]): ChildProcess {
  const flags = ["--input-type=module", "-e", script, ...args];
  return startChild(process.execPath, flags, { stdio: ["pipe", "pipe", "inherit"] });
}

async function staySteady(server: Server, tally: Tally, isOver: () => boolean): Promise<void> {
  while (!isOver()) {
    tally.shortMs.push(await measure(() => askShort(server)));
    tally.memory.push(readMemory(server.child));
    await wait(500);
  }
}

const quantile = (values: readonly number[], fraction: number): number =>
  [...values].sort((a, b) => a - b)[Math.floor(fraction * (values.length - 1))] ?? Number.NaN;

function print(name: string, value: string, isHeld?: boolean): void {
  const verdict = isHeld === undefined ? "" : isHeld ? "   held" : "   MISSED";
  console.log(`  ${name.padEnd(44)} ${value}${verdict}`);
}

function report({ healthMs, shortMs, memory, numAsked, numLeft, numFailed }: Tally): void {
  const load = loadavg().map((value) => value.toFixed(1));
  print("load of the machine (1, 5, 15 min)", load.join(", "));
  print("requests, hung up, failed", `${numAsked}, ${numLeft}, ${numFailed}`, numFailed === 0);
  for (const [index, times] of healthMs.entries()) {
    const name = index === 0 ? "health" : "a server that does nothing";
    const slowest = Math.max(...times);
    const middle = [0.5, 0.99].map((fraction) => quantile(times, fraction).toFixed(1)).join(", ");
    print(`${name}: median, 99 %`, `${middle} ms`);
    const text = `${slowest.toFixed(0)} ms, at most ${mostHealthMs}`;
    print(`${name}: slowest of ${times.length}`, text, index === 0 ? slowest <= mostHealthMs : undefined);
  }
  const longest = Math.max(...shortMs);
  print("8 tokens beside the others: median", `${quantile(shortMs, 0.5).toFixed(0)} ms`);
  print(
    `the same: slowest of ${shortMs.length}`,
    `${longest.toFixed(0)} ms, at most ${mostShortMs}`,
    longest <= mostShortMs,
  );
  // The first third warms up: programs are compiled, arrays find their sizes.
  const third = Math.floor(memory.length / 3);
  const [middle, last] = [memory.slice(third, 2 * third), memory.slice(2 * third)].map((part) =>
    quantile(part, 0.5),
  );
  const growth = (last ?? 0) / (middle ?? 1);
  print(
    "memory: median of the second and last third",
    `${middle?.toFixed(0)}, ${last?.toFixed(0)} MB, at most × ${mostGrowth}`,
    growth <= mostGrowth,
  );
}

await withTemporaryFolder(async (folder) => {
  createEndless(folder);
  const server = await startServer(folder);
  const control = startScript(idler, String(server.child.pid));
  const port = Number(await readUntil(control, /\n/));
  const probe = startScript(prober, `${server.address}health`, `http://127.0.0.1:${port}/`);
  await readUntil(probe, /ready\n/);
  const found = readUntil(probe, /\]\n/);
  found.catch(() => undefined);
  const tally: Tally = { healthMs: [], shortMs: [], memory: [], numAsked: 0, numLeft: 0, numFailed: 0 };
  const end = performance.now() + numSeconds * 1000;
  const isOver = (): boolean => performance.now() > end;
  console.log(`untwist serve under ${numClients} clients that hang up, ${numSeconds} s`);
  try {
    await Promise.all([
      staySteady(server, tally, isOver),
      ...Array.from({ length: numClients }, () => comeAndGo(server, tally, isOver)),
    ]);
    probe.kill("SIGTERM");
    tally.healthMs = JSON.parse(await found);
    report(tally);
    const idle = await measure(() => askShort(server));
    print("8 tokens once all have left", `${idle.toFixed(0)} ms`, idle <= mostShortMs);
  } finally {
    for (const child of [server.child, control, probe]) child.kill("SIGKILL");
  }
});
