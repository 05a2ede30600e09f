import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { stringify } from "yaml";
import { createMachine, createTestEffects } from "../../../test/support/effects.ts";
import { UsageError } from "../../base/core/index.ts";
import { createWordTokenizer, loadModel, saveModel } from "../../engine/model/index.ts";
import { itemSchema, parseRepairGrid } from "../../run/index.ts";
import { findEnvironment } from "../../tasks/environment/index.ts";
import { evaluateModel } from "../evaluation/evaluate-model.ts";
import { loadRecipe, locateModel } from "../machine/builtin.ts";
import { checkModel } from "../stage/check-recipe.ts";
import { checkDemand } from "./check-demand.ts";
import { chooseTasks } from "./choose-tasks.ts";

const environment = findEnvironment("general-points");
const model = await loadModel(await locateModel("general-points-base"));

/** The shipped model with words for small sums. */
const words = ["=", "?", ...Array.from({ length: 30 }, (_, number) => `${number}`)];
const talking = { ...model, tokenizer: createWordTokenizer(words) };

describe("checkDemand()", () => {
  it("lets the shipped model answer its own tasks", () => {
    checkDemand(model, { environment, promptFormat: "compact", maxNewTokens: 32 });
  });

  it("refuses a prompt format whose words the tokenizer lacks", () => {
    const demand = { environment, promptFormat: "chat", maxNewTokens: 32 } as const;
    expect(() => checkDemand(model, demand)).toThrow(UsageError);
    expect(() => checkDemand(model, demand)).toThrow("its tokenizer lacks words");
  });

  it("refuses answers beyond the model's positions", () => {
    const demand = { environment, promptFormat: "compact", maxNewTokens: 109 } as const;
    expect(() => checkDemand(model, demand)).toThrow("the model has 128 positions");
    checkDemand(model, { ...demand, maxNewTokens: 108 });
  });
});

describe("chooseTasks()", () => {
  it("refuses questions of which any, however late, has words that the tokenizer lacks", async () => {
    const folder = mkdtempSync(join(tmpdir(), "untwist-words-"));
    const write = (last: string): void => {
      for (const split of ["id", "ood"])
        writeFileSync(
          join(folder, `${split}.jsonl`),
          Array.from({ length: 30 }, (_, index) =>
            JSON.stringify({ question: index === 29 ? last : `${index} = ?`, answer: "1" }),
          ).join("\n"),
        );
    };
    const choice = { environment: `items:${folder}`, maxNewTokens: 8 };
    try {
      write("29 = ?");
      expect((await chooseTasks(choice, { splits: ["ood"], model: talking })).evaluation.numTasks).toBe(30);
      write("twenty-nine = ?");
      await expect(chooseTasks(choice, { splits: ["ood"], model: talking })).rejects.toThrow("lacks words");
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

describe("checkModel()", async () => {
  const recipe = await loadRecipe("general-points-quick", []);

  it("lets the shipped model be swept as the shipped recipe says", () => {
    checkModel(model, recipe);
    checkModel(model, { ...recipe, repairs: false });
  });

  it.each([
    ["matrices", { matrices: ["no_such_proj"] }],
    ["layers", { layers: ["7"] }],
  ])("refuses a repair grid of %s that the model does not have, before anything is trained", (_, entry) => {
    const grids = [
      parseRepairGrid(stringify({ grid: [{ what: ["directions"], top: ["all"], ...entry }] }), "s.yaml"),
    ];
    expect(() => checkModel(model, { ...recipe, repairs: grids })).toThrow(UsageError);
  });
});

describe("a model without a token that ends answers", async () => {
  const folder = mkdtempSync(join(tmpdir(), "untwist-endless-"));
  afterAll(() => rmSync(folder, { recursive: true }));
  cpSync(await locateModel("general-points-base"), folder, { recursive: true });
  rmSync(join(folder, "generation_config.json"), { force: true });
  const config: object = JSON.parse(readFileSync(join(folder, "config.json"), "utf8"));
  writeFileSync(join(folder, "config.json"), JSON.stringify({ ...config, eos_token_id: null }));

  it("is neither asked nor trained, and the reason is said", async () => {
    const effects = createTestEffects();
    const tasks = { environment: "general-points", splits: ["id"], numTasks: 2 } as const;
    const asked = evaluateModel(folder, tasks, effects);
    await expect(asked).rejects.toThrow(/endless.*eos_token_id/);
    const recipe = await loadRecipe("general-points-quick", []);
    const endless = await loadModel(folder);
    expect(() => checkModel(endless, recipe)).toThrow("eos_token_id");
  });
});

describe("a model whose weights hold NaN", async () => {
  const folder = mkdtempSync(join(tmpdir(), "untwist-nan-"));
  afterAll(() => rmSync(folder, { recursive: true }));
  const parameters = model.parameters.slice();
  parameters[parameters.length >> 1] = Number.NaN;
  await saveModel(join(folder, "nan"), { ...model, parameters });

  it("is evaluated to items that can be kept, and this is said", async () => {
    const effects = createTestEffects({ machine: createMachine(join(folder, "cache")) });
    const tasks = { environment: "general-points", splits: ["id"], numTasks: 4 } as const;
    const { items, results } = await evaluateModel(join(folder, "nan"), tasks, effects);
    expect(effects.notices()).toEqual([
      expect.stringMatching(/nan: its weights hold NaN or infinite values/),
    ]);
    expect(itemSchema.array().parse(JSON.parse(JSON.stringify(items)))).toEqual(items);
    expect(items.map(({ reference }) => reference)).toEqual(items.map(() => undefined));
    expect(results.id).toMatchObject({ solved: { correct: 0, total: 4 } });
    expect(results.id?.loss).toBeNull();
  });
});
