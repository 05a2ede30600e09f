/** The data of figures as text. */

/** A row of a figure's data. */
export type DataRow = Readonly<Record<string, string | number | null | undefined>>;

/** Comma-separated values (RFC 4180) with a head. */
export function formatCsv(rows: readonly DataRow[]): string {
  const names = [...new Set(rows.flatMap((row) => Object.keys(row)))];
  const quote = (value: DataRow[string]): string => {
    const text = value === null || value === undefined ? "" : String(value);
    return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return [names, ...rows.map((row) => names.map((name) => row[name]))]
    .map((cells) => `${cells.map(quote).join(",")}\n`)
    .join("");
}
