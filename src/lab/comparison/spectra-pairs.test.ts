import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { writeAdapterFolder } from "../../../test/support/adapter-folder.ts";
import {
  buildModel,
  drawExact,
  nameWeight,
  writeCheckpointFolder,
} from "../../../test/support/checkpoint-folder.ts";
import { createTemporaryFolder, removeFolder } from "../../../test/support/untwist.ts";
import { UsageError } from "../../base/core/index.ts";
import { CheckpointError } from "../../weights/checkpoint/index.ts";
import type { TensorLabel } from "../../weights/spectra/index.ts";
import { type MatchedPair, matchPairs, requirePairs } from "./spectra-pairs.ts";

const folder = createTemporaryFolder();
afterAll(() => removeFolder(folder));
const at = (name: string): string => join(folder, name);

const module = "model.layers.0.self_attn.q_proj";
const query = `${module}.weight`;
const head = "lm_head.weight";

beforeAll(async () => {
  for (const step of ["one", "two"]) await writeCheckpointFolder(at(step), buildModel(step));
  await writeCheckpointFolder(at("foreign"), [{ name: "other.weight", shape: [2, 2], values: [1, 2, 3, 4] }]);
  const modules = { [module]: [24, 24, 4] as const };
  for (const seed of ["first", "second"])
    await writeAdapterFolder(at(seed), { base: at("one"), modules, seed });
  await writeAdapterFolder(at("elsewhere"), { base: at("two"), modules });
  await writeAdapterFolder(at("with head"), {
    base: at("one"),
    modules,
    tensors: [{ name: `base_model.model.${head}`, shape: [30, 24], values: drawExact("head", 720) }],
  });
});

/** Pairs of folders, each called by its name there. */
const pairsOf = (
  ...names: readonly (readonly [string, string])[]
): Pick<Parameters<typeof matchPairs>[0], "pairs"> => ({
  pairs: names.map(([before, after]) => ({
    before: { name: before, folder: at(before) },
    after: { name: after, folder: at(after) },
  })),
});
const everything = (): boolean => true;

/** The one pair of two folders. */
async function match(before: string, after: string): Promise<MatchedPair> {
  const [pair] = await matchPairs({ ...pairsOf([before, after]), isWanted: everything });
  if (pair === undefined) throw new Error("There is no pair");
  return pair;
}

/** Names of tensors whose difference adapters make. */
async function listProducts(before: string, after: string): Promise<readonly string[]> {
  const { coverage, isProduct } = await match(before, after);
  expect(coverage.matched).toHaveLength(buildModel("one").length);
  return coverage.matched.filter(isProduct).map(({ name }) => name);
}

describe("matchPairs()", () => {
  it("matches all pairs in their order, with the tensors that are wanted", async () => {
    const request = pairsOf(["two", "one"], ["one", "foreign"], ["one", "two"]);
    const isWanted = ({ kind }: TensorLabel): boolean => kind === "q_proj";
    const pairs = await matchPairs({ ...request, isWanted });
    expect(pairs.map(({ before, after }) => [before, after])).toEqual(
      request.pairs.map(({ before, after }) => [before, after]),
    );
    const names = [0, 1].map((layer) => nameWeight(layer, "self_attn.q_proj"));
    expect(pairs.map(({ coverage }) => coverage.matched.map(({ name }) => name))).toEqual([names, [], names]);
    expect(pairs[0]?.coverage.numLeftOut).toBe(buildModel("one").length - 2);
  });

  it("knows as a product what adapters of one base add to it, and to each other", async () => {
    expect(await listProducts("one", "first")).toEqual([query]);
    expect(await listProducts("first", "one")).toEqual([query]);
    expect(await listProducts("first", "second")).toEqual([query]);
    // The tensor that is held whole is the other's as well, so it is not a product on either side.
    expect(await listProducts("one", "with head")).toEqual([query]);
  });

  it("knows nothing as a product between models, or between adapters of different bases", async () => {
    expect(await listProducts("one", "two")).toEqual([]);
    expect(await listProducts("two", "first")).toEqual([]);
    expect(await listProducts("first", "elsewhere")).toEqual([]);
  });

  it("names the head after where it has come apart from the embeddings that it is tied to", async () => {
    const parted = buildModel("two").map((tensor) =>
      tensor.name === head ? { ...tensor, values: drawExact("parted", 720) } : tensor,
    );
    for (const [name, tensors] of [
      ["tied", buildModel("two")],
      ["parted", parted],
    ] as const) {
      await writeCheckpointFolder(at(name), tensors);
      writeFileSync(at(`${name}/config.json`), '{"model_type":"llama","tie_word_embeddings":true}');
    }
    expect((await match("tied", "parted")).lostHead).toBe(head);
    expect((await match("parted", "tied")).lostHead).toBeUndefined();
    expect((await match("one", "two")).lostHead).toBeUndefined();
  });

  it("refuses quantized weights and what is not a checkpoint, naming the folder", async () => {
    await writeCheckpointFolder(at("quantized"), [
      { name: query, shape: [24, 24], values: new Float32Array(576), dtype: "I32" },
    ]);
    writeFileSync(
      at("quantized/config.json"),
      '{"model_type":"llama","quantization_config":{"quant_method":"gptq","bits":4}}',
    );
    for (const [after, words] of [
      ["quantized", "quantized (gptq, 4 bits"],
      ["nowhere", "no such folder"],
    ] as const) {
      await expect(match("one", after)).rejects.toThrow(CheckpointError);
      await expect(match("one", after)).rejects.toThrow(words);
      await expect(match("one", after)).rejects.toThrow(`"${at(after)}`);
    }
  });
});

describe("requirePairs()", () => {
  it("gives what matchPairs() gives where all pairs have something in common", async () => {
    const request = { ...pairsOf(["one", "two"]), isWanted: everything };
    const coverage = (pairs: readonly MatchedPair[]): unknown => pairs.map((pair) => pair.coverage);
    expect(coverage(await requirePairs(request))).toEqual(coverage(await matchPairs(request)));
  });

  it("refuses two models with nothing in common, saying why of one tensor", async () => {
    const refused = requirePairs({ ...pairsOf(["one", "two"], ["one", "foreign"]), isWanted: everything });
    const error = await refused.catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(UsageError);
    expect(String(error)).toContain(
      `Cannot compare "${at("one")}" with "${at("foreign")}": no tensor has its match`,
    );
    expect(String(error)).toContain('"lm_head.weight" is only in the checkpoint before');
  });

  it("refuses a choice of no tensor, saying how to choose others", async () => {
    const refused = requirePairs({ ...pairsOf(["one", "two"]), isWanted: () => false });
    const error = await refused.catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(UsageError);
    expect(String(error)).toContain("no tensor is chosen");
  });
});
