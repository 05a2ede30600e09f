import { describe, expect, it } from "vitest";
import { storeTensor } from "../../../test/support/stored-matrix.ts";
import { decodeFloats } from "../../weights/checkpoint/dtype.ts";
import { createMatrix, openLinearAlgebra } from "../../weights/linalg/index.ts";
import { countElements, type StoredTensor } from "../../weights/spectra/index.ts";
import { blend, type Edit } from "../../weights/surgery/index.ts";
import {
  type Distances,
  flatten,
  measureDistance,
  type RowTriple,
  type StoredPair,
  writeEdited,
} from "./edit-tensor.ts";

const algebra = await openLinearAlgebra("none");

/** A tensor of 64-bit floats. */
function storeDoubles(shape: readonly number[], values: readonly number[]): StoredTensor {
  return { dtype: "F64", shape, bytes: new Uint8Array(Float64Array.from(values).buffer) };
}

/** A step toward the source of a tensor of that shape. */
function blendAll({ shape }: StoredTensor, strength: number): Edit {
  return blend({ name: "edited", ...flatten(shape) }, strength);
}

interface Written {
  readonly blocks: readonly Uint8Array[];
  readonly bytes: Uint8Array;
  readonly distances: Distances;
  readonly size: number;
}

/** Writes an edited tensor to its end; a value that is not finite fails the test. */
function write(edit: Edit, pair: StoredPair): Written {
  const written = writeEdited(edit, pair, {
    algebra,
    refuse: () => {
      throw new RangeError("not finite");
    },
  });
  const blocks: Uint8Array[] = [];
  for (;;) {
    const { done, value } = written.next();
    if (done === true) return { blocks, bytes: new Uint8Array(Buffer.concat(blocks)), ...value };
    blocks.push(value);
  }
}

