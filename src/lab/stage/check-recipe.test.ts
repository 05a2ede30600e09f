import { describe, expect, it } from "vitest";
import { UsageError } from "../../base/core/index.ts";
import type { Model } from "../../engine/model/index.ts";
import { parseRecipe, type Recipe, type RecipeChange } from "../../run/index.ts";
import { createFirstModel } from "../answer/index.ts";
import { listBuiltinRecipes, loadRecipe } from "../machine/index.ts";
import { checkModel, checkRecipe } from "./check-recipe.ts";

const text = `name: small
summary: A new base of two layers
environment: general-points
evaluation: { numTasks: 2, maxNewTokens: 8 }
base:
  model: { hiddenSize: 8, intermediateSize: 8, numLayers: 2, numHeads: 2, maxPositions: 64 }
  phases:
    - { numSteps: 1, batchSize: 1, skills: { arithmetic: 1, solve: 2 }, optimizer: { learningRate: 0.01 } }
sft: { numSteps: 2, batchSize: 1, checkpoints: [1], optimizer: { learningRate: 0.01 } }
rl:
  - method: ppo
    from: [1]
    numUpdates: 1
    tasksPerUpdate: 1
    minibatchSize: 1
    maxNewTokens: 8
    optimizer: { learningRate: 0.01 }
    checkpoints: [1]
repairs:
  - { name: few, grid: [{ what: [directions], top: [1], layers: ["1"], matrices: [q_proj] }] }
`;
const parse = (path?: string, value = ""): Recipe => {
  const changes: readonly RecipeChange[] = path === undefined ? [] : [{ path, value }];
  return parseRecipe(text, "small.yaml", changes);
};
const small: Model = await createFirstModel(parse(), 1);

describe("checkRecipe()", () => {
  it("passes over what there is", () => {
    expect(checkRecipe(parse())).toBeUndefined();
    expect(checkRecipe(parse("promptFormat", "chat"))).toBeUndefined();
    expect(checkRecipe(parse("base", "somewhere"))).toBeUndefined();
  });

  const mistakes: Readonly<Record<string, readonly [path: string, value: string, ...words: string[]]>> = {
    "an environment": ["environment", "chess", '"chess"', "general-points"],
    "a skill": [
      "base.phases.0.skills",
      "{ solve: 1, song: 1 }",
      'Cannot use the recipe small: general-points has no skill "song"; choose from read, solve, arithmetic',
    ],
    "a skill of a later phase": [
      "base.phases.1",
      "{ numSteps: 1, batchSize: 1, skills: { dance: 1 }, optimizer: { learningRate: 1 } }",
      'no skill "dance"',
    ],
    "a promptFormat": [
      "environment",
      "countdown",
      'Cannot use the recipe small: countdown has no prompt format "compact"; choose from chat',
    ],
  };
  it.each(Object.entries(mistakes))("refuses %s that does not exist", (_, [path, value, ...words]) => {
    const check = (): void => checkRecipe(parse(path, value));
    expect(check).toThrow(UsageError);
    for (const word of words) expect(check).toThrow(word);
  });
});

describe("checkModel()", () => {
  it("passes over a model that can take the tasks and the repairs", () => {
    expect(checkModel(small, parse())).toBeUndefined();
    expect(checkModel(small, parse("repairs", "false"))).toBeUndefined();
  });

  it("refuses a model that ends no answers, or that has words for no such task", () => {
    const { endToken: _, ...config } = small.config;
    expect(() => checkModel({ ...small, config }, parse())).toThrow(
      "Cannot ask the base model: neither its config.json nor its generation_config.json names a token that ends answers",
    );
    expect(() => checkModel(small, parse("promptFormat", "chat"))).toThrow("its tokenizer lacks words");
  });

  it("refuses answers that are too long for its positions, of evaluation and of RL alike", () => {
    for (const path of ["evaluation.maxNewTokens", "rl.0.maxNewTokens"]) {
      const check = (value: number): void => checkModel(small, parse(path, String(value)));
      expect(() => check(64), path).toThrow(UsageError);
      expect(() => check(64), path).toThrow("with up to 64 more: the model has 64 positions");
      // The prompt of a hand takes some, and all that is left may be used.
      const [, longest] = /prompts of (\d+) tokens/.exec(messageOf(() => check(64))) ?? [];
      expect(Number(longest)).toBeGreaterThan(10);
      expect(() => check(64 - Number(longest))).not.toThrow();
      expect(() => check(65 - Number(longest))).toThrow(`up to ${65 - Number(longest)} more`);
    }
  });

  it("refuses repairs of layers and matrices that the model does not have", () => {
    const check = (path: string, value: string): void => checkModel(small, parse(path, value));
    expect(() => check("repairs.0.grid.0.layers", '["0-1"]')).not.toThrow();
    expect(() => check("repairs.0.grid.0.layers", '["2"]')).toThrow(UsageError);
    expect(() => check("repairs.0.grid.0.layers", '["2"]')).toThrow("2");
    expect(() => check("repairs.0.grid.0.matrices", "[wings]")).toThrow('"wings"');
  });
});

describe("the shipped recipes", async () => {
  it.each(await listBuiltinRecipes())("pass both checks: %s", async (name) => {
    const recipe = await loadRecipe(name);
    checkRecipe(recipe);
    checkModel(await createFirstModel(recipe, recipe.seed), recipe);
  });
});

function messageOf(work: () => void): string {
  try {
    work();
    return "";
  } catch (error) {
    return error instanceof Error ? error.message : "";
  }
}
