import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { describeTensors, packTorchFile, pickle, pickleOf } from "../../../../test/support/pickle-writer.ts";
import { packZip } from "../../../../test/support/zip-file.ts";
import { openCheckpoint } from "../checkpoint.ts";
import { CheckpointError } from "../checkpoint-error.ts";
import type { Checkpoint } from "../open-checkpoint.ts";

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "untwist-torch-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function open(bytes: Uint8Array): Promise<Checkpoint> {
  await writeFile(join(folder, "x.pt"), bytes);
  return await openCheckpoint(join(folder, "x.pt"));
}

async function problemOf(bytes: Uint8Array): Promise<string> {
  const error: unknown = await open(bytes).then(
    (checkpoint) => checkpoint.close(),
    (reason: unknown) => reason,
  );
  if (error instanceof CheckpointError) return error.message;
  throw error ?? new Error("It was accepted");
}

const storages = { 0: "abcd".repeat(6) };
const one = { name: "a", shape: [2, 3], storage: ["0", 6] } as const;

describe("a file of torch.save", () => {
  it("is read as the names and places of its tensors", async () => {
    const tensors = [one, { ...one, name: "b", shape: [3, 2], strides: [1, 3] }];
    const checkpoint = await open(packTorchFile(pickleOf(describeTensors(tensors)), storages));
    expect([...checkpoint.tensors.keys()]).toEqual(["a", "b"]);
    expect(Buffer.from(await checkpoint.readBytes("a")).toString()).toBe(storages[0]);
    expect(checkpoint.isConverted).toBe(true);
    await checkpoint.close();
  });

  it("leaves out a trainer's dictionaries, but no tensor for its name", async () => {
    const data = pickleOf([
      0x7d,
      0x28,
      ...pickle.text("optimizer"),
      ...describeTensors([one]),
      ...pickle.text("params"),
      ...describeTensors([one, { ...one, name: "input_scaler" }]),
      0x75,
    ]);
    const checkpoint = await open(packTorchFile(data, storages));
    expect([...checkpoint.tensors.keys()]).toEqual(["a", "input_scaler"]);
    await checkpoint.close();
  });

  const call = (module: string, name: string, ...args: readonly number[][]): number[] => [
    ...pickle.name(module, name),
    ...pickle.tuple(...args),
    0x52,
  ];
  const inDict = (value: number[]): Uint8Array => pickleOf([0x7d, ...pickle.text("a"), ...value, 0x73]);

  it.each<[string, Uint8Array, string]>([
    [
      "a system call",
      inDict(call("os", "system", pickle.text("touch pwned"))),
      'its pickle calls for "os.system"',
    ],
    ["eval", inDict(call("builtins", "eval", pickle.text("1"))), 'its pickle calls for "builtins.eval"'],
    ["getattr of torch", inDict(pickle.name("torch.hub", "load")), 'its pickle calls for "torch.hub.load"'],
    ["a prefix of a known name", inDict(pickle.name("torch", "Sizes")), '"torch.Sizes"'],
    [
      "a known module's other part",
      inDict(pickle.name("torch._utils", "_import_dotted_name")),
      "torch._utils._import_dotted_name",
    ],
    ["an extension code", pickleOf([0x82, 1]), "its pickle has the opcode 0x82 at byte 2"],
    ["an instance of protocol 0", pickleOf([0x28, 0x69]), "its pickle has the opcode 0x69"],
    ["a newer protocol", Uint8Array.of(0x80, 6, 0x4e, 0x2e), "its pickle is of protocol 6"],
    ["a torn pickle", pickleOf([0x28]).subarray(0, 3), "its pickle is damaged"],
    ["no tensors", pickleOf([0x7d]), "there is no model's tensor in it"],
    [
      "a tensor beyond its storage",
      pickleOf(describeTensors([{ ...one, start: 1 }])),
      "it ends at byte 28 of a storage of 24",
    ],
    [
      "a storage beyond its file",
      pickleOf(describeTensors([{ ...one, shape: [2, 4], storage: ["0", 8] }])),
      "needs 32 bytes of a storage of 24",
    ],
    [
      "an expanded view",
      pickleOf(describeTensors([{ ...one, shape: [1e9, 3], strides: [0, 1] }])),
      "it is an expanded view",
    ],
    [
      "a storage that is not there",
      pickleOf(describeTensors([{ ...one, storage: ["9", 6] }])),
      'it has no storage "9"',
    ],
    [
      "two dictionaries of weights",
      pickleOf([
        0x7d,
        0x28,
        ...pickle.text("p"),
        ...describeTensors([one]),
        ...pickle.text("q"),
        ...describeTensors([one]),
        0x75,
      ]),
      "its tensors lie in 2 dictionaries",
    ],
    [
      "a list that holds itself",
      pickleOf([0x5d, 0x71, 0, 0x68, 0, 0x61]),
      "there is no model's tensor in it",
    ],
    [
      "a dictionary that holds itself",
      pickleOf([0x7d, 0x71, 0, ...pickle.text("a"), 0x68, 0, 0x73]),
      "its dictionaries are nested without end",
    ],
  ])("with %s is refused by a sentence", async (_, data, problem) => {
    expect(await problemOf(packTorchFile(data, storages))).toContain(problem);
  });

  it("is not unfolded from dictionaries that double at every level", async () => {
    const levels = Array.from({ length: 15 }, (_, level) => [
      0x7d,
      0x71,
      level + 1,
      ...["a", "b", "c", "d"].flatMap((key) => [...pickle.text(key), 0x68, level, 0x73]),
    ]);
    const data = pickleOf([0x7d, 0x71, 0], ...levels);
    expect(await problemOf(packTorchFile(data))).toContain("nested without end");
  });

  it.each<[string, Uint8Array, string]>([
    [
      "a TorchScript program",
      packZip({ "x/data.pkl": "", "x/constants.pkl": "" }, 0),
      "it is a TorchScript program",
    ],
    ["another ZIP archive", packZip({ "x/y.txt": "" }, 0), "it is a ZIP archive without a data.pkl"],
    ["a compressed one", packZip({ "x/data.pkl": "pickle" }, 8), "its entry x/data.pkl is compressed"],
    [
      "a tar archive",
      Buffer.concat([Buffer.alloc(257), Buffer.from("ustar"), Buffer.alloc(300)]),
      "it is a tar archive",
    ],
    ["a pickle", pickleOf([0x4e]), "its pickle is damaged"],
    ["text", Buffer.from("version https://git-lfs.github.com/spec/v1"), "it is not a file of torch"],
    ["nothing", Buffer.alloc(0), "it is not a file of torch"],
  ])("that is %s is refused by a sentence", async (_, bytes, problem) => {
    expect(await problemOf(bytes)).toContain(problem);
  });
});
