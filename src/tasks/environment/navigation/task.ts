/** Tasks of navigation, and how actions are graded, whatever they are written like. */
import { z } from "zod";
import { createRandom, UsageError } from "../../../base/core/index.ts";
import type { Grade, PromptFormat, Split, TaskRequest } from "../environment.ts";
import {
  type Action,
  compassDirections,
  drawRoute,
  findFirstWrong,
  listPoints,
  type Route,
  relativeDirections,
  type Turning,
  turnings,
} from "./route.ts";

/** A route, and how turns are to be named. */
export interface NavigationTask {
  readonly route: Route;
  readonly turning: Turning;
}

/** How turns are named in each split. */
export const splitTurnings: { readonly [S in Split]: Turning } = { id: "compass", ood: "relative" };

/** Legs of a route, both ends included. */
const numLegs: { readonly [R in PromptFormat]: readonly [number, number] } = {
  compact: [2, 3],
  chat: [3, 5],
};

/** The route of that number: the same for both splits, which differ in nothing but how turns are to be named. */
export function createTask({ split, seed, index, promptFormat }: TaskRequest): NavigationTask {
  const random = createRandom(seed + index, "navigation", promptFormat);
  const [least, most] = numLegs[promptFormat];
  return { route: drawRoute(random, random.integer(least, most)), turning: splitTurnings[split] };
}

/** Every outcome, best first. */
export const outcomes = ["correct", "incorrect", "wrong-actions", "illegal"] as const;

/**
 * Grades actions, walking the route until the first wrong one. Rewards: all right +1; else −1 and the share of the steps before
 * the first wrong one; directions of the other kind count as wrong. `undefined` stands for no list of actions: −1.5.
 */
export function gradeActions(
  { route, turning }: NavigationTask,
  actions: readonly Action[] | undefined,
): Grade {
  if (actions === undefined)
    return {
      outcome: "illegal",
      reward: -1.5,
      parts: { format: false, values: false, solved: false },
      feedback: "the answer is not a list of actions",
    };
  const points = listPoints(route, turning);
  const wrong = findFirstWrong(points, actions);
  const given = actions.flatMap((action) => (action.kind === "turn" ? [action.direction] : []));
  const hasOther = given.some((direction) => !listDirections(turning).includes(direction));
  const values = given.join() === route.legs.map((leg) => leg[turning]).join();
  if (wrong === undefined)
    return {
      outcome: "correct",
      reward: 1,
      parts: { format: true, values: true, solved: true },
      feedback: "all actions are right",
    };
  return {
    outcome: hasOther ? "wrong-actions" : "incorrect",
    reward: -1 + Math.min(wrong, points.length - 1) / points.length,
    parts: { format: true, values, solved: false },
    feedback: describeWrong(wrong, { points: points.length, actions: actions.length, hasOther }),
  };
}

function describeWrong(
  wrong: number,
  {
    points,
    actions,
    hasOther,
  }: { readonly points: number; readonly actions: number; readonly hasOther: boolean },
): string {
  if (hasOther) return "a turn is named in another way than asked";
  if (wrong >= points) return `there are ${actions} actions for ${points} observations`;
  if (wrong >= actions) return `the actions end before the destination, after ${actions} of ${points}`;
  return `action ${wrong + 1} is not what the instructions say`;
}

/** The names that turns may have. */
export function listDirections(turning: Turning): readonly string[] {
  return turning === "compass" ? compassDirections : relativeDirections;
}

const taskSchema = z.strictObject({
  turning: z.enum(turnings),
  legs: z
    .array(
      z.strictObject({
        relative: z.enum(relativeDirections),
        compass: z.enum(compassDirections),
        numPoints: z.number().int().min(1).max(20).default(1),
        landmark: z.string().min(1).max(40),
      }),
    )
    .min(1)
    .max(20),
});

/** A route from a user's JSON. Throws `UsageError` on any other shape. */
export function parseTask(value: unknown): NavigationTask {
  const task = taskSchema.safeParse(value).data;
  if (task !== undefined) return { turning: task.turning, route: { legs: task.legs } };
  throw new UsageError(
    'Cannot read the route: write it like {"turning": "compass", "legs": [{"relative": "left", "compass": "west", "landmark": "bank"}]}',
  );
}

/** `left west to the bank, right north to the park; compass`. */
export function describeTask({ route, turning }: NavigationTask): string {
  const legs = route.legs.map(
    ({ relative, compass, numPoints, landmark }) => `${relative} ${compass} ${numPoints} to the ${landmark}`,
  );
  return `${legs.join(", ")}; ${turning}`;
}
