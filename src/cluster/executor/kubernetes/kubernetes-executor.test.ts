import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Job } from "kubernetes-models/batch/v1";
import { afterAll, describe, expect, it } from "vitest";
import { parse } from "yaml";
import { z } from "zod";
import { UsageError } from "../../../base/core/index.ts";
import { carryOutPack } from "../../job/carry-out-pack.ts";
import { followJob } from "../../job/follow-job.ts";
import { forgiveJob, type JobFolder, obtainJob } from "../../job/job-folder.ts";
import { type Profile, parseProfile } from "../profile.ts";
import { createKubernetesExecutor } from "./kubernetes-executor.ts";

const home = mkdtempSync(join(tmpdir(), "untwist-kubernetes-"));
afterAll(() => rmSync(home, { recursive: true }));

const usual = ["image=node:22", `volumes=work:${process.cwd()}`];
const profileOf = (...given: readonly string[]): Profile => ({
  ...parseProfile(undefined, [...usual, ...given]),
  volumes: [...parseProfile(undefined, usual).volumes, { claim: "temporary", path: home }],
});
const open = (profile: Profile, environment = {}) =>
  createKubernetesExecutor({
    profile,
    command: ["node", `${process.cwd()}/bin/untwist.js`, "work"],
    environment,
  });

let numJobs = 0;
const createJob = async (names: readonly string[]): Promise<JobFolder> => {
  const plan = {
    kind: "test",
    input: numJobs++,
    pieces: names.map((name) => ({ name, seconds: 60, bytes: 0 })),
  };
  return await obtainJob(home, { plan, origin: { args: [], folder: home, at: "2026-01-01T00:00:00Z" } });
};

const follow = async (job: JobFolder, profile = profileOf(), notices: string[] = []): Promise<void> =>
  await followJob(job, {
    executor: open(profile),
    rule: { leastSeconds: 30, cores: 1 },
    intervalMs: 20,
    signal: AbortSignal.timeout(300_000),
    onProgress: () => undefined,
    onNotice: (text) => notices.push(text),
  });

const untilExists = async (path: string): Promise<void> => {
  while (!existsSync(path)) await new Promise((resolve) => setTimeout(resolve, 10));
};

/** Carries out a pack as its pod would: pieces give their names, but those called "bad" fail. */
const runPod = async (job: JobFolder, pack: number, submission = 0): Promise<void> => {
  const carryOut = async ({ name }: { readonly name: string }): Promise<string> => {
    if (name === "bad") throw new Error("Cannot go on: odd");
    return name;
  };
  const handler = { carryOut, close: async () => undefined };
  await carryOutPack(
    job,
    { submission, pack },
    { open: async () => handler, log: () => undefined, node: "node" },
  );
};

const submission = {
  number: 3,
  executor: "kubernetes" as const,
  packs: [[0, 1], [2], [3]],
  resources: { cores: 2, bytes: 1.5 * 2 ** 30, seconds: 700 },
  ended: {},
  job: "0691a78e2f8b",
  made: "mhx2k7q",
  folder: join(home, "0691a78e2f8b"),
};

