import { describe, expect, it } from "vitest";
import { stringify } from "yaml";
import { UsageError } from "../base/index.ts";
import { findEnvironment } from "../environment/index.ts";
import { loadModel } from "../model/index.ts";
import { parseSweep } from "../run/index.ts";
import { loadRecipe, locateModel } from "./builtin.ts";
import { checkDemand, checkModel } from "./check-model.ts";

const environment = findEnvironment("general-points");
const model = await loadModel(await locateModel("general-points-base"));

describe("checkDemand()", () => {
  it("lets the shipped model answer its own tasks", () => {
    checkDemand(model, { environment, rendering: "compact", maxNewTokens: 32 });
  });

  it("refuses a rendering whose words the tokenizer lacks", () => {
    const demand = { environment, rendering: "chat", maxNewTokens: 32 } as const;
    expect(() => checkDemand(model, demand)).toThrow(UsageError);
    expect(() => checkDemand(model, demand)).toThrow("its tokenizer lacks words");
  });

  it("refuses answers beyond the model's positions", () => {
    const demand = { environment, rendering: "compact", maxNewTokens: 109 } as const;
    expect(() => checkDemand(model, demand)).toThrow("the model has 128 positions");
    checkDemand(model, { ...demand, maxNewTokens: 108 });
  });
});

describe("checkModel()", async () => {
  const recipe = await loadRecipe("general-points-quick", []);

  it("lets the shipped model be swept as the shipped recipe says", () => {
    checkModel(model, recipe);
    checkModel(model, { ...recipe, sweeps: false });
  });

  it.each([
    ["matrices", { matrices: ["no_such_proj"] }],
    ["layers", { layers: ["7"] }],
  ])("refuses a sweep of %s that the model does not have, before anything is trained", (_, entry) => {
    const sweeps = [
      parseSweep(stringify({ grid: [{ what: ["directions"], top: ["all"], ...entry }] }), "s.yaml"),
    ];
    expect(() => checkModel(model, { ...recipe, sweeps })).toThrow(UsageError);
  });
});
