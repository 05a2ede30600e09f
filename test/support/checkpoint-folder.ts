/** Small Hugging Face checkpoint folders, as whole or broken as a test wants them. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createRandom } from "../../src/base/core/index.ts";
import { CheckpointError, writeSafetensors } from "../../src/weights/checkpoint/index.ts";

/** A tensor to store. */
export interface TensorSpec {
  readonly name: string;
  readonly shape: readonly number[];
  /** In C order. */
  readonly values: ArrayLike<number>;
  /** F32 unless given; I32 stores the bit patterns of the F32 numbers. */
  readonly dtype?: "F64" | "F32" | "F16" | "BF16" | "I32";
}

/** How the tensors are laid out. */
export interface LayoutOptions {
  /** Files to spread the tensors over in turn, with an index; one file without index unless given. */
  readonly numShards?: number;
}

/** Writes a checkpoint folder and gives its path. */
export async function writeCheckpointFolder(
  folder: string,
  tensors: readonly TensorSpec[],
  { numShards }: LayoutOptions = {},
): Promise<string> {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "config.json"), JSON.stringify({ model_type: "llama" }));
  if (numShards === undefined) {
    await writeFile(join(folder, "model.safetensors"), tensors);
    return folder;
  }
  const shardOf = (index: number): string => nameShard(index % numShards, numShards);
  for (const shard of new Set(tensors.map((_, index) => shardOf(index))))
    await writeFile(
      join(folder, shard),
      tensors.filter((_, index) => shardOf(index) === shard),
    );
  const map = Object.fromEntries(tensors.map(({ name }, index) => [name, shardOf(index)]));
  writeFileSync(
    join(folder, "model.safetensors.index.json"),
    JSON.stringify({ metadata: {}, weight_map: map }),
  );
  return folder;
}

/** The name of a shard, counted from 0. */
export function nameShard(index: number, numShards: number): string {
  const pad = (number: number): string => String(number).padStart(5, "0");
  return `model-${pad(index + 1)}-of-${pad(numShards)}.safetensors`;
}

async function writeFile(path: string, tensors: readonly TensorSpec[]): Promise<void> {
  await writeSafetensors(
    path,
    tensors.map(({ name, shape, values, dtype = "F32" }) =>
      dtype === "F64"
        ? { name, shape, dtype, data: () => Float64Array.from(values) }
        : { name, shape, dtype: dtype === "I32" ? "F32" : dtype, data: () => Float32Array.from(values) },
    ),
  );
  const integers = tensors.filter(({ dtype }) => dtype === "I32").map(({ name }) => name);
  if (integers.length > 0) relabel(path, integers);
}

/** Calls F32 tensors I32: both take as many bytes, and their names are as long. */
export function relabel(path: string, names: readonly string[]): void {
  const bytes = readFileSync(path);
  const end = 8 + Number(bytes.readBigUInt64LE(0));
  let header = bytes.subarray(8, end).toString("utf8");
  for (const name of names)
    header = header.replace(`${JSON.stringify(name)}:{"dtype":"F32"`, (found) => found.replace("F32", "I32"));
  bytes.write(header, 8, "utf8");
  writeFileSync(path, bytes);
}

/** Numbers from −1 to 1 that F16, BF16 and F32 all hold exactly: whole multiples of 1/64. */
export function drawExact(seed: string, count: number): Float32Array {
  const random = createRandom(1, "exact", seed);
  return Float32Array.from({ length: count }, () => random.integer(-64, 64) / 64);
}

/** Normal numbers in F32. */
export function drawNormal(seed: string, count: number): Float32Array {
  const random = createRandom(1, "normal", seed);
  return Float32Array.from({ length: count }, () => random.normal());
}

/** A matrix of 24 directions whose singular values fall as 1, ½, ⅓, …: like weights that were trained. */
export function drawDecaying(seed: string, [rows, columns]: readonly [number, number]): Float32Array {
  const numTerms = 24;
  const left = drawNormal(`${seed} left`, numTerms * rows);
  const right = drawNormal(`${seed} right`, numTerms * columns);
  const values = new Float32Array(rows * columns);
  for (let term = 0; term < numTerms; term++)
    for (let index = 0; index < values.length; index++) {
      const product =
        left[term * rows + Math.floor(index / columns)]! * right[term * columns + (index % columns)]!;
      values[index] = values[index]! + (0.02 / (term + 1)) * product;
    }
  return values;
}

/** The name of the weight of a part of a layer. */
export function nameWeight(layer: number, part: string): string {
  return `model.layers.${layer}.${part}.weight`;
}

/**
 * A model of two layers at one step of a training: numbers that all formats hold; two names for one tensor, and one that
 * no step changes. 7 matrices, 5 of them new at each step, and 2 others.
 */
export function buildModel(step: string, dtype: "F32" | "F16" | "BF16" = "F32"): readonly TensorSpec[] {
  const draw = (name: string, ...shape: readonly number[]): TensorSpec => {
    const count = shape.reduce((product, size) => product * size, 1);
    return { name, shape, dtype, values: drawExact(`${step} ${name}`, count) };
  };
  const embedding = draw("model.embed_tokens.weight", 30, 24);
  return [
    embedding,
    { ...embedding, name: "lm_head.weight" },
    ...[0, 1].flatMap((number) => [
      draw(nameWeight(number, "self_attn.q_proj"), 24, 24),
      draw(nameWeight(number, "mlp.up_proj"), 40, 24),
      draw(nameWeight(number, "input_layernorm"), 24),
    ]),
    { ...draw("model.frozen.weight", 12, 20), values: drawExact("frozen", 240) },
  ];
}

/** Writes a checkpoint of one matrix, the first layer's `self_attn.q_proj`, that is diagonal with these singular values. */
export function writeDiagonalFolder(path: string, values: readonly number[]): Promise<string> {
  const size = values.length;
  const elements = Array.from({ length: size * size }, (_, index) =>
    index % (size + 1) === 0 ? (values[index / (size + 1)] ?? 0) : 0,
  );
  return writeCheckpointFolder(path, [
    { name: nameWeight(0, "self_attn.q_proj"), shape: [size, size], values: elements },
  ]);
}

/** The refusal of a checkpoint; throws anything else. */
export async function problemOf(reading: Promise<unknown>): Promise<CheckpointError> {
  const error: unknown = await reading.then(
    () => new Error("It was accepted"),
    (reason: unknown) => reason,
  );
  if (error instanceof CheckpointError) return error;
  throw error;
}
