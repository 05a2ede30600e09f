/** `untwist spectra` as programs use it, and what its answer and its cache can be asked. */
import { existsSync, readFileSync } from "node:fs";
import { parquetMetadata, parquetReadObjects } from "hyparquet";
import { expect } from "vitest";
import { type Environment, type Json, listFilesBelow, parseJson, runUntwist } from "./untwist.ts";

/** Runs `untwist spectra … --json`, expects success, and gives what it printed. */
export async function readSpectra(
  args: readonly string[],
  cwd: string,
  environment: Environment = {},
): Promise<Json> {
  const { code, stdout, stderr } = await runUntwist(["spectra", ...args, "--json"], cwd, environment);
  expect(code, stderr).toBe(0);
  return parseJson(stdout);
}

/** Files of a cache folder by what they hold; what a killed process left half-written is not counted. */
export function listCache(folder: string): {
  readonly factors: readonly string[];
  readonly comparisons: readonly string[];
} {
  const files = existsSync(folder)
    ? listFilesBelow(folder).filter((path) => !path.includes(".untwist-"))
    : [];
  const below = (kind: string): readonly string[] => files.filter((path) => path.includes(`/${kind}/`));
  return { factors: below("factors"), comparisons: below("comparisons") };
}

/** A matrix of an answer, by the end of its name. */
export function findMatrix(spectra: Json, end: string): Json {
  const found = spectra.matrices.filter(({ name }: { name: string }) => name.endsWith(end));
  expect(found, end).toHaveLength(1);
  return found[0];
}

/** Expects the same keys, texts and lists everywhere, and numbers within a tolerance: absolute up to 1, then relative. */
export function expectClose(actual: unknown, expected: unknown, tolerance: number, place = ""): void {
  if (typeof expected === "number") {
    expect(actual, place).toBeTypeOf("number");
    const error = Math.abs(Number(actual) - expected);
    expect(error, `${place}: ${String(actual)} and ${expected}`).toBeLessThanOrEqual(
      tolerance * Math.max(1, Math.abs(expected)),
    );
    return;
  }
  if (typeof expected !== "object" || expected === null) return void expect(actual, place).toBe(expected);
  const [found, wanted] = [actual ?? {}, expected].map((value) => Object.entries(value));
  expect(
    found!.map(([key]) => key),
    place,
  ).toEqual(wanted!.map(([key]) => key));
  for (const [index, [key, value]] of wanted!.entries())
    expectClose(found![index]![1], value, tolerance, `${place}.${key}`);
}

/** A value without the fields of these names, at any depth. */
export function omitFields<Value>(value: Value, names: readonly string[]): Value {
  return JSON.parse(JSON.stringify(value, (key, part: unknown) => (names.includes(key) ? undefined : part)));
}

/** A Parquet file: its columns in order, its rows, and its notes. */
export async function readParquet(path: string): Promise<{
  readonly columns: readonly string[];
  readonly rows: readonly Readonly<Record<string, unknown>>[];
  readonly notes: Readonly<Record<string, string | undefined>>;
}> {
  const bytes = readFileSync(path);
  const file = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
  const { schema, key_value_metadata: notes = [] } = parquetMetadata(file);
  return {
    columns: schema
      .slice(1)
      .map(({ name }) => name)
      .filter((name) => name !== "list" && name !== "element"),
    rows: await parquetReadObjects({ file }),
    notes: Object.fromEntries(notes.map(({ key, value }) => [key, value])),
  };
}
