import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { stringify } from "yaml";
import { UsageError } from "../../base/core/index.ts";
import { parseRepairGrid, type RepairGrid } from "../../run/index.ts";
import { resolveOperations, type TensorsOfBoth } from "../../weights/surgery/index.ts";
import { type GridPoint, listPoints } from "./grid-points.ts";

const kinds = ["q_proj", "o_proj", "up_proj"];

/** Both checkpoints of a model: in each layer three matrices and a norm, outside two matrices and a norm. */
function createTensors(numLayers: number): TensorsOfBoth {
  const shapes: [string, number[]][] = [
    ["model.embed_tokens.weight", [20, 8]],
    ...Array.from({ length: numLayers }, (_, layer) => layer).flatMap((layer): [string, number[]][] => [
      [`model.layers.${layer}.input_layernorm.weight`, [8]],
      [`model.layers.${layer}.self_attn.q_proj.weight`, [8, 8]],
      [`model.layers.${layer}.self_attn.o_proj.weight`, [8, 8]],
      [`model.layers.${layer}.mlp.up_proj.weight`, [24, 8]],
    ]),
    ["model.norm.weight", [8]],
    ["lm_head.weight", [20, 8]],
  ];
  const tensors = new Map(
    shapes.map(([name, shape]) => [name, { dtype: "BF16" as const, shape, file: "model.safetensors" }]),
  );
  return { target: tensors, source: tensors };
}

const tensors = createTensors(4);

const planOf = (...grid: readonly object[]): RepairGrid => parseRepairGrid(stringify({ grid }), "s.yaml");
const list = (...grid: readonly object[]): readonly GridPoint[] => listPoints(planOf(...grid), tensors);
const namesOf = (points: readonly GridPoint[]): string[] => points.map(({ name }) => name);
const editsOf = (points: readonly GridPoint[]): GridPoint[] => points.filter(({ role }) => role === "edit");
const matricesOf = ({ operation }: GridPoint): string[] =>
  resolveOperations([operation], tensors).map(({ name }) => name);

const whatOf = ({ operation }: GridPoint): string | undefined =>
  operation.operation === "restore" ? operation.what : undefined;

/** An operation as text that does not depend on the order of its keys. */
const keyOf = ({ operation }: { readonly operation: object }): string =>
  JSON.stringify(Object.entries(operation).sort());

const all = { what: ["directions"], top: ["all"] };

/** Matrices of layers. */
const numMatrices = 4 * kinds.length;

describe("listPoints() of a grid", () => {
  it("makes every combination of what, ranks, strengths, layers and matrices once", () => {
    const points = list({
      what: ["left", "values"],
      top: [1, 0.5],
      tail: [0, 2],
      strength: [0.25, 1],
      layers: ["0", "1-2"],
      matrices: ["q_proj", "*_proj"],
      controls: false,
    });
    const expected: object[] = [];
    for (const what of ["left", "values"])
      for (const top of [1, 0.5])
        for (const tail of [0, 2])
          for (const strength of [0.25, 1])
            for (const layers of ["0", "1-2"])
              for (const matrices of ["q_proj", "*_proj"])
                expected.push({ operation: "restore", what, top, tail, strength, layers, matrices });
    const operations = points.map(({ operation }) => operation);
    expect(operations).toHaveLength(64);
    expect(operations).toEqual(expect.arrayContaining(expected));
    expect(new Set(points.map(({ role }) => role))).toEqual(new Set(["edit"]));
  });

  it("chooses no layers or matrices where all are meant", () => {
    expect(list({ ...all, controls: false })).toStrictEqual([
      {
        name: "directions, all ranks",
        role: "edit",
        operation: { operation: "restore", what: "directions", top: "all", tail: 0, strength: 1 },
      },
    ]);
  });

  it("takes each layer alone, and each kind of matrix in layers alone", () => {
    const layers = list({ ...all, layers: "each", controls: false });
    expect(layers.map(({ operation }) => operation.layers)).toEqual(["0", "1", "2", "3"]);
    expect(namesOf(layers)[2]).toBe("directions, all ranks, layer 2");
    const matrices = list({ ...all, matrices: "each", controls: false });
    expect(matrices.map(({ operation }) => operation.matrices)).toEqual(kinds);
    expect(namesOf(matrices)[2]).toBe("directions, all ranks, up_proj");
    const both = list({ ...all, layers: "each", matrices: "each", controls: false });
    expect(both.flatMap(matricesOf).toSorted()).toEqual(matricesOf(list(all)[0]!).toSorted());
    expect(both).toHaveLength(4 * 3);
  });

  it("takes the first layers up to each of them, the last being all", () => {
    const points = list({ ...all, layers: "cumulative", controls: false });
    expect(points.map(({ operation }) => operation.layers)).toEqual(["0", "0-1", "0-2", undefined]);
    expect(namesOf(points)[1]).toBe("directions, all ranks, layers 0-1");
  });

  it("takes layers in the order of their numbers, whatever the order of tensors", () => {
    const target = new Map([...createTensors(12).target].toReversed());
    const points = listPoints(planOf({ ...all, layers: "each", controls: false }), {
      target,
      source: target,
    });
    expect(points.map(({ operation }) => operation.layers)).toEqual(
      Array.from({ length: 12 }, (_, layer) => String(layer)),
    );
  });

  it("takes single operations as they are, without controls", () => {
    const points = list({ operation: "rollback", matrices: "embed_tokens,lm_head" }, { operation: "damp" });
    expect(points).toStrictEqual([
      {
        name: "whole matrices, embed_tokens lm_head",
        role: "edit",
        operation: { operation: "rollback", strength: 1, matrices: "embed_tokens,lm_head" },
      },
      { name: "intruders × 0.75", role: "edit", operation: { operation: "damp", factor: 0.75 } },
    ]);
  });

  it("lists what several entries ask for once", () => {
    const once = { ...all, top: [1, 2], controls: false };
    expect(namesOf(list(once, { ...once, top: [2, 3] }, once))).toEqual([
      "directions, top 1",
      "directions, top 2",
      "directions, top 3",
    ]);
  });

  it("refuses what the checkpoints do not have", () => {
    for (const [entry, message] of [
      [{ ...all, layers: ["4"] }, /layer 4/],
      [{ ...all, matrices: ["k_proj"] }, /"k_proj"/],
      [{ ...all, top: [9] }, /9 singular directions/],
      [{ operation: "rollback", layers: 7 }, /layer 7/],
    ] as const) {
      expect(() => list(entry)).toThrow(UsageError);
      expect(() => list(entry)).toThrow(message);
    }
    expect(() => listPoints(planOf(all), { target: tensors.target })).toThrow(/no source/);
  });
});

