/** `untwist spectra --on …`, `jobs`, `attach`, `cancel` and `retry`, as a user gives them, on this machine and on a real Slurm. */
import { spawnSync } from "node:child_process";
import { cpSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { locateModel } from "../src/lab/machine/index.ts";
import { buildModel, writeCheckpointFolder } from "./support/checkpoint-folder.ts";
import { type Cluster, slurmAbsence, startCluster } from "./support/slurm.ts";
import { readReport } from "./support/surgery.ts";
import { writeTrainerFolder } from "./support/trainer-folder.ts";
import {
  createWorkplace,
  type Environment,
  hashFiles,
  parseJson,
  root,
  runUntwist,
  startUntwist,
  tinyRecipe,
} from "./support/untwist.ts";

const { folder, at, run } = createWorkplace();

const listPiecesBegun = (cache: string, job: string): readonly string[] =>
  readdirSync(join(cache, "jobs", job, "logs"))
    .filter((name) => name.endsWith(".log"))
    .flatMap((name) => readFileSync(join(cache, "jobs", job, "logs", name), "utf8").split("\n"))
    .flatMap((line) => /^\S+: (\S+) begins$/.exec(line)?.[1] ?? []);

/** Names of the pieces that have results, in the only job of a cache. */
function listPiecesDone(cache: string): readonly string[] {
  const jobs = existsSync(join(cache, "jobs")) ? readdirSync(join(cache, "jobs")) : [];
  return jobs.flatMap((id) => {
    const results = join(cache, "jobs", id, "results");
    if (!existsSync(results)) return [];
    const { pieces } = parseJson(readFileSync(join(cache, "jobs", id, "job.json"), "utf8"));
    return readdirSync(results).flatMap((name) => {
      const [, piece] = /^(\d+)\.json$/.exec(name) ?? [];
      return piece === undefined ? [] : [pieces[Number(piece)].name];
    });
  });
}

const listJobs = async (environment: Environment): Promise<ReturnType<typeof parseJson>> =>
  parseJson(await run(["jobs", "--json"], environment));

/** What the spectra of the trail are when this process computes them; and the files of the run. */
let local: { readonly stdout: string; readonly files: ReturnType<typeof hashFiles> };

beforeAll(async () => {
  await writeCheckpointFolder(at("base"), buildModel("base", "BF16"));
  await writeTrainerFolder(at("trainer"), "the Hugging Face Trainer", [1, 2, 3, 5, 8, 13, 21]);
  await readReport(["follow", "trainer", "--base", "base", "--out", "trail"], folder);
  const stdout = await run(["spectra", "trail", "--json"], { UNTWIST_CACHE: at("cache-here") });
  local = { stdout, files: hashFiles(at("trail/spectra")) };
  expect(parseJson(stdout).pairs).toHaveLength(7);
});

/** A line of the shell that waits until a file is there. */
const waitFor = (name: string): string => `while [ ! -e ${at(name)} ]; do sleep 0.1; done`;

describe("untwist spectra --on local", () => {
  const cache = { UNTWIST_CACHE: at("cache-local") };

  it("gives what this process would, bit for bit, and remembers the job", async () => {
    const args = ["spectra", "trail", "--on", "local", "--memory", "1.5GB", "--interval", "0.2", "--json"];
    expect(await run(args, cache)).toBe(local.stdout);
    expect(hashFiles(at("trail/spectra"))).toEqual(local.files);
    const [job, ...others] = await listJobs(cache);
    expect(others).toEqual([]);
    expect(job).toMatchObject({
      state: "done",
      numRunning: 0,
      numWaiting: 0,
      command: `untwist ${args.join(" ").replace(" --json", "")}`,
    });
    expect(job.numDone).toBe(job.numPieces);
    const begun = listPiecesBegun(at("cache-local"), job.id);
    expect(begun).toHaveLength(job.numPieces);
    // The job has all its results: nothing is begun again.
    expect(await run(["attach", job.id, "--json"], cache)).toBe(local.stdout);
    expect(listPiecesBegun(at("cache-local"), job.id)).toEqual(begun);
    expect(await run(["jobs"], cache)).toContain(`${job.id}  done`);
  });

  it("goes on after it was killed, with the same result, and does nothing twice", async () => {
    const killed = { UNTWIST_CACHE: at("cache-killed") };
    const args = ["spectra", "trail", "--on", "local", "--memory", "1.5GB", "--interval", "0.2", "--json"];
    const countBegun = (wanted: string): number => {
      const [id = ""] = readdirSync(at("cache-killed/jobs"));
      return listPiecesBegun(at("cache-killed"), id).filter((name) => name === wanted).length;
    };
    /** How often what was done at a kill had been begun by then. */
    const done = new Map<string, number>();
    for (const numMore of [1, 3]) {
      const { child, outcome } = startUntwist(args, folder, killed);
      while (listPiecesDone(at("cache-killed")).length < done.size + numMore) await wait(2);
      child.kill("SIGKILL");
      await outcome;
      // Its processes learn of that, and end, when they get to it.
      while (spawnSync("pgrep", ["-f", `work ${at("cache-killed")}`]).status === 0) await wait(20);
      for (const name of listPiecesDone(at("cache-killed"))) done.set(name, countBegun(name));
    }
    expect(await run(args, killed)).toBe(local.stdout);
    const [{ numPieces }] = await listJobs(killed);
    expect(done.size).toBeLessThan(numPieces);
    for (const [name, count] of done) expect(countBegun(name)).toBe(count);
  });

  it("is listed as cancelled when another command cancels it, and goes on when asked to", async () => {
    const cancelled = { UNTWIST_CACHE: at("cache-followed") };
    // A line that waits keeps the job from being done before it is cancelled.
    const slow = ["--on", "exec", "--set", `exec=${waitFor("cancelled")}; {command}`, "--interval", "0.2"];
    const { outcome } = startUntwist(["spectra", "trail", ...slow], folder, cancelled);
    let jobs = await listJobs(cancelled);
    for (; jobs[0]?.state !== "running"; jobs = await listJobs(cancelled)) await wait(50);
    const [{ id }] = jobs;
    await run(["cancel", id], cancelled);
    expect((await outcome).stderr).toMatch(/was cancelled; go on with: untwist retry/);
    expect(await listJobs(cancelled)).toMatchObject([{ id, state: "cancelled", numDone: 0 }]);
    writeFileSync(at("cancelled"), "");
    expect(await run(["retry", id, "--json"], cancelled)).toBe(local.stdout);
  });

  it("says that nothing was handed over yet", async () => {
    expect(await run(["jobs"], { UNTWIST_CACHE: at("cache-none") })).toBe(
      "No job was handed to an executor yet\n",
    );
  });
});

describe.skipIf(slurmAbsence.isSkipped)(`untwist spectra --on slurm${slurmAbsence.because}`, () => {
  let cluster: Cluster;
  let slurm: Environment;
  beforeAll(async () => {
    cluster = await startCluster();
    slurm = { ...cluster.environment, UNTWIST_CACHE: at("cache-slurm") };
  });
  afterAll(async () => await cluster.stop());
  const args = ["spectra", "trail", "--on", "slurm", "--interval", "0.3", "--json"];

  it("says what it would submit, and submits nothing", async () => {
    const asked = ["--dry-run", "--set", "partition=main", "--set", "time=2:00:00"];
    const { jobs, text } = parseJson(await run([...args, ...asked], slurm));
    expect(jobs).toEqual([]);
    expect(text).toMatch(/^\d+ pieces of spectra in 1 pack, about \d+ seconds of one core\n/);
    expect(text).toMatch(
      /\nsbatch --parsable .*--array=0-0 .*--time=120 .*--partition=main <<'END'\n#!\/bin\/bash\nexport UNTWIST_CACHE=\S+\nexec /,
    );
    expect(await listJobs(slurm)).toEqual([]);
  });

  it("hands over, and attaching gives the result of this process bit for bit", async () => {
    const { jobs, text } = parseJson(
      await run([...args, "--detach", "--set", `before=${waitFor("refused")}`], slurm),
    );
    const [id = ""] = jobs;
    expect(text).toMatch(/^Job ([0-9a-f]{12}) continues without this terminal.*untwist attach \1$/);
    // A command that is refused changes nothing of the job, nor of what attaching to it means.
    const refused = await runUntwist(["spectra", "trail", "--on", "local"], folder, slurm);
    expect(refused.stderr).toMatch(/is carried out by slurm; wait for it with: untwist attach/);
    writeFileSync(at("refused"), "");
    expect(await run(["attach", id, "--json"], slurm)).toBe(local.stdout);
    expect(hashFiles(at("trail/spectra"))).toEqual(local.files);
    const [job] = await listJobs(slurm);
    expect(job).toMatchObject({ id, state: "done" });
    expect(listPiecesBegun(at("cache-slurm"), id)).toHaveLength(job.numPieces);
  });

  it("loses nothing when the process that waits is killed", async () => {
    const other = { ...slurm, UNTWIST_CACHE: at("cache-client") };
    const { child, outcome } = startUntwist(args, folder, other);
    for (;;) {
      const [job] = await listJobs(other);
      if (job?.numRunning > 0 || job?.state === "done") break;
      await wait(50);
    }
    child.kill("SIGKILL");
    await outcome;
    const [{ id, numPieces }] = await listJobs(other);
    expect(await run(["attach", id, "--json"], other)).toBe(local.stdout);
    expect(listPiecesBegun(at("cache-client"), id)).toHaveLength(numPieces);
  });

  it("cancels, and does what is missing when asked to try again", async () => {
    const other = { ...slurm, UNTWIST_CACHE: at("cache-cancel") };
    // A line before the command keeps the job from being done before it is cancelled.
    const text = await run([...args, "--detach", "--set", `before=${waitFor("again")}`], other);
    const [id = ""] = parseJson(text).jobs;
    const cancelled = await run(["cancel", id, "--json"], other);
    expect(parseJson(cancelled)).toEqual({ job: id, isCancelled: true, byHand: [] });
    expect(await listJobs(other)).toMatchObject([{ id, state: "cancelled", numDone: 0 }]);
    const attached = await runUntwist(["attach", id], folder, other);
    expect(attached).toMatchObject({ code: 2, stdout: "" });
    expect(attached.stderr).toMatch(/was cancelled; go on with: untwist retry/);
    writeFileSync(at("again"), "");
    expect(await run(["retry", id, "--json"], other)).toBe(local.stdout);
  });

  it("does not leave alone what can never start, nor a job that was refused", async () => {
    const other = { ...slurm, UNTWIST_CACHE: at("cache-never") };
    const hopeless = await runUntwist([...args, "--detach", "--set", "time=5:00:00"], folder, other);
    expect(hopeless).toMatchObject({ code: 2, stdout: "" });
    expect(hopeless.stderr).toMatch(/would wait forever, says slurm: Partition/);
    const refused = await runUntwist([...args, "--set", "memory=9TB"], folder, other);
    expect(refused.stderr).toMatch(/^sbatch refuses the job: [^\n]*--set memory=SIZE[^\n]*\n$/);
    expect(await listJobs(other)).toEqual([]);
  });

  it("does not say that a job is cancelled while nobody can be told", async () => {
    const other = { ...slurm, UNTWIST_CACHE: at("cache-told") };
    const handed = await run([...args, "--detach", "--set", `before=${waitFor("told")}`], other);
    const [id = ""] = parseJson(handed).jobs;
    const alone = { ...other, PATH: "/nowhere" };
    const { code, stderr } = await runUntwist(["cancel", id], folder, alone);
    expect(code).toBe(2);
    expect(stderr).toMatch(
      /^Cannot run squeue: [^\n]*; the job continues: cancel it again once that is fixed\n$/,
    );
    writeFileSync(at("told"), "");
    expect(await run(["attach", id, "--json"], other)).toBe(local.stdout);
  });

  it("passes on what sbatch says, as one sentence", async () => {
    const other = { ...slurm, UNTWIST_CACHE: at("cache-refused") };
    const { code, stdout, stderr } = await runUntwist([...args, "--set", "partition=nope"], folder, other);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toMatch(
      /^sbatch refuses the job: [^\n]*nope[^\n]*; sinfo -s lists the partitions[^\n]*\n$/,
    );
  });
});

/** A run that follows three checkpoints of the shipped model, and what is asked of them. */
async function followReal(out: string): Promise<void> {
  await readReport(["follow", "real", "--base", "shipped", "--out", out], folder);
}
const asked = "--environment general-points --prompt-format compact --count 6 --max-new-tokens 29".split(" ");

describe.for([
  ["local", ["--on", "local", "--memory", "3GB"]],
  ["slurm", ["--on", "slurm"]],
] as const)("untwist eval --on %s", ([name, on]) => {
  const isMissing = name === "slurm" && slurmAbsence.isSkipped;
  const because = name === "slurm" ? slurmAbsence.because : "";
  let cluster: Cluster | undefined;
  let environment: Environment = { UNTWIST_CACHE: at(`cache-eval-${name}`) };
  beforeAll(async () => {
    if (isMissing) return;
    if (name === "slurm") cluster = await startCluster();
    environment = { ...environment, ...cluster?.environment };
    cpSync(await locateModel("general-points-base"), at("shipped"), { recursive: true });
    for (const step of [1, 2]) cpSync(at("shipped"), at(`real/checkpoint-${step}`), { recursive: true });
    await followReal(`here-${name}`);
    await run(["eval", `here-${name}`, ...asked]);
  });
  afterAll(async () => await cluster?.stop());
  const place = [...on, "--interval", "0.3"];

  it.skipIf(isMissing)(`gives the answers that this process would${because}`, async () => {
    await followReal(`there-${name}`);
    const recipe = readFileSync(at(`there-${name}/recipe.yaml`), "utf8");
    expect(await run(["eval", `there-${name}`, ...asked, ...place, "--dry-run"], environment)).toMatch(
      /^3 pieces of evaluation in 1 pack,/,
    );
    expect(readFileSync(at(`there-${name}/recipe.yaml`), "utf8")).toBe(recipe);
    await run(["eval", `there-${name}`, ...asked, ...place], environment);
    const answers = (where: string): unknown => hashFiles(at(where, "evaluations"));
    expect(answers(`there-${name}`)).toEqual(answers(`here-${name}`));
    const [job, ...others] = await listJobs(environment);
    expect([job.state, job.numDone, others]).toEqual(["done", 3, []]);
    // Everything is evaluated: there is nothing left to hand over.
    expect(await run(["eval", `there-${name}`, ...place], environment)).toContain("were evaluated before");
  });

  it.skipIf(isMissing)(`starts a server for each checkpoint${because}`, async () => {
    await followReal(`served-${name}`);
    const serve = `${process.execPath} ${join(root, "bin/untwist.js")} serve {path} --port {port}`;
    const flags = ["--serve", serve, "--api", "completions", "--set", "memory=1GB"];
    await run(["eval", `served-${name}`, ...asked, ...flags, ...place], environment);
    const outcomes = (where: string, id: string): readonly unknown[] =>
      readFileSync(at(where, "evaluations", `${id}.jsonl`), "utf8")
        .trimEnd()
        .split("\n")
        .map((line) => parseJson(line).outcome);
    for (const id of ["base", "sft-1", "sft-2"])
      expect(outcomes(`served-${name}`, id)).toEqual(outcomes(`here-${name}`, id));
  });
});

it("untwist eval --on local evaluates what is new, and takes the rest from an earlier job", async () => {
  const cache = { UNTWIST_CACHE: at("cache-grown") };
  const grow = async (step: number): Promise<void> => {
    const shipped = await locateModel("general-points-base");
    cpSync(shipped, at(`grown/checkpoint-${step}`), { recursive: true });
    await readReport(["follow", "grown", "--base", shipped, "--out", "grown-run"], folder);
  };
  const evaluate = ["eval", "grown-run", ...asked, "--on", "local", "--memory", "3GB", "--interval", "0.2"];
  await grow(1);
  await run(evaluate, cache);
  const before = hashFiles(at("grown-run/evaluations"));
  // As if nobody had looked at the first job when it was done.
  rmSync(at("grown-run/evaluations"), { recursive: true });
  await grow(2);
  await run(evaluate, cache);
  expect(hashFiles(at("grown-run/evaluations"))).toMatchObject(before);
  const [job] = await listJobs(cache);
  expect([job.numDone, job.numPieces]).toEqual([3, 3]);
  expect(listPiecesBegun(at("cache-grown"), job.id)).toEqual(["sft-2"]);
});

describe("untwist repair --on local", () => {
  const cache = { UNTWIST_CACHE: at("cache-repair") };
  beforeAll(async () => {
    const small = ["--set", "evaluation.numTasks=8", "--set", "spectra=false", "--set", "repairs=false"];
    writeFileSync(at("tiny.yaml"), tinyRecipe);
    writeFileSync(
      at("grid.yaml"),
      "name: grid\ntarget: sft-end\nsource: base\ngrid:\n  - {what: [directions, values], top: [0.5, all]}\n",
    );
    await run(["run", "tiny.yaml", "--out", "tiny", ...small], cache);
    cpSync(at("tiny"), at("tiny-there"), { recursive: true });
  });

  it("gives the repairs that this process would, bit for bit", async () => {
    const here = await run(["repair", "tiny", "grid.yaml", "--json"]);
    const place = ["--on", "local", "--memory", "3GB", "--interval", "0.2"];
    expect(await run(["repair", "tiny-there", "grid.yaml", ...place, "--dry-run"], cache)).toMatch(
      /^\d+ pieces of repair in 1 pack,/,
    );
    expect(await run(["repair", "tiny-there", "grid.yaml", "--json", ...place], cache)).toBe(here);
    expect(hashFiles(at("tiny-there/repairs"))).toEqual(hashFiles(at("tiny/repairs")));
    const [job] = await listJobs(cache);
    expect([job.state, job.numDone]).toEqual(["done", parseJson(here)[0].repairs.length]);
  });
});
