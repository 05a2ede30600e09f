/**
 * How long a command takes to start: `--help`, `--version`, and `ls` and `show` on a finished run, beside Node.js with nothing to do.
 * Processes are started in turns, so that all meet the same load; medians are compared.
 *
 * npm run bench start [run=runs/general-points] [rounds=15]
 */
import { existsSync } from "node:fs";
import { loadavg, tmpdir } from "node:os";
import { dirname, resolve } from "node:path";
import { runChild, withTemporaryFolder } from "./child.ts";

const untwist = resolve("bin/untwist.js");
const most = 2.5;

const readOption = (name: string): string | undefined =>
  process.argv.find((argument) => argument.startsWith(`${name}=`))?.slice(name.length + 1);
const numRounds = Number(readOption("rounds") ?? 15);

const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;

async function time(args: readonly string[]): Promise<number> {
  const startMs = performance.now();
  const { code, stderr } = await runChild(process.execPath, args, { cwd: tmpdir() });
  if (code !== 0) throw new Error(`node ${args.join(" ")} ended with ${code}: ${stderr}`);
  return performance.now() - startMs;
}

async function compare(run: string): Promise<void> {
  const commands = {
    "node -e 0": ["-e", "0"],
    "untwist --version": [untwist, "--version"],
    "untwist --help": [untwist, "--help"],
    "untwist ls": [untwist, "ls", dirname(run)],
    "untwist show RUN": [untwist, "show", run],
  };
  const times = new Map(Object.keys(commands).map((name) => [name, [] as number[]]));
  for (let round = 0; round < numRounds; round += 1)
    for (const [name, args] of Object.entries(commands)) times.get(name)?.push(await time(args));
  const base = median(times.get("node -e 0") ?? []);
  console.log(`load ${loadavg()[0]?.toFixed(1)}, medians of ${numRounds}`);
  for (const [name, values] of times) {
    const ratio = median(values) / base;
    const isBar = name === "untwist --help" || name === "untwist ls";
    const verdict = isBar ? `   at most ${most}   ${ratio <= most ? "held" : "MISSED"}` : "";
    console.log(
      `  ${name.padEnd(20)} ${median(values).toFixed(0).padStart(5)} ms   ${ratio.toFixed(2)}${verdict}`,
    );
  }
}

/** The run to list: the given one, or a quick one that is made for this. */
async function withRun(work: (run: string) => Promise<void>): Promise<void> {
  const given = resolve(readOption("run") ?? "runs/general-points");
  if (existsSync(given)) return await work(given);
  await withTemporaryFolder(async (folder) => {
    const args = [untwist, "run", "general-points-quick", "--out", `${folder}/runs/quick`];
    const { code, stderr } = await runChild(process.execPath, args, { cwd: folder });
    if (code !== 0) throw new Error(`untwist run ended with ${code}: ${stderr}`);
    await work(`${folder}/runs/quick`);
  });
}

await withRun(compare);
