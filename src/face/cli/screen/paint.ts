/** Colors, only where they are wanted: on a terminal that has not asked for none. */
import { styleText } from "node:util";

/** What a color means on our screens: ID and OOD are always the same two. */
const styles = {
  id: "blueBright",
  ood: "yellowBright",
  good: "greenBright",
  bad: "redBright",
  dim: "gray",
  bold: "bold",
} as const;

/** Paints text by its meaning. */
export type Paint = (meaning: keyof typeof styles, text: string) => string;

/** Paint that colors. */
export const colorPaint: Paint = (meaning, text) =>
  styleText(styles[meaning], text, { validateStream: false });

/** Paint that leaves text as it is. */
export const plainPaint: Paint = (_, text) => text;
