/**
 * Two sharded checkpoints of a model of full size, drawn and written to a temporary folder, and commands watched while
 * they work on them.
 */
import { mkdir, open, readFile, writeFile } from "node:fs/promises";
import { availableParallelism, cpus, loadavg } from "node:os";
import { join } from "node:path";
import { createRandom } from "../src/base/core/index.ts";
import { runChild, withTemporaryFolder } from "./child.ts";

/** Where a model of full size begins; GB are 10^9 bytes. */
const fullGigabytes = 4;
const [mostShardBytes, fewestShards] = [1e9, 4];

/** Sizes of a Qwen2.5 7B with tied embeddings; as many layers as fit. */
const fullSizes = { hidden: 3584, keyValue: 512, intermediate: 18944, vocabulary: 152064 };
type Sizes = typeof fullSizes;

/** A tensor to draw. */
export interface Tensor {
  readonly name: string;
  readonly shape: readonly number[];
}

const numBytesOf = ({ shape }: Tensor): number => 2 * shape.reduce((product, size) => product * size, 1);
const sumBytes = (tensors: readonly Tensor[]): number =>
  tensors.reduce((sum, tensor) => sum + numBytesOf(tensor), 0);

/** A smaller checkpoint has smaller matrices, not fewer layers, so that the share of the largest stays the same. */
function scaleSizes(gigabytes: number): Sizes {
  const factor = Math.min(1, Math.sqrt(gigabytes / fullGigabytes));
  const scale = (size: number): number => Math.max(64, Math.round((size * factor) / 64) * 64);
  const { hidden, keyValue, intermediate, vocabulary } = fullSizes;
  return {
    hidden: scale(hidden),
    keyValue: scale(keyValue),
    intermediate: scale(intermediate),
    vocabulary: scale(vocabulary),
  };
}

function listLayer(layer: number, { hidden, keyValue, intermediate }: Sizes): readonly Tensor[] {
  const shapes = {
    input_layernorm: [hidden],
    "self_attn.q_proj": [hidden, hidden],
    "self_attn.k_proj": [keyValue, hidden],
    "self_attn.v_proj": [keyValue, hidden],
    "self_attn.o_proj": [hidden, hidden],
    post_attention_layernorm: [hidden],
    "mlp.gate_proj": [intermediate, hidden],
    "mlp.up_proj": [intermediate, hidden],
    "mlp.down_proj": [hidden, intermediate],
  };
  return Object.entries(shapes).map(([name, shape]) => ({
    name: `model.layers.${layer}.${name}.weight`,
    shape,
  }));
}

function listTensors(gigabytes: number): readonly Tensor[] {
  const sizes = scaleSizes(gigabytes);
  const ends: readonly Tensor[] = [
    { name: "model.embed_tokens.weight", shape: [sizes.vocabulary, sizes.hidden] },
    { name: "model.norm.weight", shape: [sizes.hidden] },
  ];
  const room = gigabytes * 1e9 - sumBytes(ends);
  const numLayers = Math.max(1, Math.floor(room / sumBytes(listLayer(0, sizes))));
  return [
    ...ends.slice(0, 1),
    ...Array.from({ length: numLayers }, (_, layer) => listLayer(layer, sizes)).flat(),
    ...ends.slice(1),
  ];
}

/** Tensors in order, each shard as full as may be; a tensor larger than a shard has one for itself. */
function fillShards(tensors: readonly Tensor[]): readonly (readonly Tensor[])[] {
  const shardBytes = Math.min(mostShardBytes, sumBytes(tensors) / fewestShards);
  const shards: Tensor[][] = [];
  for (const tensor of tensors) {
    const last = shards.at(-1);
    if (last === undefined || sumBytes([...last, tensor]) > shardBytes) shards.push([tensor]);
    else last.push(tensor);
  }
  return shards;
}

/** Elements drawn and written at a time. */
const chunkElements = 8 * 2 ** 20;

/** Which checkpoint of a training: 0 before, 1 after, 2 later still. */
type Version = 0 | 1 | 2;

/**
 * bf16 patterns, drawn as such: random sign and fraction, an exponent that falls by halves and is larger in some rows
 * than in others. Each later checkpoint adds an update of low rank, of about a hundredth of the size, and is rounded.
 */
