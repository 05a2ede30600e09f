/** What `untwist spectra` takes and what it leaves: its flags, tables and screen, from outside. */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createTables, tableNames } from "../src/weights/spectra/index.ts";
import {
  buildModel,
  drawDecaying,
  drawNormal,
  nameWeight,
  writeCheckpointFolder,
} from "./support/checkpoint-folder.ts";
import { expectClose, findMatrix, readParquet, readSpectra } from "./support/spectra.ts";
import {
  createTemporaryFolder,
  hashFiles,
  parseJson,
  removeFolder,
  root,
  runUntwist,
} from "./support/untwist.ts";

const folder = createTemporaryFolder();
const query = nameWeight(0, "self_attn.q_proj");

beforeAll(async () => {
  for (const step of ["one", "two"]) await writeCheckpointFolder(join(folder, step), buildModel(step));
});

afterAll(() => removeFolder(folder));

const namesOf = (list: readonly { readonly name: string }[]): readonly string[] =>
  list.map(({ name }) => name).sort();

describe("untwist spectra takes", () => {
  it("--rank: the ranks asked for, as far as a matrix has them", async () => {
    const spectra = await readSpectra(["one", "two", "--rank", "16, 3,100,3"], folder);
    expect(spectra.settings.ranks).toEqual([3, 16, 100]);
    const { left, right } = findMatrix(spectra, "0.mlp.up_proj.weight").principalAngles;
    expect([Object.keys(left), Object.keys(right)]).toEqual([
      ["3", "16", "24"],
      ["3", "16", "24"],
    ]);
    expect(right[24]).toEqual(new Array(24).fill(0));
    expect(left[24].slice(0, 8)).toEqual(new Array(8).fill(0));
    expect(left[24][8]).toBeGreaterThan(0.01);
  });

  it("--matrices and --layers: only these, counting the others", async () => {
    const [some, both] = await Promise.all([
      readSpectra(["one", "two", "--matrices", "q_proj, model.fr*"], folder),
      readSpectra(["one", "two", "--matrices", "*_proj,*norm", "--layers", "1-3"], folder),
    ]);
    const queries = [0, 1].map((number) => nameWeight(number, "self_attn.q_proj"));
    expect(namesOf(some.matrices)).toEqual(["model.frozen.weight", ...queries]);
    expect(some).toMatchObject({ vectors: [], coverage: { numMatched: 3, numLeftOut: 6 } });
    expect(namesOf(both.matrices)).toEqual([nameWeight(1, "mlp.up_proj"), queries[1]]);
    expect(namesOf(both.vectors)).toEqual([nameWeight(1, "input_layernorm")]);
  });

  it("a choice that the headline is over: its least, median and largest are of these matrices alone", async () => {
    const spectra = await readSpectra(["one", "two", "--matrices", "q_proj"], folder);
    const [first, second] = spectra.matrices
      .map(({ spectralShift }: { spectralShift: number }) => spectralShift)
      .sort((a: number, b: number) => a - b);
    expect(spectra.numMatrices).toBe(2);
    expectClose(
      spectra.spectralShift,
      { least: first, median: (first + second) / 2, largest: second },
      1e-12,
    );
  });

  it("--randomized: leading values near the exact ones, the same for the same seed", async () => {
    const shape = [96, 64] as const;
    const trained = drawDecaying("trained", shape);
    const noise = drawNormal("noise", trained.length);
    const drift = trained.map((value, index) => value + 0.001 * noise[index]!);
    for (const [name, values] of Object.entries({ trained, drift }))
      await writeCheckpointFolder(join(folder, name), [{ name: query, shape, values }]);
    const args = ["trained", "drift", "--rank", "8"];
    const read = (name: string, ...more: readonly string[]): ReturnType<typeof readSpectra> =>
      readSpectra([...args, ...more], folder, { UNTWIST_CACHE: join(folder, `cache-${name}`) });
    const [exact, first] = await Promise.all([read("exact"), read("first", "--randomized", "1")]);
    const [again, other] = await Promise.all([
      read("again", "--randomized", "1"),
      read("first", "--randomized", "2"),
    ]);
    expect(again).toEqual(first);
    expect(first.settings).toMatchObject({ randomizedSeed: 1 });
    const [rough, fine, differing] = [first, exact, other].map((spectra) => findMatrix(spectra, query));
    expect(rough.singularValues.method).toEqual({ before: "randomized", after: "randomized" });
    expect(differing.singularValues.after).not.toEqual(rough.singularValues.after);
    expectClose(rough.singularValues.after.slice(0, 8), fine.singularValues.after.slice(0, 8), 1e-3);
    expectClose(rough.update.frobenius, fine.update.frobenius, 1e-9);
    // What needs all values is left out, not made up.
    expect(rough.nulls).not.toHaveProperty("randomUpdate");
    expect(rough.update).not.toHaveProperty("entropyRank");
  });
});

