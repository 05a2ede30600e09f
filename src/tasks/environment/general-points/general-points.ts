/**
 * General points, the 24 game of the study: four cards, and a rule for the face cards that changes out of
 * distribution. The hands are in hand.ts, the two prompt formats in compact.ts and chat.ts.
 */
import type { Environment } from "../environment.ts";
import { gradeChat, writeChatAnswer, writeChatPrompt, writeChatRetry } from "./chat.ts";
import { gradeCompact, vocabulary, writeAnswer, writePrompt } from "./compact.ts";
import type { GeneralPointsTask } from "./hand.ts";
import { outcomes } from "./score.ts";
import { skills } from "./skills.ts";
import { createTask, describeTask, parseTask } from "./task.ts";

/** The 24 game in both prompt formats. Rewards: +5 correct, +1 partial, −1 incorrect, from −2 wrong numbers, from −3 illegal. */
export const generalPoints: Environment<GeneralPointsTask> = {
  name: "general-points",
  promptFormats: ["compact", "chat"],
  outcomes,
  numAttempts: { compact: 1, chat: 5 },
  vocabulary,
  skills,
  createTask,
  parseTask,
  describeTask,
  prompt: (task, promptFormat) =>
    promptFormat === "chat" ? writeChatPrompt(task) : writePrompt(task, "play"),
  retryPrompt: (task, { promptFormat, attempts }) =>
    promptFormat === "chat" ? writeChatRetry(task, attempts) : writePrompt(task, "play"),
  referenceAnswer: (task, promptFormat) =>
    promptFormat === "chat" ? writeChatAnswer(task) : writeAnswer(task),
  grade: (task, answer, { promptFormat, compat }) =>
    promptFormat === "chat" ? gradeChat(task, answer, compat) : gradeCompact(task, answer),
};
