/**
 * What the studio costs with 200 runs, each with 26 checkpoints and 2,000 logged steps a stage: time to the list, time from
 * view to view, the server's memory and the size of the page. Without Chromium only the server is measured.
 *
 * npm run bench studio [runs=200] [from=runs/general-points]
 */
import type { ChildProcess } from "node:child_process";
import { existsSync, linkSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { cpus, loadavg } from "node:os";
import { join, resolve } from "node:path";
import { gzipSync } from "node:zlib";
import { chromium, type Page } from "playwright-core";
import { runChild, withTemporaryFolder } from "./child.ts";

const browserPath = "/usr/bin/chromium";
const browserArgs = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];
const untwist = resolve("bin/untwist.js");
const numLines = 2000;
const numRounds = 3;

const readOption = (name: string): string | undefined =>
  process.argv.find((argument) => argument.startsWith(`${name}=`))?.slice(name.length + 1);
const numRuns = Number(readOption("runs") ?? 200);

const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;

/** A measure beside what it may be at most, or alone. */
function print(
  name: string,
  value: number,
  { unit, most }: { readonly unit: string; readonly most?: number },
): void {
  const verdict =
    most === undefined ? "" : `   at most ${most} ${unit}   ${value <= most ? "held" : "MISSED"}`;
  console.log(`  ${name.padEnd(40)} ${value.toFixed(0).padStart(6)} ${unit}${verdict}`);
}

/** A recipe of 26 checkpoints that takes seconds. */
const recipe = `name: many
summary: A base, 13 checkpoints of SFT, 4 RL branches of 3
environment: general-points
base: { model: { hiddenSize: 32, intermediateSize: 64, numLayers: 2, numHeads: 2 }, phases: [{ numSteps: 2, batchSize: 4, skills: { solve: 1 }, optimizer: { learningRate: 0.01 } }] }
evaluation: { numTasks: 12 }
sft: { numSteps: 13, batchSize: 8, optimizer: { learningRate: 0.001 }, checkpoints: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12] }
rl:
  - { method: grpo, from: [1, 4, 8, 13], numUpdates: 3, tasksPerUpdate: 2, groupSize: 2, minibatchSize: 4, optimizer: { learningRate: 0.0001 }, checkpoints: [1, 2] }
repairs:
  - { name: some, target: sft-13, source: sft-4, grid: [{ what: [directions, values], top: [0.5]}] }
`;

async function createRun(folder: string): Promise<string> {
  writeFileSync(join(folder, "many.yaml"), recipe);
  const { code, stderr } = await runChild(process.execPath, [untwist, "run", "many.yaml", "--out", "run"], {
    cwd: folder,
    env: { ...process.env, UNTWIST_CACHE: join(folder, "cache") },
  });
  if (code !== 0) throw new Error(`Cannot make a run: ${stderr}`);
  return join(folder, "run");
}

/** The lines of a stage, repeated up to `numLines` of them. */
function lengthen(text: string): string {
  const lines: readonly Readonly<Record<string, unknown>>[] = text
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));
  return Array.from(
    { length: numLines },
    (_, index) => `${JSON.stringify({ ...lines[index % lines.length], step: index + 1 })}\n`,
  ).join("");
}

/** Many runs with the files of one: each is a file of its own to the server, but lies on the disk once. */
function multiply(run: string, folder: string): void {
  const metrics = join(folder, "metrics");
  mkdirSync(metrics);
  for (const name of readdirSync(join(run, "metrics")))
    writeFileSync(join(metrics, name), lengthen(readFileSync(join(run, "metrics", name), "utf8")));
  const link = (from: string, to: string): void => {
    mkdirSync(to, { recursive: true });
    for (const entry of readdirSync(from, { withFileTypes: true })) {
      const [source, target] = [join(from, entry.name), join(to, entry.name)];
      if (entry.name === "report.html") continue;
      if (entry.name === "metrics") link(metrics, target);
      else if (entry.isDirectory()) link(source, target);
      // What the list is made of is read from as many files as there are runs.
      else if (from === run) writeFileSync(target, readFileSync(source));
      else linkSync(source, target);
    }
  };
  for (let index = 1; index <= numRuns; index++)
    link(run, join(folder, "runs", `run-${String(index).padStart(3, "0")}`));
}

interface Served {
  readonly child: ChildProcess;
  readonly address: string;
  readonly startMs: number;
}

/** Starts a studio, waits until it says where it is, and stops it after `work`. */
async function withStudio(folder: string, work: (served: Served) => Promise<void>): Promise<void> {
  const start = performance.now();
  let child: ChildProcess | undefined;
  const env = { ...process.env, UNTWIST_CACHE: join(folder, "cache") };
  const args = [untwist, "studio", join(folder, "runs"), "--port", "0"];
  const address = await new Promise<string>((settle, fail) => {
    const onStart = (started: ChildProcess): void => {
      child = started;
      started.stdout?.on("data", (text: Buffer) => settle(/http:\S+/.exec(text.toString())?.[0] ?? ""));
    };
    void runChild(process.execPath, args, { env, onStart }).then(({ stderr }) => fail(new Error(stderr)));
  });
  if (child === undefined) throw new Error("Cannot start a studio");
  try {
    await work({ child, address, startMs: performance.now() - start });
  } finally {
    child.kill("SIGINT");
  }
}

