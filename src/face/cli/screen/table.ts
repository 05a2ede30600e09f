/** Tables in text: columns as wide as their widest cell. */

import type { Paint } from "./paint.ts";

/** Which columns are numbers. */
export interface TableLayout {
  /** Numbers of the columns that are aligned to the right. */
  readonly right?: readonly number[];
}

/** Lines of a table; the first row is its head. Cells may hold color codes. */
export function formatTable(
  rows: readonly (readonly string[])[],
  { right = [] }: TableLayout = {},
): readonly string[] {
  const numColumns = Math.max(0, ...rows.map((row) => row.length));
  const widths = Array.from({ length: numColumns }, (_, column) =>
    Math.max(...rows.map((row) => visibleLength(row[column] ?? ""))),
  );
  return rows.map((row) =>
    row
      .map((cell, column) => {
        const padding = " ".repeat((widths[column] ?? 0) - visibleLength(cell));
        return right.includes(column) ? padding + cell : cell + padding;
      })
      .join("  ")
      .trimEnd(),
  );
}

/** Characters of a text that show: color codes do not. */
export function visibleLength(text: string): number {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: color codes begin with the escape character
  return text.replace(/\u001b\[[0-9;]*m/g, "").length;
}

/**
 * The table with as many of its columns as fit into `width`: while a line is too long, the next of `expendable`
 * (numbers of columns) is left out; says how many were. Whole where there is no width.
 */
export function fitTable(
  rows: readonly (readonly string[])[],
  {
    width,
    expendable,
    right = [],
  }: TableLayout & { readonly width?: number | undefined; readonly expendable: readonly number[] },
): { readonly lines: readonly string[]; readonly numDropped: number } {
  for (let numDropped = 0; ; numDropped++) {
    const dropped = expendable.slice(0, numDropped);
    const kept = (rows[0] ?? []).map((_, column) => column).filter((column) => !dropped.includes(column));
    // Rows may be longer than the head: what stands beyond it has no heading.
    const lines = formatTable(
      rows.map((row) => row.filter((_, column) => !dropped.includes(column))),
      { right: kept.flatMap((column, position) => (right.includes(column) ? [position] : [])) },
    );
    const longest = Math.max(0, ...lines.map(visibleLength));
    if (width === undefined || longest <= width || numDropped >= expendable.length)
      return { lines, numDropped };
  }
}

/** A line that says how many columns a narrow screen left out; none where it shows them all. */
export function describeDropped(count: number, paint: Paint): readonly string[] {
  if (count === 0) return [];
  const what = count === 1 ? "1 column does" : `${count} columns do`;
  return [paint("dim", `(${what} not fit: widen the terminal, or use --json)`)];
}
