/** What `--on`, its flags and its profile refuse: nothing is submitted, nothing is touched. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { buildModel, writeCheckpointFolder } from "./support/checkpoint-folder.ts";
import { expectRefusal, type Mistake } from "./support/refusal.ts";
import { readReport } from "./support/surgery.ts";
import { writeTrainerFolder } from "./support/trainer-folder.ts";
import { createTemporaryFolder, removeFolder, runUntwist } from "./support/untwist.ts";

const folder = createTemporaryFolder();
const at = (name: string): string => join(folder, name);
afterAll(() => removeFolder(folder));

beforeAll(async () => {
  await writeCheckpointFolder(at("base"), buildModel("base", "BF16"));
  await writeTrainerFolder(at("trainer"), "the Hugging Face Trainer", [1]);
  await readReport(["follow", "trainer", "--base", "base", "--out", "trail"], folder);
});

const asked = "--environment general-points --prompt-format compact --count 6 --max-new-tokens 29".split(" ");

describe("untwist spectra --on … refuses", () => {
  beforeAll(() => {
    writeFileSync(at("unknown.yaml"), "partitions: main\n");
    writeFileSync(at("list.yaml"), "- main\n");
    writeFileSync(at("malformed.yaml"), "partition: [main\n");
    writeFileSync(at("time.yaml"), "time: soon\n");
  });
  const spectra = ["spectra", "base", "trainer/checkpoint-1"];
  const mistakes: Readonly<Record<string, Mistake>> = {
    "an executor that there is none of": [
      [...spectra, "--on", "pbs"],
      '"pbs"',
      "local, slurm, kubernetes, exec",
    ],
    "a profile without an executor": [[...spectra, "--profile", "unknown.yaml"], "--profile", "--on"],
    "detaching from this machine": [[...spectra, "--on", "local", "--detach"], "--on local"],
    "a profile that is not there": [[...spectra, "--on", "slurm", "--profile", "no.yaml"], '"no.yaml"'],
    "an unknown key in a profile": [
      [...spectra, "--on", "slurm", "--profile", "unknown.yaml"],
      '"partitions"',
      "unknown.yaml",
      "partition, account",
    ],
    "a profile that is a list": [[...spectra, "--on", "slurm", "--profile", "list.yaml"], "list.yaml"],
    "malformed YAML": [[...spectra, "--on", "slurm", "--profile", "malformed.yaml"], "malformed.yaml"],
    "a time that is none": [[...spectra, "--on", "slurm", "--profile", "time.yaml"], "time", "minutes"],
    "an unknown key of --set": [[...spectra, "--on", "slurm", "--set", "queue=main"], "queue", "partition"],
    "a size that is none": [[...spectra, "--on", "local", "--memory", "much"], '"much"', "8GB"],
    "memory that no piece fits into": [
      [...spectra, "--on", "local", "--memory", "100MB"],
      "0.1 GB are allowed",
      "--memory 1.1GB",
    ],
    "memory for an evaluation in this process": [["eval", "trail", "--memory", "1GB"], "--memory", "--on"],
    "one model on an executor": [["eval", "base", ...asked, "--on", "local"], "--on", "name a run"],
    "adapters at one server": [
      ["eval", "trail", ...asked, "--lora-endpoint", "http://127.0.0.1:1", "--on", "local"],
      "--on",
      "--lora-endpoint",
    ],
    "a manifest without an image": [[...spectra, "--on", "kubernetes", "--dry-run"], "--set image=node:22"],
    "a manifest without a volume": [
      [...spectra, "--on", "kubernetes", "--set", "image=node:22", "--dry-run"],
      "in no volume",
      "--set volumes=",
    ],
    "an exec without its line": [[...spectra, "--on", "exec"], "--set exec=", "{command}"],
    "an exec whose line has no command": [
      [...spectra, "--on", "exec", "--set", "exec=true"],
      '"true"',
      "{command}",
    ],
    "a job that there is none of": [["attach", "0123456789ab"], '"0123456789ab"', "untwist jobs"],
    "what is not a job": [["cancel", "first"], '"first"', "12 characters"],
  };
  for (const [name, mistake] of Object.entries(mistakes)) it(name, () => expectRefusal(mistake, folder));

  it("a machine without Slurm", async () => {
    const { code, stderr } = await runUntwist([...spectra, "--on", "slurm"], folder, { PATH: "/nowhere" });
    expect(code).toBe(2);
    expect(stderr).toMatch(/^Cannot run s[a-z]+: there is no such program here; [^\n]*host[^\n]*\n$/);
  });
});
