import { join, relative } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { addNumbers, sumWords, writeQuestions, writeSums } from "../../../test/support/questions.ts";
import { createTinyModel } from "../../../test/support/tiny-model.ts";
import { createTemporaryFolder, removeFolder } from "../../../test/support/untwist.ts";
import { UsageError } from "../../base/core/index.ts";
import { findEnvironment, openEnvironment, splits } from "../../tasks/environment/index.ts";
import { chooseTasks, chooseTemplate, requireRoom, resolveEnvironment } from "./choose-tasks.ts";

const place = createTemporaryFolder();
afterAll(() => removeFolder(place));

const sums = writeSums(join(place, "sums"), 3);
/** Each sum is four words, which a template that says them twice makes eight. */
const twice = "{% for m in messages %}{{ m.content }} {{ m.content }}{% endfor %}";

describe("resolveEnvironment()", () => {
  it("gives a user's own questions the same name from wherever they are named, and leaves others alone", () => {
    const folder = join(place, "sums");
    expect(resolveEnvironment(`items:${relative(process.cwd(), folder)}`)).toBe(`items:${folder}`);
    expect(resolveEnvironment(`items:${folder}/../sums/`)).toBe(`items:${folder}`);
    expect(resolveEnvironment("general-points")).toBe("general-points");
  });
});

describe("chooseTemplate()", () => {
  const [plain, templated] = [createTinyModel(), createTinyModel({ template: twice })];

  it("puts chats by the model's own template where it has one, unless plain text is wanted", () => {
    expect(chooseTemplate(templated, { promptFormat: "chat" })).toBe("model");
    expect(chooseTemplate(templated, { promptFormat: "chat", template: "none" })).toBe("none");
    expect(chooseTemplate(plain, { promptFormat: "chat" })).toBe("none");
    expect(chooseTemplate(plain, { promptFormat: "chat", template: "none" })).toBe("none");
  });

  it("puts no compact tasks by a template, and refuses one that is not there", () => {
    expect(chooseTemplate(templated, { promptFormat: "compact", template: "model" })).toBe("none");
    expect(() => chooseTemplate(plain, { promptFormat: "chat", template: "model" })).toThrow(UsageError);
  });
});

