import { describe, expect, it } from "vitest";
import { parseRecipe, type RecipeChange } from "../../run/index.ts";
import { listBuiltinRecipes, loadRecipe } from "../machine/builtin.ts";
import { nameCheckpoint, planStages } from "./stage-plan.ts";

const text = `name: small
summary: One branch of each method
environment: e
base: b
evaluation: { numTasks: 2 }
sft: { numSteps: 9, batchSize: 1, optimizer: { learningRate: 1 }, checkpoints: [2, 5] }
rl:
  - { method: grpo, from: [5], numUpdates: 4, tasksPerUpdate: 1, groupSize: 2, minibatchSize: 1, optimizer: { learningRate: 1 }, checkpoints: [1] }
  - { method: ppo, from: [2, 9], numUpdates: 3, tasksPerUpdate: 1, minibatchSize: 1, optimizer: { learningRate: 1 }, checkpoints: [3] }
`;
const optimizer = "optimizer: { learningRate: 1 }";
const newBase = `{ model: { hiddenSize: 8, intermediateSize: 8, numLayers: 1, numHeads: 2 }, phases: [
  { numSteps: 6, batchSize: 1, skills: { l: 1 }, ${optimizer}, checkpoints: [2] }, { numSteps: 3, batchSize: 1, skills: { l: 1 }, ${optimizer} } ] }`;

const plan = (...changes: readonly RecipeChange[]): ReturnType<typeof planStages> =>
  planStages(parseRecipe(text, "small.yaml", changes));

describe("planStages()", () => {
  it("goes from the base to SFT to each branch, every stage from a checkpoint made before", () => {
    expect(
      plan().map(({ id, start, numSteps, checkpointSteps }) => [id, start, numSteps, checkpointSteps]),
    ).toEqual([
      ["sft", "base", 9, [2, 5, 9]],
      ["grpo-from-5", "sft-5", 4, [1, 4]],
      ["ppo-from-2", "sft-2", 3, [3]],
      ["ppo-from-9", "sft-9", 3, [3]],
    ]);
  });

  it("starts a branch at every SFT checkpoint, its end included, and for every seed, where asked", () => {
    const rl =
      "[{ method: grpo, from: every, seeds: [3, 4], numUpdates: 2, tasksPerUpdate: 1, groupSize: 2, minibatchSize: 1, optimizer: { learningRate: 1 }, checkpoints: [1] }]";
    const branches = plan({ path: "rl", value: rl }).slice(1);
    expect(branches.map(({ id, start }) => [id, start])).toEqual(
      [3, 4].flatMap((seed) => [2, 5, 9].map((step) => [`rl-from-${step}-seed-${seed}`, `sft-${step}`])),
    );
    expect(branches.map(({ kind }) => kind.stage === "rl" && kind.seed)).toEqual([3, 3, 3, 4, 4, 4]);
  });

  it("plans the phases of a new base model one after another", () => {
    const [first, second, sft] = plan({ path: "base", value: newBase });
    expect([first, second, sft].map((stage) => [stage?.id, stage?.start])).toEqual([
      ["base-phase-1", undefined],
      ["base", "base-phase-1-step-6"],
      ["sft", "base"],
    ]);
    expect(first?.checkpointSteps.map((step) => nameCheckpoint(first, step))).toEqual([
      "base-phase-1-step-2",
      "base-phase-1-step-6",
    ]);
    expect(second?.checkpointSteps.map((step) => nameCheckpoint(second, step))).toEqual(["base"]);
  });
});

describe("planStages() of each shipped recipe", async () => {
  const recipes = await Promise.all((await listBuiltinRecipes()).map((name) => loadRecipe(name)));
  for (const recipe of recipes)
    it(`names ${recipe.name}'s stages and checkpoints apart and starts each from one that is there by then`, () => {
      const plans = planStages(recipe);
      expect(plans.length).toBeGreaterThan(0);
      expect(new Set(plans.map(({ id }) => id)).size).toBe(plans.length);
      const made = new Set(typeof recipe.base === "string" ? ["base"] : []);
      for (const stage of plans) {
        if (stage.start === undefined) expect(stage.kind.stage).toBe("base");
        else expect(made).toContain(stage.start);
        expect(stage.id).toMatch(/^[a-z0-9-]+$/);
        expect(stage.checkpointSteps.at(-1)).toBe(stage.numSteps);
        for (const step of stage.checkpointSteps) {
          const name = nameCheckpoint(stage, step);
          expect(made).not.toContain(name);
          made.add(name);
        }
      }
      expect(made).toContain("base");
    });
});
