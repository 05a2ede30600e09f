import { describe, expect, it } from "vitest";
import type { CheckpointTensor, Dtype } from "../../checkpoint/index.ts";
import type { NamedTensors } from "./align-tensors.ts";
import { type Coverage, matchTensors } from "./match-tensors.ts";

type Tensors = Readonly<Record<string, readonly [shape: readonly number[], dtype?: Dtype]>>;

const toMap = (tensors: Tensors): NamedTensors => ({
  tensors: new Map(
    Object.entries(tensors).map(([name, [shape, dtype = "F32"]]): [string, CheckpointTensor] => [
      name,
      { shape, dtype, file: "model.safetensors" },
    ]),
  ),
  isTied: false,
  model: "llama",
  sums: new Set(),
});

const match = (before: Tensors, after: Tensors): Coverage =>
  matchTensors({ before: toMap(before), after: toMap(after) }, () => true);

/** Why a tensor cannot be compared; `undefined` where it can. */
function reasonOf(
  before: Tensors[string] | undefined,
  after: Tensors[string] | undefined,
): string | undefined {
  const { matched, unmatched, numLeftOut } = match(before ? { w: before } : {}, after ? { w: after } : {});
  expect([matched.length + unmatched.length, numLeftOut]).toEqual([1, 0]);
  return unmatched[0]?.reason;
}

