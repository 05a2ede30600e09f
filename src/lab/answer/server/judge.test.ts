import { createHash } from "node:crypto";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { createTestEffects } from "../../../../test/support/effects.ts";
import { type JsonServer, startJsonServer } from "../../../../test/support/json-server.ts";
import { type Question, writeQuestions } from "../../../../test/support/questions.ts";
import { createTemporaryFolder, removeFolder } from "../../../../test/support/untwist.ts";
import { UsageError } from "../../../base/core/index.ts";
import { type Environment, findEnvironment, openEnvironment } from "../../../tasks/environment/index.ts";
import {
  describeJudgeEndpoint,
  identifyJudge,
  type JudgeChoice,
  type JudgedChoice,
  type JudgeRecord,
  requireSameJudge,
} from "./judge.ts";

const place = createTemporaryFolder();
const server: JsonServer = await startJsonServer(({ route }) =>
  route === "models" ? { data: [{ id: "wise", root: "/judges/wise", fingerprint: "abc" }] } : undefined,
);
afterAll(() => {
  server.close();
  removeFolder(place);
});

const patience = { timeoutMs: 600_000, maxTries: 1 };
const judge: JudgeChoice = { url: server.url, model: "wise" };
const judged = (question: string): Question => ({ question, answer: "x", grader: "judge" });
const plain: Question = { question: "1 + 1 ?", answer: "2" };

const identify = (
  environment: Environment,
  choice: Partial<JudgedChoice>,
): Promise<JudgeRecord | undefined> =>
  identifyJudge(environment, { ...patience, ...choice }, createTestEffects());

describe("identifyJudge()", () => {
  it("asks for none where nothing takes one, whatever was named", async () => {
    const down = { url: "http://127.0.0.1:1", model: "nobody" };
    expect(await identify(findEnvironment("general-points"), { judge: down })).toBeUndefined();
    const environment = await openEnvironment(
      writeQuestions(join(place, "plain"), { id: [plain], ood: [plain] }),
    );
    expect(await identify(environment, {})).toBeUndefined();
  });

  it("refuses tasks that take a judge where none was named, or where it is not at its server", async () => {
    const name = writeQuestions(join(place, "some"), { id: [plain], ood: [judged("a ?")] });
    const environment = await openEnvironment(name);
    for (const [choice, words] of [
      [{}, /name one by judge\.url and judge\.model/],
      [{ judge: { url: server.url, model: "foolish" } }, /no such model; it serves "wise"/],
    ] as const) {
      await expect(identify(environment, choice)).rejects.toThrow(UsageError);
      await expect(identify(environment, choice)).rejects.toThrow(words);
    }
  });

  it("says who the judge is, and by a hash what it is asked about the first answer that needs it", async () => {
    const questions = { id: [plain], ood: [judged("Why ?")] };
    const environment = await openEnvironment(writeQuestions(join(place, "hashed"), questions));
    const prompt = `Somebody was asked a question. Say whether their answer means the same as the right one.

Question:
Why ?

Right answer:
x

Their answer:
…

End with one JSON object and nothing after it: {"right": true} or {"right": false}`;
    expect(await identify(environment, { judge })).toEqual({
      model: "wise",
      root: "/judges/wise",
      fingerprint: "abc",
      prompt: createHash("sha256").update(prompt).digest("hex").slice(0, 16),
    });
    const other = { id: [plain], ood: [judged("How ?")] };
    const changed = await openEnvironment(writeQuestions(join(place, "changed"), other));
    expect((await identify(changed, { judge }))?.prompt).not.toBe(
      (await identify(environment, { judge }))?.prompt,
    );
  });
});

describe("describeJudgeEndpoint()", () => {
  it("asks for the likeliest words in a chat, with time to think, as patiently as the model", () => {
    expect(describeJudgeEndpoint(judge, { ...patience, timeoutMs: 5, maxTries: 7 }, {})).toEqual({
      api: "chat",
      temperature: 0,
      maxNewTokens: 2048,
      fields: {},
      timeoutMs: 5,
      maxTries: 7,
      ...judge,
      apiKey: undefined,
    });
  });

  it("takes the model's key where one server has both, and never sends it to another", () => {
    const variables = { UNTWIST_API_KEY: "of-the-model" };
    const keyAt = (url: string): string | undefined =>
      describeJudgeEndpoint(judge, { ...patience, url }, variables).apiKey;
    expect(keyAt(server.url)).toBe("of-the-model");
    expect(keyAt("http://127.0.0.1:1/v1")).toBeUndefined();
    const own = { ...judge, apiKeyEnv: "MINE" };
    const named = describeJudgeEndpoint(own, { ...patience, url: server.url }, { ...variables, MINE: "own" });
    expect(named.apiKey).toBe("own");
  });
});

describe("requireSameJudge()", () => {
  const before: JudgeRecord = { model: "wise", root: "/judges/wise", fingerprint: "abc", prompt: "0123" };

  it("lets the same judge grade, and nobody where nobody grades", () => {
    requireSameJudge("run", before, { ...before });
    requireSameJudge("run", before, undefined);
    requireSameJudge("run", undefined, undefined);
  });

  it.each([
    [{ model: "foolish" }, 'the judge\'s model "wise", now it is "foolish"'],
    [{ root: "/judges/other" }, 'the judge\'s root "/judges/wise", now it is "/judges/other"'],
    [{ fingerprint: "def" }, 'the judge\'s fingerprint "abc", now it is "def"'],
    [{ fingerprint: undefined }, 'the judge\'s fingerprint "abc", now it is not known'],
    [{ prompt: "4567" }, 'the judge\'s prompt "0123", now it is "4567"'],
  ] as const)("refuses another one: %j", (change, words) => {
    const refuse = (): void => requireSameJudge("runs/mine", before, { ...before, ...change });
    expect(refuse).toThrow(UsageError);
    expect(refuse).toThrow(
      `Cannot evaluate "runs/mine" by another judge: its checkpoints were graded with ${words}`,
    );
  });

  it("refuses a judge where those before were graded without one that is known", () => {
    expect(() => requireSameJudge("run", undefined, before)).toThrow(
      /a judge that is not known, now it is "wise"/,
    );
  });
});
