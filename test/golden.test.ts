/** The golden files are what their scripts make: regenerated with Python where it has the packages, and compared. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";

const python = "/usr/bin/python3";
const isRequired = process.env.UNTWIST_REQUIRE_SYSTEM_PACKAGES === "1";

const scripts = [
  { script: "tools/golden/make-checkpoint-fixtures.py", folder: "checkpoint", modules: ["numpy"] },
  { script: "tools/golden/make-statistics-golden.py", folder: "statistics", modules: ["numpy", "scipy"] },
  { script: "tools/golden/make-model-golden.py", folder: "model", modules: ["numpy", "torch"] },
  { script: "tools/golden/make-null-golden.py", folder: "null", modules: ["numpy"] },
  { script: "tools/golden/make-surgery-golden.py", folder: "surgery", modules: ["numpy"] },
  { script: "tools/golden/make-spectra-golden.py", folder: "spectra", modules: ["numpy", "scipy"] },
];

function hasModules(modules: readonly string[]): boolean {
  return spawnSync(python, ["-c", `import ${modules.join(", ")}`]).status === 0;
}

function listFiles(folder: string): readonly string[] {
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((name) => statSync(join(folder, name)).isFile())
    .sort();
}

/** What depends on the machine that ran the script: versions, and what its own 32-bit floats lose against 64-bit ones. */
const ofTheMachine = new Set(["versions", "float32"]);

/** Numbers agree to 1e-7 relative (BLAS builds differ in the last digits), everything else exactly. */
function expectSame(actual: unknown, expected: unknown, path: string): void {
  if (typeof actual === "number" && typeof expected === "number") {
    const tolerance = 1e-7 * Math.max(1, Math.abs(expected));
    if (Math.abs(actual - expected) > tolerance) expect(actual, path).toBe(expected);
    return;
  }
  if (typeof actual !== "object" || actual === null || typeof expected !== "object" || expected === null) {
    expect(actual, path).toEqual(expected);
    return;
  }
  const [left, right] = [new Map(Object.entries(actual)), new Map(Object.entries(expected))];
  expect([...left.keys()], path).toEqual([...right.keys()]);
  for (const [key, value] of left)
    if (!ofTheMachine.has(key)) expectSame(value, right.get(key), `${path}.${key}`);
}

describe("golden files", () => {
  for (const { script, folder, modules } of scripts) {
    const canRun = hasModules(modules);
    // Without the Debian packages python3-numpy, python3-scipy and python3-torch there is nothing to compare with.
    it.skipIf(!canRun && !isRequired)(
      `${folder}: ${script} makes the files that are committed`,
      () => {
        expect(canRun, `${python} lacks ${modules.join(", ")}`).toBe(true);
        const target = mkdtempSync(join(tmpdir(), "untwist-golden-"));
        try {
          const { status, stderr } = spawnSync(python, [script, target], { encoding: "utf8" });
          expect(status, stderr).toBe(0);
          const [made, committed] = [join(target, folder), join("test/golden", folder)];
          expect(listFiles(made)).toEqual(listFiles(committed));
          for (const name of listFiles(made)) {
            const [actual, expected] = [readFileSync(join(made, name)), readFileSync(join(committed, name))];
            if (name.endsWith(".json"))
              expectSame(JSON.parse(actual.toString()), JSON.parse(expected.toString()), name);
            else expect(actual.equals(expected), name).toBe(true);
          }
        } finally {
          rmSync(target, { recursive: true });
        }
      },
      240_000,
    );
  }
});
