import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { CheckpointError } from "../checkpoint-error.ts";
import { parseSafetensorsHeader, type SafetensorsHeader } from "./safetensors-header.ts";

const path = "models/tiny.safetensors";

/** A file of that header text and that many tensor bytes. */
function fileOf(json: string, numBytes: number): Uint8Array {
  const text = new TextEncoder().encode(json);
  const bytes = new Uint8Array(8 + text.length + numBytes);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(text.length), true);
  bytes.set(text, 8);
  return bytes;
}

const parse = (bytes: Uint8Array, fileSize: number = bytes.length): SafetensorsHeader =>
  parseSafetensorsHeader(bytes, { path, fileSize });

function problemOf(bytes: Uint8Array, fileSize: number = bytes.length): CheckpointError {
  try {
    parse(bytes, fileSize);
  } catch (error) {
    if (error instanceof CheckpointError) return error;
    throw error;
  }
  throw new Error("It was accepted");
}

const entry = (dtype: string, shape: readonly number[], offsets: readonly number[]): string =>
  JSON.stringify({ dtype, shape, data_offsets: offsets });

const THREE = fileOf(
  `{"__metadata__":{"format":"pt"},"a":${entry("F32", [2, 3], [0, 24])},"b":${entry("BF16", [], [24, 26])},"c":${entry("I64", [0, 9], [26, 26])}}   `,
  26,
);

