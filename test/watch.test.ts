/** `untwist watch` beside a training: checkpoints evaluated as they land, an alert once OOD falls, and none where it does not. */
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readRun } from "../src/face/view/index.ts";
import { locateModel } from "../src/lab/machine/index.ts";
import { openRunFolder } from "../src/run/index.ts";
import { expectRefusal, type Mistake } from "./support/refusal.ts";
import { mountSmallDisk } from "./support/small-disk.ts";
import { readReport } from "./support/surgery.ts";
import {
  createWorkplace,
  hashFiles,
  type Json,
  parseJson,
  removeFolder,
  runUntwist,
  startUntwist,
} from "./support/untwist.ts";

const { folder, at } = createWorkplace();
const messages: Json[] = [];
/** How often the webhook answers that it is not there. */
let numRefusals = 0;
let hook: Server;
let webhook: string;
afterAll(() => {
  hook.close();
  removeFolder(folder);
});

const steps = [1, 2, 3, 5, 8, 12, 20, 30, 40];
const numTasks = 200;
const asked = [
  "--environment",
  "general-points",
  "--prompt-format",
  "compact",
  "--count",
  String(numTasks),
  "--max-new-tokens",
  "29",
];
let accuracies: readonly number[];

beforeAll(async () => {
  const changes = [
    "rl=[]",
    "repairs=false",
    "spectra=false",
    "sft.numSteps=40",
    `sft.checkpoints=[${steps.join(", ")}]`,
    `evaluation.numTasks=${numTasks}`,
  ];
  const args = [
    "run",
    "general-points-quick",
    "--out",
    "trained",
    "--json",
    ...changes.flatMap((change) => ["--set", change]),
  ];
  const { code, stdout, stderr } = await runUntwist(args, folder);
  expect(code, stderr).toBe(0);
  accuracies = parseJson(stdout)
    .checkpoints.slice(1)
    .map(({ accuracy }: Json) => accuracy.ood.correct / numTasks);
  cpSync(await locateModel("general-points-base"), at("base"), { recursive: true });
  hook = createServer((incoming, outgoing) => {
    let text = "";
    incoming.on("data", (part: Buffer) => (text += String(part)));
    incoming.on("end", () => {
      if (numRefusals > 0) {
        numRefusals -= 1;
        outgoing.writeHead(503).end();
        return;
      }
      messages.push(parseJson(text));
      outgoing.end();
    });
  });
  await new Promise<void>((resolve) => hook.listen(0, "127.0.0.1", resolve));
  webhook = `http://127.0.0.1:${(hook.address() as AddressInfo).port}/`;
});

/** Does what a trainer does: writes checkpoints in place, one after the other, weights in two parts. */
async function train(out: string, some: readonly number[]): Promise<void> {
  for (const step of some) {
    const [whole, place] = [at(`trained/checkpoints/sft-${step}`), at(out, `checkpoint-${step}`)];
    mkdirSync(at(out), { recursive: true });
    cpSync(whole, `${place}.tmp`, { recursive: true });
    truncateSync(`${place}.tmp/model.safetensors`, 300_000);
    renameSync(`${place}.tmp`, place);
    await wait(150);
    cpSync(join(whole, "model.safetensors"), join(place, "model.safetensors"));
    await wait(150);
  }
}

const watch = (run: string, ...more: readonly string[]): readonly string[] => [
  "watch",
  ...more,
  "--out",
  run,
  "--interval",
  "0.2",
  "--json",
];

