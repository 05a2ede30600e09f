import { existsSync, readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { findViolations, readPurpose, rooms, wings } from "../tools/architecture.ts";
import { readImports, readSources, type Source } from "../tools/source.ts";

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
      file: "src/tasks/trajectory/point.ts",
      specifier: "../../base/statistics/index.ts",
      target: "src/base/statistics/index.ts",
      isTypes: true,
    });
  });
});

describe("findViolations()", () => {
  const cases: Readonly<
    Record<string, { readonly texts: Record<string, string>; readonly found: string[] }>
  > = {
    "an import of a higher wing": {
      texts: { "engine/model/a": 'import { b } from "../../training/index.ts";' },
      found: [
        'src/engine/model/a.ts imports src/training/index.ts, but room "training" is not below "engine/model"',
      ],
    },
    "an import of a higher row of the same wing": {
      texts: { "weights/spectra/a": 'import { b } from "../surgery/index.ts";' },
      found: [
        'src/weights/spectra/a.ts imports src/weights/surgery/index.ts, but room "weights/surgery" is not below "weights/spectra"',
      ],
    },
    "an import of a room in the same row": {
      texts: { "lab/factor/a": 'import { b } from "../answer/index.ts";' },
      found: [
        'src/lab/factor/a.ts imports src/lab/answer/index.ts, but room "lab/answer" is not below "lab/factor"',
      ],
    },
    "an import past the index of another room": {
      texts: { "engine/model/a": 'import { b } from "../../base/core/random.ts";' },
      found: ["src/engine/model/a.ts imports src/base/core/random.ts, not through index.ts"],
    },
    "an import of the index of a folder inside another room": {
      texts: { "tasks/rollout/a": 'import { b } from "../environment/general-points/index.ts";' },
      found: [
        "src/tasks/rollout/a.ts imports src/tasks/environment/general-points/index.ts, not through index.ts",
      ],
    },
    "an import of the room's own index": {
      texts: { "engine/model/a": 'import { b } from "./index.ts";' },
      found: [
        "src/engine/model/a.ts imports src/engine/model/index.ts, the index.ts of its own room: import the file itself",
      ],
    },
    "an import of the index of its own room from a folder in it": {
      texts: { "cluster/executor/slurm/a": 'import { b } from "../index.ts";' },
      found: [
        "src/cluster/executor/slurm/a.ts imports src/cluster/executor/index.ts, the index.ts of its own room: import the file itself",
      ],
    },
    "an upward import of types": {
      texts: { "engine/model/a": 'import type { B } from "../../lab/recipe/index.ts";' },
      found: [
        'src/engine/model/a.ts imports src/lab/recipe/index.ts, but room "lab/recipe" is not below "engine/model"',
      ],
    },
    "an upward import inside a type": {
      texts: { "engine/model/a": 'export type B = import("../../run/index.ts").B;' },
      found: ['src/engine/model/a.ts imports src/run/index.ts, but room "run" is not below "engine/model"'],
    },
    "an upward import() inside a function": {
      texts: {
        "engine/model/deep/a": 'export const b = async () => await import("../../../face/cli/index.ts");',
      },
      found: [
        'src/engine/model/deep/a.ts imports src/face/cli/index.ts, but room "face/cli" is not below "engine/model"',
      ],
    },
    "an import() of a computed path": {
      texts: { "face/cli/a": 'export const b = (name: string) => import("./" + name);' },
      found: ["src/face/cli/a.ts imports a computed path: write it out, so that it can be checked"],
    },
    "an upward re-export": {
      texts: {
        "base/core/index":
          'export { b } from "../../engine/tensor/index.ts";\nexport * from "../file/index.ts";',
      },
      found: [
        'src/base/core/index.ts imports src/engine/tensor/index.ts, but room "engine/tensor" is not below "base/core"',
        'src/base/core/index.ts imports src/base/file/index.ts, but room "base/file" is not below "base/core"',
      ],
    },
    "a cycle of files, types included": {
      texts: {
        "engine/tensor/a": 'import { b } from "./b.ts";',
        "engine/tensor/b": 'import { c } from "./c.ts";',
        "engine/tensor/c": 'import type { B } from "./b.ts";',
      },
      found: ["Cycle: src/engine/tensor/b.ts → src/engine/tensor/c.ts → src/engine/tensor/b.ts"],
    },
    "a file that imports itself": {
      texts: { "run/a": 'import type { A } from "./a.ts";' },
      found: ["Cycle: src/run/a.ts → src/run/a.ts"],
    },
    "a file in no room": {
      texts: {
        main: "",
        "weights/a": "",
        "common/a": "",
        "face/cli/a": 'import { a } from "../../common/a.ts";',
      },
      found: [
        "src/main.ts is in no room",
        "src/weights/a.ts is in no room",
        "src/common/a.ts is in no room",
        "src/face/cli/a.ts imports src/common/a.ts, which is in no room",
      ],
    },
    "an import from outside of src": {
      texts: { "lab/recipe/a": 'import { rows } from "../../../tools/architecture.ts";' },
      found: ["src/lab/recipe/a.ts imports tools/architecture.ts, which is in no room"],
    },
    "a module of Node's with effects in a room that only uses files": {
      texts: { "engine/model/a": 'import { readFile } from "node:fs/promises";\nimport fs from "fs";' },
      found: [
        'src/engine/model/a.ts imports node:fs/promises, but room "engine/model" touches the outside only through base/file',
        'src/engine/model/a.ts imports fs, but room "engine/model" touches the outside only through base/file',
      ],
    },
    "a room without effects that reads files": {
      texts: { "weights/spectra/deep/a": 'import { type B, readText } from "../../../base/file/index.ts";' },
      found: [
        'src/weights/spectra/deep/a.ts imports src/base/file/index.ts, but room "weights/spectra" has no effects: it may name types of base/file only',
      ],
    },
    "what users type in a message of a lower room, and the environment read there": {
      texts: {
        "face/cli/command/eval": 'export const a = ["--count <number>", "untwist eval runs/x --count 2"];',
        "lab/repair/a":
          'export const a = [`lower --count`, "go on with: untwist eval x", "--count", "by --county", "untwist evaluates "];',
        "lab/repair/b": "export const a = process.env.HOME;",
      },
      found: [
        "src/lab/repair/a.ts names --count: only src/face/ knows what users type",
        "src/lab/repair/a.ts names untwist eval: only src/face/ knows what users type",
        "src/lab/repair/b.ts uses process.env: src/face/ reads it, and hands it on",
      ],
    },
    "a folder with too many files": {
      texts: Object.fromEntries(Array.from({ length: 16 }, (_, index) => [`lab/factor/${index}`, "\n"])),
      found: ["src/lab/factor holds 16 files with 16 lines: make rooms or folders of it"],
    },
    "a folder with too many lines": {
      texts: { "run/a": "\n".repeat(1501), "run/deep/a": "\n".repeat(1500) },
      found: ["src/run holds 1 files with 1501 lines: make rooms or folders of it"],
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
    it(`reports ${name} in a room without effects: ${text}`, () => {
      const found = [`src/base/statistics/a.ts uses ${name}, but room "base/statistics" has no effects`];
      expect(findViolations(plant({ "base/statistics/a": text }))).toEqual(found);
    });
  }

  it("accepts downward imports through the index, and effects where they belong", () => {
    const texts = {
      "base/core/index": 'export { a } from "./a.ts";',
      "base/core/a": 'import { z } from "zod";',
      "weights/spectra/a": 'import type { ByteSource } from "../../base/file/index.ts";',
      "engine/model/a":
        'import { readText } from "../../base/file/index.ts";\nimport { join } from "node:path";',
      "engine/model/deep/b": 'import { c } from "../c.ts";\nimport { createHash } from "node:crypto";',
      "engine/model/c":
        "export const x = (a) => Math.max(a.process, { Date: 1, console: 2 }.Date, 'Math.random');",
      "engine/model/d":
        "/** Not Math.random or process. */\nexport interface D { readonly fetch: number; process(): void }",
      "base/file/a":
        'import { open } from "node:fs/promises";\nexport const a = Math.random() + process.pid;',
      "engine/tensor/session": "export const a = performance.now();",
      "face/cli/a": 'import { b } from "../../lab/recipe/index.ts";\nconsole.log(Date.now());',
    };
    expect(findViolations(plant(texts))).toEqual([]);
  });

  it("refuses what it cannot parse", () => {
    expect(() => findViolations(plant({ "base/core/a": "import {" }))).toThrow("src/base/core/a.ts");
  });
});

describe("the table of rooms", () => {
  const sources = readSources(root);

  it("names each room once, and no more than ten wings, as src does", () => {
    expect(new Set(rooms.map(({ path }) => path)).size).toBe(rooms.length);
    expect(wings.length).toBeLessThanOrEqual(10);
    expect(readdirSync(`${root}src`).sort()).toEqual(wings.map(({ name }) => name).sort());
  });

  it("leaves it to each index.ts to say what its room is for", () => {
    for (const room of rooms) expect(readPurpose(sources, room)).toMatch(/^[A-Z][^.]+\.$/);
    const silent = plant({ "base/core/index": '/** core: things */\nexport { a } from "./a.ts";' });
    expect(() => readPurpose(silent, { path: "base/core" })).toThrow("src/base/core/index.ts");
  });

  it.runIf(existsSync(`${root}/ARCHITECTURE.md`))("is the one in ARCHITECTURE.md", () => {
    const lines = readFileSync(`${root}/ARCHITECTURE.md`, "utf8")
      .split("\n")
      .map((line) => line.replaceAll(/ +/g, " "));
    const expected = [
      ...wings.map(
        ({ name, purpose }) => `| **${name}** | ${purpose ?? readPurpose(sources, { path: name })} |`,
      ),
      ...rooms
        .filter(({ path }) => path.includes("/"))
        .map((room) => `| ${room.path} | ${readPurpose(sources, room)} |`),
    ];
    expect(expected.filter((line) => !lines.includes(line))).toEqual([]);
  });

  it("names only files that exist, as all documents do", () => {
    const folders = ["", "docs/", "docs/how-to/"].filter((folder) => existsSync(`${root}${folder}`));
    const documents = folders
      .flatMap((folder) => readdirSync(`${root}${folder}`).map((name) => `${folder}${name}`))
      .filter((path) => path.endsWith(".md") && path !== "LOG.md");
    const named = documents.flatMap((path) =>
      [
        ...readFileSync(`${root}${path}`, "utf8").matchAll(
          /`((?:src|test|tools|web|bench|docs|bin)\/[\w./-]+)`/g,
        ),
      ].map(([, name]) => `${path}: ${name}`),
    );
    expect(named.length).toBeGreaterThan(20);
    expect(named.filter((line) => !existsSync(`${root}${line.split(": ")[1]}`))).toEqual([]);
  });
});
