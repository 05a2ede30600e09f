/**
 * Speed, accuracy and memory of comparing two weight matrices beside the way studies do it with NumPy: same matrices,
 * same LAPACK, same threads, taken in turns. Without NumPy, ours alone.
 *
 * npm run bench spectra [ROWSxCOLUMNS …] [no-accuracy] [rounds=3] [rank=768]
 */
import { readFileSync } from "node:fs";
import { availableParallelism, cpus, loadavg } from "node:os";
import { join } from "node:path";
import { runChild, withTemporaryFolder } from "./child.ts";
import type { Measured, MeasureRequest } from "./measure-spectra.ts";

const python = "/usr/bin/python3";
const numThreads = availableParallelism();
const environment = { ...process.env, OPENBLAS_NUM_THREADS: String(numThreads) };

/** What one process of the reference found. */
interface Reference {
  readonly seconds: Readonly<Record<string, number>>;
  /** Kilobytes. */
  readonly peak: number;
}

/** What float64 says of the matrices. */
interface Truth {
  readonly relativeSize: number;
  /** (σ_k − σ_k+1) / σ_1 at the rank compared: how well its subspaces are determined. */
  readonly gap: number;
  /** Smallest over largest singular value. */
  readonly smallest: number;
}

interface Options {
  readonly shapes: readonly (readonly [rows: number, columns: number])[];
  readonly hasAccuracy: boolean;
  readonly rounds?: number;
  readonly rank: number;
}

function parseOptions(words: readonly string[]): Options {
  const shapes: [number, number][] = [];
  let [hasAccuracy, rank, rounds] = [true, 768, 0];
  for (const word of words.map((text) => text.replace(/^-+/, ""))) {
    const [, rows, columns] = /^(\d+)[x×](\d+)$/.exec(word) ?? [];
    const [, name, number] = /^(rounds|rank)=(\d+)$/.exec(word) ?? [];
    if (rows !== undefined) shapes.push([Number(rows), Number(columns)]);
    else if (word === "no-accuracy") hasAccuracy = false;
    else if (name === "rounds") rounds = Number(number);
    else if (name === "rank") rank = Number(number);
    else throw new Error(`Cannot read "${word}": give shapes as 512x2048, no-accuracy, rounds=3, rank=768`);
  }
  const usual = [
    [3584, 3584],
    [3584, 18944],
  ] as const;
  return { shapes: shapes.length > 0 ? shapes : usual, hasAccuracy, rank, ...(rounds > 0 && { rounds }) };
}

/** The answer of a process, as JSON; `undefined` where it failed, with why on the screen. */
async function ask<Answer>(command: string, args: readonly string[]): Promise<Answer | undefined> {
  const { code, stdout, stderr } = await runChild(command, args, {
    env: environment,
    stdio: ["ignore", "pipe", "pipe"],
  });
  if (code === 0) return JSON.parse(stdout);
  process.exitCode = 1;
  console.error(`Cannot run ${command} ${args.slice(0, 4).join(" ")}: ${stderr.trim()}`);
  return undefined;
}

async function askUntwist(
  task: "describe" | "make" | "measure",
  request: MeasureRequest,
): Promise<Measured | undefined> {
  const args = ["--import", "tsx", "bench/measure-spectra.ts", task, JSON.stringify(request)];
  return await ask<Measured>(process.execPath, args);
}

async function askNumpy<Answer>(
  task: "reference" | "truth",
  { folder, rows, columns, rank }: MeasureRequest,
): Promise<Answer | undefined> {
  return await ask(python, ["bench/numpy_spectra.py", task, folder, ...[rows, columns, rank].map(String)]);
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length / 2;
  return (sorted[Math.floor(middle)]! + sorted[Math.ceil(middle) - 1]!) / 2;
}

type Seconds = (stage: string) => number;

/** Medians over rounds. */
function medians(results: readonly { readonly seconds: Readonly<Record<string, number>> }[]): Seconds {
  return (stage) => median(results.map(({ seconds }) => seconds[stage] ?? Number.NaN));
}

