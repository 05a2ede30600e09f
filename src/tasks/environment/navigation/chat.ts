/** Navigation for a chat model: instructions, the actions that exist, what is seen point by point, an answer in JSON. */
import type { Grade } from "../environment.ts";
import { readLastObject } from "../json-answer.ts";
import { type Action, compassDirections, listPoints, type RoutePoint, relativeDirections } from "./route.ts";
import { gradeActions, listDirections, type NavigationTask } from "./task.ts";

/** The whole task in words. */
export function writeChatPrompt(task: NavigationTask): string {
  const { route, turning } = task;
  const lines = route.legs.flatMap(({ relative, compass, landmark }, index) => [
    `${index === 0 ? "First, turn" : "Turn"} ${relative} to face ${compass}.`,
    index === route.legs.length - 1
      ? `Move forward until you reach the destination, where the ${landmark} is.`
      : `Move forward until you reach the next intersection, where the ${landmark} is.`,
  ]);
  const observations = listPoints(route, turning).map(
    (point, index) => `O_${index + 1}: ${describePoint(point)}`,
  );
  return `You walk through a town, following instructions. For each thing that you observe, say what to do there.

Instructions:
${lines.map((line, index) => `${index + 1}. ${line}`).join("\n")}

Actions, and no others:
- forward(): go on along the street
- turn_direction(x): turn, where x is one of ${listDirections(turning).join(", ")}
- stop(): you have arrived

Observations:
${observations.join("\n")}

End with one JSON object that holds one action for each observation, in order:
{"actions": ["turn_direction(x)", "forward()", …, "stop()"]}`;
}

function describePoint({ place, landmark }: RoutePoint): string {
  if (place === "start") return "You are at the start";
  if (place === "street") return "No landmarks nearby";
  return place === "corner"
    ? `The ${landmark} is nearby; you observe an intersection`
    : `The ${landmark} is nearby`;
}

/** The answer with every action right. */
export function writeChatAnswer({ route, turning }: NavigationTask): string {
  return JSON.stringify({ actions: listPoints(route, turning).map(({ action }) => writeAction(action)) });
}

function writeAction(action: Action): string {
  return action.kind === "turn" ? `turn_direction(${action.direction})` : `${action.kind}()`;
}

/** Grades the last JSON object of an answer. Never throws. */
export function gradeChat(task: NavigationTask, answer: string): Grade {
  const { actions } = readLastObject(answer);
  return gradeActions(task, Array.isArray(actions) ? readActions(actions) : undefined);
}

const directions: readonly string[] = [...compassDirections, ...relativeDirections];

function readActions(items: readonly unknown[]): readonly Action[] | undefined {
  const actions = items.map((item) => (typeof item === "string" ? readAction(item) : undefined));
  const known = actions.filter((action) => action !== undefined);
  return known.length === actions.length ? known : undefined;
}

function readAction(text: string): Action | undefined {
  const word = text.trim().toLowerCase();
  if (word === "forward()" || word === "stop()") return { kind: word === "stop()" ? "stop" : "forward" };
  const [, name = ""] = /^turn_direction\(\s*["']?([a-z ]+?)["']?\s*\)$/.exec(word) ?? [];
  const direction = directions.find((one) => one === name);
  return direction === undefined
    ? undefined
    : { kind: "turn", direction: direction as (typeof compassDirections)[number] };
}
