/**
 * How positions enter queries and keys. Where frequencies are the same for all texts, their tables are constants of the program and
 * "positions" picks rows of them. Where they depend on a text's length, cosines and sines of each token are inputs.
 */
import { op, type Rotation, type Tensor, type TensorData } from "../../tensor/index.ts";
import type { ModelConfig } from "../config/model-config.ts";
import { countRotated, fixedLength, type Rope, rotaryTables, type TableOptions } from "./rotary.ts";

/** Tokens of a pass, [B, T], and how many positions there may be. */
export interface Places {
  readonly B: number;
  readonly T: number;
  /** Position of every token, int32, [B, T]. */
  readonly positions: Tensor;
  readonly numPositions: number;
}

/** Puts positions into queries or keys [B, heads, T, D]; queries are also multiplied by their factor. */
export type Rotate = (x: Tensor, rope: Rope | undefined, queryFactor?: number) => Tensor;

/** The rotations of one pass; tables are shared between layers. */
export function createRotations(places: Places): Rotate {
  const tables = new Map<string, Rotation>();
  const findTables = (rope: Rope, options: QueryOptions): Rotation => {
    const key = JSON.stringify([rope, options]);
    const found = tables.get(key) ?? createTables(places, rope, options);
    tables.set(key, found);
    return found;
  };
  const inputs = createAngleInputs(places);
  return (x, rope, queryFactor) => {
    const [factor, isForQueries] = [queryFactor ?? 1, queryFactor !== undefined];
    if (rope === undefined) return multiply(x, factor);
    const D = x.shape[3] ?? 0;
    const isWhole = countRotated(rope) === D;
    // A factor in the tables costs nothing.
    const inTables = isWhole ? factor : 1;
    const rotatePart = (part: Tensor): Tensor =>
      isFixed(rope)
        ? op.rotate(part, findTables(rope, { scale: inTables, isForQueries }))
        : multiply(rotateBy(part, inputs(rope)), inTables);
    if (isWhole) return rotatePart(x);
    const [first, rest] = splitLast(x, countRotated(rope));
    return multiply(op.concatenate([rotatePart(first), rest], 3), factor);
  };
}

function isFixed(rope: Rope): boolean {
  return fixedLength(rope) === Number.POSITIVE_INFINITY;
}

function multiply(x: Tensor, factor: number): Tensor {
  return factor === 1 ? x : op.multiply(x, factor);
}

function splitLast(x: Tensor, start: number): readonly [Tensor, Tensor] {
  const end = x.shape[3] ?? 0;
  return [op.slice(x, { axis: 3, start: 0, end: start }), op.slice(x, { axis: 3, start, end })];
}

type QueryOptions = Pick<TableOptions, "scale" | "isForQueries">;

function createTables({ positions, numPositions }: Places, rope: Rope, options: QueryOptions): Rotation {
  const all = Int32Array.from({ length: numPositions }, (_, position) => position);
  const { cosine, sine } = rotaryTables(rope, all, { numTokens: numPositions, ...options });
  const shape = [numPositions, countRotated(rope) / 2];
  return { cosine: op.constant(shape, cosine), sine: op.constant(shape, sine), positions };
}

/** Cosines and sines of each token, [B, 1, T, F]. */
interface Angles {
  readonly cosine: Tensor;
  readonly sine: Tensor;
}

/** The inputs "cosines" and "sines" [B, T, F] for F pairs, which are made at their first use. */
function createAngleInputs({ B, T }: Places): (rope: Rope) => Angles {
  let made: Angles | undefined;
  return (rope) => {
    const F = countRotated(rope) / 2;
    const read = (name: string): Tensor => op.reshape(op.input(name, [B, T, F]), [B, 1, T, F]);
    made ??= { cosine: read("cosines"), sine: read("sines") };
    return made;
  };
}

/** The rotation of halves: (a, b) becomes (a cos − b sin, b cos + a sin). */
function rotateBy(x: Tensor, { cosine, sine }: Angles): Tensor {
  const [a, b] = splitLast(x, (x.shape[3] ?? 0) / 2);
  return op.concatenate(
    [
      op.subtract(op.multiply(a, cosine), op.multiply(b, sine)),
      op.add(op.multiply(b, cosine), op.multiply(a, sine)),
    ],
    3,
  );
}

/** The one rope of a model whose frequencies depend on a text's length; undefined where there is none. */
export function findVaryingRope({ layers }: Pick<ModelConfig, "layers">): Rope | undefined {
  return layers.flatMap(({ rope }) => (rope === undefined || isFixed(rope) ? [] : [rope])).at(0);
}

/** Texts of a pass: the position of the first token that is read of each, and how many tokens the whole text has. */
export interface PlacedText {
  readonly start: number;
  readonly numTokens: number;
}

/**
 * What a pass over T tokens of each text is fed with to know their positions. What follows a text's last token is padding, which stays at the
 * last position: there may be no further ones. Rows without a text count from 0.
 */
export function feedPositions(
  config: Pick<ModelConfig, "layers">,
  { B, T, texts }: { readonly B: number; readonly T: number; readonly texts: readonly PlacedText[] },
): Readonly<Record<string, TensorData>> {
  const longest = texts.reduce((most, { numTokens }) => Math.max(most, numTokens), 0);
  const padding = { start: 0, numTokens: longest === 0 ? T : longest };
  const positions = Int32Array.from({ length: B * T }, (_, index) => {
    const { start, numTokens } = texts[Math.floor(index / T)] ?? padding;
    return Math.min(start + (index % T), numTokens - 1);
  });
  const rope = findVaryingRope(config);
  if (rope === undefined) return { positions };
  const width = (T * countRotated(rope)) / 2;
  const [cosines, sines] = [new Float32Array(B * width), new Float32Array(B * width)];
  for (const [row, { numTokens }] of texts.entries()) {
    const own = positions.subarray(row * T, (row + 1) * T);
    const { cosine, sine } = rotaryTables(rope, own, { numTokens });
    cosines.set(cosine, row * width);
    sines.set(sine, row * width);
  }
  return { positions, cosines, sines };
}
