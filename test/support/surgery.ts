/** `untwist restore` and `untwist apply` as programs use them, and what lies in the checkpoints that they leave. */
import {
  closeSync,
  ftruncateSync,
  openSync,
  readdirSync,
  readFileSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { basename, join } from "node:path";
import { expect } from "vitest";
import { encodeFloats } from "../../src/weights/checkpoint/dtype.ts";
import { openCheckpoint, openSafetensors, type WritableDtype } from "../../src/weights/checkpoint/index.ts";
import { encodeSafetensorsHeader } from "../../src/weights/checkpoint/safetensors/safetensors-header.ts";
import { buildModel, drawNormal, type TensorSpec } from "./checkpoint-folder.ts";
import { type Environment, type Json, parseJson, readOutput } from "./untwist.ts";

/** The largest relative error of rounding to a format. */
export const rounding = { F64: 2 ** -53, F32: 2 ** -24, F16: 2 ** -11, BF16: 2 ** -8 } as const;

/** A number format of floats. */
type Format = keyof typeof rounding;

/** ‖first − second‖. */
export function distance(first: Float64Array, second: Float64Array): number {
  return sizeOf(first.map((value, index) => value - second[index]!));
}

/** ‖values‖. */
export function sizeOf(values: Float64Array): number {
  return Math.sqrt(values.reduce((sum, value) => sum + value ** 2, 0));
}

/** Runs `untwist … --json`, expects success, and gives what it printed. */
export async function readReport(
  args: readonly string[],
  cwd: string,
  environment: Environment = {},
): Promise<Json> {
  return parseJson(await readOutput([...args, "--json"], cwd, environment));
}

/** The model of two layers with numbers that formats round. */
export function buildNormal(step: string, dtype: Format): readonly TensorSpec[] {
  return buildModel(step).map((tensor) => ({
    ...tensor,
    dtype,
    values: drawNormal(`${step} ${tensor.name}`, tensor.values.length),
  }));
}

/** Writes a plan and gives its file name: YAML takes JSON as it is. */
export function writePlan(path: string, plan: object): string {
  writeFileSync(path, JSON.stringify(plan, null, 2));
  return basename(path);
}

/** Every tensor's bytes as stored, by name. */
export async function readAllBytes(folder: string): Promise<Readonly<Record<string, Uint8Array>>> {
  const checkpoint = await openCheckpoint(folder);
  try {
    const names = [...checkpoint.tensors.keys()];
    return Object.fromEntries(
      await Promise.all(names.map(async (name) => [name, await checkpoint.readBytes(name)] as const)),
    );
  } finally {
    await checkpoint.close();
  }
}

/** The numbers of a tensor, in C order. */
export async function readNumbers(folder: string, name: string): Promise<Float64Array> {
  const checkpoint = await openCheckpoint(folder);
  try {
    if (checkpoint.tensors.get(name)?.dtype === "F64")
      return new Float64Array((await checkpoint.readBytes(name)).slice().buffer);
    return Float64Array.from((await checkpoint.readTensor(name)).data);
  } finally {
    await checkpoint.close();
  }
}

/** What the header of a file says: every tensor in its order, places counted from the header's end; and the notes. */
export interface HeaderFacts {
  readonly tensors: readonly Readonly<Record<string, unknown>>[];
  readonly metadata: Readonly<Record<string, string>>;
}

/** The header of every safetensors file of a folder, by file name. */
export async function readHeaders(folder: string): Promise<Readonly<Record<string, HeaderFacts>>> {
  const names = readdirSync(folder).filter((name) => name.endsWith(".safetensors"));
  const read = async (name: string): Promise<readonly [string, HeaderFacts]> => {
    const path = join(folder, name);
    const file = await openSafetensors(path);
    await file.close();
    const headerEnd = 8 + Number(readFileSync(path).readBigUInt64LE(0));
    const tensors = [...file.header.tensors].map(([tensor, { dtype, shape, start, end }]) => ({
      name: tensor,
      dtype,
      shape,
      start: start - headerEnd,
      end: end - headerEnd,
    }));
    return [name, { tensors, metadata: Object.fromEntries(file.header.metadata) }];
  };
  return Object.fromEntries(await Promise.all(names.map(read)));
}

/** A tensor in the place that a test gives it; without values it is zeros that take no space on most disks. */
export interface PlacedTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly dtype: WritableDtype;
  readonly values?: Float32Array;
}

/** Writes a safetensors file with the tensors' bytes in this order, named in the header in the order of `named`. */
export function writePlaced(
  path: string,
  tensors: readonly PlacedTensor[],
  { metadata = {}, named = tensors.map(({ name }) => name) }: Partial<PlacedLayout> = {},
): void {
  let end = 0;
  const fields = tensors.map(({ name, dtype, shape }) => {
    const start = end;
    end += shape.reduce((product, size) => product * size, dtype === "F32" ? 4 : 2);
    return { name, dtype, shape, start, end };
  });
  const inOrder = named.map((name) => fields.find((field) => field.name === name)!);
  const header = encodeSafetensorsHeader(inOrder, metadata);
  const file = openSync(path, "w");
  try {
    writeSync(file, header);
    for (const [index, { values, dtype }] of tensors.entries())
      if (values !== undefined) {
        const bytes = encodeFloats(values, dtype);
        writeSync(file, bytes, 0, bytes.length, header.length + fields[index]!.start);
      }
    ftruncateSync(file, header.length + end);
  } finally {
    closeSync(file);
  }
}

/** What a header says beside the tensors' places. */
interface PlacedLayout {
  readonly metadata: Readonly<Record<string, string>>;
  readonly named: readonly string[];
}

/** A LoRA adapter: its factors and their product B · A, by the tensor of the base model that they change. */
export async function readAdapter(folder: string): Promise<Readonly<Record<string, AdapterUpdate>>> {
  const file = await openSafetensors(join(folder, "adapter_model.safetensors"));
  try {
    const read = async (key: string): Promise<readonly [string, AdapterUpdate]> => {
      const [a, b] = [await file.readTensor(key), await file.readTensor(key.replace("lora_A", "lora_B"))];
      const name = key.replace(/^base_model\.model\./, "").replace(".lora_A.weight", ".weight");
      return [name, multiplyFactors(b, a)];
    };
    const keys = [...file.header.tensors.keys()].filter((key) => key.endsWith(".lora_A.weight"));
    expect(file.header.tensors.size).toBe(2 * keys.length);
    return Object.fromEntries(await Promise.all(keys.map(read)));
  } finally {
    await file.close();
  }
}

/** What an adapter adds to a matrix. */
export interface AdapterUpdate {
  readonly rank: number;
  /** B · A. */
  readonly product: Float64Array;
  /** |B| · |A|: rounding of the factors can be no larger than a fraction of it. */
  readonly magnitude: Float64Array;
}

interface Factor {
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

function multiplyFactors(b: Factor, a: Factor): AdapterUpdate {
  const [rows, rank] = [b.shape[0]!, b.shape[1]!];
  const columns = a.shape[1]!;
  expect(a.shape[0]).toBe(rank);
  const product = new Float64Array(rows * columns);
  const magnitude = new Float64Array(rows * columns);
  for (let index = 0; index < product.length; index++)
    for (let inner = 0; inner < rank; inner++) {
      const row = Math.floor(index / columns);
      const term = b.data[row * rank + inner]! * a.data[inner * columns + (index % columns)]!;
      product[index] = product[index]! + term;
      magnitude[index] = magnitude[index]! + Math.abs(term);
    }
  return { rank, product, magnitude };
}
