/** Pickles and archives of torch as tests want them, hostile ones included. */
import { packZip } from "./zip-file.ts";

/** A tensor to pickle. */
export interface PickledTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly strides?: readonly number[];
  readonly start?: number;
  /** The name of its storage and how many 32-bit floats it claims to have. */
  readonly storage: readonly [string, number];
}

const text = (value: string): number[] => {
  const bytes = [...new TextEncoder().encode(value)];
  return [0x58, bytes.length & 255, (bytes.length >> 8) & 255, 0, 0, ...bytes];
};
const integer = (value: number): number[] => {
  const bytes = Buffer.alloc(9);
  bytes.writeBigInt64LE(BigInt(value), 1);
  return [0x8a, 8, ...bytes.subarray(1)];
};
const name = (module: string, attribute: string): number[] => [
  0x63,
  ...new TextEncoder().encode(`${module}\n${attribute}\n`),
];
const tuple = (...items: readonly number[][]): number[] => [0x28, ...items.flat(), 0x74];

/** The parts that pickles are made of. */
export const pickle = { text, integer, name, tuple };

/** A pickle of a value, given by its opcodes. */
export function pickleOf(...opcodes: readonly number[][]): Uint8Array {
  return Uint8Array.from([0x80, 2, ...opcodes.flat(), 0x2e]);
}

/** The opcodes of a dictionary of tensors of 32-bit floats. */
export function describeTensors(tensors: readonly PickledTensor[]): number[] {
  const entries = tensors.map(({ name: key, shape, strides, start = 0, storage: [storage, count] }) => {
    const rowMajor = shape.map((_, axis) => shape.slice(axis + 1).reduce((all, size) => all * size, 1));
    const reference = tuple(
      text("storage"),
      name("torch", "FloatStorage"),
      text(storage),
      text("cpu"),
      integer(count),
    );
    const args = tuple(
      [...reference, 0x51],
      integer(start),
      tuple(...shape.map(integer)),
      tuple(...(strides ?? rowMajor).map(integer)),
      [0x89],
      [0x4e],
    );
    return [...text(key), ...name("torch._utils", "_rebuild_tensor_v2"), ...args, 0x52];
  });
  return [0x7d, 0x28, ...entries.flat(), 0x75];
}

/** A file of `torch.save` with this pickle; storages are texts of as many bytes as they have. */
export function packTorchFile(data: Uint8Array, storages: Readonly<Record<string, string>> = {}): Buffer {
  const files = Object.fromEntries(Object.entries(storages).map(([key, value]) => [`x/data/${key}`, value]));
  // The packer takes texts: a text of bytes below 128 is as long as its bytes.
  const archive = packZip({ "x/data.pkl": "p".repeat(data.length), "x/version": "3\n", ...files }, 0);
  archive.set(data, 30 + "x/data.pkl".length);
  return archive;
}
