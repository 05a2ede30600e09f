/** Rollouts of a policy that follows a rule, on a toy environment: "a" is to be answered by "x", "b" by "y". */
import { describe, expect, it } from "vitest";
import { UsageError } from "../../base/core/index.ts";
import {
  createWordTokenizer,
  type GenerationRequest,
  type Policy,
  type Tokenizer,
} from "../../engine/model/index.ts";
import type { Environment } from "../environment/index.ts";
import { collectEpisodes, type Episode, type RolloutOptions } from "./rollout.ts";

type Letter = "a" | "b";

function parseLetter(value: unknown): Letter {
  if (value === "a" || value === "b") return value;
  throw new UsageError("Cannot read the task: it is neither a nor b");
}

const answers: Readonly<Record<Letter, string>> = { a: "x", b: "y" };

const toy: Environment = {
  name: "toy",
  promptFormats: ["compact"],
  outcomes: ["right", "wrong"],
  numAttempts: { compact: 3, chat: 1 },
  vocabulary: ["a", "b", "x", "y", "again"],
  skills: {},
  createTask: ({ seed, index }) => ((seed + index) % 2 === 0 ? "a" : "b"),
  parseTask: parseLetter,
  describeTask: parseLetter,
  prompt: parseLetter,
  retryPrompt: (task, { attempts }) =>
    [parseLetter(task), ...attempts.flatMap(({ answer }) => [answer, "again"])].join(" "),
  referenceAnswer: (task) => answers[parseLetter(task)],
  grade: (task, answer) => {
    const isRight = answer === answers[parseLetter(task)];
    return {
      outcome: isRight ? "right" : "wrong",
      reward: isRight ? 1 : -1,
      parts: { format: true, values: isRight, solved: isRight },
      feedback: "it is the one word or not",
    };
  },
};

const tokenizer = createWordTokenizer(toy.vocabulary);
const endToken = 1;

interface Ruled extends Policy {
  /** The prompts of every call, as texts. */
  readonly calls: string[][];
}

/** A policy that answers the prompt's text by a rule. */
function createPolicy(answer: (prompt: string, request: GenerationRequest) => string): Ruled {
  const calls: string[][] = [];
  return {
    calls,
    maxPositions: 1000,
    generate: async (requests) => {
      calls.push(requests.map(({ prompt }) => tokenizer.decode(prompt)));
      return requests.map((request) => {
        const tokens = [...tokenizer.encode(answer(tokenizer.decode(request.prompt), request)), endToken];
        return { tokens, logProbs: tokens.map((_token, index) => -index), isFinished: true };
      });
    },
  };
}

function collect(
  policy: Policy,
  tasks: readonly unknown[],
  change: Partial<RolloutOptions> = {},
): Promise<readonly Episode[]> {
  return collectEpisodes(tasks, {
    environment: toy,
    promptFormat: "compact",
    tokenizer,
    policy,
    sampling: { temperature: 1 },
    maxNewTokens: 4,
    numAttempts: 3,
    seed: 1,
    path: ["rollout", 1],
    ...change,
  });
}

/** Always x: right for a, wrong for b. */
const stubborn = (): Ruled => createPolicy(() => "x");

const readLetters = (text: string): readonly number[] =>
  [...text].map((letter) => letter.codePointAt(0) ?? 0);
/** A tokenizer with a chat template that opens the thinking itself. */
const chatting: Tokenizer = {
  ...tokenizer,
  encode: readLetters,
  encodePrompt: readLetters,
  decode: (tokens) => String.fromCodePoint(...tokens.filter((token) => token !== endToken)),
  files: {
    "chat_template.jinja":
      "{% for m in messages %}[{{ m.role }}] {{ m.content }}\n{% endfor %}{% if add_generation_prompt %}[assistant] <think>{% endif %}",
  },
};

/** Answers by letters, and ends unless it is told not to. */
function createChatter(
  answers: readonly string[],
  isFinished = true,
): Policy & { readonly prompts: string[] } {
  const prompts: string[] = [];
  return {
    prompts,
    maxPositions: 1000,
    generate: async (requests) =>
      requests.map(({ prompt }) => {
        const tokens = chatting.encode(answers[prompts.push(chatting.decode(prompt)) - 1] ?? "");
        return { tokens, logProbs: [], isFinished };
      }),
  };
}

