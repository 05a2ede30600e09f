import { existsSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { buildModel, nameWeight, writeCheckpointFolder } from "../../../test/support/checkpoint-folder.ts";
import { createMachine, createTestEffects } from "../../../test/support/effects.ts";
import { listCache } from "../../../test/support/spectra.ts";
import { createTemporaryFolder, identifyFiles, removeFolder } from "../../../test/support/untwist.ts";
import { type Effects, StoppedError } from "../../base/progress/index.ts";
import { createInlineWorkers } from "../../base/threads/workers.ts";
import { CheckpointError } from "../../weights/checkpoint/index.ts";
import { openCache } from "../cache/index.ts";
import { type FactorReader, planWanted, prepareFactors, type WantedFactors } from "./prepare-factors.ts";
import type { SpectraWorkers } from "./spectra-runner.ts";
import { createSpectraHandler } from "./spectra-task.ts";

const folder = createTemporaryFolder();
afterAll(() => removeFolder(folder));
const at = (name: string): string => join(folder, name);
beforeEach(() => removeFolder(at("cache")));
const machine = createMachine(at("cache"));

beforeAll(async () => {
  await writeCheckpointFolder(at("model"), buildModel("one"));
  await writeCheckpointFolder(at("diagonal"), [
    { name: "first", shape: [3, 3], values: [2, 0, 0, 0, -5, 0, 0, 0, 0] },
    { name: "broken", shape: [2, 2], values: [1, 2, Number.NaN, 3] },
  ]);
});

const want = (model: string, name: string, shape: readonly number[]): WantedFactors => ({
  folder: at(model),
  name,
  shape,
  dtype: "F32",
  numVectors: 1,
});
/** Two names of one table, and a matrix of its own. */
const wanted = [
  want("model", "model.embed_tokens.weight", [30, 24]),
  want("model", "lm_head.weight", [30, 24]),
  want("model", nameWeight(0, "self_attn.q_proj"), [24, 24]),
];

/** One for all tests: it holds open what it has read. */
const handle = createSpectraHandler(machine);

/** Workers in this thread, and what they began in order; the last call is that they were closed. */
function watchWorkers(onDone: (call: string) => void = () => undefined): {
  readonly workers: SpectraWorkers;
  readonly calls: string[];
} {
  const calls: string[] = [];
  const inline = createInlineWorkers<Parameters<typeof handle>[0], Awaited<ReturnType<typeof handle>>>(
    async (task, share) => {
      const call = `${task.kind} ${task.kind === "compare" ? "" : task.tensor.name}`;
      calls.push(call);
      const answer = await handle(task, share);
      onDone(call);
      return answer;
    },
  );
  const close = async (): Promise<void> => {
    calls.push("close");
    await inline.close();
  };
  return { workers: { ...inline, close }, calls };
}

/** How many files below the folder this process holds open; 0 where the system does not say. */
function countOpenFiles(): number {
  const links = existsSync("/proc/self/fd") ? readdirSync("/proc/self/fd") : [];
  return links.filter((number) => {
    const link = `/proc/self/fd/${number}`;
    return existsSync(link) && readlinkSync(link).startsWith(folder);
  }).length;
}

/** Prepares factors with the machine's cache. */
function prepare(
  all: readonly WantedFactors[],
  workers: SpectraWorkers,
  effects: Effects = createTestEffects({ machine }),
): Promise<FactorReader> {
  return prepareFactors(all, { cache: openCache({ name: "portable" }, effects) }, effects, workers);
}

const kindsOf = (calls: readonly string[]): readonly string[] =>
  calls.map((call) => call.split(" ")[0] ?? "");

describe("prepareFactors()", () => {
  it("reads every tensor once and factorizes each different matrix once, the largest first", async () => {
    const { workers, calls } = watchWorkers();
    const read = await prepare(wanted, workers);
    expect(kindsOf(calls)).toEqual([
      ...["fingerprint", "fingerprint", "fingerprint"],
      ...["factorize", "factorize", "close"],
    ]);
    expect(calls[4]).toBe(`factorize ${nameWeight(0, "self_attn.q_proj")}`);
    const [table, head, query] = [await read(wanted[0]!), await read(wanted[1]!), await read(wanted[2]!)];
    expect(head).toEqual(table);
    expect([table.rows, table.columns, query.rows]).toEqual([30, 24, 24]);
    expect(listCache(at("cache")).factors).toHaveLength(2);
  });

  it("gives the singular values of the tensor, and all vectors of a small matrix", async () => {
    const [first] = [want("diagonal", "first", [3, 3])];
    const read = await prepare([first], watchWorkers().workers);
    const { values, left, right } = await read(first);
    expect([...values]).toEqual([5, 2, 0].map((value) => expect.closeTo(value, 12)));
    expect([left.columns, right.columns]).toEqual([3, 3]);
    expect(Math.abs(left.values[3]!)).toBeCloseTo(1, 12);
  });

  it("factorizes nothing again that the cache holds", async () => {
    await prepare(wanted, watchWorkers().workers);
    const files = identifyFiles(at("cache"));
    const { workers, calls } = watchWorkers();
    const read = await prepare(wanted, workers);
    expect(kindsOf(calls)).toEqual(["fingerprint", "fingerprint", "fingerprint", "close"]);
    expect((await read(wanted[2]!)).rows).toBe(24);
    expect(identifyFiles(at("cache"))).toEqual(files);
  });

  it("keeps what was done before a stop, and does only the rest when it goes on", async () => {
    const stop = new AbortController();
    const stopped = watchWorkers((call) => {
      if (call.startsWith("factorize")) stop.abort();
    });
    const effects = createTestEffects({ machine, signal: stop.signal });
    const [table, query] = [[wanted[0]!], [wanted[2]!]];
    await expect(prepare(table, stopped.workers, effects)).rejects.toThrow(StoppedError);
    expect(stopped.calls.at(-1)).toBe("close");
    const again = watchWorkers();
    await prepare([...table, ...query], again.workers);
    expect(again.calls.slice(2)).toEqual([`factorize ${query[0]?.name}`, "close"]);
    const late = watchWorkers();
    await expect(prepare(wanted, late.workers, effects)).rejects.toThrow(StoppedError);
    expect(late.calls).toEqual(["close"]);
  });

  it("keeps as many vectors of a matrix as the most demanding of its wishes, in whatever order", async () => {
    const one = want("diagonal", "first", [3, 3]);
    for (const numVectors of [
      [3, 0],
      [0, 3],
    ]) {
      const wishes = numVectors.map((count) => ({ ...one, numVectors: count }));
      const read = await prepare(wishes, watchWorkers().workers);
      expect((await read(one)).left.columns).toBe(3);
    }
  });

  it("names the value, the tensor and the folder where a value is not finite, and factorizes nothing", async () => {
    const { workers, calls } = watchWorkers();
    const refused = prepare([...wanted, want("diagonal", "broken", [2, 2])], workers).catch(
      (error: unknown) => error,
    );
    const error = await refused;
    expect(error).toBeInstanceOf(CheckpointError);
    expect(error).toMatchObject({ path: at("diagonal"), tensor: "broken" });
    expect(String(error)).toContain("its value 2 is NaN, infinite or beyond 32-bit floats");
    expect(String(error)).toContain("'!broken'");
    expect(kindsOf(calls)).not.toContain("factorize");
    expect(calls.at(-1)).toBe("close");
  });

  it("makes an entry again that is damaged when it is read, and says so", async () => {
    const query = wanted[2]!;
    const effects = createTestEffects({ machine });
    const read = await prepare([query], watchWorkers().workers, effects);
    const sound = await read(query);
    const [path = ""] = listCache(at("cache")).factors.map((name) => join(at("cache"), name));
    const bytes = readFileSync(path);
    bytes[bytes.length - 1]! ^= 1;
    writeFileSync(path, bytes);
    const numOpen = countOpenFiles();
    expect(await read(query)).toEqual(sound);
    expect(effects.notices()).toEqual([`Damaged cache entry made again: ${path}`]);
    expect(await read(query)).toEqual(sound);
    expect(effects.notices()).toHaveLength(1);
    // The workers of the test hold one open; what read it again here holds none.
    expect(countOpenFiles()).toBe(numOpen);
  });

  it("tells of each step as part of an edit, to the end", async () => {
    const effects = createTestEffects({ machine });
    await prepare(wanted, watchWorkers().workers, effects);
    const told = effects.events.flatMap((event) => (event.kind === "progress" ? [event] : []));
    expect(told.map(({ work, what }) => `${work}: ${what}`)).toContain(
      `edit: factorized ${nameWeight(0, "self_attn.q_proj")}`,
    );
    const fractions = told.map(({ doneFraction }) => doneFraction);
    expect(fractions).toHaveLength(5);
    expect(fractions.toSorted((a, b) => a - b)).toEqual(fractions);
    expect(fractions.at(-1)).toBe(1);
  });
});

describe("planWanted()", () => {
  it("counts all vectors of a small matrix, and those asked for of a large one", () => {
    const costOf = (shape: readonly number[], numVectors: number): number =>
      planWanted({ ...want("model", "any", shape), numVectors }).cost;
    // 1e8 for a start, m n² for the Gram matrix, 2 n³ for its vectors, m n for each vector of the other side.
    expect(costOf([40, 24], 3)).toBe(1e8 + 40 * 24 ** 2 + 2 * 24 ** 3 + 40 * 24 * 24);
    expect(costOf([1000, 600], 3)).toBe(1e8 + 1000 * 600 ** 2 + 2 * 600 ** 3 + 1000 * 600 * 3);
  });
});
