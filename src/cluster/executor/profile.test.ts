import { describe, expect, it } from "vitest";
import { UsageError } from "../../base/core/index.ts";
import { parseProfile, parseSize } from "./profile.ts";

const file = (text: string) => ({ place: "slurm.yaml", text });

describe("parseProfile()", () => {
  it("reads a file, and what is given over it", () => {
    const text =
      "partition: cpu\ntime: 90\nmemory: 8GB\nscratch: 1GiB\nat-most: 5\nvolumes: data:/data/\nbefore: module load node\nsbatch: [--nice]\n";
    expect(parseProfile(file(text), ["partition=gpu", "gpus=2", "cpus=4", "host=login.example.org"])).toEqual(
      {
        partition: "gpu",
        gpus: "2",
        cpus: 4,
        host: "login.example.org",
        time: 5400,
        memory: 8e9,
        scratch: 2 ** 30,
        atMost: 5,
        before: ["module load node"],
        sbatch: ["--nice"],
        volumes: [{ claim: "data", path: "/data" }],
      },
    );
    expect(parseProfile(undefined, [])).toEqual({ before: [], sbatch: [], volumes: [] });
    expect(parseProfile(file("# nothing yet\n"), [])).toEqual(parseProfile(undefined, []));
  });

  it.each([
    ["90", 5400],
    ["30:00", 1800],
    ["2:00:00", 7200],
    ["1-12", 36 * 3600],
    ["1-12:30:00", 36.5 * 3600],
  ])("reads the time %s as %d seconds, as Slurm does", (text, seconds) => {
    expect(parseProfile(undefined, [`time=${text}`]).time).toBe(seconds);
  });

  it.each([
    ["time=soon", /^Cannot read time in profile: give minutes/],
    ["time=0", /^Cannot read time/],
    ["memory=much", /^Cannot read memory in profile: give a size, as in 8GB/],
    ["cpus=0", /^Cannot read cpus in profile: give a whole number from 1/],
    ["scratch=big", /^Cannot read scratch in profile: give a size/],
    ["namespace=My_Team", /^Cannot read namespace in profile: give small letters/],
    ["image=bad image", /^Cannot read image in profile: give a name without spaces/],
    ["volumes=/data", /^Cannot read volumes in profile: give the name of a claim/],
    ["volumes=data:/", /^Cannot read volumes/],
    ["volumes=data:data", /^Cannot read volumes/],
    ["queue=main", /^Cannot read profile "queue=main": .*partition, account/],
    ["partition", /^Cannot read profile "partition"/],
    ["partition=a b", /^Cannot read partition/],
  ])("refuses %s", (given, message) => {
    expect(() => parseProfile(undefined, [given])).toThrow(message);
    expect(() => parseProfile(undefined, [given])).toThrow(UsageError);
  });
});

it.each([
  ["8GB", 8e9],
  ["1.5 GB", 1.5e9],
  ["500MB", 5e8],
  ["2GiB", 2 ** 31],
  ["2G", 2e9],
  ["1tb", 1e12],
])("parseSize() reads %s as %d bytes", (text, bytes) => {
  expect(parseSize("memory", text)).toBe(bytes);
});