describe("untwist spectra --out", () => {
  it("writes the JSON it prints and four tables of the documented columns", async () => {
    const printed = await readSpectra(["one", "two", "--rank", "4,8", "--out", "tables"], folder);
    const written = parseJson(readFileSync(join(folder, "tables/spectra.json"), "utf8"));
    expect(written).toEqual(printed);
    const numRows = { values: 7, subspaces: 7 * 2 * 2, updates: 7, sparsity: 9 };
    expect(Object.keys(hashFiles(join(folder, "tables")))).toEqual(
      ["spectra.json", ...tableNames.map((name) => `${name}.parquet`)].sort(),
    );
    const documented = createTables([]);
    for (const name of tableNames) {
      const { columns, rows, notes } = await readParquet(join(folder, `tables/${name}.parquet`));
      expect(columns).toEqual(documented[name].map((column) => column.name));
      expect(rows).toHaveLength(numRows[name]);
      expect(notes["untwist.spectra"]).toMatch(/^\d+$/);
      for (const row of rows) expect(row).toMatchObject({ before: "one", after: "two" });
    }
    await expectTables(printed);
  });

  /** Some cells of every table against the JSON. */
  async function expectTables(printed: ReturnType<typeof parseJson>): Promise<void> {
    const read = async (name: string): Promise<readonly Readonly<Record<string, unknown>>[]> =>
      (await readParquet(join(folder, `tables/${name}.parquet`))).rows;
    const [values, updates, subspaces, sparsity] = [
      await read("values"),
      await read("updates"),
      await read("subspaces"),
      await read("sparsity"),
    ];
    for (const matrix of printed.matrices) {
      const { name, kind, shape } = matrix;
      const [rows, columns] = shape.map(BigInt);
      const label = { name, kind, rows, columns };
      const find = (table: typeof values, more: object = {}): unknown =>
        table.find((row) => Object.entries({ name, ...more }).every(([key, value]) => row[key] === value));
      expect(find(values)).toMatchObject({
        ...label,
        values_before: matrix.singularValues.before,
        values_after: matrix.singularValues.after,
        spectral_shift: matrix.spectralShift,
        flags: matrix.flags,
      });
      const { frobenius, spectral } = matrix.update;
      expect(find(updates)).toMatchObject({ ...label, frobenius, spectral });
      expect(find(sparsity)).toMatchObject({ ...label, bitwise: matrix.sparsity.bitwise });
      for (const side of ["left", "right"])
        expect(find(subspaces, { side, rank: 8n })).toMatchObject({
          ...label,
          angles: matrix.principalAngles[side][8],
        });
    }
  }

  it("writes into an empty folder, and tells where", async () => {
    mkdirSync(join(folder, "new/tables"), { recursive: true });
    const outcome = await runUntwist(["spectra", "one", "two", "--out", "new/tables"], folder);
    expect(outcome).toMatchObject({ code: 0, stderr: "" });
    expect(outcome.stdout.trimEnd().split("\n").at(-1)).toContain("new/tables");
    expect(Object.keys(hashFiles(join(folder, "new")))).toHaveLength(5);
  });
});

describe("the table of untwist spectra", () => {
  const escapeCode = "\u001b";
  const terminal = "/usr/bin/script";

  it("has on a pipe all columns, the matrices that changed most first, and no escape codes", async () => {
    const { code, stdout, stderr } = await runUntwist(["spectra", "one", "two"], folder);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).not.toContain(escapeCode);
    const lines = stdout.split("\n");
    const head = lines.findIndex((line) => line.startsWith("matrix "));
    expect(lines[head]).toMatch(/^matrix .*chance.* stretch .* same$/);
    const rows = lines.slice(head + 1, lines.indexOf("", head));
    expect(rows).toHaveLength(7);
    expect(rows.at(-1)).toMatch(/^frozen .* 100\.0 % .*unchanged$/);
    for (const row of rows) expect(row).not.toMatch(/NaN|undefined|Infinity/);
    expect(stdout).toMatch(/\n• .*singular values move by .*\d %/i);
  });

  it("fits a narrow terminal", ({ skip }) => {
    skip(!existsSync(terminal), "there is no script(1) to make a terminal");
    const command = `stty cols 80; ${process.execPath} ${join(root, "bin/untwist.js")} spectra one two`;
    const { stdout, status } = spawnSync(terminal, ["-qec", command, "/dev/null"], {
      cwd: folder,
      encoding: "utf8",
      env: { ...process.env, UNTWIST_CACHE: join(folder, "cache-terminal"), TERM: "xterm" },
    });
    expect(status, stdout).toBe(0);
    expect(stdout).toContain(escapeCode);
    // What stands after the last return to the first column is what stays on a line.
    const plain = stdout
      .replaceAll(`${escapeCode}[1G`, "\r")
      .replaceAll(new RegExp(`${escapeCode}\\[[?0-9;]*[A-Za-z]`, "g"), "");
    expect(plain).toMatch(/matrix .*chance/);
    for (const line of plain.split(/\r?\n/))
      expect(line.split("\r").at(-1)!.length, line).toBeLessThanOrEqual(80);
  });
});
