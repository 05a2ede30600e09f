/** Edits of tensors that are not matrices: they go through all of it but the factors, which take threads of their own. */
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  nameWeight,
  type TensorSpec,
  writeCheckpointFolder,
} from "../../../test/support/checkpoint-folder.ts";
import { createMachine, createTestEffects } from "../../../test/support/effects.ts";
import { readAllBytes, readHeaders, readNumbers } from "../../../test/support/surgery.ts";
import { createTemporaryFolder, hashFiles, parseJson, removeFolder } from "../../../test/support/untwist.ts";
import { UsageError } from "../../base/core/index.ts";
import type { Effects } from "../../base/progress/index.ts";
import { StoppedError } from "../../base/progress/index.ts";
import { CheckpointError } from "../../weights/checkpoint/index.ts";
import type { Plan } from "../../weights/surgery/index.ts";
import { type EditReport, type EditRequest, editCheckpoint } from "./edit-checkpoint.ts";

const folder = createTemporaryFolder();
afterAll(() => removeFolder(folder));
const at = (name: string): string => join(folder, name);

const [norm, filter, query] = ["input_layernorm", "conv", "self_attn.q_proj"].map((part) =>
  nameWeight(0, part),
) as [string, string, string];

/** A layer of a norm of 2 numbers, a filter of three axes and a matrix. */
function build(norms: readonly number[], filters: readonly number[], matrix = 1): readonly TensorSpec[] {
  return [
    { name: norm, shape: [2], values: norms },
    { name: query, shape: [2, 2], values: [matrix, 0, 0, 1] },
    { name: filter, shape: [2, 1, 2], values: filters },
  ];
}

beforeAll(async () => {
  // ‖norm‖ is 5 and ‖filter‖ is 12: both together are 13.
  await writeCheckpointFolder(at("target"), build([3, 4], [0, 0, 0, 12]), { numShards: 2 });
  writeFileSync(at("target/tokenizer.json"), "{}");
  writeFileSync(at("target/optimizer.pt"), "moments");
  await writeCheckpointFolder(at("source"), build([3, 0], [0, 5, 0, 12], 7));
  mkdirSync(at("source/inner"));
  symlinkSync("source/inner", at("door"));
  symlinkSync("target", at("link"));
  for (const value of [Number.NaN, Number.NEGATIVE_INFINITY])
    await writeCheckpointFolder(at(`holding ${value}`), build([3, value], [0, 0, 0, 12]));
});

/** A rollback of what is not a matrix. */
function planRollback(strength: number, ends: Partial<Pick<Plan, "target" | "source">> = {}): Plan {
  const operation = { operation: "rollback", strength, matrices: "input_layernorm,conv" } as const;
  return { target: at("target"), source: at("source"), ...ends, operations: [operation] };
}

/** Carries a plan out into a folder of that name. */
function edit(plan: Plan, out: string, given: Partial<EditRequest & Effects> = {}): Promise<EditReport> {
  const { form = "checkpoint", ...effects } = given;
  const machine = createMachine(at("cache"));
  return editCheckpoint({ plan, out: at(out), form }, createTestEffects({ machine, ...effects }));
}

/** The error of work that is to fail, after which everything in the folder is as it was. */
async function refusalOf(work: () => Promise<unknown>): Promise<Error> {
  const before = [hashFiles(folder), readdirSync(folder)];
  const error = await work().then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect([hashFiles(folder), readdirSync(folder)]).toEqual(before);
  if (error instanceof Error) return error;
  throw new Error("It was not refused");
}