describe("writeEdited()", () => {
  it("goes half the way to the source, and measures against both", () => {
    const target = storeTensor([2, 2], [1, 2, 3, 4]);
    const source = storeTensor([2, 2], [3, 2, 1, 0]);
    const { bytes, distances, size } = write(blendAll(target, 0.5), { target, source });
    expect([...decodeFloats(bytes, "F32")]).toEqual([2, 2, 2, 2]);
    expect(size).toBeCloseTo(Math.sqrt(30), 12);
    expect(distances.toTarget).toBeCloseTo(Math.sqrt(6 / 30), 12);
    expect(distances.toSource).toBeCloseTo(Math.sqrt(6 / 30), 12);
    expect(distances.before).toBeCloseTo(Math.sqrt(24 / 30), 12);
  });

  it("adds a product to the target, and says nothing of a source that is not there", () => {
    const target = storeTensor([2, 3], [1, 0, 0, 0, 1, 0]);
    const edit: Edit = {
      ofTarget: 1,
      ofSource: 0,
      left: createMatrix(2, 1, Float64Array.of(1, 2)),
      right: createMatrix(3, 1, Float64Array.of(1, 0, -1)),
    };
    const { bytes, distances } = write(edit, { target });
    expect([...decodeFloats(bytes, "F32")]).toEqual([2, 0, -1, 2, 1, -2]);
    expect(distances).toEqual({ toTarget: expect.closeTo(Math.sqrt(10 / 2), 12) });
  });

  it("measures what is stored, not what was aimed at", () => {
    // BF16 has 8 bits: the step from 1 to 1 + 2⁻¹⁰ is lost, that to 1.5 is not.
    const target = storeTensor([1, 2], [1, 1], "BF16");
    const source = storeTensor([1, 2], [1 + 2 ** -9, 2], "F32");
    const { bytes, distances } = write(blendAll(target, 0.5), { target, source });
    expect([...decodeFloats(bytes, "BF16")]).toEqual([1, 1.5]);
    expect(distances.toTarget).toBeCloseTo(0.5 / Math.SQRT2, 12);
  });

  it("copies the bytes of a side that it becomes, and rounds those of another format", () => {
    // None of these is a 32-bit float.
    const target = storeDoubles([1, 2], [1 / 3, 0.1]);
    const source = storeDoubles([1, 2], [2 / 3, 0.7]);
    const become = (strength: number, from: StoredTensor): Uint8Array =>
      write(blendAll(target, strength), { target, source: from }).bytes;
    expect(become(0, source)).toEqual(target.bytes);
    expect(become(1, source)).toEqual(source.bytes);
    const narrow = storeTensor([1, 2], [2 / 3, 0.7]);
    expect(become(1, narrow)).toEqual(storeDoubles([1, 2], [2 / 3, 0.7].map(Math.fround)).bytes);
  });

  it("writes large tensors in blocks of whole rows, which together are the tensor", () => {
    const columns = 2 ** 20;
    const values = new Float32Array(3 * columns);
    values.set([1, 2], 0);
    values.set([3, 4], 2 * columns - 1);
    values[3 * columns - 1] = 5;
    const target = storeTensor([3, columns], values);
    const source = storeTensor([3, columns], new Float32Array(3 * columns));
    const { blocks, bytes, distances, size } = write(blendAll(target, 0.5), { target, source });
    expect(blocks.map(({ length }) => length)).toEqual([8 * columns, 4 * columns]);
    const halves = decodeFloats(bytes, "F32");
    expect(Buffer.from(halves.buffer).equals(Buffer.from(values.map((value) => value / 2).buffer))).toBe(
      true,
    );
    expect(size).toBeCloseTo(Math.sqrt(1 + 4 + 9 + 16 + 25), 12);
    expect(distances.toTarget).toBeCloseTo(0.5, 12);
    const copied = write(blendAll(target, 1), { target, source: target });
    expect(Buffer.from(copied.bytes).equals(Buffer.from(target.bytes.subarray(0, 12 * columns)))).toBe(true);
  });

  it("tells of rows that the format cannot hold, and gives no bytes of them", () => {
    const target = storeTensor([2, 1], [1, 2], "F16");
    const source = storeTensor([2, 1], [3, 1e5], "F32");
    const told: RowTriple[] = [];
    const blocks = writeEdited(
      blendAll(target, 1),
      { target, source },
      {
        algebra,
        refuse: (rows) => {
          told.push(rows);
          throw new RangeError("beyond F16");
        },
      },
    );
    expect(() => blocks.next()).toThrow("beyond F16");
    expect(told.length).toBe(1);
    const [{ stored, own, other }] = told as [RowTriple];
    expect([[...stored], [...own], [...(other ?? [])]]).toEqual([
      [3, Number.POSITIVE_INFINITY],
      [1, 2],
      [3, 1e5],
    ]);
  });

  it("takes a target of zeros for not moved, rather than for NaN", () => {
    const target = storeTensor([2], [0, 0]);
    const { distances, size } = write(blendAll(target, 1), { target, source: storeTensor([2], [1, 1]) });
    expect([size, distances]).toEqual([0, { toTarget: 0, toSource: 0, before: 0 }]);
  });
});

describe("flatten()", () => {
  it.each([
    [[], 1, 1],
    [[5], 1, 5],
    [[4, 3], 4, 3],
    [[2, 3, 4], 2, 12],
    [[0, 4], 0, 4],
  ])("takes %j as %i rows of %i", (shape, rows, columns) => {
    expect(flatten(shape)).toEqual({ rows, columns });
    expect(rows * columns).toBe(countElements(shape));
  });
});

describe("measureDistance()", () => {
  it("is ‖target − source‖ / ‖target‖, whatever their formats and number of blocks", () => {
    const target = storeTensor([2, 2], [3, 0, 0, 4], "BF16");
    expect(measureDistance(target, storeTensor([2, 2], [3, 0, 0, 1]))).toBeCloseTo(3 / 5, 12);
    expect(measureDistance(target, target)).toBe(0);
    const [zeros, ones] = [0, 1].map((value) =>
      storeTensor([3, 2 ** 20], new Float32Array(3 * 2 ** 20).fill(value)),
    );
    expect(measureDistance(ones!, zeros!)).toBeCloseTo(1, 12);
    expect(measureDistance(zeros!, ones!)).toBe(0);
  });
});
