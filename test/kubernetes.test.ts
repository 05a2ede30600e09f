/** `untwist … --on kubernetes`: manifests are written, and carried out here as a cluster's nodes would. */
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { beforeAll, describe, expect, it } from "vitest";
import { parse as parseYaml } from "yaml";
import { buildModel, writeCheckpointFolder } from "./support/checkpoint-folder.ts";
import {
  createWorkplace,
  type Environment,
  hashFiles,
  parseJson,
  root,
  tinyRecipe,
} from "./support/untwist.ts";

const { folder, at, run: runIn } = createWorkplace();

const environment = { UNTWIST_CACHE: at("cache"), XDG_CONFIG_HOME: at("config") };

const run = (args: readonly string[], more: Environment = environment): Promise<string> => runIn(args, more);

/** Hands a command's jobs over, and gives their names. */
const writeDown = async (args: readonly string[], more?: Environment): Promise<readonly string[]> =>
  parseJson(await run([...args, "--detach", "--json"], more)).jobs;

/** What kubelets do with the pods of a job's manifest: each container's command, with its index. */
function runPods(id: string): void {
  const manifest = readFileSync(at("cache/jobs", id, "kubernetes-0.yaml"), "utf8");
  const { spec } = parseYaml(manifest);
  const [{ command, env, workingDir }] = spec.template.spec.containers;
  const variables = Object.fromEntries(env.map(({ name, value }: Environment) => [name, value]));
  for (let index = 0; index < spec.completions; index++)
    execFileSync(command[0], command.slice(1), {
      cwd: workingDir,
      // Without what the machine tells OpenBLAS of its processor, last digits would be others.
      env: { ...process.env, ...variables, JOB_COMPLETION_INDEX: String(index) },
    });
}

beforeAll(() => {
  mkdirSync(at("config/untwist"), { recursive: true });
  const profile = `image: node:22\nvolumes: [data:${folder}, "program:${root}"]\n`;
  writeFileSync(at("config/untwist/kubernetes.yaml"), profile);
});

describe("untwist spectra --on kubernetes", () => {
  const args = ["spectra", "base", "after", "--on", "kubernetes", "--interval", "0.2"];
  beforeAll(async () => {
    for (const name of ["base", "after"]) await writeCheckpointFolder(at(name), buildModel(name, "BF16"));
  });

  it("writes a manifest whose pods do the work", async () => {
    const here = await run(["spectra", "base", "after", "--json"], { UNTWIST_CACHE: at("cache-here") });
    const [id = ""] = await writeDown(args);
    runPods(id);
    expect(await run(["attach", id, "--json"])).toBe(here);
    expect(parseJson(await run(["jobs", "--json"]))).toMatchObject([{ id, state: "done" }]);
  });

  it("says how to end what it cannot reach", async () => {
    const other = { ...environment, UNTWIST_CACHE: at("cache-ended") };
    const [id = ""] = await writeDown(args, other);
    expect(parseJson(await run(["jobs", "--json"], other))).toMatchObject([{ id, state: "waiting" }]);
    expect(await run(["cancel", id], other)).toBe(
      `End what runs by: kubectl delete --ignore-not-found --filename ${at("cache-ended/jobs", id, "kubernetes-0.yaml")}\nJob ${id} is cancelled; go on with: untwist retry ${id}\n`,
    );
    expect(parseJson(await run(["jobs", "--json"], other))).toMatchObject([{ id, state: "cancelled" }]);
  });
});

describe("untwist repair --on kubernetes", () => {
  it("writes all repair grids of a recipe down before it waits for one", async () => {
    const second =
      "  - { name: second, target: sft-12, source: base, grid: [{ what: [vectors], top: [0.5] }] }\n";
    writeFileSync(at("tiny.yaml"), tinyRecipe + second);
    const small = ["--set", "evaluation.numTasks=8", "--set", "spectra=false", "--set", "rl=[]"];
    await run(["run", "tiny.yaml", "--out", "tiny", ...small]);
    const here = hashFiles(at("tiny/repairs"));
    rmSync(at("tiny/repairs"), { recursive: true });
    const jobs = await writeDown(["repair", "tiny", "--on", "kubernetes"]);
    expect(jobs).toHaveLength(2);
    for (const id of jobs) runPods(id);
    // Whichever of its jobs one attaches to, the command ends with all of them.
    const text = await run(["repair", "tiny", "--on", "kubernetes", "--json"]);
    const records = parseJson(text);
    expect(records.map(({ name }: { readonly name: string }) => name)).toEqual(["tiny", "second"]);
    expect(hashFiles(at("tiny/repairs"))).toEqual(here);
    expect(await run(["attach", jobs[1] ?? "", "--json"])).toBe(text);
  });
});
