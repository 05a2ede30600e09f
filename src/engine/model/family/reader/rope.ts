/** The rotary embeddings of a configuration, in the spellings of transformers 4 and 5. */
import { isDeepStrictEqual } from "node:util";
import { toObject } from "../../../../base/core/index.ts";
import { FieldError, type Fields, readFields, shorten } from "../../config/fields.ts";
import type { Rope, RopeScaling } from "../../decoder/rotary.ts";

/** What is known before its rotary fields are read. */
export interface RopeContext {
  readonly headSize: number;
  readonly maxPositions: number;
  /** θ where none is named. */
  readonly theta: number;
  /** What part of a head is rotated where nothing is said; absent: all of it, whatever is said. */
  readonly part?: number;
  /** What some families call a type. */
  readonly aliases?: Readonly<Record<string, string>>;
  /** Positions of the first training, where the family has a default of its own. */
  readonly firstPositions?: number;
  /** Whether the object is that of a kind of layers. */
  readonly isNested?: true;
  /** Whether nothing counts that stands at the top of the configuration. */
  readonly isTopIgnored?: true;
}

const places = ["rope_scaling", "rope_parameters"] as const;

/** The one rope of a model. Throws `FieldError` for what is not known, and where two places disagree. */
export function readRope(fields: Fields, context: RopeContext): Rope {
  return readRopeObject(findRopeObject(fields), fields, context);
}

/** What Ministral 3 has where its configuration describes no rope. */
const usualGrowingRope = {
  rope_type: "yarn",
  rope_theta: 1_000_000,
  factor: 16,
  original_max_position_embeddings: 16_384,
  beta_fast: 32,
  beta_slow: 1,
  mscale_all_dim: 1,
  mscale: 1,
  llama_4_scaling_beta: 0.1,
};

/** The rope of a model whose queries grow with their positions (Llama 4, Ministral 3). Throws as `readRope`. */
export function readGrowingRope(fields: Fields, context: RopeContext): Rope {
  const found = findRopeObject(fields);
  const object = found === undefined || found.names.length === 0 ? readFields(usualGrowingRope) : found;
  const rate = object.number("llama_4_scaling_beta");
  const numPositions = object.count("original_max_position_embeddings");
  object.ignore("max_position_embeddings");
  return { ...readRopeObject(object, fields, context), queryGrowth: { rate, numPositions } };
}

/** `rope_scaling`, or else `rope_parameters`. Throws `FieldError` where both are there and say different things. */
function findRopeObject(fields: Fields): Fields | undefined {
  const [scaling, parameters] = places.map((place) => fields.object(place));
  if (scaling === undefined || scaling.names.length === 0) return parameters;
  // Older code reads the first, newer code the second.
  const [one, other] = places.map((place) => toObject(fields.raw(place)));
  for (const [name, value] of Object.entries(other ?? {})) {
    const stated = one?.[name] ?? neutralOf(fields, name);
    if (value !== null && !isDeepStrictEqual(stated, value))
      throw new FieldError(
        `"rope_scaling.${name}" is ${shorten(stated)} and "rope_parameters.${name}" is ${shorten(value)}: they must agree`,
      );
  }
  return scaling;
}

/** What counts where an object does not name a field. */
function neutralOf(fields: Fields, name: string): unknown {
  if (name === "rope_theta") return fields.raw(name);
  if (name === "rope_type" || name === "type") return "default";
  return name === "partial_rotary_factor" ? 1 : undefined;
}

/** The rope that an object describes, with what stands beside it at the top. */
function readRopeObject(object: Fields | undefined, top: Fields, context: RopeContext): Rope {
  const fields = context.isTopIgnored === true || context.isNested === true ? readFields({}) : top;
  const theta = agree(
    [fields, "rope_theta"],
    object === undefined ? undefined : [object, "rope_theta"],
    context.theta,
  );
  const dimension = readDimension(object, fields, context);
  const scaling = object === undefined ? undefined : readScaling(object, fields, { ...context, dimension });
  for (const name of object?.listUnread() ?? [])
    throw new FieldError(`"${object?.path}${name}" is ${shorten(object?.raw(name))}, which is not known`);
  return { theta, dimension, ...(scaling !== undefined && { scaling }) };
}