describe("the manifest", () => {
  it.each([
    [[]],
    [["gpus=2", "time=90", "namespace=lab", "at-most=2", "scratch=100GB"]],
    [["before=export A=$(date); export B=$$", "cpus=4"]],
  ])("is an Indexed Job by the schema of Kubernetes, with %j", async (given) => {
    const manifest = parse(await open(profileOf(...given), { UNTWIST_CACHE: home }).describe(submission));
    const job = new Job(manifest);
    job.validate();
    expect(job.spec).toMatchObject({ completionMode: "Indexed", completions: 3, backoffLimitPerIndex: 0 });
  });

  it("is refused by the schema where something is wrong", async () => {
    const manifest = parse(await open(profileOf()).describe(submission));
    manifest.spec.completions = "three";
    expect(() => new Job(manifest).validate()).toThrow("completions must be integer");
  });

  it("asks for what the profile and the pieces say", async () => {
    const profile = profileOf("gpus=2", "time=90", "namespace=lab", "at-most=2", "scratch=1GiB");
    const { metadata, spec } = parse(await open(profile, { UNTWIST_CACHE: home }).describe(submission));
    expect(metadata.name).toBe("untwist-0691a78e2f8b-mhx2k7q-3");
    expect(metadata.namespace).toBe("lab");
    expect(spec.parallelism).toBe(2);
    const pod = spec.template.spec;
    expect(pod.activeDeadlineSeconds).toBe(5400);
    const [container] = pod.containers;
    expect(container.resources).toEqual({
      requests: { cpu: "2", memory: "1536Mi", "ephemeral-storage": "1024Mi" },
      limits: { memory: "1536Mi", "nvidia.com/gpu": "2" },
    });
    expect(container.env).toEqual([{ name: "UNTWIST_CACHE", value: home }]);
    expect(container.volumeMounts.map(({ mountPath }: { mountPath: string }) => mountPath)).toEqual([
      process.cwd(),
      home,
    ]);
    expect(container.command.at(-1)).toBe(
      `exec node ${process.cwd()}/bin/untwist.js work ${submission.folder} 3 "$JOB_COMPLETION_INDEX"`,
    );
  });

  it("gives the shell the very lines of the profile, whatever Kubernetes reads in them", async () => {
    const lines = "A=$(echo one) B=$$ C=$$$(echo two) D=$HOME E='$(F)'";
    const manifest = parse(await open(profileOf(`before=${lines}`)).describe(submission));
    const [, , script] = manifest.spec.template.spec.containers[0].command;
    expect(expandReferences(script, {}).split("\n")[0]).toBe(lines);
    expect(expandReferences(script, { F: "filled in" }).split("\n")[0]).toBe(lines);
  });

  it.each([
    [
      "no image",
      { ...profileOf(), image: undefined },
      /^Cannot write a manifest without an image: .*profile image=node:22$/,
    ],
    ["a kind of GPU", profileOf("gpus=a100:1"), /^Cannot write gpus "a100:1" into a manifest: .*as in 1$/],
    [
      "no volume",
      { ...profileOf(), volumes: [] },
      /^Cannot write a manifest: ".*" is in no volume of the pods; .*volumes=shared-claim:\/shared$/,
    ],
    [
      "a volume whose name only begins alike",
      { ...profileOf(), volumes: [{ claim: "a", path: home.slice(0, -1) }] },
      /is in no volume/,
    ],
  ])("is refused with %s", async (_, profile, message) => {
    await expect(open(profile).describe(submission)).rejects.toThrow(message);
    await expect(open(profile).describe(submission)).rejects.toThrow(UsageError);
  });
});

describe("createKubernetesExecutor()", () => {
  it("writes the manifest into the job's folder, says how to start it, and waits for result files", async () => {
    const job = await createJob(["a", "b"]);
    const notices: string[] = [];
    const following = follow(job, profileOf(), notices);
    const path = join(job.path, "kubernetes-0.yaml");
    await untilExists(path);
    new Job(parse(readFileSync(path, "utf8"))).validate();
    await runPod(job, 1);
    await runPod(job, 0);
    await following;
    expect(notices).toEqual([`Start it by: kubectl apply --filename ${path}`]);
    expect([await job.readResult(0, z.string()), await job.readResult(1, z.string())]).toEqual(["a", "b"]);
  });

  it("submits nothing a second time by itself, and what is missing when asked", async () => {
    const job = await createJob(["a", "bad", "c"]);
    const notices: string[] = [];
    const following = follow(job, profileOf(), notices).catch((error: unknown) => String(error));
    await untilExists(join(job.path, "kubernetes-0.yaml"));
    for (const pack of [0, 1, 2]) await runPod(job, pack);
    expect(await following).toMatch(
      /1 of 3 pieces .* have no result. bad on .*: Cannot go on: odd; put it right, then: retrying job/,
    );
    expect(notices.filter((text) => text.startsWith("Start it by"))).toHaveLength(1);
    await forgiveJob(job);
    const again = follow(job).catch((error: unknown) => String(error));
    const path = join(job.path, "kubernetes-1.yaml");
    await untilExists(path);
    expect(parse(readFileSync(path, "utf8")).spec.completions).toBe(1);
    await job.keepResult(1, "good");
    await again;
    expect((await job.listResults()).size).toBe(3);
  });

  it("can be read by a shell", async () => {
    const { byHand } = open(profileOf());
    const folder = join(home, "it's a folder");
    const line = byHand?.start({ ...submission, folder }) ?? "";
    expect(execFileSync("sh", ["-c", line.replace("kubectl", "echo")], { encoding: "utf8" })).toBe(
      `apply --filename ${folder}/kubernetes-3.yaml\n`,
    );
    expect(byHand?.end(submission)).toBe(
      `kubectl delete --ignore-not-found --filename ${submission.folder}/kubernetes-3.yaml`,
    );
  });
});

/** What Kubernetes makes of references in commands, by its documentation: `$(NAME)` is looked up and left where unknown, `$$` is `$`. */
function expandReferences(text: string, values: Readonly<Record<string, string>>): string {
  return text.replaceAll(/\$\$|\$\(([^)]*)\)/g, (whole, name?: string) =>
    name === undefined ? "$" : (values[name] ?? whole),
  );
}