describe("listPoints()'s controls", () => {
  it("stand beside a restoration of all matrices, none of them elsewhere", () => {
    const ranks = { what: "directions", top: 0.5, tail: 1, strength: 0.5 };
    expect(list({ what: ["directions"], top: [0.5], tail: [1], strength: [0.5] })).toEqual([
      {
        role: "edit",
        name: expect.any(String),
        operation: { operation: "restore", ...ranks },
        controls: [
          "decomposed and rebuilt",
          "whole matrices, strength 0.5",
          "random, as large as directions, top 50 %, tail 1, strength 0.5",
          "values, top 50 %, tail 1, strength 0.5",
        ],
      },
      { role: "identity", name: expect.any(String), operation: { operation: "rebuild" } },
      { role: "rollback", name: expect.any(String), operation: { operation: "rollback", strength: 0.5 } },
      { role: "random", name: expect.any(String), operation: { operation: "scramble", ...ranks, seed: 1 } },
      {
        role: "values",
        name: expect.any(String),
        operation: { operation: "restore", ...ranks, what: "values" },
      },
    ]);
  });

  it("choose the same layers and matrices as the part that is restored, and as many others elsewhere", () => {
    const points = list({ ...all, layers: ["1"], matrices: ["q_proj,up_proj"] });
    expect(points.map(({ role }) => role)).toEqual([
      "edit",
      "identity",
      "rollback",
      "random",
      "values",
      "elsewhere",
    ]);
    for (const point of points.slice(0, -1))
      expect(matricesOf(point)).toEqual([
        "model.layers.1.self_attn.q_proj.weight",
        "model.layers.1.mlp.up_proj.weight",
      ]);
    const elsewhere = points.at(-1)!;
    expect(elsewhere.name).toBe("directions, all ranks, as many outside layer 1, q_proj up_proj");
    expect(elsewhere.operation).toMatchObject({
      operation: "restore",
      what: "directions",
      top: "all",
      strength: 1,
    });
    expect(matricesOf(elsewhere)).toHaveLength(2);
  });

  it("take all others elsewhere where fewer are left", () => {
    const elsewhere = list({ ...all, layers: ["0-2"] }).find(({ role }) => role === "elsewhere")!;
    expect(matricesOf(elsewhere)).toEqual(matricesOf(list({ ...all, layers: ["3"] })[0]!));
  });

  it("stay away where none are wanted, and from values, which are controls themselves", () => {
    const roles = (entry: object): string[] => list(entry).map(({ role }) => role);
    expect(roles({ ...all, layers: "each", controls: false })).toEqual(["edit", "edit", "edit", "edit"]);
    expect(roles({ what: ["values"], top: [1], layers: ["1"] })).toEqual(["edit"]);
  });

  it("leave values to the edits that restore them anyway", () => {
    const points = list({ what: ["directions", "values"], top: [1, 2] });
    expect(namesOf(editsOf(points))).toEqual([
      "directions, top 1",
      "directions, top 2",
      "values, top 1",
      "values, top 2",
    ]);
    expect(points.filter(({ role }) => role === "values")).toEqual([]);
    const named = editsOf(points).map(({ controls }) =>
      controls?.filter((name) => name.startsWith("values")),
    );
    expect(named).toEqual([["values, top 1"], ["values, top 2"], undefined, undefined]);
  });

  it("name those of an edit that another entry asks for without, whichever comes first", () => {
    const without = { ...all, controls: false };
    const [own] = list(all);
    for (const entries of [
      [all, without],
      [without, all],
    ])
      expect(list(...entries).find(({ name }) => name === own!.name)).toEqual(own);
    expect(own!.controls).toHaveLength(4);
    expect(list(without)[0]).not.toHaveProperty("controls");
  });

  it("name the identity once in a whole repair grid", () => {
    const points = list({ ...all, layers: "each" }, { ...all, matrices: "each" }, all);
    expect(points.filter(({ role }) => role === "identity")).toHaveLength(1);
    const rebuilds = points.filter(({ operation }) => operation.operation === "rebuild");
    expect(rebuilds).toHaveLength(1);
    const edits = editsOf(points);
    expect(edits).toHaveLength(4 + kinds.length + 1);
    for (const { controls } of edits) expect(controls).toContain(rebuilds[0]!.name);
  });
});

