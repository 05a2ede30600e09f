/** Damaged and hostile files: nothing but sentences, whatever is in them. */
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { getHeapStatistics } from "node:v8";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { countAllocation } from "../../../test/support/allocation.ts";
import { describeTensors, packTorchFile, pickle } from "../../../test/support/pickle-writer.ts";
import { createRandom, type Random } from "../../base/core/index.ts";
import { openCheckpoint } from "./checkpoint.ts";
import { CheckpointError } from "./checkpoint-error.ts";
import { type PickleValue, readPickle } from "./torch/pickle.ts";
import { isTensorName } from "./torch/stored-tensor.ts";

const golden = fileURLToPath(new URL("../../../test/golden/savers/", import.meta.url));
let folder = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "untwist-fuzz-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Bytes with some of them replaced, cut out or doubled. */
function damage(bytes: Buffer, random: Random): Buffer {
  const damaged = Buffer.from(bytes);
  for (let changes = random.integer(1, 6); changes > 0; changes--) {
    const at = random.integer(0, damaged.length - 1);
    const kind = random.integer(0, 5);
    if (kind === 0) damaged.fill(255, at, Math.min(at + 8, damaged.length));
    else if (kind === 1) damaged.copy(damaged, at, random.integer(0, damaged.length - 1));
    else damaged[at] = kind === 2 ? (damaged[at] ?? 0) ^ (1 << random.integer(0, 7)) : random.integer(0, 255);
  }
  return random.integer(0, 9) === 0 ? damaged.subarray(0, random.integer(0, damaged.length)) : damaged;
}

/** Bytes that a reader may ask for beyond those of its files. */
const spareBytes = 2 ** 20;
/** Bytes by which lists and texts of a reader may let the heap grow, garbage included. */
const mostHeapBytes = 300 * 2 ** 20;

/** Reads files again and again, and adds up what that asked of memory. */
function createMemoryWatch(): {
  readonly read: (path: string) => Promise<boolean>;
  readonly expectBounded: (numBytes: number) => void;
} {
  const heapBytes = getHeapStatistics().used_heap_size;
  const most = { largest: 0, total: 0, heap: 0 };
  return {
    read: async (path) => {
      let isRead = false;
      const { largest, total } = await countAllocation(async () => {
        isRead = await tryToRead(path);
      });
      most.largest = Math.max(most.largest, largest);
      most.total = Math.max(most.total, total);
      most.heap = Math.max(most.heap, getHeapStatistics().used_heap_size - heapBytes);
      return isRead;
    },
    expectBounded: (numBytes) => {
      expect(most.largest).toBeLessThan(numBytes + spareBytes);
      expect(most.total).toBeLessThan(16 * (numBytes + spareBytes));
      expect(most.heap).toBeLessThan(mostHeapBytes);
    },
  };
}

/** Opens a checkpoint and reads a little of each tensor: whether it went well. Any other error than a sentence is thrown. */
async function tryToRead(path: string): Promise<boolean> {
  try {
    const checkpoint = await openCheckpoint(path);
    try {
      for (const name of checkpoint.tensors.keys()) {
        const bytes = checkpoint.openBytes(name);
        bytes.subarray(0, Math.min(bytes.length, 64));
      }
    } finally {
      await checkpoint.close();
    }
    return true;
  } catch (error) {
    if (error instanceof CheckpointError && !error.message.includes("\n")) return false;
    throw error;
  }
}

const sumBytes = (place: string): number =>
  readdirSync(place).reduce((sum, name) => sum + statSync(join(place, name)).size, 0);

describe("what watches memory", () => {
  it.each<[string, () => unknown]>([
    ["numbers", () => new Float64Array(2 ** 20)],
    ["bytes", () => Buffer.alloc(2 ** 23)],
    ["a list of a size", () => new Array(2 ** 20)],
    ["numbers of a list", () => Float32Array.from({ length: 2 ** 21 })],
  ])("sees %s", async (_, make) => {
    const { largest, total } = await countAllocation(async () => make());
    expect([largest, total].every((count) => count >= 2 ** 23)).toBe(true);
    expect((await countAllocation(async () => new Uint8Array(new ArrayBuffer(16)))).total).toBe(16);
  });
});

