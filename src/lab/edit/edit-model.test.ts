import { describe, expect, it } from "vitest";
import { createLayout, loadModel } from "../../engine/model/index.ts";
import { openLinearAlgebra } from "../../weights/linalg/index.ts";
import type { Operation } from "../../weights/surgery/index.ts";
import { locateModel } from "../machine/builtin.ts";
import { editParameters, listWanted, readTensors, type StoredModel } from "./edit-model.ts";

const folder = await locateModel("general-points-base");
const target: StoredModel = {
  ...(await loadModel(folder)),
  folder,
  tensors: await readTensors(folder),
};
/** Every number another one, stored in another format in another folder. */
const source: StoredModel = {
  ...target,
  folder: "source",
  parameters: target.parameters.map((value, index) => value + 0.01 * Math.sin(index) + 0.02),
  tensors: new Map([...target.tensors].map(([name, tensor]) => [name, { ...tensor, dtype: "F16" }])),
};
const models = { target, source };
const factors = { target: new Map(), source: new Map() };
const algebra = await openLinearAlgebra("none");

const { entries } = createLayout(target.config);
const inLayers = entries
  .filter(({ name, shape }) => name.includes(".layers.") && shape.length === 2)
  .map(({ name }) => name)
  .toSorted();

const ranks = { top: 3, tail: 0 } as const;
const restoration = { operation: "restore", what: "directions", ...ranks, strength: 1 } as const;

describe("listWanted()", () => {
  const wanted = (side: "target" | "source", ...operations: readonly Operation[]): readonly string[] =>
    listWanted(operations, models, side)
      .toSorted((a, b) => (a.name < b.name ? -1 : 1))
      .map(({ name, numVectors }) => `${numVectors} ${name}`);
  const eachWith = (numVectors: number): readonly string[] => inLayers.map((name) => `${numVectors} ${name}`);

  it("wants nothing of the source for what takes nothing from it", () => {
    const keeping: readonly Operation[] = [
      { operation: "truncate", keep: 3, strength: 1 },
      { operation: "rescale", factor: 0.5, ...ranks },
      { operation: "rebuild" },
    ];
    for (const operation of keeping) {
      expect(wanted("source", operation)).toEqual([]);
      expect(wanted("target", operation)).toHaveLength(inLayers.length);
    }
    expect(wanted("source", ...keeping, restoration)).toEqual(eachWith(3));
  });

  it("wants nothing at all for whole tensors", () => {
    const rollback = { operation: "rollback", strength: 0.5, matrices: "*" } as const;
    expect([...wanted("source", rollback), ...wanted("target", rollback)]).toEqual([]);
  });

  it("wants of each matrix once as many vectors as any operation takes, values alone needing none", () => {
    expect(wanted("target", restoration, { ...restoration, top: 5 }, restoration)).toEqual(eachWith(5));
    expect(wanted("source", { ...restoration, what: "values" })).toEqual(eachWith(0));
    expect(wanted("target", { ...restoration, what: "values" })).toEqual(eachWith(3));
  });

  it("wants each side's tensors as they are stored there", () => {
    for (const side of ["target", "source"] as const)
      for (const one of listWanted([restoration], models, side)) {
        const { dtype, shape } = models[side].tensors.get(one.name)!;
        expect(one).toMatchObject({ folder: models[side].folder, dtype, shape });
      }
  });
});

/** Whether two vectors hold the same numbers; `toEqual` takes a second for as many. */
function isSame(one: Float32Array, other: Float32Array): boolean {
  return one.length === other.length && one.every((value, index) => value === other[index]);
}

describe("editParameters()", () => {
  const rollBack = (strength: number, matrices?: string): ReturnType<typeof editParameters> =>
    editParameters(
      { operation: "rollback", strength, ...(matrices !== undefined && { matrices }) },
      { ...models, factors },
      algebra,
    );

  it("rolls all matrices back to the source's numbers exactly, and leaves the others alone", () => {
    const { parameters, moved } = rollBack(1);
    expect(inLayers.length).toBeGreaterThan(0);
    expect(inLayers.length).toBeLessThan(entries.length);
    let [difference, size] = [0, 0];
    for (const { name, shape, offset } of entries) {
      const end = offset + shape.reduce((product, side) => product * side, 1);
      const isChosen = inLayers.includes(name);
      const expected = (isChosen ? source : target).parameters.subarray(offset, end);
      expect(isSame(parameters.subarray(offset, end), expected), name).toBe(true);
      for (let index = offset; isChosen && index < end; index++) {
        difference += (source.parameters[index]! - target.parameters[index]!) ** 2;
        size += target.parameters[index]! ** 2;
      }
    }
    expect(moved).toBeCloseTo(Math.sqrt(difference / size), 10);
  });

  it("rolls everything back where everything is named, and nothing with strength 0", () => {
    expect(isSame(rollBack(1, "*").parameters, source.parameters)).toBe(true);
    const { parameters, moved } = rollBack(0, "*");
    expect(isSame(parameters, target.parameters)).toBe(true);
    expect(moved).toBe(0);
  });

  it("changes neither model", () => {
    const before = { target: target.parameters.slice(), source: source.parameters.slice() };
    expect(isSame(rollBack(0.5).parameters, before.target)).toBe(false);
    expect(isSame(target.parameters, before.target)).toBe(true);
    expect(isSame(source.parameters, before.source)).toBe(true);
  });

  it("refuses what takes factors that are not there", () => {
    expect(() => editParameters(restoration, { ...models, factors }, algebra)).toThrow(RangeError);
  });
});
