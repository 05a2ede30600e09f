/** A town of streets made from a seed: corners on an uneven grid, streets between neighbors, a landmark at each corner. */
import type { Random } from "../../../base/core/index.ts";

/** A corner where streets meet. */
export interface Corner {
  /** In metres. */
  readonly east: number;
  readonly north: number;
  readonly landmark: string;
  /** Numbers of the corners that streets lead to. */
  readonly neighbors: readonly number[];
}

/** What stands at corners, one word each. */
export const landmarks: readonly string[] = [
  ...["bakery", "bank", "bookshop", "bridge", "cafe", "chapel", "cinema", "clinic", "fountain", "garage"],
  ...["hotel", "kiosk", "library", "market", "museum", "park", "pharmacy", "school", "stadium", "station"],
  ...["statue", "theatre", "tower", "windmill"],
];

const numRows = 6;
const spacing = 100;
/** Largest displacement of a corner along each axis, and the share of grid streets that exist. */
const jitter = 35;
const streetShare = 0.85;

/** Draws a town. Landmarks repeat only beyond the length of their list. */
export function drawStreetMap(random: Random): readonly Corner[] {
  const names = random.shuffle([...landmarks, ...landmarks]);
  const places = Array.from({ length: numRows * numRows }, (_, index) => ({
    east: spacing * (index % numRows) + random.integer(-jitter, jitter),
    north: spacing * Math.floor(index / numRows) + random.integer(-jitter, jitter),
    landmark: names[index % names.length] ?? "",
  }));
  const streets = places.flatMap((_, index) => [
    ...((index + 1) % numRows === 0 ? [] : [[index, index + 1] as const]),
    ...(index + numRows < places.length ? [[index, index + numRows] as const] : []),
    ...((index + 1) % numRows === 0 || index + numRows >= places.length
      ? []
      : [[index, index + numRows + 1] as const]),
  ]);
  const open = streets.filter(() => random.uniform() < streetShare);
  return places.map((place, index) => ({
    ...place,
    neighbors: open.flatMap(([a, b]) => (a === index ? [b] : b === index ? [a] : [])),
  }));
}

/** The compass heading from one place to another: degrees from north, clockwise, in [0, 360). */
export function headingBetween(
  from: Pick<Corner, "east" | "north">,
  to: Pick<Corner, "east" | "north">,
): number {
  const degrees = (Math.atan2(to.east - from.east, to.north - from.north) * 180) / Math.PI;
  return (degrees + 360) % 360;
}
