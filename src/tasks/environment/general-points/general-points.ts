/**
 * General points, the 24 game of the study: four cards, and a rule for the face cards that changes out of
 * distribution. The hands are in hand.ts, the two renderings in compact.ts and chat.ts.
 */
import type { Environment } from "../environment.ts";
import { gradeChat, writeChatAnswer, writeChatPrompt, writeChatRetry } from "./chat.ts";
import { gradeCompact, vocabulary, writeAnswer, writePrompt } from "./compact.ts";
import type { GeneralPointsTask } from "./hand.ts";
import { lessons } from "./lessons.ts";
import { outcomes } from "./score.ts";
import { createTask, describeTask, parseTask } from "./task.ts";

/** The 24 game in both renderings. Rewards: +5 correct, +1 partial, −1 incorrect, from −2 wrong numbers, from −3 illegal. */
export const generalPoints: Environment<GeneralPointsTask> = {
  name: "general-points",
  renderings: ["compact", "chat"],
  outcomes,
  numAttempts: { compact: 1, chat: 5 },
  vocabulary,
  lessons,
  createTask,
  parseTask,
  describeTask,
  prompt: (task, rendering) => (rendering === "chat" ? writeChatPrompt(task) : writePrompt(task, "play")),
  retryPrompt: (task, { rendering, attempts }) =>
    rendering === "chat" ? writeChatRetry(task, attempts) : writePrompt(task, "play"),
  referenceAnswer: (task, rendering) => (rendering === "chat" ? writeChatAnswer(task) : writeAnswer(task)),
  grade: (task, answer, { rendering, compat }) =>
    rendering === "chat" ? gradeChat(task, answer, compat) : gradeCompact(task, answer),
};
