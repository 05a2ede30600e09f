/** Repair grids of a run: what they measure, that they go on where they were stopped, and that edits do what they say. */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { expectRefusal } from "./support/refusal.ts";
import { repairRecordShape } from "./support/summary-shape.ts";
import { createTemporaryFolder, parseJson, removeFolder, runUntwist, tinyRecipe } from "./support/untwist.ts";

const folder = createTemporaryFolder();
afterAll(() => removeFolder(folder));

const place = { UNTWIST_CACHE: join(folder, "cache") };
const readJson = (...path: readonly string[]): ReturnType<typeof parseJson> =>
  parseJson(readFileSync(join(folder, ...path), "utf8"));

/** One split's answers of an evaluation, task by task. */
function readAnswers(...path: readonly string[]): readonly string[] {
  const lines = readFileSync(join(folder, ...path), "utf8")
    .trim()
    .split("\n");
  return lines.map((line) => JSON.stringify(parseJson(line)));
}

beforeAll(async () => {
  writeFileSync(join(folder, "tiny.yaml"), tinyRecipe);
  const { code, stderr } = await runUntwist(["run", "tiny.yaml", "--out", "run"], folder, place);
  expect(code, stderr).toBe(0);
});

describe("the repair grid of a recipe", () => {
  it("is in the summary, in its own folder, and in the timings", () => {
    const { repairs, timings } = readJson("run", "summary.json");
    expect(repairs).toMatchObject([repairRecordShape]);
    const [{ repairs: points }] = repairs;
    const others = points.filter(({ role }: { readonly role: string }) => role !== "edit");
    const edit = points.find(({ role }: { readonly role: string }) => role === "edit");
    expect(edit.controls.toSorted()).toEqual(others.map(({ name }: { name: string }) => name).sort());
    expect(readJson("run", "repairs/tiny/record.json")).toEqual(repairs[0]);
    expect(readdirSync(join(folder, "run/repairs/tiny/answers"))).toHaveLength(6);
    expect(timings.repairs).toBeGreaterThan(0);
  });

  it("is shown with its controls and sentences", async () => {
    const { stdout } = await runUntwist(["show", "run"], folder, place);
    expect(stdout).toMatch(/Repairs tiny +sft-4 put into sft-12/);
    expect(stdout).toMatch(/directions, top 50 %, layers 0-1/);
    expect(stdout).toMatch(/controls/);
    expect(stdout).toMatch(/the best of 1 repair /);
  });

  it("is left out with `repairs: false`, and where the run lacks its checkpoints, which is told", async () => {
    const small = ["--set", "rl=[]", "--set", "spectra=false", "--set", "sft.numSteps=8"];
    const without = await runUntwist(
      ["run", "tiny.yaml", "--out", "without", "--set", "repairs=false", ...small],
      folder,
      place,
    );
    expect(without.code, without.stderr).toBe(0);
    expect(readJson("without", "summary.json")).not.toHaveProperty("repairs");
    const short = await runUntwist(["run", "tiny.yaml", "--out", "short", ...small], folder, place);
    expect(short.code, short.stderr).toBe(0);
    expect(short.stderr).toMatch(/The repair grid tiny is left out: the run has no checkpoint "sft-12"/);
  });
});

const exact = `name: exact
target: sft-12
source: sft-4
grid:
  - { operation: rollback, matrices: "*" }
  - { operation: rollback, matrices: "*", strength: 0 }
  - { operation: restore, what: vectors, top: all, matrices: "*_proj,embed_tokens,lm_head" }
  - { operation: restore, what: directions, top: 0 }
`;