describe("listPoints()", () => {
  const some = <Value>(...values: readonly Value[]): fc.Arbitrary<Value[]> =>
    fc.subarray([...values], { minLength: 1 });
  const grid = fc.record({
    what: some("vectors", "directions", "values", "left", "right"),
    top: some<number | "all">(1, 3, 0.5, "all"),
    tail: some(0, 2),
    strength: some(0.5, 1),
    layers: fc.oneof(fc.constantFrom("all", "each", "cumulative"), some("0", "0-1", "1,3")),
    matrices: fc.oneof(fc.constantFrom("all", "each"), some("q_proj", "*_proj", "q_proj,up_proj")),
    controls: fc.boolean(),
  });
  const grids = fc.array(grid, { minLength: 1, maxLength: 2 });

  it("lists no operation twice and gives each a name of its own", () => {
    fc.assert(
      fc.property(grids, (entries) => {
        const points = list(...entries);
        expect(new Set(points.map(keyOf)).size).toBe(points.length);
        expect(namesOf(points).filter((name, index, all) => all.indexOf(name) !== index)).toEqual([]);
      }),
      { numRuns: 20 },
    );
  });

  it("lists the same whenever it is asked", () => {
    fc.assert(
      fc.property(grids, (entries) => {
        expect(list(...entries)).toStrictEqual(list(...entries));
      }),
      { numRuns: 10 },
    );
  });

  it("sets controls beside each restoration of a grid: in the same matrices, and in others where there are any", () => {
    fc.assert(
      fc.property(grid, (entry) => {
        const points = list({ ...entry, controls: true });
        const byName = new Map(points.map((point) => [point.name, point]));
        for (const edit of editsOf(points)) {
          const { operation, controls } = edit;
          expect(controls === undefined).toBe(whatOf(edit) === "values");
          if (operation.operation !== "restore" || controls === undefined) continue;
          const own = controls.map((name) => byName.get(name)!);
          const roleOf = (wanted: object): string | undefined =>
            own.find((point) => keyOf(point) === keyOf({ operation: wanted }))?.role;
          const { layers, matrices, strength } = operation;
          const choice = { ...(layers && { layers }), ...(matrices && { matrices }) };
          expect(roleOf({ operation: "rollback", strength, ...choice })).toBe("rollback");
          expect(roleOf({ ...operation, operation: "scramble", seed: 1 })).toBe("random");
          expect(roleOf({ ...operation, what: "values" })).toBe(
            entry.what.includes("values") ? "edit" : "values",
          );
          const chosen = matricesOf(edit);
          const numElsewhere = Math.min(chosen.length, numMatrices - chosen.length);
          const elsewhere = listElsewhere(own, operation).map(matricesOf);
          expect(elsewhere.map(({ length }) => length)).toEqual(numElsewhere > 0 ? [numElsewhere] : []);
          expect(elsewhere.flat().filter((other) => chosen.includes(other))).toEqual([]);
          expect(own).toHaveLength(4 + elsewhere.length);
        }
      }),
      { numRuns: 20 },
    );
  });

  it("calls matrices elsewhere by the part that is not among them", () => {
    for (const entry of [
      { ...all, layers: "each" },
      { ...all, matrices: "each" },
    ]) {
      const points = list(entry);
      const elsewhere = points.filter(({ role }) => role === "elsewhere");
      expect(elsewhere.length).toBeGreaterThan(1);
      for (const point of elsewhere) {
        const edit = points.find(({ name }) => name === point.name.replace(", as many outside ", ", "))!;
        expect(point.name).toContain(", as many outside ");
        expect(edit.role).toBe("edit");
        expect(matricesOf(point).filter((name) => matricesOf(edit).includes(name))).toEqual([]);
      }
    }
  });
});

/** The points elsewhere that restore the same ranks in the same way. */
function listElsewhere(points: readonly GridPoint[], edit: GridPoint["operation"]): readonly GridPoint[] {
  const { layers: _, matrices: __, ...ranks } = edit;
  return points.filter(({ role, operation: { matrices: ___, ...rest } }) => {
    return role === "elsewhere" && keyOf({ operation: rest }) === keyOf({ operation: ranks });
  });
}
