/** The package as others install it: packed, put into an empty folder without a network, used from the shell and from code. */
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  createTemporaryFolder,
  type Json,
  parseJson,
  removeFolder,
  root,
  runUntwist,
  tinyRecipe,
} from "./support/untwist.ts";

const folder = createTemporaryFolder();
afterAll(() => removeFolder(folder));
const at = (...names: readonly string[]): string => join(folder, ...names);

function run(command: string, args: readonly string[], cwd = folder): string {
  const env = { ...process.env, UNTWIST_CACHE: at("cache"), npm_config_cache: at("npm") };
  const { status, stdout, stderr } = spawnSync(command, args, { cwd, env, encoding: "utf8" });
  expect(status, `${command} ${args.join(" ")}: ${stderr}${stdout}`).toBe(0);
  return stdout;
}

const manifest: Json = parseJson(readFileSync(join(root, "package.json"), "utf8"));
let packed: Json;

beforeAll(() => {
  [packed] = parseJson(run("npm", ["pack", "--json", "--pack-destination", folder], root));
  // Without a network, what the package depends on is taken from where it lies here.
  const local = Object.fromEntries(
    Object.keys(manifest.dependencies).map((name) => [name, `file:${join(root, "node_modules", name)}`]),
  );
  const dependencies = { untwist: `file:${at(packed.filename)}`, ...local };
  mkdirSync(at("elsewhere"));
  writeFileSync(
    at("elsewhere/package.json"),
    JSON.stringify({ name: "elsewhere", private: true, type: "module", dependencies, overrides: local }),
  );
  run("npm", ["install", "--offline", "--ignore-scripts", "--no-audit", "--no-fund"], at("elsewhere"));
});

describe("the packed package", () => {
  it("holds what it needs and no sources, tests or golden files", () => {
    const paths: readonly string[] = packed.files.map(({ path }: Json) => path);
    expect(paths).toEqual(
      expect.arrayContaining(["bin/untwist.js", "dist/node/cli.js", "dist/node/library.js"]),
    );
    expect(paths.filter((path) => /^(?:src|test|tools|bench|web)\//.test(path))).toEqual([]);
    expect(packed.size).toBeLessThan(20e6);
  });

  it("depends on no package that is built into it", () => {
    expect(Object.keys(manifest.dependencies).sort()).toEqual(["koffi", "onnxruntime-node", "zod"]);
  });

  it("runs as a command", () => {
    expect(run("npx", ["--no-install", "untwist", "--version"], at("elsewhere")).trim()).toBe(
      manifest.version,
    );
    const args = [
      "--no-install",
      "untwist",
      "eval",
      "general-points-base",
      "--environment",
      "general-points",
    ];
    const result = parseJson(run("npx", [...args, "--count", "4", "--json"], at("elsewhere")));
    expect(result.results.id.solved.total).toBe(4);
  });

  it("has types that a program compiles with", () => {
    writeFileSync(
      at("elsewhere/program.ts"),
      `import { compareCheckpoints, openRunFolder, UsageError } from "untwist";
const { matrices } = await compareCheckpoints("a", "b", { ranks: [8], signal: new AbortController().signal });
export const names: readonly string[] = matrices.map(({ name }) => name);
export const recipe: string = (await openRunFolder("c")).record.recipe;
export const isUsage: (error: unknown) => boolean = (error) => error instanceof UsageError;
// @ts-expect-error: ranks are numbers
void compareCheckpoints("a", "b", { ranks: ["8"] });
`,
    );
    const settings = ["--noEmit", "--strict", "--module", "nodenext", "--target", "es2023"];
    const types = ["--types", "node", "--typeRoots", join(root, "node_modules/@types")];
    run(join(root, "node_modules/.bin/tsc"), [...settings, ...types, "program.ts"], at("elsewhere"));
  });
});

/** The examples in doc comments of the library, by the function that each is of. */
function readExamples(): readonly (readonly [name: string, code: string])[] {
  const place = join(root, "src/face/library");
  return readdirSync(place)
    .filter((name) => name.endsWith(".ts"))
    .flatMap((name) => [
      ...readFileSync(join(place, name), "utf8").matchAll(
        /\n \* @example\n((?: \* ?.*\n)+?) \*\/\nexport async function (\w+)/g,
      ),
    ])
    .map(([, code = "", name = ""]) => [name, code.replaceAll(/^ \* ?/gm, "")] as const);
}

describe("an example in the library", () => {
  const examples = readExamples();
  beforeAll(async () => {
    writeFileSync(at("elsewhere/mine.yaml"), tinyRecipe);
    const made = await runUntwist(["run", "mine.yaml", "--out", "runs/mine"], at("elsewhere"));
    expect(made.code, made.stderr).toBe(0);
    // A training of somebody else's: the same checkpoints, as a trainer leaves them.
    const checkpoints = readdirSync(at("elsewhere/runs/mine/checkpoints")).filter((name) =>
      name.startsWith("sft-"),
    );
    for (const name of checkpoints)
      cpSync(
        at("elsewhere/runs/mine/checkpoints", name),
        at("elsewhere/trained", `checkpoint-${name.slice("sft-".length)}`),
        { recursive: true },
      );
  });

  it("is there for every function", async () => {
    const library = await import("../src/face/library/index.ts");
    const functions = Object.entries(library).filter(
      ([name, value]) => typeof value === "function" && !name.endsWith("Error"),
    );
    expect(examples.map(([name]) => name).sort()).toEqual(
      functions
        .map(([name]) => name)
        .filter((name) => name !== "openRunFolder")
        .sort(),
    );
  });

  it.each(examples)("of %s runs", (name, code) => {
    const plain = code.replaceAll(" as const", "");
    writeFileSync(at("elsewhere", `${name}.mjs`), plain);
    expect(run(process.execPath, [`${name}.mjs`], at("elsewhere"))).not.toBe("");
  });
});
