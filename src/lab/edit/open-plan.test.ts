import { existsSync, readdirSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { buildModel, nameWeight, writeCheckpointFolder } from "../../../test/support/checkpoint-folder.ts";
import { createTemporaryFolder, removeFolder } from "../../../test/support/untwist.ts";
import { UsageError } from "../../base/core/index.ts";
import { CheckpointError } from "../../weights/checkpoint/index.ts";
import type { Operation } from "../../weights/surgery/index.ts";
import { type OpenPlan, openPlan } from "./open-plan.ts";

const folder = createTemporaryFolder();
afterAll(() => removeFolder(folder));
const at = (name: string): string => join(folder, name);

const [query, up, norm] = ["self_attn.q_proj", "mlp.up_proj", "input_layernorm"].map((part) =>
  nameWeight(1, part),
) as [string, string, string];
await writeCheckpointFolder(at("target"), buildModel("two"), { numShards: 2 });
await writeCheckpointFolder(at("source"), buildModel("one", "BF16"));
await writeCheckpointFolder(
  at("lacking"),
  buildModel("one").filter(({ name }) => name !== up),
);

const restore = { operation: "restore", what: "directions", top: 3, tail: 0, strength: 1 } as const;

/** What a plan opens, closed again. */
async function open(operations: readonly Operation[], source = at("source")): Promise<OpenPlan> {
  const opened = await openPlan({ target: at("target"), source, operations });
  await opened.close();
  return opened;
}

/** Files below the folder that this process holds open. */
function listOpenFiles(): readonly string[] {
  return readdirSync("/proc/self/fd").flatMap((number) => {
    const link = `/proc/self/fd/${number}`;
    const path = existsSync(link) ? readlinkSync(link) : "";
    return path.startsWith(folder) ? [path] : [];
  });
}

describe("openPlan()", () => {
  it("wants of both sides the vectors that an operation takes, in the format of each", async () => {
    const { edits, wanted } = await open([{ ...restore, matrices: query }]);
    expect(edits.map(({ name, dtype }) => [name, dtype])).toEqual([[query, "F32"]]);
    const common = { name: query, shape: [24, 24], numVectors: 3 };
    expect(wanted).toEqual([
      { ...common, folder: at("target"), dtype: "F32" },
      { ...common, folder: at("source"), dtype: "BF16" },
    ]);
  });

  it("wants only values where no vectors are taken, and nothing of what is not a matrix", async () => {
    const { edits, wanted } = await open([
      { ...restore, what: "values", matrices: query },
      { operation: "rollback", strength: 1, matrices: `${norm},${up}` },
    ]);
    expect(edits.map(({ name }) => name).toSorted()).toEqual([norm, up, query]);
    const numVectors = wanted.map(
      (one) => `${one.folder.slice(folder.length + 1)} ${one.name} ${one.numVectors}`,
    );
    expect(numVectors.toSorted()).toEqual(
      [`source ${query} 0`, `source ${up} 0`, `target ${query} 3`, `target ${up} 0`].toSorted(),
    );
  });

  it("opens no source that no operation needs, even where there is none", async () => {
    const { source, wanted } = await open(
      [{ operation: "rescale", factor: 2, top: 1, tail: 0, matrices: query }],
      at("nowhere"),
    );
    expect(source).toBeUndefined();
    expect(wanted.map((one) => [one.folder, one.numVectors])).toEqual([[at("target"), 1]]);
  });

  it("says which folder is missing, which tensor, and that a source is", async () => {
    const refused = (operations: readonly Operation[], source?: string): Promise<unknown> =>
      openPlan({ target: at("target"), source, operations }).then(
        () => "opened",
        (error: unknown) => error,
      );
    const missing = await refused([restore], at("nowhere"));
    expect(missing).toBeInstanceOf(CheckpointError);
    expect(String(missing)).toContain(`"${at("nowhere")}": no such folder`);
    for (const [source, words] of [
      [at("lacking"), `Cannot edit ${up}: the source has no such tensor`],
      [undefined, "the plan names no source"],
    ] as const) {
      const error = await refused([restore], source);
      expect(error).toBeInstanceOf(UsageError);
      expect(String(error)).toContain(words);
    }
  });

  it.skipIf(!existsSync("/proc/self/fd"))(
    "holds files until it is closed, and none after a refusal",
    async () => {
      const opened = await openPlan({ target: at("target"), source: at("source"), operations: [restore] });
      expect(listOpenFiles().length).toBeGreaterThanOrEqual(3);
      await opened.close();
      expect(listOpenFiles()).toEqual([]);
      const refused = openPlan({ target: at("target"), source: at("lacking"), operations: [restore] });
      await expect(refused).rejects.toThrow(UsageError);
      expect(listOpenFiles()).toEqual([]);
    },
  );
});
