/** Routes through a town: which way to turn at each corner, what is seen at each point, and what is to be done there. */
import type { Random } from "../../../base/core/index.ts";
import { drawStreetMap, headingBetween } from "./street-map.ts";

/** Directions of a compass, clockwise from north. */
export const compassDirections = [
  "north",
  "northeast",
  "east",
  "southeast",
  "south",
  "southwest",
  "west",
  "northwest",
] as const;
/** A direction by the compass. */
export type CompassDirection = (typeof compassDirections)[number];

/** Directions as seen by a walker. */
export const relativeDirections = ["left", "right", "slightly left", "slightly right"] as const;
/** A direction seen from where one looks. */
export type RelativeDirection = (typeof relativeDirections)[number];

/** How turns are named: by the compass as in training, or as the walker sees them. */
export const turnings = ["compass", "relative"] as const;
/** A turn on the spot. */
export type Turning = (typeof turnings)[number];

/** A straight part of a route. */
export interface Leg {
  readonly relative: RelativeDirection;
  readonly compass: CompassDirection;
  /** Points of the street that are passed, at least 1. */
  readonly numPoints: number;
  /** What stands where it ends. */
  readonly landmark: string;
}

/** The way from a start to a destination. */
export interface Route {
  readonly legs: readonly Leg[];
}

/** The compass direction nearest to a heading in degrees. */
export function nameHeading(degrees: number): CompassDirection {
  return compassDirections[Math.round((((degrees % 360) + 360) % 360) / 45) % 8] ?? "north";
}

/** The difference of two headings, in (−180, 180]: clockwise is positive. */
export function turnBetween(before: number, after: number): number {
  const difference = ((((after - before) % 360) + 540) % 360) - 180;
  return difference === -180 ? 180 : difference;
}

/**
 * How a turn is named: beyond 45° it is left or right, up to 45° slightly so; straight on counts as slightly left. The study's
 * boundaries, with the wrap around north that its code lacks.
 */
export function nameTurn(before: number, after: number): RelativeDirection {
  const turn = turnBetween(before, after);
  if (Math.abs(turn) > 45) return turn < 0 ? "left" : "right";
  return turn <= 0 ? "slightly left" : "slightly right";
}

/** Turns nearer than that (in degrees) to where their name changes are not drawn: nobody could name them. */
const margin = 5;

function isClear(before: number, after: number): boolean {
  const turn = Math.abs(turnBetween(before, after));
  return turn >= margin && Math.abs(turn - 45) >= margin && turn <= 180 - margin;
}

/** A route of that many legs that visits no corner twice; towns are drawn until one has it. */
export function drawRoute(random: Random, numLegs: number): Route {
  for (;;) {
    const legs = tryRoute(random, numLegs);
    if (legs !== undefined) return { legs };
  }
}

function tryRoute(random: Random, numLegs: number): readonly Leg[] | undefined {
  const corners = drawStreetMap(random);
  const legs: Leg[] = [];
  const visited = new Set<number>();
  let heading = random.integer(0, 359);
  let place = random.integer(0, corners.length - 1);
  while (legs.length < numLegs) {
    const corner = corners[place];
    if (corner === undefined) return undefined;
    visited.add(place);
    const ways = corner.neighbors.flatMap((number) => {
      const next = corners[number];
      const after = next === undefined ? 0 : headingBetween(corner, next);
      return next === undefined || visited.has(number) || !isClear(heading, after)
        ? []
        : [{ number, after, next }];
    });
    if (ways.length === 0) return undefined;
    const { number, after, next } = random.pick(ways);
    // A landmark that was passed before would not say where one is.
    if (legs.some(({ landmark }) => landmark === next.landmark)) return undefined;
    legs.push({
      relative: nameTurn(heading, after),
      compass: nameHeading(after),
      numPoints: random.integer(1, 2),
      landmark: next.landmark,
    });
    [heading, place] = [after, number];
  }
  return legs;
}

/** What is to be done at a point: turn into a direction, go on, or stop. */
export type Action =
  | { readonly kind: "turn"; readonly direction: CompassDirection | RelativeDirection }
  | { readonly kind: "forward" }
  | { readonly kind: "stop" };

/** A point of a route: what is seen there, and what is right to do. */
export interface RoutePoint {
  readonly place: "start" | "street" | "corner" | "destination";
  /** At corners and the destination. */
  readonly landmark?: string;
  readonly action: Action;
}

/** The points of a route in order: a turn at the start and at each corner, forward between them, a stop at the end. */
export function listPoints({ legs }: Route, turning: Turning): readonly RoutePoint[] {
  return legs.flatMap((leg, index) => {
    const before = legs[index - 1];
    const turn: RoutePoint = {
      place: before === undefined ? "start" : "corner",
      ...(before !== undefined && { landmark: before.landmark }),
      action: { kind: "turn", direction: leg[turning] },
    };
    const street = Array.from(
      { length: leg.numPoints },
      (): RoutePoint => ({ place: "street", action: { kind: "forward" } }),
    );
    const end: readonly RoutePoint[] =
      index === legs.length - 1
        ? [{ place: "destination", landmark: leg.landmark, action: { kind: "stop" } }]
        : [];
    return [turn, ...street, ...end];
  });
}

/** Where actions leave the route: the first wrong one, counted from 0; `undefined` where all are right. */
export function findFirstWrong(
  points: readonly RoutePoint[],
  actions: readonly Action[],
): number | undefined {
  const isSame = (a: Action | undefined, b: Action | undefined): boolean =>
    a?.kind === b?.kind && (a?.kind !== "turn" || (b?.kind === "turn" && a.direction === b.direction));
  const length = Math.max(points.length, actions.length);
  for (let index = 0; index < length; index++)
    if (!isSame(points[index]?.action, actions[index])) return index;
  return undefined;
}
