/** Values of unknown shape, from JSON. */

/** An object's fields; none for anything else, lists included. */
export function toObject(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? { ...value } : {};
}
