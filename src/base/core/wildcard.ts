/** Patterns as users write them for names. */

/** The source of a regular expression for a text in which `*` stands for any characters, and all others for themselves. */
export function toExpressionSource(pattern: string): string {
  const parts = pattern.split("*").map((part) => part.replaceAll(/[.+?^${}()|[\]\\]/g, "\\$&"));
  return parts.join(".*");
}
