/** Words for people to paste into a shell. */

/** A word as a POSIX shell reads it back. */
export function quoteForShell(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", String.raw`'\''`)}'`;
}