describe("chooseTasks()", () => {
  it("asks as many as there are of all splits, or 200 where tasks never end", async () => {
    const uneven = writeQuestions(join(place, "uneven"), {
      id: ["1", "2", "3", "4", "5"].map((answer) => ({ question: answer, answer })),
      ood: ["6", "7"].map((answer) => ({ question: answer, answer })),
    });
    const count = async (environment: string, asked: readonly ("id" | "ood")[]): Promise<number> =>
      (await chooseTasks({ environment }, { splits: asked })).evaluation.numTasks;
    expect(await count(uneven, splits)).toBe(2);
    expect(await count(uneven, ["id"])).toBe(5);
    expect(await count("general-points", splits)).toBe(200);
    const more = chooseTasks({ environment: uneven, numTasks: 3 }, { splits });
    await expect(more).rejects.toThrow(UsageError);
    await expect(more).rejects.toThrow(/Cannot ask 3 OOD tasks: .* has 2; lower numTasks/);
  });

  it("takes what was said, and for the rest the same wherever it is asked", async () => {
    const { numAttempts } = findEnvironment("general-points");
    expect(await chooseTasks({ environment: "general-points" }, { splits })).toEqual({
      environment: "general-points",
      promptFormat: "chat",
      evaluation: {
        numTasks: 200,
        seed: 1,
        numAttempts: numAttempts.chat,
        maxNewTokens: 512,
        batchSize: 128,
      },
    });
    const said = { numTasks: 5, seed: 9, numAttempts: 3, maxNewTokens: 7 };
    const choice = { environment: "general-points", promptFormat: "compact", ...said } as const;
    expect(await chooseTasks(choice, { splits })).toEqual({
      environment: "general-points",
      promptFormat: "compact",
      evaluation: { ...said, batchSize: 128 },
    });
  });

  it("asks a server in chats, and a small model in the words that it has", async () => {
    const environment = "general-points";
    const promptFormat = async (words?: readonly string[]): Promise<string> => {
      const model = words === undefined ? undefined : createTinyModel({ words, maxPositions: 4096 });
      return (await chooseTasks({ environment, numTasks: 2 }, { splits, model })).promptFormat;
    };
    const { vocabulary, prompt, createTask } = findEnvironment(environment);
    expect(await promptFormat()).toBe("chat");
    expect(await promptFormat(vocabulary)).toBe("compact");
    const chats = splits.flatMap((split) =>
      Array.from({ length: 200 }, (_, index) =>
        prompt(createTask({ split, seed: 0, index, promptFormat: "chat" }), "chat"),
      ),
    );
    expect(await promptFormat([...new Set(chats.join(" ").split(/\s+/))])).toBe("chat");
    await expect(promptFormat(["1"])).rejects.toThrow('in the prompt format "chat" to this model');
    expect((await chooseTasks({ environment: sums }, { splits })).promptFormat).toBe("chat");
  });

  it("shortens the longest answer to the room behind the longest prompt, and refuses what has none", async () => {
    const long = writeQuestions(join(place, "long"), {
      id: ["1 ?", "1 plus 1 plus 1 ?"].map((question) => ({ question, answer: addNumbers(question) })),
      ood: ["1 ?", "2 ?"].map((question) => ({ question, answer: addNumbers(question) })),
    });
    const longest = async (maxNewTokens?: number, template?: string): Promise<number> => {
      const model = createTinyModel({ words: sumWords, maxPositions: 32, ...(template && { template }) });
      const choice = { environment: long, maxNewTokens };
      return (await chooseTasks(choice, { splits, model })).evaluation.maxNewTokens;
    };
    // The longest has 6 words, and 12 by the template.
    expect(await longest()).toBe(32 - 6);
    expect(await longest(26)).toBe(26);
    expect(await longest(undefined, twice)).toBe(32 - 12);
    await expect(longest(27)).rejects.toThrow("prompts of 6 tokens with up to 27 more: the model has 32");
    await expect(longest(21, twice)).rejects.toThrow("prompts of 12 tokens with up to 21 more");
    const model = createTinyModel({ words: sumWords, maxPositions: 32, template: twice });
    const plain = await chooseTasks({ environment: long }, { splits, model, template: "none" });
    expect(plain.evaluation.maxNewTokens).toBe(32 - 6);
    const only = await chooseTasks({ environment: long }, { splits: ["ood"], model, template: "none" });
    expect(only.evaluation.maxNewTokens).toBe(32 - 2);
  });

  it.each([
    ["numTasks", 0],
    ["numTasks", 1.5],
    ["numAttempts", -1],
    ["maxNewTokens", Number.NaN],
    ["seed", -1],
  ] as const)("refuses %s of %d", async (key, value) => {
    const refusal = chooseTasks({ environment: "general-points", [key]: value }, { splits });
    await expect(refusal).rejects.toThrow(UsageError);
    await expect(refusal).rejects.toThrow(`${value}: give a whole number from`);
  });

  it("refuses a prompt format that the environment does not have", async () => {
    const refusal = chooseTasks({ environment: sums, promptFormat: "compact" }, { splits });
    await expect(refusal).rejects.toThrow(UsageError);
    await expect(refusal).rejects.toThrow('has no prompt format "compact"; choose from chat');
  });

  it.each([
    ["numTasks", 1_000_000],
    ["numAttempts", 16_384],
    ["maxNewTokens", 1_000_000],
  ] as const)("takes %s up to %d, and refuses more before anything is made", async (key, most) => {
    const choice = { environment: "general-points", numTasks: 2 };
    expect((await chooseTasks({ ...choice, [key]: most }, { splits })).evaluation[key]).toBe(most);
    const refusal = chooseTasks({ ...choice, [key]: most + 1 }, { splits });
    await expect(refusal).rejects.toThrow(UsageError);
    await expect(refusal).rejects.toThrow(`Cannot ask with ${key} ${most + 1}: ${most} is the most`);
  });
});

describe("requireRoom()", () => {
  it("gives the tokens that are left, and names who has too few", async () => {
    const environment = await openEnvironment(sums);
    const model = createTinyModel({ words: sumWords, maxPositions: 10 });
    const tasks = await chooseTasks({ environment: sums }, { splits });
    const asked = { environment, splits, template: "none", subject: "sft-9" } as const;
    expect(requireRoom(model, tasks, { ...asked, numTokens: 6 })).toBe(6);
    expect(() => requireRoom(model, tasks, { ...asked, numTokens: 7 })).toThrow(
      "Cannot answer prompts of 4 tokens with up to 7 more: sft-9 has 10 positions; lower maxNewTokens",
    );
  });
});