describe("untwist watch", () => {
  it("raises an alert within two checkpoints of the decline, and names the checkpoint to keep", async () => {
    const flags = [
      "--base",
      "base",
      ...asked,
      "--stop-on-alert",
      "--keep-best",
      "2",
      "--webhook",
      webhook,
      "--on-alert",
      'printf %s "$UNTWIST_KEEP_PATH" > told',
    ];
    const running = startUntwist(watch("watched", "out", ...flags), folder);
    const saying = new Promise<void>((resolve) => {
      running.child.stderr?.on("data", (text: string) => {
        if (text.includes("Waiting for the first checkpoint in out")) resolve();
      });
    });
    await Promise.race([saying, running.outcome]);
    await train("out", steps);
    const { code, stdout, stderr } = await running.outcome;
    expect(code, stderr).toBe(3);
    const { trainings, mayDelete } = parseJson(stdout);
    const [{ name, alert, looks }] = trainings;
    const fired = looks.at(-1);
    expect([name, fired.isDecline]).toEqual(["sft", true]);
    const best = accuracies.indexOf(Math.max(...accuracies));
    const fallen = accuracies.findIndex(
      (accuracy, index) => index > best && accuracy <= accuracies[best]! - 0.15,
    );
    expect(fallen).toBeGreaterThan(best);
    const firedAt = steps.indexOf(fired.point.step);
    expect(firedAt).toBeGreaterThan(best);
    expect(firedAt).toBeLessThanOrEqual(fallen + 2);
    // The kept one is among those that nobody could tell from the best.
    expect(accuracies[steps.indexOf(fired.peak.step)]).toBeGreaterThan(accuracies[best]! - 0.1);
    expect(alert).toContain(`keep ${fired.peak.checkpoint}: ${at("out", `checkpoint-${fired.peak.step}`)}`);
    expect(readFileSync(at("told"), "utf8")).toBe(at("out", `checkpoint-${fired.peak.step}`));
    expect(messages).toMatchObject([
      { training: "sft", checkpoint: fired.point.checkpoint, keep: fired.peak.checkpoint, text: alert },
    ]);
    expect(stderr).toContain("Waiting for the first checkpoint in out");
    expect(mayDelete).not.toContain(at("out", `checkpoint-${fired.peak.step}`));
    expect(mayDelete).toContain(at("out/checkpoint-1"));
    for (const path of mayDelete) expect(existsSync(path)).toBe(true);
    expect(existsSync(at("watched/watch.lock"))).toBe(false);
  });

  it("goes on without asking or telling anything twice", async () => {
    const evaluations = hashFiles(at("watched/evaluations"));
    rmSync(at("told"));
    const flags = ["--until", "40", "--webhook", webhook, "--on-alert", "touch told"];
    const { code, stdout, stderr } = await runUntwist(watch("watched", ...flags), folder);
    expect(code, stderr).toBe(0);
    expect(parseJson(stdout).trainings[0].looks).toHaveLength(steps.length);
    expect(hashFiles(at("watched/evaluations"))).toMatchObject(evaluations);
    expect([messages.length, existsSync(at("told"))]).toEqual([1, false]);
    // Evaluated as it landed, or in one go: the same answers as of the training itself.
    const summary = parseJson(readFileSync(at("watched/summary.json"), "utf8"));
    expect(summary.checkpoints.slice(1).map(({ accuracy }: Json) => accuracy.ood.correct / numTasks)).toEqual(
      accuracies,
    );
  });

  it("raises none while OOD rises, and shows itself unfinished to the studio meanwhile", async () => {
    const running = startUntwist(
      watch("rising", "rise", "--base", "base", ...asked, "--stop-on-alert", "--until", String(steps[2])),
      folder,
    );
    await train("rise", steps.slice(0, 2));
    // It is followed first, and watched from then on.
    while (!["summary.json", "watch.lock"].every((name) => existsSync(at("rising", name)))) await wait(50);
    const view = await readRun("rising", await openRunFolder(at("rising")));
    expect(view.isFinished).toBe(false);
    await train("rise", steps.slice(2, 3));
    const { code, stdout, stderr } = await running.outcome;
    expect(code, stderr).toBe(0);
    expect(parseJson(stdout).trainings).toMatchObject([{ name: "sft", alert: null }]);
    const { checkpoints, trajectory } = await readReport(["show", "rising"], folder);
    expect([checkpoints.length, trajectory.peak.checkpoint.startsWith("sft-")]).toEqual([4, true]);
  });

  it("ends on Ctrl-C, saying how to go on, and tells a second one to wait", async () => {
    const { child, outcome } = startUntwist(watch("rising"), folder);
    while (!existsSync(at("rising/watch.lock"))) await wait(20);
    await expectRefusalOfSecond();
    child.kill("SIGINT");
    const { code, stderr } = await outcome;
    expect([code, stderr.trimEnd().split("\n").length]).toEqual([130, 1]);
    expect(stderr).toContain("continue with: untwist watch --out rising --interval 0.2 --json");
  });
  async function expectRefusalOfSecond(): Promise<void> {
    const { code, stderr } = await runUntwist(watch("rising"), folder);
    expect([code, stderr]).toEqual([2, expect.stringContaining("the watch of")]);
  }

  it("stops nothing when a hook fails, says so without the secret of its address, and lets the next watch tell", async () => {
    const changed = parseJson(readFileSync(at("watched/watch.json"), "utf8"));
    writeFileSync(at("watched/watch.json"), JSON.stringify({ ...changed, told: [] }));
    const closed = "http://127.0.0.1:59873/services/T0/secret?token=secret";
    const flags = ["--until", "40", "--webhook", closed, "--on-alert", "exit 7"];
    const { code, stderr } = await runUntwist(watch("watched", ...flags), folder);
    expect(code, stderr).toBe(0);
    expect(stderr).toMatch(/could not be passed on to the command .*ended with 7/);
    expect(stderr).toMatch(/could not be passed on to http:\/\/127\.0\.0\.1:59873\/…: .*ECONNREFUSED/);
    expect(stderr).not.toContain("secret");
    numRefusals = 1;
    const before = messages.length;
    const again = ["--until", "40", "--webhook", webhook, "--on-alert", "touch told-again"];
    const next = await runUntwist(watch("watched", ...again), folder);
    expect({ code: next.code, stderr: next.stderr }).toEqual({ code: 0, stderr: "" });
    // Refused once, and called again by the same watch: so it is heard twice, and told once.
    expect([numRefusals, messages.length - before, existsSync(at("told-again"))]).toEqual([0, 1, true]);
    rmSync(at("told-again"));
    await runUntwist(watch("watched", ...again), folder);
    expect([messages.length - before, existsSync(at("told-again"))]).toEqual([1, false]);
  });

  it("goes on when its disk was full, and says once that it was", async ({ skip }) => {
    const small = mountSmallDisk(at("disk"), 512);
    skip(small.problem !== "", `no small disk can be mounted: ${small.problem}`);
    try {
      writeFileSync(at("disk/filler"), new Uint8Array(508 * 1024));
      const few = asked.map((flag) => (flag === String(numTasks) ? "4" : flag));
      const flags = ["rise", "--base", "base", ...few, "--until", "2"];
      const running = startUntwist(watch("disk/run", ...flags), folder);
      const full = new Promise<void>((resolve) => {
        running.child.stderr?.on("data", (text: string) => {
          if (text.includes("no space is left")) resolve();
        });
      });
      await Promise.race([full, running.outcome]);
      rmSync(at("disk/filler"));
      const { code, stderr } = await running.outcome;
      expect(code, stderr).toBe(0);
      const sentences = stderr.split("\n").filter((line) => line.includes("no space is left"));
      expect(new Set(sentences).size).toBe(sentences.length);
      expect(readdirSync(at("disk/run/evaluations"))).toContain("sft-2.jsonl");
    } finally {
      small.unmount();
    }
  });
});