describe("parseSafetensorsHeader()", () => {
  it("gives formats, shapes, metadata and ranges within the file", () => {
    const { tensors, metadata } = parse(THREE);
    const start = THREE.length - 26;
    expect([...tensors]).toEqual([
      ["a", { dtype: "F32", shape: [2, 3], start, end: start + 24 }],
      ["b", { dtype: "BF16", shape: [], start: start + 24, end: start + 26 }],
      ["c", { dtype: "I64", shape: [0, 9], start: start + 26, end: start + 26 }],
    ]);
    expect([...metadata]).toEqual([["format", "pt"]]);
  });

  it("reads from the header's bytes alone", () => {
    expect(parse(THREE.subarray(0, THREE.length - 26), THREE.length)).toEqual(parse(THREE));
  });

  it("takes any text as a name, and a file without tensors", () => {
    const names = ["__proto__", "constructor", "", "größe\n"];
    const fields = names.map((name, at) => `${JSON.stringify(name)}:${entry("U8", [1], [at, at + 1])}`);
    expect([...parse(fileOf(`{${fields.join(",")}}`, 4)).tensors.keys()]).toEqual(names);
    expect(parse(fileOf("{}", 0)).tensors.size).toBe(0);
  });

  it("takes formats below 8 bits that fill their bytes, and no others", () => {
    expect(parse(fileOf(`{"a":${entry("F4", [3, 2], [0, 3])}}`, 3)).tensors.get("a")?.dtype).toBe("F4");
    expect(problemOf(fileOf(`{"a":${entry("F4", [3], [0, 2])}}`, 2)).tensor).toBe("a");
  });

  it("either reads or throws CheckpointError for every change of one byte", () => {
    const numHeaderBytes = THREE.length - 26;
    let refused = 0;
    for (let position = 0; position < numHeaderBytes; position++)
      for (let change = 1; change < 256; change++) {
        const damaged = THREE.slice();
        damaged[position]! ^= change;
        try {
          for (const { start, end } of parse(damaged).tensors.values())
            if (start < 8 || end > damaged.length) throw new Error(`Byte ${position} lets a read escape`);
        } catch (error) {
          if (!(error instanceof CheckpointError)) throw error;
          refused++;
        }
      }
    // Most of what still reads are changes within names and notes.
    expect(refused / (numHeaderBytes * 255)).toBeGreaterThan(0.8);
  });

  it("throws CheckpointError for a file cut at any length, whether its size is known or not", () => {
    for (let length = 0; length < THREE.length; length++) {
      expect(problemOf(THREE.subarray(0, length)).path).toBe(path);
      if (length < THREE.length - 26) problemOf(THREE.subarray(0, length), THREE.length);
    }
  });

  it("throws CheckpointError for random bytes and random JSON", () => {
    fc.assert(fc.property(fc.uint8Array(), (bytes) => void problemOf(bytes)));
    fc.assert(
      fc.property(fc.json(), (json) => {
        fc.pre(json !== "{}");
        problemOf(fileOf(json, 5));
        problemOf(fileOf(`{"a":${json}}`, 5));
      }),
    );
  });

  it.each<[string, string, number, string, string | undefined]>([
    [
      "an overlap",
      `{"a":${entry("F32", [2], [0, 8])},"b":${entry("F32", [1], [4, 8])}}`,
      8,
      'its bytes overlap those of tensor "a"',
      "b",
    ],
    [
      "the same bytes twice",
      `{"a":${entry("U8", [2], [0, 2])},"b":${entry("U8", [2], [0, 2])}}`,
      2,
      'its bytes overlap those of tensor "a"',
      "b",
    ],
    ["a range beyond the file", `{"a":${entry("F32", [2], [0, 8])}}`, 7, "it is out of range", "a"],
    ["a hole", `{"a":${entry("U8", [2], [1, 3])}}`, 3, "1 bytes before it belong to no tensor", "a"],
    [
      "bytes left over",
      `{"a":${entry("U8", [2], [0, 2])}}`,
      3,
      "its last 1 bytes belong to no tensor",
      undefined,
    ],
    [
      "a shape that does not fit",
      `{"a":${entry("F32", [3], [0, 8])}}`,
      8,
      "shape [3] of F32 takes 12 bytes, its data_offsets 8",
      "a",
    ],
    [
      "a shape beyond counting",
      `{"a":${entry("F32", Array(40).fill(2 ** 53 - 1), [0, 8])}}`,
      8,
      "takes Infinity bytes",
      "a",
    ],
    [
      "a negative size",
      `{"a":${entry("U8", [-1, -2], [0, 2])}}`,
      2,
      "its shape is not a list of whole numbers",
      "a",
    ],
    [
      "a broken size",
      `{"a":${entry("U8", [0.5, 4], [0, 2])}}`,
      2,
      "its shape is not a list of whole numbers",
      "a",
    ],
    [
      "an unsafe size",
      `{"a":{"dtype":"U8","shape":[9007199254740993,0],"data_offsets":[0,0]}}`,
      0,
      "its shape is not a list",
      "a",
    ],
    ["an unknown format", `{"a":${entry("F99", [1], [0, 1])}}`, 1, 'its dtype "F99" is unknown', "a"],
    [
      "a format that every object has",
      `{"a":${entry("toString", [1], [0, 1])}}`,
      1,
      'its dtype "toString" is unknown',
      "a",
    ],
    ["no format", '{"a":{"shape":[],"data_offsets":[0,0]}}', 0, "its dtype undefined is unknown", "a"],
    [
      "offsets in disorder",
      `{"a":${entry("U8", [0], [1, 0])}}`,
      1,
      "its data_offsets are not two whole numbers in order",
      "a",
    ],
    [
      "three offsets",
      `{"a":${entry("U8", [1], [0, 1, 2])}}`,
      1,
      "its data_offsets are not two whole numbers in order",
      "a",
    ],
    ["an entry that is none", '{"a":[]}', 0, "its header entry is not an object", "a"],
    [
      "a name given twice",
      `{"a":${entry("U8", [1], [0, 1])},"a":${entry("U8", [1], [1, 2])}}`,
      2,
      'the key "a" occurs twice',
      undefined,
    ],
    [
      "notes that are none",
      '{"__metadata__":[]}',
      0,
      'its "__metadata__" is not an object of texts',
      undefined,
    ],
    [
      "notes that are not text",
      '{"__metadata__":{"a":1}}',
      0,
      'its "__metadata__" holds a value that is not text',
      undefined,
    ],
    ["no object", "[]", 0, 'its header does not start with "{"', undefined],
    ["a space at the front", " {}", 0, 'its header does not start with "{"', undefined],
    ["padding other than spaces", "{} \n", 0, "is followed by something other than spaces", undefined],
    ["padding with zeros", "{}\0", 0, "is followed by something other than spaces", undefined],
  ])("refuses %s, naming file and tensor", (_, json, numBytes, problem, tensor) => {
    const error = problemOf(fileOf(json, numBytes));
    expect(error.message).toContain(problem);
    expect(error.message).toContain(`"${path}"`);
    expect(error.tensor).toBe(tensor);
    if (tensor !== undefined) expect(error.message).toContain(`tensor "${tensor}" of `);
    expect(error).toMatchObject({ name: "CheckpointError", path, exitCode: 2 });
  });

  it("refuses a header above 100 MB before it is read", () => {
    const bytes = fileOf("{}", 0);
    new DataView(bytes.buffer).setBigUint64(0, 100_000_001n, true);
    expect(problemOf(bytes, 2 ** 40).message).toContain("above the limit of 100000000");
    new DataView(bytes.buffer).setBigUint64(0, 2n ** 64n - 1n, true);
    expect(problemOf(bytes, 2 ** 40).message).toContain("above the limit of 100000000");
  });

  it("keeps messages to one line whatever the tensor is called", () => {
    const name = `${"x".repeat(1000)}\n`;
    const { message } = problemOf(fileOf(JSON.stringify({ [name]: [], "\n": 1 }), 0));
    expect(message).not.toContain("\n");
    expect(message.length).toBeLessThan(600);
  });
});