describe("damaged files", () => {
  it.each<[string, string, string, number]>([
    ["torch-views", "x.pt", "x.pt", 700],
    ["torch", "pytorch_model.bin", "", 400],
    ["torch-trainer", "ckpt.pt", "ckpt.pt", 300],
    ["torch-legacy", "x.pth", "x.pth", 400],
    ["verl-copies", "model_world_size_4_rank_1.pt", "", 200],
    ["dcp-app", ".metadata", "", 800],
    ["dcp-app", "__1_0.distcp", "", 300],
    ["gguf", "x.gguf", "x.gguf", 900],
    ["dcp-hf", "shard-00002-model-00001-of-00001.safetensors", "", 200],
  ])("of %s (%s) are read or refused by a sentence", async (name, file, path, numFiles) => {
    const random = createRandom(1, "fuzz", name, file);
    const place = join(folder, `${name}-${file.length}`);
    cpSync(join(golden, name), place, { recursive: true });
    const whole = readFileSync(join(golden, name, file));
    // The front of a GGUF file is its header: damage to numbers says nothing.
    const size = file.endsWith(".gguf") ? 1500 : whole.length;
    const memory = createMemoryWatch();
    let numRead = 0;
    for (let round = 0; round < numFiles; round++) {
      writeFileSync(
        join(place, file),
        Buffer.concat([damage(whole.subarray(0, size), random), whole.subarray(size)]),
      );
      if (await memory.read(join(place, path))) numRead++;
    }
    memory.expectBounded(sumBytes(place));
    expect(numRead).toBeLessThan(numFiles);
    writeFileSync(join(place, file), whole);
    expect(await tryToRead(join(place, path))).toBe(true);
  });
});

/** All names in a value, however it was put together. */
function namesIn(root: PickleValue): ReadonlySet<string> {
  const names = new Set<string>();
  const seen = new Set<unknown>();
  const waiting: unknown[] = [root];
  while (waiting.length > 0) {
    const value = waiting.pop();
    if (typeof value !== "object" || value === null || seen.has(value)) continue;
    seen.add(value);
    if ("name" in value && typeof value.name === "string") names.add(value.name);
    waiting.push(...Object.values(value));
  }
  return names;
}

describe("hostile pickles", () => {
  const calls = [
    ["os", "system"],
    ["builtins", "eval"],
    ["torch", "load"],
    ["torch._utils", "_rebuild_tensor_v2"],
    ["torch._tensor", "_rebuild_from_type_v2"],
    ["torch._utils", "_rebuild_parameter"],
    ["torch.distributed.tensor", "DTensor"],
    ["collections", "OrderedDict"],
    ["torch", "Size"],
  ] as const;
  const opcodes = "(0)}]N\u0088\u0089\u0085\u0086\u0087tasueRb\u0081\u0093Q\u0094.\u008f\u0090\u0091".split(
    "",
  );
  const tensors = describeTensors([{ name: "a", shape: [2, 2], storage: ["0", 4] }]);

  /** Opcodes in an order that no library writes. */
  function drawOpcodes(random: Random): number[] {
    const kind = random.integer(0, 9);
    if (kind < 4) return [random.pick(opcodes).charCodeAt(0)];
    const [module, attribute] = random.pick(calls);
    if (kind === 4) return pickle.name(module, attribute);
    if (kind === 5) return [random.pick([0x71, 0x68]), random.integer(0, 3)];
    if (kind === 6) return pickle.text(random.pick(["a", "_local_tensor", "_spec", "placements", "storage"]));
    if (kind === 7) return pickle.integer(random.pick([0, 1, -1, 2 ** 40, random.integer(0, 9)]));
    if (kind === 8) return tensors;
    return [random.integer(0, 255)];
  }

  it("run nothing: they are plain data with known names, or refused by a sentence", async () => {
    mkdirSync(join(folder, "hostile"));
    const file = join(folder, "hostile", "x.pt");
    const random = createRandom(1, "hostile");
    const memory = createMemoryWatch();
    let numValues = 0;
    for (let round = 0; round < 6000; round++) {
      const body = Array.from({ length: random.integer(1, 30) }, () => drawOpcodes(random)).flat();
      const data = Uint8Array.from([0x80, 2, 0x7d, ...body, 0x2e]);
      try {
        for (const name of namesIn(readPickle(data, isTensorName).value))
          expect(isTensorName(name)).toBe(true);
        numValues++;
      } catch (error) {
        expect(error, String(error)).toBeInstanceOf(SyntaxError);
      }
      if (round >= 2000) continue;
      writeFileSync(file, packTorchFile(data, { 0: "x".repeat(16) }));
      await memory.read(file);
    }
    memory.expectBounded(sumBytes(join(folder, "hostile")));
    expect(numValues).toBeGreaterThan(100);
  });
});
