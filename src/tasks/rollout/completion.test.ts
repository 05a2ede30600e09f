/** What counts as an answer that came to its end. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { findEnvironment } from "../environment/index.ts";
import { gradeCompletion, incompleteOutcomes, opensThinking, readReply } from "./completion.ts";

const stop = (text: string): ReturnType<typeof readReply> => readReply({ text, finish: "stop" });

describe("readReply()", () => {
  it("takes what a model ended itself, whatever the server calls that", () => {
    for (const finish of ["stop", "", "eos_token", "end_turn", "tool_calls", "STOP"])
      expect(readReply({ text: "15", finish })).toEqual({ answer: "15" });
  });

  it("names what is cut off at the limit, also where thinking was opened by the template", () => {
    for (const finish of ["length", "max_tokens", "MAX_TOKENS", "model_length"])
      expect(readReply({ text: "Okay, maybe it is 15", finish }).problem).toBe("cut off");
    expect(readReply({ text: "", finish: "length" }).problem).toBe("cut off");
  });

  it("names what a server broke off, and finish reasons that nobody knows", () => {
    for (const finish of ["abort", "error", "content_filter", "safety", "something new"])
      expect(readReply({ text: "15", finish }).problem).toBe("broken off");
  });

  it("names an empty answer, and one that is thinking alone", () => {
    for (const text of ["", " \n", "<think>hm</think>", "<think>hm</think> \n"])
      expect(stop(text).problem).toBe("no answer");
  });

  it("leaves out thinking, in the tags of all families, and names thinking that never ends", () => {
    for (const [open, close] of [
      ["<think>", "</think>"],
      ["<thinking>", "</thinking>"],
      ["<reasoning>", "</reasoning>"],
      ["<seed:think>", "</seed:think>"],
      ["[THINK]", "[/THINK]"],
      ["◁think▷", "◁/think▷"],
      ["<|START_THINKING|>", "<|END_THINKING|>"],
      ["<|begin_of_thought|>", "<|end_of_thought|>"],
      ["<|channel|>analysis<|message|>", "<|channel|>final<|message|>"],
      ["<|channel>thought\n", "<channel|>"],
    ] as const) {
      expect(stop(`${open}is it 14?${close}\n\n15`)).toEqual({ answer: "15" });
      expect(stop(`is it 14?${close}15`)).toEqual({ answer: "15" });
      expect(stop(`${open}is it 14? 15`)).toEqual({ answer: "", problem: "cut off" });
      expect(stop(`${open}a${close}14 ${open}is it 15`).problem).toBe("cut off");
      expect(stop(`${open}a${close}14 ${open}no${close}15`)).toEqual({ answer: "15" });
      expect(stop(`15\n${open}that was easy${close}\n`)).toEqual({ answer: "15" });
      expect(stop(`${open}a${close}15 ${open}that was easy${close}`)).toEqual({ answer: "15" });
      expect(stop(`${open}a${close}15${close}`)).toEqual({ answer: "15" });
      expect(stop(`${open}what does ${open} mean?${close}15`)).toEqual({ answer: "15" });
      expect(stop(`is it 14?${close}`)).toEqual({ answer: "", problem: "no answer" });
    }
  });

  it("takes an answer without a tag for thinking where the prompt opened it", () => {
    const reply = { text: "it is 15", finish: "stop" };
    expect(readReply(reply, true)).toEqual({ answer: "", problem: "cut off" });
    expect(readReply({ ...reply, text: "hm</think>15" }, true)).toEqual({ answer: "15" });
    expect(readReply({ ...reply, text: "<think>hm</think>15" }, true)).toEqual({ answer: "15" });
    expect(readReply({ ...reply, text: "14 <think>hm</think>" }, true).problem).toBe("no answer");
    expect(opensThinking("<|im_start|>assistant\n<think>\n")).toBe(true);
    expect(opensThinking("<think>\n\n</think>\n\n")).toBe(false);
    expect(opensThinking("2 + 2 = ?")).toBe(false);
    expect(opensThinking("Begin with <think>.<|im_end|>\n<|im_start|>assistant\n")).toBe(false);
    expect(opensThinking("</think>old<|im_start|>assistant\n<think>\n\n")).toBe(true);
  });

  it("tells a turn that did not end from one that was too long", () => {
    for (const text of [
      "15\nuser\nWhat is 2 + 2?",
      "15\n\nQuestion: 2 + 2?",
      "15<|im_end|>\n",
      "15assistant\n\n15",
    ])
      expect(readReply({ text, finish: "length" }).problem).toBe("run on");
  });
});

describe("readReply(), of tokens that a server shows", () => {
  it("leaves out those that end the turn", () => {
    for (const text of ["15<|im_end|>", "15</s>", "15<|eot_id|>\n", "15 <end_of_turn><|endoftext|>"])
      expect(stop(text)).toEqual({ answer: "15" });
    expect(stop("<|im_end|>").problem).toBe("no answer");
    expect(stop("a </s> b")).toEqual({ answer: "a </s> b" });
  });

  it("tells an answer that went on with other turns, also where it ended one of those", () => {
    for (const text of ["15<|im_end|>\n<|im_start|>user\n2 + 2?", "15<end_of_turn>\n<start_of_turn>user\n4"])
      expect(stop(text).problem).toBe("run on");
  });
});

describe("gradeCompletion()", () => {
  const environment = findEnvironment("countdown");
  const task = environment.createTask({ split: "id", seed: 1, index: 0, promptFormat: "chat" });
  const place = { environment, task, promptFormat: "chat" as const };

  it("never grades an incomplete answer right, nor rewards it more than none", () => {
    const right = environment.referenceAnswer(task, "chat");
    const nothing = environment.grade(task, "", { promptFormat: "chat" }).reward;
    expect(gradeCompletion(place, { answer: right }).parts.solved).toBe(true);
    fc.assert(
      fc.property(
        fc.constantFrom(...incompleteOutcomes),
        fc.boolean(),
        fc.string(),
        (problem, isRight, text) => {
          const grade = gradeCompletion(place, { answer: isRight ? right : text, problem });
          expect(grade).toMatchObject({
            outcome: problem,
            parts: { format: false, values: false, solved: false },
          });
          expect(grade.reward).toBeLessThanOrEqual(nothing);
        },
      ),
    );
  });
});
