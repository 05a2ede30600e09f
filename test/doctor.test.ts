/** `untwist doctor`: what it finds on this machine, as JSON and in words. */
import { writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { openLinearAlgebra } from "../src/weights/linalg/index.ts";
import {
  createTemporaryFolder,
  type Environment,
  parseJson,
  removeFolder,
  root,
  startUntwist,
} from "./support/untwist.ts";

async function examine(flags: readonly string[] = [], environment: Environment = {}): Promise<string> {
  const { code, stdout, stderr } = await startUntwist(["doctor", ...flags], tmpdir(), environment).outcome;
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  return stdout;
}

it("says what was found, as JSON", async () => {
  const found = parseJson(await examine(["--json"]));
  const { name, description } = await openLinearAlgebra();
  expect(found).toMatchObject({
    untwist: expect.stringMatching(/^\d+\.\d+\.\d+$/),
    node: process.versions.node,
    engine: expect.stringMatching(/^onnxruntime \d+\.\d+/),
    linearAlgebra: { backend: name, description },
    memoryBytes: expect.any(Number),
    recipes: expect.arrayContaining(["general-points", "general-points-quick", "general-points-base"]),
    optional: { pytorch: expect.toSatisfy((value) => value === null || typeof value === "string") },
  });
  expect(found.threads.used).toBeGreaterThanOrEqual(1);
  expect(found.threads.used).toBeLessThanOrEqual(found.threads.available);
});

it("says the same in words", async () => {
  expect(await examine()).toMatch(
    /^untwist +\d.*\nnode +.*\nengine +onnxruntime.*\nlinear algebra +\S.*\nthreads +\d+ of \d+\n/,
  );
});

it("says what would be faster where there is no LAPACK, and where the cache is", async () => {
  const text = await examine([], { UNTWIST_LAPACK: "none", UNTWIST_CACHE: "/somewhere/else" });
  expect(text).toMatch(/^linear algebra +LAPACK .*WebAssembly.*OpenBLAS.*UNTWIST_LAPACK/m);
  expect(text).toMatch(/^cache +\/somewhere\/else /m);
});

it("says why the engine cannot be loaded, and so does a command that needs it", async () => {
  const folder = createTemporaryFolder();
  const script = join(folder, "no-engine.cjs");
  writeFileSync(
    script,
    `const { dlopen } = process;
    process.dlopen = (module, path, ...rest) => {
      if (path.includes("onnxruntime")) throw new Error("libstdc++.so.6: cannot open shared object file");
      return dlopen.call(process, module, path, ...rest);
    };`,
  );
  const environment = { NODE_OPTIONS: `--require=${script}` };
  const sentence = `Cannot load ONNX Runtime on ${process.platform} ${process.arch}: libstdc++.so.6: cannot open shared object file; install the packages on this machine, by npm ci`;
  try {
    expect(await examine([], environment)).toContain(`engine          ${sentence}\n`);
    const args = [
      "eval",
      join(root, "models/general-points-base"),
      "--environment",
      "general-points",
      "--count",
      "2",
    ];
    expect(await startUntwist(args, folder, environment).outcome).toEqual({
      code: 2,
      stdout: "",
      stderr: `${sentence}\n`,
    });
  } finally {
    removeFolder(folder);
  }
});