type Place = readonly [fields: Fields, name: string];

/** A number that may stand in two places. Throws `FieldError` where they disagree. */
function agree(outer: Place, inner: Place | undefined, fallback: number): number {
  const [one, other] = [outer, inner].map((place) => place?.[0].optionalNumber(place[1]));
  if (one !== undefined && other !== undefined && one !== other)
    throw new FieldError(
      `"${outer[1]}" is ${one} and "${inner?.[0].path}${inner?.[1]}" is ${other}: they must agree`,
    );
  const value = other ?? one ?? fallback;
  if (value <= 0) throw new FieldError(`"${outer[1]}" is ${value}, and must be above 0`);
  return value;
}

function readDimension(object: Fields | undefined, fields: Fields, { headSize, part }: RopeContext): number {
  const share = agree(
    [fields, "partial_rotary_factor"],
    object === undefined ? undefined : [object, "partial_rotary_factor"],
    part ?? 1,
  );
  if (part === undefined && share !== 1)
    throw new FieldError(`"partial_rotary_factor" is ${share}, and only 1 is known for this family`);
  const dimension = Math.trunc(headSize * share);
  if (dimension < 1 || 2 * Math.ceil(dimension / 2) > headSize)
    throw new FieldError(
      `"head_dim" is ${headSize} and "partial_rotary_factor" ${share}, and rotary positions need pairs`,
    );
  return dimension;
}

type ScalingContext = RopeContext & { readonly dimension: number };

function readScaling(object: Fields, fields: Fields, context: ScalingContext): RopeScaling | undefined {
  const [key, stated] = readType(object);
  const type = context.aliases?.[stated] ?? stated;
  const read = Object.hasOwn(readers, type) ? readers[type] : undefined;
  if (read === undefined && type !== "default")
    throw new FieldError(
      `"${object.path}${key}" is ${shorten(stated)}, and must be one of default, ${Object.keys(readers).join(", ")}`,
    );
  return read?.(object, fields, context);
}

/** `rope_type`, in older files `type`: which of them it is, and what it says. */
function readType(object: Fields): readonly [key: string, type: string] {
  const [newer, older] = [object.raw("rope_type"), object.raw("type")];
  const type = newer ?? older ?? "default";
  if (newer != null && older != null && newer !== older && older !== "default")
    throw new FieldError(
      `"${object.path}rope_type" is ${shorten(newer)} and "${object.path}type" is ${shorten(older)}: they must agree`,
    );
  if (typeof type !== "string") throw new FieldError(`"${object.path}rope_type" must be a text`);
  return [newer == null ? "type" : "rope_type", type];
}

type Reader = (object: Fields, fields: Fields, context: ScalingContext) => RopeScaling;

const readers: Readonly<Record<string, Reader>> = {
  linear: (object) => ({ type: "linear", factor: readFactor(object) }),
  dynamic: (object, _, { maxPositions }) => {
    // Its length is that of the configuration, whatever this says.
    object.ignore("original_max_position_embeddings");
    return { type: "dynamic", factor: readFactor(object), numPositions: maxPositions };
  },
  yarn: (object, fields, context) => {
    const numPositions = readFirstPositions(object, fields, context);
    const factor = readYarnFactor(object, context.maxPositions / numPositions);
    // Written by older tools; it changes nothing.
    object.ignore("finetuned");
    return {
      type: "yarn",
      factor,
      numPositions,
      fastTurns: object.optionalNumber("beta_fast") ?? 32,
      slowTurns: object.optionalNumber("beta_slow") ?? 1,
      isTruncated: readTruncation(object, context),
      magnitude: readYarnMagnitude(object, factor),
    };
  },
  llama3: (object, fields, context) => {
    const [lowFactor, highFactor] = [object.number("low_freq_factor"), object.number("high_freq_factor")];
    if (highFactor <= lowFactor)
      throw new FieldError(`"${object.path}high_freq_factor" must be above low_freq_factor`);
    const numPositions = readFirstPositions(object, fields, context);
    return { type: "llama3", factor: readFactor(object), numPositions, lowFactor, highFactor };
  },
  longrope: (object, fields, context) => {
    const numPositions = readFirstPositions(object, fields, context);
    const factor = object.optionalNumber("factor") ?? context.maxPositions / numPositions;
    const usual = factor <= 1 ? 1 : Math.sqrt(1 + Math.log(factor) / Math.log(numPositions));
    return {
      type: "longrope",
      numPositions,
      shortFactors: readFactors(object, "short_factor", context),
      longFactors: readFactors(object, "long_factor", context),
      magnitude: object.optionalNumber("attention_factor") ?? usual,
    };
  },
};