describe("untwist watch refuses", () => {
  const mistakes: Readonly<Record<string, Mistake>> = {
    "a rate that is none": [
      watch("new", "out", ...asked, "--false-alarm-rate", "2"),
      "--false-alarm-rate",
      '"2"',
    ],
    "a training of our own": [watch("trained", ...asked), '"trained"', "own training"],
    "other tasks than it was asked before": [
      watch("watched", "--environment", "navigation"),
      "environment",
      "general-points",
    ],
    "an unknown prompt format": [watch("new", "out", ...asked, "--prompt-format", "song"), '"song"'],
    "two ways to evaluate": [
      watch("new", "out", ...asked, "--serve", "x", "--lora-endpoint", "http://a"),
      "--serve",
      "--lora-endpoint",
    ],
    "a webhook with a password in it": [
      watch("new", "out", ...asked, "--webhook", "https://me:secret@hooks.example/x"),
      "--webhook",
      "password",
    ],
    "a webhook of another kind": [
      watch("new", "out", ...asked, "--webhook", "hooks.example:443/x"),
      "--webhook",
      "https://",
    ],
    "a webhook that is not an address": [
      watch("new", "out", ...asked, "--webhook", "hooks"),
      "--webhook",
      "address",
    ],
    "a run without a name": [watch("", "out", ...asked), "--out"],
  };
  for (const [name, mistake] of Object.entries(mistakes)) it(name, () => expectRefusal(mistake, folder));
  it("to guess what checkpoints are asked", async () => {
    const { code, stderr } = await runUntwist(watch("unasked", "out"), folder);
    expect([code, stderr]).toEqual([2, expect.stringContaining("--environment")]);
  });
});
