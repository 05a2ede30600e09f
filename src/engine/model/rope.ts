/** The base of a config's rotary frequencies, in the spellings of transformers 4 and 5; scaled positions are refused by name. */

/** θ of models that do not name it. */
const usualTheta = 10_000;

const objects = ["rope_scaling", "rope_parameters"] as const;

/**
 * θ: `rope_theta` beside or inside `rope_parameters` or `rope_scaling`. Throws `RangeError` with what is wrong where the
 * positions are scaled, where a field is not known, and where two places disagree.
 */
export function readRopeTheta(config: Readonly<Record<string, unknown>>): number {
  const thetas = new Map<string, number>();
  readTheta("rope_theta", config.rope_theta, thetas);
  requireWhole("partial_rotary_factor", config.partial_rotary_factor);
  for (const name of objects) readRopeObject(name, config[name], thetas);
  const [[place, theta] = ["", usualTheta], ...others] = thetas;
  for (const [otherPlace, other] of others)
    if (other !== theta)
      throw new RangeError(`"${place}" is ${theta} and "${otherPlace}" is ${other}: they must agree`);
  return theta;
}

function readRopeObject(name: string, value: unknown, thetas: Map<string, number>): void {
  if (value === undefined || value === null) return;
  if (typeof value !== "object" || Array.isArray(value)) throw new RangeError(`"${name}" must be an object`);
  for (const [key, field] of Object.entries(value)) {
    const place = `${name}.${key}`;
    if (field === null) continue;
    if (key === "rope_theta") readTheta(place, field, thetas);
    else if (key === "partial_rotary_factor") requireWhole(place, field);
    else if (key !== "rope_type" && key !== "type")
      throw new RangeError(`"${place}" is ${JSON.stringify(field)}, which is not known`);
    else if (field !== "default")
      throw new RangeError(`"${place}" is ${JSON.stringify(field)}, and only "default" is known`);
  }
}

function readTheta(place: string, value: unknown, thetas: Map<string, number>): void {
  if (value === undefined || value === null) return;
  if (typeof value !== "number" || !(value > 0) || !Number.isFinite(value))
    throw new RangeError(`"${place}" must be a number above 0`);
  thetas.set(place, value);
}

function requireWhole(place: string, value: unknown): void {
  if (value !== undefined && value !== null && value !== 1)
    throw new RangeError(`"${place}" is ${JSON.stringify(value)}, and only 1 is known`);
}
