/**
 * Navigation in words of a small vocabulary:
 * `turns compass ; left northeast to bank ; right south to park ; o: start street bank street street park ; go` →
 * `a: northeast forward south forward forward stop`. There are no words for feedback.
 */
import type { Grade } from "../environment.ts";
import {
  type Action,
  compassDirections,
  listPoints,
  type Route,
  relativeDirections,
  type Turning,
  turnings,
} from "./route.ts";
import { landmarks } from "./street-map.ts";
import { gradeActions, type NavigationTask } from "./task.ts";

/** The words that end a prompt and say what is asked; `go` is in no skill: fine-tuning brings it. */
const keywords = ["name", "walk", "route", "travel", "guide", "lead", "go"] as const;
/** A word that ends a prompt. */
export type Keyword = (typeof keywords)[number];

const joined = (direction: string): string => direction.replace(" ", "-");

/** Every word, in token-id order. */
export const vocabulary: readonly string[] = [
  ...["turns", "to", "o:", "a:", ";", "start", "street", "forward", "stop"],
  ...turnings,
  ...compassDirections,
  ...relativeDirections.map(joined),
  ...keywords,
  ...landmarks,
];

/** `left northeast to bank`. */
function writeLegs({ legs }: Route): string {
  return legs
    .map(({ relative, compass, landmark }) => `${joined(relative)} ${compass} to ${landmark}`)
    .join(" ; ");
}

function writeObservations(route: Route): string {
  return listPoints(route, "compass")
    .map(({ place, landmark }) => landmark ?? place)
    .join(" ");
}

/** The prompt of a route, ending in the keyword that says what is asked. */
export function writePrompt({ route, turning }: NavigationTask, keyword: Keyword): string {
  return `turns ${turning} ; ${writeLegs(route)} ; o: ${writeObservations(route)} ; ${keyword}`;
}

/** The answer with every action right. */
export function writeAnswer({ route, turning }: NavigationTask): string {
  const actions = listPoints(route, turning).map(({ action }) =>
    action.kind === "turn" ? joined(action.direction) : action.kind,
  );
  return `a: ${actions.join(" ")}`;
}

/** `turns compass ; left northeast to bank ; name` → `a: northeast`: which of the two names counts. */
export function writeNaming(
  route: Route,
  turning: Turning,
): { readonly prompt: string; readonly answer: string } {
  return {
    prompt: `turns ${turning} ; ${writeLegs(route)} ; name`,
    answer: `a: ${route.legs.map((leg) => joined(leg[turning])).join(" ")}`,
  };
}

const words = new Map<string, Action>([
  ["forward", { kind: "forward" }],
  ["stop", { kind: "stop" }],
  ...[...compassDirections, ...relativeDirections].map((direction): [string, Action] => [
    joined(direction),
    { kind: "turn", direction },
  ]),
]);

/** Grades an answer to `go`, strictly. Never throws. */
export function gradeCompact(task: NavigationTask, answer: string): Grade {
  const [head, ...rest] = answer.split(" ");
  const actions = rest.flatMap((word) => words.get(word) ?? []);
  const isList = head === "a:" && rest.length > 0 && actions.length === rest.length;
  return gradeActions(task, isList ? actions : undefined);
}