/** Sums over stages round by round, then the median. */
function medianOfSums(
  results: readonly { readonly seconds: Readonly<Record<string, number>> }[],
  stages: readonly string[],
): number {
  return median(
    results.map(({ seconds }) => stages.reduce((sum, stage) => sum + (seconds[stage] ?? Number.NaN), 0)),
  );
}

const stages = ["before", "after", "update", "angles"] as const;
const stageNames: Readonly<Record<(typeof stages)[number], string>> = {
  before: "factors before",
  after: "factors after",
  update: "values of the update",
  angles: "angles, both sides",
};

const figure = (value: number | undefined): string =>
  (value === undefined ? "" : value.toFixed(value < 1 ? 3 : 2)).padStart(9);
const line = (name: string, ...rest: readonly string[]): void =>
  console.log(`  ${name.padEnd(34)}${rest.join("  ")}`);
const gigabytes = (kilobytes: number): number => (kilobytes * 1024) / 1e9;

function printTimes(ours: readonly Measured[], theirs: readonly Reference[]): void {
  const [own, reference] = [medians(ours), medians(theirs)];
  const has = theirs.length > 0;
  line("seconds", has ? "    NumPy" : "", "  Untwist");
  for (const stage of stages)
    line(
      stageNames[stage],
      has ? figure(reference(stage)) : "",
      figure(own(stage)),
      ours[0]?.methods[stage] ?? "",
    );
  const total = medianOfSums(ours, stages);
  const compareTo = (name: string, parts: readonly string[]): void => {
    const sum = has ? medianOfSums(theirs, parts) : undefined;
    line(name, figure(sum), figure(total), sum === undefined ? "" : `ratio ${(sum / total).toFixed(2)}`);
  };
  compareTo("all", stages);
  if (has) compareTo("all, update without vectors", ["before", "after", "updateValues", "angles"]);
  line("whole comparison, given factors", has ? figure(undefined) : "", figure(own("compare")));
  const peak = (pick: (one: Measured) => number): number => gigabytes(median(ours.map(pick)));
  line(
    "peak memory, GB",
    has ? figure(gigabytes(median(theirs.map((one) => one.peak)))) : "",
    figure(peak((one) => one.peak)),
    `with whole comparisons ${peak((one) => one.peakAtEnd).toFixed(2)}`,
  );
  const first = medianOfSums(ours, ["before", "after", "compare"]);
  const further = medianOfSums(ours, ["later", "compareLater"]);
  console.log(
    `  trail: first pair ${first.toFixed(2)} s, each further checkpoint ${further.toFixed(2)} s, ${(further / first).toFixed(2)} of it` +
      ` (factorizing alone ${(own("later") / (own("before") + own("after"))).toFixed(2)})`,
  );
}

function readResult(folder: string, side: string, name: string): Float64Array {
  const bytes = readFileSync(join(folder, side, `${name}.f64`));
  return new Float64Array(new Uint8Array(bytes).buffer);
}

function largestError(found: Float64Array, exact: Float64Array): number {
  if (found.length !== exact.length)
    throw new Error(`Cannot compare ${found.length} values with ${exact.length}`);
  return exact.reduce((largest, value, index) => Math.max(largest, Math.abs(found[index]! - value)), 0);
}

/** Largest errors against float64, for each side that left results. */
function printErrors({ folder, rank }: MeasureRequest, truth: Truth, sides: readonly string[]): void {
  console.log(
    `  update of relative size ${truth.relativeSize.toExponential(1)}; smallest σ / σ₁ ${truth.smallest.toExponential(1)},` +
      ` gap at ${rank} / σ₁ ${truth.gap.toExponential(1)}`,
  );
  line("largest error against float64", ...sides.map((side) => side.padStart(9)));
  for (const name of ["before", "after", "update", "left", "right"]) {
    const exact = readResult(folder, "truth", name);
    const isAngles = name === "left" || name === "right";
    const unit = isAngles ? 1 : exact[0]!;
    const errors = sides.map((side) => largestError(readResult(folder, side, name), exact) / unit);
    line(
      isAngles
        ? `angles ${name}, rad (${exact[0]!.toExponential(0)} … ${exact.at(-1)!.toFixed(2)})`
        : `σ ${name} / σ₁`,
      ...errors.map((error) => error.toExponential(1).padStart(9)),
    );
  }
}