/** Null stands for the growth of the positions; the field itself must be there. */
function readYarnFactor(object: Fields, growth: number): number {
  return object.raw("factor") === null ? growth : readFactor(object);
}

/** Transformers does not look for it in the object of a kind of layers. */
function readTruncation(object: Fields, { isNested }: RopeContext): boolean {
  const isTruncated = object.flag("truncate", true);
  if (isNested === true && !isTruncated)
    throw new FieldError(`"${object.path}truncate" is false, which transformers does not apply there`);
  return isTruncated;
}

function readFactor(object: Fields): number {
  const factor = object.number("factor");
  if (factor < 1) throw new FieldError(`"${object.path}factor" is ${factor}, and must be 1 or more`);
  return factor;
}

/** Positions of the first training: the field at the top goes before that of the object. */
function readFirstPositions(
  object: Fields,
  fields: Fields,
  { maxPositions, firstPositions, isNested }: RopeContext,
): number {
  const name = "original_max_position_embeddings";
  const own = object.optionalCount(name);
  const top = isNested === true ? undefined : (fields.optionalCount(name) ?? firstPositions);
  return top ?? own ?? maxPositions;
}

/** YaRN's scale of cosines and sines (Peng et al. 2023), with the two factors that DeepSeek added. */
function readYarnMagnitude(object: Fields, factor: number): number {
  const [given, scale, scaleOfAll] = ["attention_factor", "mscale", "mscale_all_dim"].map((name) =>
    object.optionalNumber(name),
  );
  const grow = (by = 1): number => (factor <= 1 ? 1 : 0.1 * by * Math.log(factor) + 1);
  if (given !== undefined) return given;
  return scale && scaleOfAll ? grow(scale) / grow(scaleOfAll) : grow();
}

function readFactors(object: Fields, name: string, { dimension }: ScalingContext): readonly number[] {
  const factors = object.numbers(name) ?? [];
  const numPairs = Math.ceil(dimension / 2);
  if (factors.length !== numPairs || factors.some((factor) => factor <= 0))
    throw new FieldError(
      `"${object.path}${name}" must hold ${numPairs} numbers above 0, and holds ${factors.length}`,
    );
  return factors;
}

/** The ropes of layers with a window and of the others. */
export interface RopePair {
  readonly full: Rope;
  readonly sliding: Rope;
}

/**
 * The two ropes of a model that has one for layers with a window and one for the others (Gemma 3, OLMo 3): in an object each, or as older
 * files have it, scaled for layers without a window only.
 */
export function readRopePair(fields: Fields, full: RopeContext, sliding: RopeContext): RopePair {
  const [scaling, parameters] = places.map((place) => fields.object(place));
  const kinds = ["full_attention", "sliding_attention"] as const;
  const [ofFull, ofSliding] = kinds.map((kind) => parameters?.object(kind));
  for (const name of parameters?.listUnread() ?? [])
    throw new FieldError(`"rope_parameters.${name}" is not of a kind of layers, and is not known there`);
  const isScaled = scaling !== undefined && scaling.names.length > 0;
  if (isScaled && !scaling.has("rope_type"))
    throw new FieldError(`"rope_scaling" has no "rope_type", without which transformers does not apply it`);
  if (isScaled && ofFull !== undefined)
    throw new FieldError(
      `"rope_scaling" and "rope_parameters" are both there: keep the newer, rope_parameters`,
    );
  return {
    full: readRopeObject(isScaled ? scaling : ofFull, fields, { ...full, isNested: true }),
    sliding: readRopeObject(ofSliding, readFields({}), { ...sliding, isNested: true }),
  };
}