function* drawTensor(tensor: Tensor, index: number, version: Version): Generator<Uint16Array, void, void> {
  const numElements = numBytesOf(tensor) / 2;
  const columns = tensor.shape.at(-1)!;
  const add = createUpdate(tensor, index, version);
  let state = Math.imul(index + 1, 0x9e3779b9) | 1;
  for (let start = 0; start < numElements; start += chunkElements) {
    const chunk = new Uint16Array(Math.min(chunkElements, numElements - start));
    let [column, exponent] = [start % columns, exponentOf(Math.floor(start / columns))];
    for (let at = 0; at < chunk.length; at++) {
      state ^= state << 13;
      state ^= state >>> 17;
      state ^= state << 5;
      const fall = Math.clz32((state << 8) | 0x00100000);
      const half = (state & 0x807f) | ((exponent - fall) << 7);
      chunk[at] = half;
      if (++column === columns) [column, exponent] = [0, exponentOf(Math.floor((start + at + 1) / columns))];
    }
    add(chunk, start);
    yield chunk;
  }
}

/** Directions that each checkpoint adds to a matrix, and the size of an element of one. */
const [updateRank, updateSize] = [4, 1e-4];

/** Adds to a chunk what that checkpoint changed; a vector changes nowhere. */
function createUpdate(
  { shape }: Tensor,
  index: number,
  version: Version,
): (chunk: Uint16Array, start: number) => void {
  const [rows = 0, columns = 0] = shape;
  if (version === 0 || columns === 0) return () => undefined;
  const random = createRandom(index, "update");
  const draw = (length: number): Float32Array =>
    Float32Array.from({ length }, () => (random.integer(0, 1) === 0 ? -1 : 1));
  const directions = Array.from({ length: updateRank * version }, () => [draw(rows), draw(columns)] as const);
  const bits = new Uint32Array(1);
  const single = new Float32Array(bits.buffer);
  const sums = new Float32Array(columns);
  return (chunk, start) => {
    for (let at = 0; at < chunk.length; ) {
      const row = Math.floor((start + at) / columns);
      sums.fill(0);
      for (const [left, right] of directions) {
        const factor = updateSize * left[row]!;
        for (let column = 0; column < columns; column++) sums[column]! += factor * right[column]!;
      }
      for (let column = (start + at) % columns; column < columns && at < chunk.length; column++, at++) {
        bits[0] = chunk[at]! << 16;
        single[0] = single[0]! + sums[column]!;
        // The nearest bf16, ties to even.
        chunk[at] = (bits[0]! + 0x7fff + ((bits[0]! >>> 16) & 1)) >>> 16;
      }
    }
  };
}

/** Values up to 2^-5, in some rows up to 2^-2: the exponent of bf16 has a bias of 127. */
const exponentOf = (row: number): number => 122 + (Math.imul(row, 0x2545f491) >>> 30);

async function writeShard(path: string, tensors: readonly Tensor[], version: Version): Promise<void> {
  let end = 0;
  const entries = tensors.map((tensor) => {
    const start = end;
    end += numBytesOf(tensor);
    return [tensor.name, { dtype: "BF16", shape: tensor.shape, data_offsets: [start, end] }] as const;
  });
  const json = JSON.stringify(Object.fromEntries([["__metadata__", { format: "pt" }], ...entries]));
  const header = Buffer.from(json.padEnd(Math.ceil(json.length / 8) * 8));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  const file = await open(path, "w");
  try {
    await file.write(length);
    await file.write(header);
    for (const tensor of tensors)
      for (const chunk of drawTensor(tensor, hashName(tensor.name), version))
        await file.write(new Uint8Array(chunk.buffer));
  } finally {
    await file.close();
  }
}

const hashName = (name: string): number =>
  [...name].reduce((hash, letter) => Math.imul(hash ^ letter.charCodeAt(0), 0x01000193), 0x811c9dc5);

async function writeModel(
  folder: string,
  shards: readonly (readonly Tensor[])[],
  version: Version,
): Promise<void> {
  await mkdir(folder, { recursive: true });
  const number = (index: number): string => String(index).padStart(5, "0");
  const nameOf = (index: number): string =>
    `model-${number(index + 1)}-of-${number(shards.length)}.safetensors`;
  for (const [index, shard] of shards.entries())
    await writeShard(join(folder, nameOf(index)), shard, version);
  const map = Object.fromEntries(
    shards.flatMap((shard, index) => shard.map(({ name }) => [name, nameOf(index)])),
  );
  const index = { metadata: { total_size: sumBytes(shards.flat()) }, weight_map: map };
  await writeFile(join(folder, "model.safetensors.index.json"), JSON.stringify(index, null, 2));
  const config = {
    architectures: ["LlamaForCausalLM"],
    tie_word_embeddings: true,
    torch_dtype: "bfloat16",
  };
  await writeFile(join(folder, "config.json"), JSON.stringify(config, null, 2));
}

