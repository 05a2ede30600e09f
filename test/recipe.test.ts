/** The shipped recipes, and what the README says of them. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { describe, expect, it } from "vitest";
import { defaultRecipe, listBuiltinRecipes, loadRecipe, locateModel } from "../src/lab/machine/index.ts";
import { parseRecipe } from "../src/run/index.ts";
import { findEnvironment } from "../src/tasks/environment/index.ts";
import { root } from "./support/untwist.ts";

const files = readdirSync(join(root, "recipes"));
const names = files.map((file) => basename(file, ".yaml"));

describe("recipes/", () => {
  for (const file of files)
    it(`${file} parses, is named like its file, and names what there is`, async () => {
      const text = readFileSync(join(root, "recipes", file), "utf8");
      const recipe = parseRecipe(text, file);
      expect(`${recipe.name}.yaml`).toBe(file);
      const environment = findEnvironment(recipe.environment);
      expect(environment.promptFormats).toContain(recipe.promptFormat);
      if (typeof recipe.base === "string") expect(await locateModel(recipe.base)).toContain(recipe.base);
      else
        for (const { skills } of recipe.base.phases)
          expect(Object.keys(environment.skills)).toEqual(expect.arrayContaining(Object.keys(skills)));
      expect(text).toMatch(/^# \S/);
    });

  it("are all built in, the default one too", async () => {
    expect([...(await listBuiltinRecipes())].sort()).toEqual([...names].sort());
    expect(names).toContain(defaultRecipe);
    for (const name of names) expect((await loadRecipe(name)).name).toBe(name);
  });

  it("hold the recipes of the main job, the quick one, and the base model's", () => {
    expect(names).toEqual(
      expect.arrayContaining(["general-points", "general-points-quick", "general-points-base"]),
    );
  });
});

describe("README.md", () => {
  const path = join(root, "README.md");
  it.runIf(existsSync(path))("mentions no recipe that there is not", () => {
    const text = readFileSync(path, "utf8");
    const run = [...text.matchAll(/untwist(?:\.js)? run (?!-)([a-z0-9-]+)(?![a-z0-9./-])/g)].map(
      ([, name]) => name,
    );
    const built = [...text.matchAll(/\bgeneral-points(?:-[a-z]+)+\b/g)].map(([name]) => name);
    expect([...run, ...built].filter((name) => !names.includes(name ?? ""))).toEqual([]);
  });
});