describe("collectEpisodes() with a chat template", () => {
  const chat: Environment = { ...toy, promptFormats: ["chat"] };
  const options = { environment: chat, promptFormat: "chat", tokenizer: chatting, numAttempts: 2 } as const;

  it("puts tasks as the model's own template does, with what was answered before, without its thinking", async () => {
    const policy = createChatter(["is it y?</think>z", "</think>x"]);
    const [episode = []] = await collect(policy, ["a"], { ...options, policy, template: "model" });
    expect(policy.prompts).toEqual([
      "[user] a\n[assistant] <think>",
      "[user] a\n[assistant] z\n[user] This answer failed because it is the one word or not. Try again.\n[assistant] <think>",
    ]);
    expect(episode.map(({ text }) => text)).toEqual(["z", "x"]);
    expect(episode.at(-1)?.grade.parts.solved).toBe(true);
  });

  it("puts plain text where that is wanted, or the prompt format is compact", async () => {
    for (const change of [
      { template: "none" },
      {},
      { template: "model", promptFormat: "compact" },
    ] as const) {
      const policy = createChatter(["x"]);
      await collect(policy, ["a"], { ...options, policy, ...change });
      expect(policy.prompts).toEqual(["a"]);
    }
  });

  it("never grades right what does not end, nor thinking that the template opened", async () => {
    for (const [answer, isFinished, outcome] of [
      ["x", false, "cut off"],
      ["</think>x", false, "cut off"],
      ["x", true, "cut off"],
      ["</think>", true, "no answer"],
      ["</think>x", true, "right"],
    ] as const) {
      const policy = createChatter([answer], isFinished);
      const change = { ...options, policy, numAttempts: 1, template: "model" as const };
      const [episode = []] = await collect(policy, ["a"], change);
      expect(episode[0]?.grade).toMatchObject({ outcome, parts: { solved: outcome === "right" } });
    }
  });
});

describe("collectEpisodes()", () => {
  it("stops an episode when it is solved, and every other after the allowed attempts", async () => {
    const policy = stubborn();
    const episodes = await collect(policy, ["a", "b", "a"]);
    expect(episodes.map((turns) => turns.length)).toEqual([1, 3, 1]);
    expect(episodes.map((turns) => turns.at(-1)?.grade.parts.solved)).toEqual([true, false, true]);
    expect(policy.calls).toEqual([["a", "b", "a"], ["b x again"], ["b x again x again"]]);
  });

  it("asks again with what was answered, until that is solved", async () => {
    const policy = createPolicy((prompt) => (prompt.endsWith("again") ? "y" : "x"));
    const [episode = []] = await collect(policy, ["b"]);
    expect(episode.map(({ text }) => text)).toEqual(["x", "y"]);
    expect(episode.map(({ grade }) => grade.reward)).toEqual([-1, 1]);
  });

  it("asks no more when all are solved", async () => {
    const policy = stubborn();
    await collect(policy, ["a", "a"]);
    expect(policy.calls.filter((prompts) => prompts.length > 0)).toEqual([["a", "a"]]);
  });

  it("keeps the prompt, the answer with its end token, and the log-probabilities of each turn", async () => {
    const [episode = []] = await collect(
      createPolicy(() => "y x"),
      ["b"],
      { numAttempts: 1 },
    );
    expect(episode).toHaveLength(1);
    const [turn] = episode;
    expect(turn?.sequence).toEqual({
      tokens: [...tokenizer.encode("b"), ...tokenizer.encode("y x"), endToken],
      numPromptTokens: 1,
    });
    expect(turn?.logProbs).toHaveLength(3);
    expect(turn?.text).toBe("y x");
  });

  it("answers nothing of no tasks", async () => {
    expect(await collect(stubborn(), [])).toEqual([]);
  });

  it("draws anew for every task, attempt and path, and the same for the same", async () => {
    const draws = async (change: Partial<RolloutOptions> = {}): Promise<readonly number[]> => {
      const drawn: number[] = [];
      const policy = createPolicy((_, { random }) => {
        drawn.push(random.integer(0, 2 ** 30));
        return "x";
      });
      await collect(policy, ["b", "b"], change);
      return drawn;
    };
    const first = await draws();
    expect(first).toHaveLength(6);
    expect(
      new Set([...first, ...(await draws({ path: ["rollout", 2] })), ...(await draws({ seed: 2 }))]).size,
    ).toBe(18);
    expect(await draws()).toEqual(first);
  });
});
