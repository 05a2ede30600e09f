/**
 * Navigation, the study's second task as text: instructions through a town, an action for each point. In training turns are
 * named by the compass, out of distribution as the walker sees them; the routes are the same.
 */
import type { Random } from "../../../base/core/index.ts";
import { writeHistory } from "../conversation.ts";
import type { Environment, Skill } from "../environment.ts";
import { gradeChat, writeChatAnswer, writeChatPrompt } from "./chat.ts";
import { gradeCompact, type Keyword, vocabulary, writeAnswer, writeNaming, writePrompt } from "./compact.ts";
import { drawRoute, turnings } from "./route.ts";
import { createTask, describeTask, type NavigationTask, outcomes, parseTask } from "./task.ts";

/** Several keywords call whole routes, so that one never heard before is taken as one more of them. */
const routeKeywords: readonly Keyword[] = ["walk", "route", "travel", "guide", "lead"];

function drawTask(random: Random): NavigationTask {
  return { route: drawRoute(random, random.integer(2, 3)), turning: random.pick(turnings) };
}

const skills: Readonly<Record<string, Skill>> = {
  name: {
    summary: "Name the turns of a route in the way that is asked.",
    draw: (random) => {
      const { route, turning } = drawTask(random);
      return writeNaming(route, turning);
    },
  },
  route: {
    summary: "Walk a whole route, turns named in either way.",
    draw: (random) => {
      const task = drawTask(random);
      return { prompt: writePrompt(task, random.pick(routeKeywords)), answer: writeAnswer(task) };
    },
  },
};

/** Walks through a town. Rewards: +1 correct, from −1 to 0 by how far an answer leads, −1.5 illegal. */
export const navigation: Environment<NavigationTask> = {
  name: "navigation",
  promptFormats: ["compact", "chat"],
  outcomes,
  numAttempts: { compact: 1, chat: 2 },
  vocabulary,
  skills,
  createTask,
  parseTask,
  describeTask,
  prompt: (task, promptFormat) => (promptFormat === "chat" ? writeChatPrompt(task) : writePrompt(task, "go")),
  retryPrompt: (task, { promptFormat, attempts }) =>
    promptFormat === "chat" ? writeHistory(writeChatPrompt(task), attempts) : writePrompt(task, "go"),
  referenceAnswer: (task, promptFormat) =>
    promptFormat === "chat" ? writeChatAnswer(task) : writeAnswer(task),
  grade: (task, answer, { promptFormat }) =>
    promptFormat === "chat" ? gradeChat(task, answer) : gradeCompact(task, answer),
};