describe("matchTensors()", () => {
  it("matches tensors of the same name and shape, and says what they are", () => {
    const name = "model.layers.3.self_attn.q_proj.weight";
    const { matched, unmatched, numLeftOut } = match(
      { [name]: [[4, 6], "BF16"] },
      { [name]: [[4, 6], "F32"] },
    );
    expect(matched).toEqual([
      {
        name,
        layer: 3,
        kind: "q_proj",
        shape: [4, 6],
        dtype: { before: "BF16", after: "F32" },
        source: { before: { name, start: 0 }, after: { name, start: 0 } },
        isPart: false,
      },
    ]);
    expect([unmatched, numLeftOut]).toEqual([[], 0]);
  });

  it("takes floats of every format, and any number of axes", () => {
    for (const dtype of ["F64", "F32", "F16", "BF16"] as const)
      for (const shape of [[], [5], [2, 3], [2, 3, 4]])
        expect(reasonOf([shape, dtype], [shape, "F32"])).toBeUndefined();
  });

  it("says why a tensor cannot be compared", () => {
    expect(reasonOf(undefined, [[2, 3]])).toBe("only in the checkpoint after");
    expect(reasonOf([[2, 3]], undefined)).toBe("only in the checkpoint before");
    expect(reasonOf([[2, 3]], [[3, 2]])).toBe("of shape [2, 3] before and [3, 2] after");
    expect(reasonOf([[6]], [[6, 1]])).toBe("of shape [6] before and [6, 1] after");
    expect(reasonOf([[]], [[1]])).toBe("of shape [] before and [1] after");
    expect(reasonOf([[2], "I64"], [[2]])).toBe("of I64 numbers, which are not floats");
    expect(reasonOf([[2]], [[2], "U8"])).toBe("of U8 numbers, which are not floats");
    expect(reasonOf([[2, 0]], [[2, 0]])).toBe("without elements");
  });

  it("passes over nothing: every name is matched, unmatched or left out, once", () => {
    const before: Tensors = { a: [[2]], b: [[2]], c: [[2]], d: [[2], "I8"] };
    const after: Tensors = { e: [[2]], c: [[3]], b: [[2]], d: [[2], "I8"], f: [[1]] };
    const asked: string[] = [];
    const { matched, unmatched, numLeftOut } = matchTensors(
      { before: toMap(before), after: toMap(after) },
      ({ name }) => {
        asked.push(name);
        return name !== "a" && name !== "f";
      },
    );
    expect(asked).toEqual(["a", "b", "c", "d", "e", "f"]);
    expect(matched.map(({ name }) => name)).toEqual(["b"]);
    expect(unmatched.map(({ name }) => name)).toEqual(["c", "d", "e"]);
    expect(numLeftOut).toBe(2);
  });

  it("asks by the place of a tensor", () => {
    const tensors: Tensors = {
      "model.layers.0.mlp.up_proj.weight": [[2, 2]],
      "model.layers.1.mlp.up_proj.weight": [[2, 2]],
      "lm_head.weight": [[2, 2]],
    };
    const both = { before: toMap(tensors), after: toMap(tensors) };
    const inLayers = matchTensors(both, ({ layer }) => layer === 1);
    expect(inLayers.matched.map(({ layer, kind }) => [layer, kind])).toEqual([[1, "up_proj"]]);
    const outside = matchTensors(both, ({ layer }) => layer === undefined);
    expect(outside.matched.map(({ name }) => name)).toEqual(["lm_head.weight"]);
    expect(outside.matched[0]).not.toHaveProperty("layer");
  });

  it("finds nothing in empty checkpoints", () => {
    expect(match({}, {})).toMatchObject({ matched: [], unmatched: [], numLeftOut: 0, notes: [] });
  });

  const experts = (indices: readonly number[], parts: readonly string[]): Tensors =>
    Object.fromEntries(
      indices.flatMap((index) =>
        parts.map((part) => [`model.layers.0.mlp.experts.${index}.${part}.weight`, [[4, 6]] as const]),
      ),
    );

  it("keeps in its count what no expert matches of a stack", () => {
    const stack: Tensors = { "model.layers.0.mlp.experts.gate_up_proj": [[3, 8, 6]] };
    const whole = match(experts([0, 1, 2], ["gate_proj", "up_proj"]), stack);
    expect([whole.matched.length, whole.unmatched]).toEqual([6, []]);
    const { matched, unmatched, total } = match(experts([0, 2], ["gate_proj"]), stack);
    expect(matched.map(({ source }) => source.after.start)).toEqual([0, 96]);
    expect(unmatched).toEqual([
      { name: "model.layers.0.mlp.experts.gate_up_proj", reason: "only in the checkpoint after" },
    ]);
    expect(total.numElements).toBe(3 * 8 * 6);
  });

  it("matches no spelling that two tensors of a checkpoint share, matched or not", () => {
    const before: Tensors = { "model.norm.weight": [[2]], "norm.weight": [[2]] };
    const after: Tensors = { "model.norm.weight": [[2]], "transformer.norm.weight": [[2]] };
    const { matched, unmatched } = match(before, after);
    expect(matched.map(({ name }) => name)).toEqual(["model.norm.weight"]);
    expect(unmatched.map(({ name }) => name)).toEqual(["norm.weight", "transformer.norm.weight"]);
  });

  describe("of a side whose names all carry a prefix", () => {
    const plain: Tensors = {
      "model.embed_tokens.weight": [[3, 2]],
      "model.layers.0.mlp.up_proj.weight": [[2, 2]],
    };
    const under = (prefix: string): Tensors =>
      Object.fromEntries(Object.entries(plain).map(([name, tensor]) => [prefix + name, tensor]));

    it("matches them without it, and says so", () => {
      const { matched, unmatched, notes } = match(plain, {
        ...under("policy."),
        "value_head.weight": [[2]],
      });
      expect(matched.map(({ source }) => [source.before.name, source.after.name])).toEqual(
        Object.keys(plain).map((name) => [name, `policy.${name}`]),
      );
      expect(matched[1]).toMatchObject({ kind: "up_proj", layer: 0 });
      expect(unmatched.map(({ name }) => name)).toEqual(["value_head.weight"]);
      expect(notes).toEqual(['names after have "policy." in front, and were matched without it']);
      expect(match(under("actor.module."), plain).matched.map(({ name }) => name)).toEqual(
        Object.keys(plain),
      );
    });

    it("matches nothing where the model is there twice, or only a part of it", () => {
      const twice = match(plain, { ...under("policy."), ...under("reference.") });
      expect(twice.matched).toEqual([]);
      expect(twice.notes[0]).toContain('under "policy." and "reference."');
      const part = match(plain, { "policy.model.embed_tokens.weight": [[3, 2]] });
      expect([part.matched, part.notes]).toEqual([[], []]);
    });
  });
});