/** The most memory that a process ever held, in MB; `NaN` where the system does not say. */
function readPeakMemory({ pid }: ChildProcess): number {
  const path = `/proc/${pid}/status`;
  const text = existsSync(path) ? readFileSync(path, "utf8") : "";
  return (Number(/VmHWM:\s+(\d+) kB/.exec(text)?.[1] ?? Number.NaN) * 1024) / 1e6;
}

async function benchServer({ address, startMs, child }: Served): Promise<void> {
  const time = async (path: string): Promise<number> => {
    const start = performance.now();
    const response = await fetch(`${address}${path}`);
    if (!response.ok) throw new Error(await response.text());
    await response.text();
    return performance.now() - start;
  };
  console.log("Server");
  print("start", startMs, { unit: "ms" });
  print("list of runs, first", await time("api/runs"), { unit: "ms" });
  print("list of runs, again", await time("api/runs"), { unit: "ms" });
  for (const what of ["run", "curves", "weights", "answers"])
    print(`${what}, first`, await time(`api/run/${what}?run=run-001`), { unit: "ms" });
  print("memory at most", readPeakMemory(child), { unit: "MB" });
}

/**
 * Waits in the page until it is as asked, to the next frame; the page's policy forbids `waitForFunction`. As text, since the
 * types of the page are not known here.
 */
const waitUntil = (condition: string): string => `
  const frame = () => new Promise(requestAnimationFrame);
  for (const start = performance.now(); !(${condition}); await frame())
    if (performance.now() - start > 10000) throw new Error("The page does not come: " + document.body.innerText);
  await frame();
  const failed = document.querySelector("main [role=alert]")?.textContent;
  if (failed) throw new Error(failed);`;

/** Nothing loads, and every chart is there. */
const isDrawn = `(document.querySelector("main")?.textContent ?? "") !== "" &&
  !document.querySelector("main").textContent.includes("Loading …") &&
  [...document.querySelectorAll(".chart")].every((one) => one.firstElementChild !== null)`;

/** Follows a link and waits until its view is drawn: milliseconds from the click to the next frame. */
const follow = (view: string): string => `(async () => {
  const link = [...document.querySelectorAll("nav a")].find((one) => one.textContent === ${JSON.stringify(view)});
  const clicked = performance.now();
  link.click();
  ${waitUntil(`document.querySelector("nav a[aria-current=page]") === link && ${isDrawn}`)}
  return performance.now() - clicked;
})()`;

const views = ["Repairs", "Weights", "Matrix", "Answers", "Training", "Trajectory"] as const;

async function benchViews(page: Page): Promise<void> {
  await page.getByRole("link", { name: "run-001", exact: true }).click();
  await page.evaluate(
    `(async () => {${waitUntil(`document.querySelector(".chart svg") !== null && ${isDrawn}`)}})()`,
  );
  const times: number[] = [];
  for (let round = 0; round < numRounds; round++) {
    const took: string[] = [];
    for (const view of views) {
      const ms = Number(await page.evaluate(follow(view)));
      times.push(ms);
      took.push(`${view.toLowerCase()} ${ms.toFixed(0)}`);
    }
    console.log(`  round ${round + 1}: ${took.join(", ")} ms`);
  }
  print("from view to view, median", median(times), { unit: "ms", most: 200 });
  print("from view to view, worst", Math.max(...times), { unit: "ms", most: 200 });
}

async function benchBrowser({ address, child }: Served): Promise<void> {
  const browser = await chromium.launch({ executablePath: browserPath, args: browserArgs });
  try {
    const page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
    const start = performance.now();
    await page.goto(address);
    const isListed = `document.querySelectorAll("tbody tr").length >= ${numRuns} && ${isDrawn}`;
    await page.evaluate(`(async () => {${waitUntil(isListed)}})()`);
    print("list of runs, drawn for the first time", performance.now() - start, { unit: "ms", most: 1500 });
    await benchViews(page);
    print("memory of the server at most", readPeakMemory(child), { unit: "MB", most: 300 });
  } finally {
    await browser.close();
  }
}

const load = loadavg().map((one) => one.toFixed(2));
console.log(`Machine   ${cpus()[0]?.model}, load average ${load.join(" ")}`);
await withTemporaryFolder(async (folder) => {
  const from = readOption("from");
  multiply(from === undefined ? await createRun(folder) : resolve(from), folder);
  console.log(
    `${numRuns} runs, ${readdirSync(join(folder, "runs/run-001/evaluations")).length} checkpoints each`,
  );
  await withStudio(folder, benchServer);
  console.log("Page");
  print("script, compressed", gzipSync(readFileSync("dist/web/page.js")).length / 1000, {
    unit: "kB",
    most: 250,
  });
  if (existsSync(browserPath)) await withStudio(folder, benchBrowser);
  else console.log(`  There is no ${browserPath}: nothing is drawn`);
});