async function measurePortable(request: MeasureRequest): Promise<boolean> {
  const measured = await askUntwist("measure", { ...request, lapack: "none", isShort: true });
  if (measured === undefined) return false;
  line("all, LAPACK that ships", "         ", figure(medianOfSums([measured], stages)), measured.backend);
  return true;
}

async function benchShape(
  shape: Pick<MeasureRequest, "rows" | "columns" | "rank">,
  { rounds, hasAccuracy, hasNumpy }: Pick<Options, "rounds" | "hasAccuracy"> & { readonly hasNumpy: boolean },
): Promise<void> {
  const { rows, columns, rank } = shape;
  const numRounds = rounds ?? (Math.max(rows, columns) <= 2 * Math.min(rows, columns) ? 3 : 2);
  await withTemporaryFolder(async (folder) => {
    const request = { ...shape, folder, numThreads };
    console.log(`\n${rows} × ${columns}, top ${rank}, medians of ${numRounds} rounds in turns`);
    if ((await askUntwist("make", request)) === undefined) return;
    const [ours, theirs]: [Measured[], Reference[]] = [[], []];
    for (let round = 0; round < numRounds; round++) {
      const reference = hasNumpy ? await askNumpy<Reference>("reference", request) : undefined;
      if (reference !== undefined) theirs.push(reference);
      const measured = await askUntwist("measure", request);
      if (measured !== undefined) ours.push(measured);
    }
    if (ours.length === 0) return;
    printTimes(ours, theirs);
    const hasPortable = await measurePortable(request);
    const truth = hasNumpy && hasAccuracy ? await askNumpy<Truth>("truth", request) : undefined;
    const sides = [theirs.length > 0 && "numpy", "untwist", hasPortable && "portable"];
    if (truth !== undefined)
      printErrors(
        request,
        truth,
        sides.filter((side) => side !== false),
      );
    console.log(`  load average now ${describeLoad()}`);
  });
}

const describeLoad = (): string =>
  loadavg()
    .map((load) => load.toFixed(2))
    .join(" ");

async function main(): Promise<void> {
  const { shapes, rank, ...options } = parseOptions(process.argv.slice(2));
  const nothing = { folder: "", rows: 0, columns: 0, rank: 0, numThreads };
  const own = await askUntwist("describe", nothing);
  const numpy = await ask<{ readonly numpy: string; readonly blas: string }>(python, [
    "bench/numpy_spectra.py",
    "describe",
  ]);
  // A machine without NumPy is not a failure.
  if (own !== undefined) process.exitCode = 0;
  const koffi: { readonly version: string } = JSON.parse(
    readFileSync("node_modules/koffi/package.json", "utf8"),
  );
  console.log(`Untwist   ${own?.backend}, koffi ${koffi.version}, Node.js ${process.version}`);
  console.log(
    numpy === undefined
      ? "NumPy was not found (Debian: python3-numpy), so there is nothing to compare with"
      : `NumPy     ${numpy.numpy} with ${numpy.blas}`,
  );
  console.log(`Machine   ${cpus()[0]?.model}, ${numThreads} threads, load average ${describeLoad()}`);
  for (const [rows, columns] of shapes) {
    // The default rank is for sizes of today's models; a quarter of a smaller matrix leaves all angles free.
    const clipped = Math.max(1, Math.min(rank, Math.floor(Math.min(rows, columns) / 4)));
    await benchShape({ rows, columns, rank: clipped }, { ...options, hasNumpy: numpy !== undefined });
  }
}

await main();
