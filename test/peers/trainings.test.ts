/** Real trainings by TRL, small ones on the CPU, followed and watched. */
import { readdirSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { beforeAll, describe, expect, it } from "vitest";
import { locateModel } from "../../src/lab/machine/index.ts";
import { findAbsence, runPeer } from "../support/peers.ts";
import { readReport } from "../support/surgery.ts";
import { createWorkplace, type Json, parseJson, startUntwist } from "../support/untwist.ts";

const { isSkipped, because } = findAbsence();
const { folder, at } = createWorkplace();

/** Trains as each name says, in one process: it takes longer to start than to train. */
async function train(names: readonly string[]): Promise<void> {
  await runPeer("trainings.py", [await locateModel("general-points-base"), folder, ...names]);
}

/** What is there after a training of that name. */
const expected: Readonly<
  Record<
    string,
    {
      readonly stage: "sft" | "rl";
      readonly steps: readonly number[];
      /** Steps in the curves. */
      readonly numLogged: number;
      /** Names in the last line of the curves. */
      readonly curves: readonly string[];
      /** The step that the model beside the steps is. */
      readonly final?: number;
      /** Matrices that changed since the base; absent where it is up to chance. */
      readonly numChanged?: number;
    }
  >
> = {
  "sft-full": { stage: "sft", steps: [2, 4, 6], numLogged: 6, curves: ["loss", "tokenAccuracy"], final: 6 },
  "sft-lora": {
    stage: "sft",
    steps: [2, 4, 6],
    numLogged: 6,
    curves: ["loss", "gradientNorm"],
    numChanged: 6,
  },
  "sft-lora-modules-to-save": {
    stage: "sft",
    steps: [2, 4, 6],
    numLogged: 6,
    curves: ["loss"],
    numChanged: 7,
  },
  "sft-rotation": { stage: "sft", steps: [6, 8], numLogged: 8, curves: ["loss", "learningRate"] },
  "sft-best": {
    stage: "sft",
    steps: [2, 4, 6],
    numLogged: 6,
    curves: ["loss", "evaluationLoss"],
    final: 2,
  },
  dpo: { stage: "rl", steps: [2, 4, 6], numLogged: 6, curves: ["loss"] },
  grpo: { stage: "rl", steps: [2, 4, 6], numLogged: 6, curves: ["loss", "reward", "entropy"] },
};

describe.skipIf(isSkipped)(`trainings by TRL${because}`, () => {
  beforeAll(async () => {
    await train(Object.keys(expected));
  });

  for (const [name, { stage, steps, numLogged, curves, final, numChanged }] of Object.entries(expected))
    it(`${name}: steps, stage, curves, and what changed in the weights`, async () => {
      const base = await locateModel("general-points-base");
      const { trainings, leftOut } = await readReport(
        ["follow", name, "--base", base, "--out", `run-${name}`],
        folder,
      );
      expect(trainings).toMatchObject([{ stage, steps, partial: [], unreadLogs: [] }]);
      expect([leftOut, trainings[0].notes]).toEqual([
        [],
        final === undefined ? [] : [expect.stringContaining(`that of step ${final}`)],
      ]);
      const [file = ""] = readdirSync(at(`run-${name}/metrics`));
      const lines = readFileSync(at(`run-${name}/metrics`, file), "utf8")
        .trimEnd()
        .split("\n")
        .map(parseJson);
      expect(lines.map(({ step }: Json) => step)).toEqual(
        Array.from({ length: numLogged }, (_, index) => index + 1),
      );
      for (const curve of curves) expect(lines.at(-1)).toHaveProperty(curve);
      const { pairs } = await readReport(["spectra", `run-${name}`], folder);
      expect(pairs.filter(({ before }: Json) => before === "base")).toHaveLength(steps.length);
      const changed = pairs.map(({ numMatrices, flags }: Json) => numMatrices - flags.unchanged);
      if (numChanged !== undefined) expect(new Set(changed)).toEqual(new Set([numChanged]));
    });

  it("sft-ruin: a watch beside it raises an alert, calls the webhook, and ends by --stop-on-alert", async () => {
    const messages: Json[] = [];
    const hook = createServer((incoming, outgoing) => {
      let text = "";
      incoming.on("data", (part: Buffer) => (text += String(part)));
      incoming.on("end", () => {
        messages.push(parseJson(text));
        outgoing.end();
      });
    });
    await new Promise<void>((resolve) => hook.listen(0, "127.0.0.1", resolve));
    const address = `http://127.0.0.1:${(hook.address() as AddressInfo).port}/`;
    const base = await locateModel("general-points-base");
    const tasks = ["--environment", "general-points", "--prompt-format", "compact", "--count", "200"];
    const flags = ["--max-new-tokens", "29", "--interval", "0.2", "--stop-on-alert", "--webhook", address];
    const { outcome } = startUntwist(
      ["watch", "sft-ruin", "--out", "watched", "--base", base, ...tasks, ...flags, "--json"],
      folder,
    );
    await train(["sft-ruin"]);
    const { code, stdout, stderr } = await outcome;
    hook.close();
    expect(code, stderr).toBe(3);
    const [training] = parseJson(stdout).trainings;
    expect(messages).toMatchObject([{ training: "sft", keep: "base", text: training.alert }]);
  });
});
