/** Whether an answer came to its end: one that did not is never graded right, whatever it says up to there. */
import type { Environment, Grade, PromptFormat } from "../environment/index.ts";

/** A text that a model gave, and how it ended. */
export interface Reply {
  readonly text: string;
  /** Why it ended, as servers say it: `stop`, `length`, …; empty where nothing is said. */
  readonly finish: string;
}

/** Outcomes of answers that did not come to their end. */
export const incompleteOutcomes = ["cut off", "run on", "broken off", "no answer"] as const;
/** Why an answer did not come to its end. */
export type IncompleteOutcome = (typeof incompleteOutcomes)[number];

/** What kept an answer from being one, as a clause that can follow "because". */
const reasons: Readonly<Record<IncompleteOutcome, string>> = {
  "cut off": "it reached the limit of tokens before its end",
  "run on": "it did not end, but went on with turns of its own",
  "broken off": "the server broke it off before its end",
  "no answer": "there is no answer",
};

/** A reply read: what follows the thinking, and what kept it from being an answer, where something did. */
export interface Completion {
  readonly answer: string;
  readonly problem?: IncompleteOutcome;
}

/** Words for an end that the model itself chose. A tool call with words beside it is an answer, too. */
const ends = new Set([
  "",
  "stop",
  "stop_sequence",
  "eos",
  "eos_token",
  "end_turn",
  "complete",
  "tool_calls",
  "function_call",
]);

/** Words for the limit of tokens. */
const limits =
  /^(?:length|max_(?:new_|output_)?tokens|max_length|model_length|model_context_window_exceeded)$/;

/** Reads a reply. `isThinking` says that the prompt itself opened the thinking, so that the reply has only its end. */
export function readReply({ text, finish }: Reply, isThinking = false): Completion {
  const { answer: whole, isOpen } = stripThinking(text, isThinking);
  const answer = whole.replace(shownEnds, "");
  const end = finish.toLowerCase();
  if (limits.test(end)) return { answer, problem: hasTurns(whole) ? "run on" : "cut off" };
  if (!ends.has(end)) return { answer, problem: "broken off" };
  if (isOpen) return { answer, problem: "cut off" };
  // The model ended some later turn: its end token of this one was not taken for it.
  if (turnTokens.test(answer)) return { answer, problem: "run on" };
  return answer.trim() === "" ? { answer, problem: "no answer" } : { answer };
}

/**
 * The grade of a task's answer: one that did not come to its end has no right part, and is worth no more than none at all.
 */
export function gradeCompletion(
  { environment, task, promptFormat }: AskedTask,
  { answer, problem }: Completion,
): Grade {
  const grade = environment.grade(task, answer, { promptFormat });
  if (problem === undefined) return grade;
  const nothing = environment.grade(task, "", { promptFormat });
  return {
    outcome: problem,
    reward: Math.min(grade.reward, nothing.reward),
    parts: { format: false, values: false, solved: false },
    feedback: reasons[problem],
  };
}

interface AskedTask {
  readonly environment: Environment;
  readonly task: unknown;
  readonly promptFormat: PromptFormat;
}

/** Tags around thinking, as the families of models write them. */
const names = "(?:think|thinking|thought|thoughts|reasoning|reason|seed:think)";
const tags: readonly (readonly [opening: string, closing: string])[] = [
  [`<${names}>`, `</${names}>`],
  [String.raw`\[THINK\]`, String.raw`\[/THINK\]`],
  ["◁think▷", "◁/think▷"],
  [String.raw`<\|START_THINKING\|>`, String.raw`<\|END_THINKING\|>`],
  [String.raw`<\|begin_of_thought\|>`, String.raw`<\|end_of_thought\|>`],
  [String.raw`<\|channel\|>analysis<\|message\|>`, String.raw`<\|channel\|>final<\|message\|>`],
  [String.raw`<\|channel>thought`, String.raw`<channel\|>`],
];
const opening = tags.map(([tag]) => tag).join("|");
const closing = tags.map(([, tag]) => tag).join("|");
const anyTag = new RegExp(`(${opening})|(?:${closing})`, "gi");

/**
 * What was said last outside of thinking. `isThinking` says that the thinking began before the text; where a text closes what
 * it did not open, it did so as well. Thinking that never ends holds no answer.
 */
function stripThinking(
  text: string,
  isThinking: boolean,
): { readonly answer: string; readonly isOpen: boolean } {
  let [isOpen, hasClosed, end] = [isThinking, false, 0];
  let said: string[] = [];
  for (const { 0: tag, 1: open, index } of text.matchAll(anyTag)) {
    if (!isOpen) said.push(text.slice(end, index));
    if (open === undefined && !isOpen && !hasClosed) said = [];
    hasClosed ||= open === undefined;
    isOpen = open !== undefined;
    end = index + tag.length;
  }
  if (isOpen) return { answer: "", isOpen };
  if (end === 0) return { answer: text, isOpen };
  const answer = [...said, text.slice(end)].findLast((part) => part.trim() !== "") ?? "";
  return { answer: answer.trim(), isOpen };
}

/** Where another turn begins: the tokens of templates, and what is left of them where those are not shown. */
const turns =
  /<\|?(?:im_start|im_end|eot_id|eom_id|start_header_id|end_of_turn|start_of_turn|endoftext|end_of_text)\|?>|\[INST\]|\n\s*(?:user|human|assistant|question|q|### (?:instruction|question|input))\s*(?::|\n)|(?:assistant|user)\n\n/i;

/** Tokens of templates that begin a turn: no words of an answer. */
const turnTokens = /<\|(?:im_start|start_header_id|start_of_role)\|>|<start_of_turn>|\[INST\]|<\|start\|>/;

/** Tokens that end a turn, where a server shows them behind it. */
const shownEnds =
  /(?:\s*(?:<\|(?:im_end|eot_id|eom_id|end_of_text|endoftext|end|return|END_RESPONSE|END_OF_TURN_TOKEN)\|>|<end_of_turn>|<\/s>))+\s*$/;

/** Whether a text holds the beginning of another turn: the end token of its own was missing. */
function hasTurns(text: string): boolean {
  return turns.test(text);
}

const openedThinking = new RegExp(`(?:${opening})\\s*$`, "i");

/** Whether a prompt ends within thinking that it opened itself, as some chat templates do. One that speaks of it does not. */
export function opensThinking(prompt: string): boolean {
  return openedThinking.test(prompt);
}