/** Wall time, and the peak of resident memory as Linux keeps it: only the last milliseconds could be missed. */
async function watch(
  args: readonly string[],
  { cache, killAfter }: Pick<ReportOptions, "cache" | "killAfter">,
): Promise<{ readonly seconds: number; readonly peak: number; readonly code: number }> {
  let peak = 0;
  let timer: NodeJS.Timeout | undefined;
  let killer: NodeJS.Timeout | undefined;
  const start = performance.now();
  const { code } = await runChild(process.execPath, args, {
    env: { ...process.env, UNTWIST_CACHE: cache },
    stdio: ["ignore", "ignore", "inherit"],
    onStart: (child) => {
      const { pid } = child;
      if (killAfter !== undefined) killer = setTimeout(() => child.kill("SIGKILL"), killAfter * 1000);
      timer = setInterval(async () => {
        const status = await readFile(`/proc/${pid}/status`, "utf8").catch(() => "");
        peak = Math.max(peak, Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0));
      }, 20);
    },
  });
  clearInterval(timer);
  clearTimeout(killer);
  return { seconds: (performance.now() - start) / 1000, peak: (peak * 1024) / 1e9, code };
}

/** Where the checkpoints lie, and an empty cache. */
export interface LargePair {
  readonly before: string;
  readonly after: string;
  readonly folder: string;
  /** Writes a third checkpoint, of the same training. */
  writeLater(): Promise<string>;
}

/** Writes a pair with these tensors into a folder, one file a checkpoint. */
export async function writePair(
  folder: string,
  tensors: readonly Tensor[],
): Promise<Pick<LargePair, "before" | "after">> {
  const [before, after] = [join(folder, "before"), join(folder, "after")];
  await writeModel(before, [tensors], 0);
  await writeModel(after, [tensors], 1);
  return { before, after };
}

/** Writes both checkpoints of `gigabytes` each, calls `work`, and removes everything. */
export async function withLargePair(
  gigabytes: number = fullGigabytes,
  work: (pair: LargePair) => Promise<void>,
): Promise<void> {
  if (!(gigabytes > 0)) throw new RangeError(`Cannot make checkpoints of ${gigabytes} GB: give a number`);
  const tensors = listTensors(gigabytes);
  const shards = fillShards(tensors);
  const load = loadavg().map((one) => one.toFixed(2));
  console.log(
    `Machine     ${cpus()[0]?.model}, ${availableParallelism()} threads, load average ${load.join(" ")}, Node.js ${process.version}`,
  );
  console.log(
    `Checkpoints ${(sumBytes(tensors) / 1e9).toFixed(2)} GB each, ${tensors.length} tensors in ${shards.length} shards, the largest ${(Math.max(...tensors.map(numBytesOf)) / 1e9).toFixed(2)} GB`,
  );
  await withTemporaryFolder(async (folder) => {
    const [before, after] = [join(folder, "before"), join(folder, "after")];
    const start = performance.now();
    await writeModel(before, shards, 0);
    await writeModel(after, shards, 1);
    console.log(`written in  ${((performance.now() - start) / 1000).toFixed(1)} s`);
    const writeLater = async (): Promise<string> => {
      const later = join(folder, "later");
      await writeModel(later, shards, 2);
      return later;
    };
    await work({ before, after, folder, writeLater });
  });
}

/** How a command of untwist is run. */
export interface ReportOptions {
  readonly cache: string;
  readonly mostGigabytes: number;
  /** Seconds after which it is killed (SIGKILL). */
  readonly killAfter?: number;
}

/** Runs a command of untwist and prints a line of its time and peak memory beside the bar, in GB. Gives its seconds. */
export async function report(
  name: string,
  args: readonly string[],
  { mostGigabytes, ...options }: ReportOptions,
): Promise<number> {
  const { seconds, peak, code } = await watch(["bin/untwist.js", ...args], options);
  const verdict = peak === 0 ? "" : `, bar ${mostGigabytes} GB: ${peak <= mostGigabytes ? "held" : "missed"}`;
  const memory = peak === 0 ? "unknown" : `${peak.toFixed(2)} GB`;
  console.log(
    `${name.padEnd(11)} ${seconds.toFixed(1)} s, peak resident memory ${memory}${verdict}${code === 0 ? "" : `, exit code ${code}`}`,
  );
  return seconds;
}