describe("editCheckpoint()", () => {
  it("reports progress from the start to the end, also where no matrix is factorized", async () => {
    const effects = createTestEffects({ machine: createMachine(at("cache")) });
    await editCheckpoint({ plan: planRollback(1), out: at("watched"), form: "checkpoint" }, effects);
    const done = effects.events.flatMap((event) => (event.kind === "progress" ? [event.doneFraction] : []));
    expect(done[0]).toBeLessThan(0.9);
    expect(done).toEqual([...done].sort((a, b) => a - b));
    expect(done.at(-1)).toBeCloseTo(1, 2);
  });

  it("moves tensors half the way to the source, and says how far, of each and of all", async () => {
    const report = await edit(planRollback(0.5), "half");
    expect([...(await readNumbers(at("half"), norm))]).toEqual([3, 2]);
    expect([...(await readNumbers(at("half"), filter))]).toEqual([0, 2.5, 0, 12]);
    const operation = "whole matrices, strength 0.5, input_layernorm conv";
    const label = { layer: 0, operation };
    expect(report.tensors).toEqual([
      {
        ...label,
        name: filter,
        kind: "conv",
        shape: [2, 1, 2],
        toTarget: expect.closeTo(2.5 / 12, 12),
        toSource: expect.closeTo(2.5 / 12, 12),
        before: expect.closeTo(5 / 12, 12),
      },
      {
        ...label,
        name: norm,
        kind: "input_layernorm",
        shape: [2],
        toTarget: 0.4,
        toSource: 0.4,
        before: 0.8,
      },
    ]);
    expect(report.moved).toBeCloseTo(Math.hypot(2, 2.5) / 13, 12);
    expect(report).toMatchObject({ form: "checkpoint", numUntouched: 1, leftOut: ["optimizer.pt"] });
  });

  it("keeps the report beside the weights, the plan in their headers, and all else byte for byte", async () => {
    const report = await edit(planRollback(1), "kept");
    expect(parseJson(readFileSync(at("kept/untwist-edit.json"), "utf8"))).toEqual(report);
    const [edited, target, source] = await Promise.all(
      ["kept", "target", "source"].map((name) => readAllBytes(at(name))),
    );
    expect(edited).toEqual({ ...source, [query]: target?.[query] });
    const headers = Object.values(await readHeaders(at("kept")));
    expect(headers).toHaveLength(2);
    for (const { metadata } of headers)
      expect(parseJson(metadata["untwist.plan"] ?? "")).toEqual(planRollback(1));
    const names = readdirSync(at("target")).filter((name) => name !== "optimizer.pt");
    expect(readdirSync(at("kept"))).toEqual([...names, "untwist-edit.json"].toSorted());
  });

  it("leaves nothing where it is stopped between two tensors, and then goes on to the same bytes", async () => {
    await edit(planRollback(0.5), "undisturbed");
    const stop = new AbortController();
    let numReports = 0;
    const report: Effects["report"] = ({ kind }) => {
      if (kind === "progress") numReports += 1;
      if (numReports === 2) stop.abort();
    };
    const stopped = await refusalOf(() => edit(planRollback(0.5), "going", { report, signal: stop.signal }));
    expect(stopped).toBeInstanceOf(StoppedError);
    expect(numReports).toBe(2);
    await edit(planRollback(0.5), "going");
    expect(hashFiles(at("going"))).toEqual(hashFiles(at("undisturbed")));
  });

  it.each([
    ["the target", "target", "target"],
    ["a folder to be made in it", "target/deep/new", "target"],
    ["one whose name begins with dots", "source/..new", "source"],
    ["the same through a link", "link/new", "target"],
    ["a link that leads into it", "door", "source"],
  ])("refuses to write into what it is made from: %s", async (_, out, owner) => {
    const error = await refusalOf(() => edit(planRollback(0.5), out));
    expect(error).toBeInstanceOf(UsageError);
    expect(error.message).toContain(`"${at(out)}"`);
    expect(error.message).toContain(`inside the checkpoint "${at(owner)}"`);
  });

  it("writes beside a checkpoint whose name only begins alike, and refuses what is taken", async () => {
    await edit(planRollback(0.5), "target-edited");
    const error = await refusalOf(() => edit(planRollback(0.5), "target-edited"));
    expect(error).toBeInstanceOf(UsageError);
    expect(error.message).toContain("not empty");
  });

  it.each([
    ["target", Number.NaN, 1],
    ["source", Number.NaN, 1],
    ["source", Number.NaN, 0.5],
    ["source", Number.NEGATIVE_INFINITY, 0.5],
  ] as const)("names the %s where it holds %s, at strength %s", async (side, value, strength) => {
    const broken = at(`holding ${value}`);
    const error = await refusalOf(() => edit(planRollback(strength, { [side]: broken }), "never"));
    expect(error).toBeInstanceOf(CheckpointError);
    expect(error).toMatchObject({ path: broken, tensor: norm });
  });

  it("names the target where both ends hold such values", async () => {
    const [target, source] = [at("holding NaN"), at("holding -Infinity")];
    const error = await refusalOf(() => edit(planRollback(1, { target, source }), "never"));
    expect(error).toMatchObject({ name: "CheckpointError", path: target, tensor: norm });
  });

  it("names tensor and format where only the format cannot hold the result", async () => {
    const narrow = build([3, 4], [0, 0, 0, 12]).map((tensor) => ({ ...tensor, dtype: "F16" as const }));
    await writeCheckpointFolder(at("narrow"), narrow);
    await writeCheckpointFolder(at("large"), build([3, 1e5], [0, 0, 0, 12]));
    const plan = planRollback(1, { target: at("narrow"), source: at("large") });
    const error = await refusalOf(() => edit(plan, "never"));
    expect(error).toBeInstanceOf(UsageError);
    expect(error.message).toContain(`Cannot edit ${norm}: whole matrices`);
    expect(error.message).toContain("beyond F16");
    expect(error.message).not.toContain(".untwist-");
  });

  it("refuses a LoRA of what none can say before anything is read for it", async () => {
    const whole = { operation: "rollback", strength: 0.5, matrices: query } as const;
    for (const [operations, words] of [
      [
        planRollback(0.5).operations,
        `Cannot write ${filter} as a LoRA: it is not a weight of a linear layer`,
      ],
      [[whole], `Cannot write ${query} as a LoRA: the edit has full rank 2`],
    ] as const) {
      const plan = { ...planRollback(0.5), operations };
      const error = await refusalOf(() => edit(plan, "never", { form: "lora" }));
      expect(error).toBeInstanceOf(UsageError);
      expect(error.message).toContain(words);
    }
    expect(existsSync(at("cache"))).toBe(false);
  });
});
