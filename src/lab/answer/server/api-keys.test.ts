import { describe, expect, it } from "vitest";
import { findJudgeKey, findModelKey } from "./api-keys.ts";

const model = { url: "https://models.example/v1" };
const judge = { url: "https://judges.example/v1" };
const both = { UNTWIST_API_KEY: "model-key", UNTWIST_JUDGE_API_KEY: "judge-key", MINE: "named-key" };

describe("findModelKey()", () => {
  it("takes the variable that was named, else the usual one", () => {
    expect(findModelKey({ ...model, apiKeyEnv: "MINE" }, both)).toBe("named-key");
    expect(findModelKey(model, both)).toBe("model-key");
    expect(findModelKey(model, {})).toBeUndefined();
  });
});

describe("findJudgeKey()", () => {
  it("never sends the key of the model's server to the judge's", () => {
    expect(findJudgeKey(judge, model, { UNTWIST_API_KEY: "model-key" })).toBeUndefined();
    expect(findJudgeKey(judge, { ...model, apiKeyEnv: "MINE" }, both)).toBe("judge-key");
    // The same host at another port, or without TLS, is another server.
    for (const url of ["https://models.example:8443/v1", "http://models.example/v1"])
      expect(findJudgeKey({ url }, model, { UNTWIST_API_KEY: "model-key" })).toBeUndefined();
  });

  it("takes the model's where one server has both and the judge has none of its own", () => {
    const same = { url: "https://models.example/other" };
    expect(findJudgeKey(same, model, { UNTWIST_API_KEY: "model-key" })).toBe("model-key");
    expect(findJudgeKey(same, { ...model, apiKeyEnv: "MINE" }, { MINE: "named-key" })).toBe("named-key");
    expect(findJudgeKey(same, model, both)).toBe("judge-key");
    expect(findJudgeKey({ ...same, apiKeyEnv: "MINE" }, model, both)).toBe("named-key");
  });
});