describe("untwist repair", () => {
  it("finds that the whole source answers like the source, and nothing of it like the target", async () => {
    writeFileSync(join(folder, "exact.yaml"), exact);
    const { code, stderr, stdout } = await runUntwist(
      ["repair", "run", "exact.yaml", "--json"],
      folder,
      place,
    );
    expect(code, stderr).toBe(0);
    const [{ repairs }] = parseJson(stdout);
    const [whole, none, , nothing] = repairs;
    const answersOf = (repair: { readonly moved: number }): readonly string[] => {
      const files = readdirSync(join(folder, "run/repairs/exact/answers"));
      const all = files.map((name) => readJson("run/repairs/exact/answers", name));
      const found = all.find(({ moved }) => Math.abs(moved - repair.moved) <= 1e-5 * moved);
      return found.items.map((item: unknown) => JSON.stringify(item));
    };
    expect(answersOf(whole)).toEqual(readAnswers("run/evaluations/sft-4.jsonl"));
    expect(none.moved).toBe(0);
    expect(nothing.moved).toBe(0);
    expect(answersOf(none)).toEqual(readAnswers("run/evaluations/sft-12.jsonl"));
  });

  const write = (name: string, text: string): string => {
    writeFileSync(join(folder, name), text);
    return name;
  };

  it("refuses another repair grid by the name of one of the recipe's, and takes that one from a file", async () => {
    const [, own = ""] = tinyRecipe.split("repairs:\n  - name: tiny\n");
    const same = write("own.yaml", `name: tiny\n${own.replaceAll(/^ {4}/gm, "")}`);
    const { code, stderr } = await runUntwist(["repair", "run", same], folder, place);
    expect(code, stderr).toBe(0);
    const other = write("other.yaml", readFileSync(join(folder, same), "utf8").replace("0.5", "0.25"));
    await expectRefusal([["repair", "run", other], "other.yaml", "tiny", "another name"], folder, place);
  });

  it("refuses a run whose recipe asks for none, and says what to give", async () => {
    const made = await runUntwist(
      [
        "run",
        "general-points-quick",
        "--out",
        "unrepaired",
        ...["sft.numSteps=2", "sft.checkpoints=[1]", "rl=[]", "repairs=false", "spectra=false"].flatMap(
          (change) => ["--set", change],
        ),
      ],
      folder,
      place,
    );
    expect(made.code, made.stderr).toBe(0);
    await expectRefusal(
      [["repair", "unrepaired"], "unrepaired", "its recipe asks for none", "grid.yaml"],
      folder,
      place,
    );
  });

  it("names checkpoints to choose from once, and says which milestones a run without RL lacks", async () => {
    const grid = "grid: [{what: [directions], top: [0.5]}]";
    const unknown = write("nothing.yaml", `target: sft-7\n${grid}`);
    const { stderr } = await runUntwist(["repair", "run", unknown], folder, place);
    const choices = /choose from (.*)/.exec(stderr)?.[1]?.split(", ") ?? [];
    expect(choices).toEqual(expect.arrayContaining(["base", "peak", "sft-end", "sft-4", "sft-12"]));
    expect(new Set(choices).size).toBe(choices.length);
    const end = write("end.yaml", `source: rl-end\n${grid}`);
    await expectRefusal([["repair", "without", end], "no RL branch"], folder, place);
    const recovered = write("recovered.yaml", `target: rl-recovered\n${grid}`);
    const reason = "no RL branch clearly recovered anything";
    await expectRefusal([["repair", "without", recovered], reason], folder, place);
  });

  it("says what is wrong with a repair grid", async () => {
    const grid = "grid: [{what: [directions], top: [0.5]}]";
    const unknown = write("unknown.yaml", `target: sft-7\n${grid}`);
    const same = write("same.yaml", `target: sft-4\nsource: sft-4\n${grid}`);
    const beyond = write("beyond.yaml", "target: sft-12\nsource: sft-4\ngrid: [{what: [values], top: [97]}]");
    const layer = write(
      "layer.yaml",
      'target: sft-12\nsource: sft-4\ngrid: [{what: [values], top: [1], layers: ["3"]}]',
    );
    const key = write("key.yaml", `targt: sft-12\n${grid}`);
    for (const mistake of [
      [["repair", "run", unknown], '"sft-7"', "sft-12"],
      [["repair", "run", same], "same checkpoint"],
      [["repair", "run", beyond], "97", "96"],
      [["repair", "run", layer], "layer 3", "0 to 2"],
      [["repair", "run", key], "targt"],
      [["repair", "nowhere"], "nowhere"],
      [["repair", "run", "no.yaml"], "no.yaml"],
    ] as const)
      await expectRefusal(mistake, folder, place);
  });
});
