import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { findViolations, readImports, readSources, rows, type Source } from "../tools/architecture.ts";

const root = fileURLToPath(new URL("..", import.meta.url));

/** Files by their path below src, without `.ts`. */
function plant(texts: Readonly<Record<string, string>>): readonly Source[] {
  return Object.entries(texts).map(([path, text]) => ({ file: `src/${path}.ts`, text }));
}

describe("src", () => {
  const sources = readSources(root);

  it("keeps to the table of rooms", () => {
    expect(findViolations(sources)).toEqual([]);
  });

  it("was really read", () => {
    const imports = sources.flatMap(readImports);
    expect(imports.length).toBeGreaterThan(100);
    const files = new Set(sources.map(({ file }) => file));
    const missing = imports.filter(({ target }) => target !== undefined && !files.has(target));
    expect(missing).toEqual([]);
    expect(imports).toContainEqual({
      file: "src/trajectory/point.ts",
      specifier: "../statistics/index.ts",
      target: "src/statistics/index.ts",
    });
  });
});

describe("findViolations()", () => {
  const cases: Readonly<
    Record<string, { readonly texts: Record<string, string>; readonly found: string[] }>
  > = {
    "an upward import": {
      texts: { "model/a": 'import { b } from "../training/index.ts";' },
      found: ['src/model/a.ts imports src/training/index.ts, but room "training" is not below "model"'],
    },
    "an import of a room in the same row": {
      texts: { "training/a": 'import { b } from "../evaluation/index.ts";' },
      found: [
        'src/training/a.ts imports src/evaluation/index.ts, but room "evaluation" is not below "training"',
      ],
    },
    "an import past the index of another room": {
      texts: { "model/a": 'import { b } from "../base/random.ts";' },
      found: ["src/model/a.ts imports src/base/random.ts, not through index.ts"],
    },
    "an import of the index of a folder inside another room": {
      texts: { "model/a": 'import { b } from "../environment/general-points/index.ts";' },
      found: ["src/model/a.ts imports src/environment/general-points/index.ts, not through index.ts"],
    },
    "an import of the room's own index": {
      texts: { "model/a": 'import { b } from "./index.ts";' },
      found: [
        "src/model/a.ts imports src/model/index.ts, the index.ts of its own room: import the file itself",
      ],
    },
    "an upward import of types": {
      texts: { "model/a": 'import type { B } from "../lab/index.ts";' },
      found: ['src/model/a.ts imports src/lab/index.ts, but room "lab" is not below "model"'],
    },
    "an upward import inside a type": {
      texts: { "model/a": 'export type B = import("../lab/index.ts").B;' },
      found: ['src/model/a.ts imports src/lab/index.ts, but room "lab" is not below "model"'],
    },
    "an upward import() inside a function": {
      texts: { "model/deep/a": 'export const b = async () => await import("../../cli/index.ts");' },
      found: ['src/model/deep/a.ts imports src/cli/index.ts, but room "cli" is not below "model"'],
    },
    "an import() of a computed path": {
      texts: { "cli/a": 'export const b = (name: string) => import("./" + name);' },
      found: ["src/cli/a.ts imports a computed path: write it out, so that it can be checked"],
    },
    "an upward re-export": {
      texts: { "base/index": 'export { b } from "../tensor/index.ts";\nexport * from "../file/index.ts";' },
      found: [
        'src/base/index.ts imports src/tensor/index.ts, but room "tensor" is not below "base"',
        'src/base/index.ts imports src/file/index.ts, but room "file" is not below "base"',
      ],
    },
    "a cycle of files, types included": {
      texts: {
        "tensor/a": 'import { b } from "./b.ts";',
        "tensor/b": 'import { c } from "./c.ts";',
        "tensor/c": 'import type { B } from "./b.ts";',
      },
      found: ["Cycle: src/tensor/b.ts → src/tensor/c.ts → src/tensor/b.ts"],
    },
    "a file that imports itself": {
      texts: { "run/a": 'import type { A } from "./a.ts";' },
      found: ["Cycle: src/run/a.ts → src/run/a.ts"],
    },
    "a file in no room": {
      texts: { main: "", "common/a": "", "cli/a": 'import { a } from "../common/a.ts";' },
      found: [
        "src/main.ts is in no room",
        "src/common/a.ts is in no room",
        "src/cli/a.ts imports src/common/a.ts, which is in no room",
      ],
    },
    "an import from outside of src": {
      texts: { "lab/a": 'import { rows } from "../../tools/architecture.ts";' },
      found: ["src/lab/a.ts imports tools/architecture.ts, which is in no room"],
    },
    "a module of Node's with effects in a pure room": {
      texts: { "model/a": 'import { readFile } from "node:fs/promises";\nimport fs from "fs";' },
      found: [
        'src/model/a.ts imports node:fs/promises, but room "model" is pure',
        'src/model/a.ts imports fs, but room "model" is pure',
      ],
    },
  };
  for (const [name, { texts, found }] of Object.entries(cases)) {
    it(`reports ${name}`, () => {
      expect(findViolations(plant(texts))).toEqual(found);
    });
  }

  const effects: Readonly<Record<string, string>> = {
    "export const a = () => Math.random();": "Math.random",
    'export const a = Math["random"];': "Math.random",
    "const { random } = Math;": "Math.random",
    "export const a = Math?.random;": "Math.random",
    "export const a = Date.now();": "Date",
    "export const a = () => new Date();": "Date",
    "export const a = { process };": "process",
    "export const a = performance.now();": "performance",
    'console.log("a");': "console",
    'export const a = await fetch("a");': "fetch",
    "setTimeout(() => {}, 1);": "setTimeout",
    "export const a = b[process];": "process",
    "export const a = globalThis.process;": "globalThis",
  };
  for (const [text, name] of Object.entries(effects)) {
    it(`reports ${name} in a pure room: ${text}`, () => {
      const found = [`src/statistics/a.ts uses ${name}, but room "statistics" is pure`];
      expect(findViolations(plant({ "statistics/a": text }))).toEqual(found);
    });
  }

  it("accepts downward imports through the index, and effects where they belong", () => {
    const texts = {
      "base/index": 'export { a } from "./a.ts";',
      "base/a": 'import { z } from "zod";',
      "model/a": 'import { a } from "../base/index.ts";\nimport { join } from "node:path";',
      "model/deep/b": 'import { c } from "../c.ts";\nimport { createHash } from "node:crypto";',
      "model/c": "export const x = (a) => Math.max(a.process, { Date: 1, console: 2 }.Date, 'Math.random');",
      "model/d":
        "/** Not Math.random or process. */\nexport interface D { readonly fetch: number; process(): void }",
      "file/a": 'import { open } from "node:fs/promises";\nexport const a = Math.random() + process.pid;',
      "tensor/session": "export const a = performance.now();",
      "cli/a": 'import { b } from "../lab/index.ts";\nconsole.log(Date.now());',
    };
    expect(findViolations(plant(texts))).toEqual([]);
  });

  it("refuses what it cannot parse", () => {
    expect(() => findViolations(plant({ "base/a": "import {" }))).toThrow("src/base/a.ts");
  });
});

describe("the table of rooms", () => {
  const rooms = rows.flat();

  it("names each room once, with one sentence", () => {
    expect(new Set(rooms.map(({ name }) => name)).size).toBe(rooms.length);
    for (const { purpose } of rooms) expect(purpose).toMatch(/^[A-Z(][^.]+\.$/);
  });

  it.runIf(existsSync(`${root}/ARCHITECTURE.md`))("is the one in ARCHITECTURE.md", () => {
    const lines = readFileSync(`${root}/ARCHITECTURE.md`, "utf8").split("\n");
    const missing = rooms.filter(
      ({ name, purpose }) =>
        !lines.some(
          (line) => new RegExp(`\\b${name}\\b`).test(line.replace(purpose, "")) && line.includes(purpose),
        ),
    );
    expect(missing).toEqual([]);
  });
});
