/** Tables in text: columns as wide as their widest cell. */

/** Which columns are numbers. */
export interface TableLayout {
  /** Numbers of the columns that are aligned to the right. */
  readonly right?: readonly number[];
}

/** Lines of a table; the first row is its head. Cells may hold colour codes. */
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

/** Characters of a text that show: colour codes do not. */
export function visibleLength(text: string): number {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: colour codes begin with the escape character
  return text.replace(/\u001b\[[0-9;]*m/g, "").length;
}
