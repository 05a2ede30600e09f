import { describe, expect, it } from "vitest";
import { stringify } from "yaml";
import { UsageError } from "../../base/core/index.ts";
import { listCheckpointSteps, parseRecipe, type RecipeChange } from "./recipe.ts";

const text = `name: small
summary: A small recipe
environment: some-environment
base: some-base
evaluation: { numTasks: 10 }
sft:
  numSteps: 20
  batchSize: 4
  optimizer: { learningRate: 0.001 }
  checkpoints: [5, 10]
rl:
  - method: grpo
    from: [5, 20]
    numUpdates: 3
    tasksPerUpdate: 2
    groupSize: 2
    minibatchSize: 4
    optimizer: { learningRate: 0.0001 }
    checkpoints: [3]
`;

function refusal(source: string, changes: readonly RecipeChange[] = []): string {
  try {
    parseRecipe(source, "small.yaml", changes);
  } catch (error) {
    if (error instanceof UsageError) return error.message;
    throw error;
  }
  return "accepted";
}

const change = (path: string, value: string): string => refusal(text, [{ path, value }]);

describe("parseRecipe()", () => {
  it("fills in every default", () => {
    const recipe = parseRecipe(text, "small.yaml");
    const optimizer = {
      schedule: "constant",
      finalFraction: 0.05,
      warmupSteps: 0,
      beta1: 0.9,
      beta2: 0.98,
      epsilon: 1e-8,
      weightDecay: 0.01,
      maxGradientNorm: 1,
    };
    expect(recipe).toMatchObject({
      promptFormat: "compact",
      seed: 1,
      evaluation: { numTasks: 10, seed: 1, numAttempts: 1, maxNewTokens: 32, batchSize: 128 },
      sft: { optimizer: { ...optimizer, learningRate: 0.001 } },
      rl: [
        {
          seeds: [0],
          temperature: 1,
          clipRange: 0.2,
          numEpochs: 1,
          maxNewTokens: 32,
          klWeight: 0,
          optimizer: { ...optimizer, learningRate: 0.0001 },
        },
      ],
    });
    expect(recipe.sft).not.toHaveProperty("numTasks");
  });

  it("reads what it gave when it is written as YAML again", () => {
    const recipe = parseRecipe(text, "small.yaml");
    expect(parseRecipe(stringify(recipe), "again")).toEqual(recipe);
  });

  it("applies changes in order, in lists and to absent fields too", () => {
    const recipe = parseRecipe(text, "small.yaml", [
      { path: "seed", value: "3" },
      { path: "seed", value: "4" },
      { path: "sft.checkpoints", value: "[1, 2]" },
      { path: "rl.0.from", value: "every" },
      { path: "rl.0.seeds.0", value: "7" },
      { path: "sft.optimizer", value: "{ learningRate: 0.5, schedule: cosine }" },
    ]);
    expect(recipe.seed).toBe(4);
    expect(recipe.sft).toMatchObject({
      checkpoints: [1, 2],
      optimizer: { learningRate: 0.5, schedule: "cosine" },
    });
    expect(recipe.rl[0]).toMatchObject({ from: "every", seeds: [7] });
  });

  it("leaves a text without changes as it is and needs no RL and no SFT", () => {
    const short = text.slice(0, text.indexOf("sft:"));
    expect(parseRecipe(short, "short.yaml")).toMatchObject({ rl: [] });
    expect(parseRecipe(short, "short.yaml").sft).toBeUndefined();
  });

  it("names the line of malformed YAML", () => {
    expect(refusal("name: a\nsummary: [1,\n")).toMatch(
      /^Cannot read the recipe small\.yaml: line \d is malformed YAML: \S.*[^.]$/,
    );
    expect(refusal("name: a\nb: c\nname: b\n")).toContain("line 3");
  });

  it("refuses an alias without anchor as malformed", () => {
    expect(refusal("name: a\nsummary: *nothing\n")).toContain("line 2");
  });

  const refused: Readonly<Record<string, readonly [path: string, value: string, message: string]>> = {
    "an unknown key": ["color", "blue", 'unknown key "color"; remove it or check its spelling'],
    "an unknown key inside": ["sft.optimizer.momentum", "1", 'unknown key "momentum" in "sft.optimizer"'],
    "an unknown key in a list": ["rl.0.momentum", "1", 'unknown key "momentum" in "rl.0"'],
    "a key of the other method": ["rl.0.discount", "1", 'unknown key "discount" in "rl.0"'],
    "negative steps": ["sft.numSteps", "-1", '"sft.numSteps" is too small'],
    "no steps": ["sft.numSteps", "0", '"sft.numSteps" is too small'],
    "an infinite learning rate": ["sft.optimizer.learningRate", ".inf", '"sft.optimizer.learningRate"'],
    "a learning rate that is not a number": [
      "sft.optimizer.learningRate",
      ".nan",
      '"sft.optimizer.learningRate"',
    ],
    "a name with spaces": ["name", "My recipe", '"name" must be lower-case words joined by hyphens'],
    "a name that leaves the folder": ["name", "../up", '"name" must be'],
    "a checkpoint beyond the end": [
      "sft.checkpoints",
      "[30]",
      '"sft.checkpoints" names step 30, but the stage ends at step 20',
    ],
    "a checkpoint twice": ["sft.checkpoints", "[5, 5]", '"sft.checkpoints" must be in ascending order'],
    "a branch from no checkpoint": [
      "rl.0.from",
      "[6]",
      '"rl.0.from" names SFT step 6, which is not an SFT checkpoint (5, 10, 20)',
    ],
    "a branch from one checkpoint twice": ["rl.0.from", "[5, 5]", "rl-from-5"],
    "a seed of a branch twice": ["rl.0.seeds", "[1, 1]", "rl-from-5"],
    "a reference at no checkpoint": ["rl.0.reference", "6", '"rl.0.reference" names SFT step 6'],
    "a group of one": ["rl.0.groupSize", "1", '"rl.0.groupSize"'],
    "one evaluated task": ["evaluation.numTasks", "1", '"evaluation.numTasks"'],
    "a place below a value": ["name.first", "1", 'Cannot set "name.first"'],
  };
  for (const [name, [path, value, message]] of Object.entries(refused))
    it(`refuses ${name} in one line`, () => {
      const said = change(path, value);
      expect(said).toContain(message);
      expect(said).not.toContain("\n");
    });

  it("says which values a choice has", () => {
    expect(change("rl.0.method", "dpo")).toMatch(/grpo.*ppo/);
    expect(change("promptFormat", "song")).toMatch(/compact.*chat/);
    expect(change("rl.0.from", "never")).toContain("every");
  });

  it("refuses YAML that is not a mapping", () => {
    for (const source of ["", "just words", "- 1\n- 2", "42"])
      expect(refusal(source)).toMatch(/^Cannot use the recipe small\.yaml: it is wrong/);
  });
});

describe("listCheckpointSteps()", () => {
  it("adds the end once, in order", () => {
    expect(listCheckpointSteps({ checkpoints: [2, 5], numSteps: 9 })).toEqual([2, 5, 9]);
    expect(listCheckpointSteps({ checkpoints: [9], numSteps: 9 })).toEqual([9]);
    expect(listCheckpointSteps({ numSteps: 9 })).toEqual([9]);
    expect(listCheckpointSteps(undefined)).toEqual([]);
  });
});
