import { describe, expect, it } from "vitest";
import { stringify } from "yaml";
import { UsageError } from "../../base/core/index.ts";
import { parseRecipe, type Recipe } from "./recipe.ts";
import { defaultRepairGrids, milestones, parseRepairGrid, repairGridSchema } from "./repair-grid.ts";

/** What `use` was refused for. */
function refusalOf(use: () => unknown): string {
  try {
    use();
  } catch (error) {
    if (error instanceof UsageError) return error.message;
    throw error;
  }
  return "accepted";
}

const refusal = (text: string): string => refusalOf(() => parseRepairGrid(text, "s.yaml"));

/** The only entry of a grid. */
function parseEntry(entry: string): unknown {
  return parseRepairGrid(`grid:\n  - { ${entry} }\n`, "s.yaml").grid[0];
}

const entryRefusal = (entry: string): string => refusalOf(() => parseEntry(entry));

describe("parseRepairGrid()", () => {
  it("fills in every default, of choices too", () => {
    expect(parseRepairGrid("grid:\n  - { what: [directions], top: [all] }\n", "s.yaml")).toStrictEqual({
      name: "grid",
      target: "sft-end",
      source: "peak",
      grid: [
        {
          what: ["directions"],
          top: ["all"],
          tail: [0],
          strength: [1],
          layers: "all",
          matrices: "all",
          controls: true,
        },
      ],
    });
    expect(milestones).toEqual(expect.arrayContaining(["sft-end", "peak"]));
  });

  it("keeps what is written in the place of defaults", () => {
    const written = {
      name: "my-grid-2",
      target: "rl-end",
      source: "grpo-from-5-step-40",
      grid: [
        {
          what: ["left", "right", "values"],
          top: [0, 0.5, 3, "all"],
          tail: [2, "all"],
          strength: [0, 0.5],
          layers: ["0-1", "3"],
          matrices: ["q_proj,k_proj", "mlp.*"],
          controls: false,
        },
        { operation: "truncate", keep: 0.5, strength: 0.5, layers: "1" },
      ],
    };
    expect(parseRepairGrid(stringify(written), "s.yaml")).toStrictEqual(written);
  });

  it("takes single operations, their defaults filled in, and numbers of layers in them", () => {
    expect(parseEntry("operation: rollback, layers: 3")).toStrictEqual({
      operation: "rollback",
      strength: 1,
      layers: "3",
    });
    expect(parseEntry("operation: scramble, what: values, top: 2")).toStrictEqual({
      operation: "scramble",
      what: "values",
      top: 2,
      tail: 0,
      strength: 1,
      seed: 1,
    });
  });

  it("takes the words for layers and matrices", () => {
    for (const layers of ["all", "each", "cumulative"])
      expect(parseEntry(`what: [left], top: [1], layers: ${layers}`)).toMatchObject({ layers });
    for (const matrices of ["all", "each"])
      expect(parseEntry(`what: [left], top: [1], matrices: ${matrices}`)).toMatchObject({ matrices });
  });

  const refusedEntries: Readonly<Record<string, readonly [entry: string, message: RegExp]>> = {
    "an unknown key of a grid": ["what: [left], top: [1], color: blue", /"color"/],
    "an unknown key of an operation": ["operation: rebuild, top: 1", /"top"/],
    "an unknown operation": ["operation: erase", /operation/],
    "a grid of nothing in particular": ["top: [1]", /"what"/],
    "a grid without ranks": ["what: [left]", /"top"/],
    "an empty list": ["what: [left], top: []", /"grid\.0\.top"/],
    "an amount of one and a half": ["what: [left], top: [1, 1.5]", /"grid\.0\.top\.1"/],
    "a negative amount": ["what: [left], top: [1], tail: [-1]", /"grid\.0\.tail\.0" is too small/],
    "an amount in other words": [
      "what: [left], top: [most]",
      /"top\.0": must be a count, a fraction below 1, or all/,
    ],
    "a strength above 1": ["what: [left], top: [1], strength: [2]", /"grid\.0\.strength\.0" is too big/],
    "matrices that are cumulative": ["what: [left], top: [1], matrices: cumulative", /"matrices"/],
    "an empty pattern": ["what: [left], top: [1], matrices: ['']", /"grid\.0\.matrices\.0"/],
  };
  for (const [name, [entry, message]] of Object.entries(refusedEntries))
    it(`refuses ${name} in one line that names it and the entry`, () => {
      expect(entryRefusal(entry)).toMatch(/^Cannot use the repair grid s\.yaml: [^\n]*"grid\.0[^\n]+$/);
      expect(entryRefusal(entry)).toMatch(message);
    });

  it("names unknown keys of the repair grid itself", () => {
    expect(refusal("grid: [{ operation: rebuild }]\nseed: 3\n")).toBe(
      'Cannot use the repair grid s.yaml: unknown key "seed"; remove it or check its spelling',
    );
  });

  it("refuses names that could not be a folder's, an empty grid, and what is not a repair grid", () => {
    for (const name of ["My grid", "../up", "''", "-a", "a/b"])
      expect(refusal(`name: ${name}\ngrid: [{ operation: rebuild }]\n`)).toBe(
        'Cannot use the repair grid s.yaml: "name" must be lower-case words joined by hyphens',
      );
    expect(refusal("grid: []\n")).toContain('"grid" is too small');
    expect(refusal("name: a\n")).toContain('"grid" is wrong');
    expect(refusal("target: ''\ngrid: [{ operation: rebuild }]\n")).toContain('"target" is too small');
    for (const text of ["", "just words", "- 1\n"]) expect(refusal(text)).toContain("it is wrong");
  });

  it("names the line of malformed YAML", () => {
    expect(refusal("name: a\ngrid: [\n")).toMatch(
      /^Cannot read the repair grid s\.yaml: line \d is malformed YAML: \S/,
    );
    expect(refusal("name: a\ntarget: b\nname: c\n")).toContain("line 3 is malformed YAML");
  });
});

const recipe = `name: small
summary: A small recipe
environment: some-environment
base: some-base
evaluation: { numTasks: 10 }
`;
const repairsOf = (grids?: string): Recipe["repairs"] =>
  parseRecipe(recipe + (grids === undefined ? "" : `repairs: ${grids}\n`), "small.yaml").repairs;

describe("repair grids of a recipe", () => {
  it("are the default ones, all valid and filled in, where it says nothing of them", () => {
    const grids = repairsOf();
    expect(grids).toStrictEqual(defaultRepairGrids.map((grid) => repairGridSchema.parse(grid)));
    expect(grids).toMatchObject([
      { name: "repair", target: "sft-end", source: "peak" },
      { name: "reverse", target: "rl-recovered", source: "sft-end" },
    ]);
    for (const { target, source } of grids === false ? [] : grids)
      for (const end of [target, source]) expect(milestones).toContain(end);
  });

  it("stay the same when the recipe is written as YAML and read again", () => {
    const written = stringify(parseRecipe(recipe, "small.yaml"));
    expect(parseRecipe(written, "again").repairs).toStrictEqual(repairsOf());
  });

  it("are read by their earlier name, in a recipe and in a change, but not by both", () => {
    const earlier = `${recipe}sweeps: [{ name: mine, grid: [{ operation: rollback }] }]\n`;
    expect(parseRecipe(earlier, "old.yaml").repairs).toStrictEqual(
      repairsOf("[{ name: mine, grid: [{ operation: rollback }] }]"),
    );
    expect(parseRecipe(recipe, "old.yaml", [{ path: "sweeps", value: "false" }]).repairs).toBe(false);
    expect(parseRecipe(earlier, "old.yaml", [{ path: "repairs", value: "false" }]).repairs).toBe(false);
    expect(refusalOf(() => parseRecipe(`${earlier}repairs: false\n`, "old.yaml"))).toContain(
      'unknown key "sweeps"',
    );
  });

  it("are none where it says false, or lists none", () => {
    expect(repairsOf("false")).toBe(false);
    expect(repairsOf("[]")).toEqual([]);
  });

  it("take the place of the default ones where it lists some", () => {
    expect(repairsOf("[{ name: mine, grid: [{ operation: rollback }] }]")).toStrictEqual([
      { name: "mine", target: "sft-end", source: "peak", grid: [{ operation: "rollback", strength: 1 }] },
    ]);
  });

  it("are refused where two have one name, given or by default", () => {
    const grid = "grid: [{ operation: rebuild }]";
    expect(
      refusalOf(() => repairsOf(`[{ name: a, ${grid} }, { name: b, ${grid} }, { name: a, ${grid} }]`)),
    ).toBe(
      'Cannot use the recipe small.yaml: "repairs" names the repair grid a twice; give each its own name',
    );
    expect(refusalOf(() => repairsOf(`[{ ${grid} }, { ${grid} }]`))).toContain(
      "names the repair grid grid twice",
    );
    expect(refusalOf(() => repairsOf(`[{ name: a, ${grid} }, { name: b, ${grid} }]`))).toBe("accepted");
  });

  it("are refused where they are anything else", () => {
    expect(refusalOf(() => repairsOf("true"))).toContain('"repairs"');
    expect(refusalOf(() => repairsOf("[{ name: a, grid: [] }]"))).toMatch(/"repairs.*grid/);
  });
});
