/** What operations do to a matrix: every one is a sum of multiples of target and source and of a low-rank product. */
import { createRandom } from "../../base/core/index.ts";
import { createMatrix, type Factors, type LinearAlgebra, type Matrix } from "../linalg/index.ts";
import { findIntruders, numExaminedForIntruders } from "../spectra/index.ts";
import { addColumns, concatenateColumns, selectColumns, weigh } from "./columns.ts";
import { listRanks, type Operation, type Restorable, resolveAmount } from "./plan.ts";

/**
 * The edited matrix is ofTarget · target + ofSource · source + left · rightᵀ. An edit of k directions thus costs one
 * product of a thin matrix with another, whatever the decompositions did.
 */
export interface Edit {
  readonly ofTarget: number;
  readonly ofSource: number;
  /** rows × q. */
  readonly left: Matrix;
  /** columns × q. */
  readonly right: Matrix;
  /** The singular values that the operation aims at, in no order; absent where it aims at none. */
  readonly intended?: Float64Array;
}

/** The factors of both matrices. Absent source: no operation that needs one. */
export interface FactorPair {
  readonly target: Factors;
  readonly source?: Factors | undefined;
}

/** How many singular vectors of target and source an operation needs. */
export interface VectorDemand {
  readonly target: number;
  readonly source: number;
}

/** The matrix that is edited, for messages and seeds. */
export interface EditedMatrix {
  readonly name: string;
  readonly rows: number;
  readonly columns: number;
}

/** How an operation is carried out on matrices. */
interface Technique<Kind> {
  /** Whether it takes anything from the source. */
  readonly needsSource: boolean;
  readonly demandVectors: (operation: Kind, matrix: EditedMatrix) => VectorDemand;
  /** Columns of left and right at most; the matrix's own rank where whole matrices are taken. */
  readonly limitRank: (operation: Kind, matrix: EditedMatrix) => number;
  readonly plan: (operation: Kind, factors: FactorPair, place: EditContext) => Edit;
}

interface EditContext {
  readonly matrix: EditedMatrix;
  readonly algebra: LinearAlgebra;
}

type OperationOf<Kind extends Operation["operation"]> = Extract<Operation, { readonly operation: Kind }>;

const rankOf = ({ rows, columns }: EditedMatrix): number => Math.min(rows, columns);

/** Vectors up to the last rank that is meant, on both sides. */
function demandBoth(ranks: readonly number[]): VectorDemand {
  const count = ranks.reduce((most, rank) => Math.max(most, rank + 1), 0);
  return { target: count, source: count };
}

const techniques: { readonly [Kind in Operation["operation"]]: Technique<OperationOf<Kind>> } = {
  restore: {
    needsSource: true,
    demandVectors: (operation, matrix) => {
      const demand = demandBoth(listRanks(operation, rankOf(matrix), matrix.name));
      return operation.what === "values" ? { ...demand, source: 0 } : demand;
    },
    limitRank: (operation, matrix) => {
      const numRanks = listRanks(operation, rankOf(matrix), matrix.name).length;
      const isPair = operation.what === "vectors" || operation.what === "directions";
      return Math.min(rankOf(matrix), isPair ? 2 * numRanks : numRanks);
    },
    plan: planRestore,
  },
  rollback: {
    needsSource: true,
    demandVectors: () => ({ target: 0, source: 0 }),
    limitRank: (_, matrix) => rankOf(matrix),
    plan: ({ strength }, { source }, { matrix }) => ({
      ...blend(matrix, strength),
      ...(strength === 1 && source !== undefined && { intended: source.values }),
    }),
  },
  rescale: {
    needsSource: false,
    demandVectors: (operation, matrix) => ({
      ...demandBoth(listRanks(operation, rankOf(matrix), matrix.name)),
      source: 0,
    }),
    limitRank: (operation, matrix) => listRanks(operation, rankOf(matrix), matrix.name).length,
    plan: ({ factor, ...ranks }, { target }, { matrix }) =>
      scaleValues(target, listRanks(ranks, rankOf(matrix), matrix.name), factor),
  },
  truncate: {
    needsSource: false,
    demandVectors: ({ keep }, matrix) => ({
      target: resolveAmount(keep, rankOf(matrix), matrix.name),
      source: 0,
    }),
    limitRank: (_, matrix) => rankOf(matrix),
    plan: ({ keep, strength }, { target }, { matrix }) => {
      const count = resolveAmount(keep, rankOf(matrix), matrix.name);
      const ranks = Array.from({ length: count }, (_, rank) => rank);
      const weights = ranks.map((rank) => strength * valueAt(target, rank));
      return {
        ofTarget: 1 - strength,
        ofSource: 0,
        left: selectColumns(target.left, ranks, weights),
        right: selectColumns(target.right, ranks),
        intended: target.values.map((value, rank) => (rank < count ? value : (1 - strength) * value)),
      };
    },
  },
  damp: {
    needsSource: true,
    demandVectors: (_, matrix) => ({ target: rankOf(matrix), source: rankOf(matrix) }),
    limitRank: (_, matrix) => Math.min(rankOf(matrix), numExaminedForIntruders),
    plan: ({ factor }, { target, source }, { algebra }) =>
      source === undefined
        ? missingSource()
        : scaleValues(
            target,
            findIntruders(algebra.multiply(source.left, target.left, { left: true })),
            factor,
          ),
  },
  rebuild: {
    needsSource: false,
    demandVectors: (_, matrix) => ({ target: rankOf(matrix), source: 0 }),
    limitRank: (_, matrix) => rankOf(matrix),
    plan: (_, { target }) => {
      const ranks = Array.from(target.values.keys());
      return {
        ofTarget: 0,
        ofSource: 0,
        left: selectColumns(
          target.left,
          ranks,
          ranks.map((rank) => valueAt(target, rank)),
        ),
        right: selectColumns(target.right, ranks),
        intended: target.values,
      };
    },
  },
  scramble: {
    needsSource: true,
    demandVectors: (_, matrix) => ({ target: rankOf(matrix), source: rankOf(matrix) }),
    limitRank: (_, matrix) => rankOf(matrix),
    plan: planScramble,
  },
};

/** How many singular vectors an operation needs. Throws `UsageError` for ranks beyond the matrix. */
export function demandVectors(operation: Operation, matrix: EditedMatrix): VectorDemand {
  return techniqueOf(operation).demandVectors(operation, matrix);
}

/** The rank of the update at most: the matrix's own where it is not low. */
export function limitRank(operation: Operation, matrix: EditedMatrix): number {
  return techniqueOf(operation).limitRank(operation, matrix);
}

/** Whether an operation takes anything from the source. */
export function needsSource(operation: Operation): boolean {
  return techniqueOf(operation).needsSource;
}

/** The edit that an operation is for a matrix, from factors with as many vectors as `demandVectors` says. */
export function planEdit(
  operation: Operation,
  factors: FactorPair,
  matrix: EditedMatrix,
  algebra: LinearAlgebra,
): Edit {
  return techniqueOf(operation).plan(operation, factors, { matrix, algebra });
}

/** The techniques are keyed by the operation, which the compiler does not follow through a table. */
function techniqueOf(operation: Operation): Technique<Operation> {
  return techniques[operation.operation] as Technique<Operation>;
}

const valueAt = ({ values }: Factors, rank: number): number => values[rank] ?? 0;

function missingSource(): never {
  throw new RangeError("Cannot plan an edit from a source that is not there");
}

function nothing({ rows, columns }: EditedMatrix): Pick<Edit, "left" | "right"> {
  return { left: createMatrix(rows, 0), right: createMatrix(columns, 0) };
}

/** From the target toward the source, whatever the tensor is. */
export function blend(matrix: EditedMatrix, strength: number): Edit {
  return { ofTarget: 1 - strength, ofSource: strength, ...nothing(matrix) };
}

/** The target with the singular values of some ranks multiplied. */
function scaleValues(target: Factors, ranks: readonly number[], factor: number): Edit {
  const chosen = new Set(ranks);
  return {
    ofTarget: 1,
    ofSource: 0,
    left: selectColumns(
      target.left,
      ranks,
      ranks.map((rank) => (factor - 1) * valueAt(target, rank)),
    ),
    right: selectColumns(target.right, ranks),
    intended: target.values.map((value, rank) => (chosen.has(rank) ? factor * value : value)),
  };
}

/** What a restoration puts in the place of σ_t u_t v_tᵀ: a value and which sides' vectors. */
const replacements: {
  readonly [What in Restorable]: {
    readonly value: "target" | "source";
    readonly left: "target" | "source";
    readonly right: "target" | "source";
  };
} = {
  vectors: { value: "source", left: "source", right: "source" },
  directions: { value: "target", left: "source", right: "source" },
  values: { value: "source", left: "target", right: "target" },
  left: { value: "target", left: "source", right: "target" },
  right: { value: "target", left: "target", right: "source" },
};

function planRestore(
  operation: Pick<OperationOf<"restore">, "what" | "top" | "tail" | "strength">,
  { target, source = missingSource() }: FactorPair,
  { matrix, algebra }: EditContext,
): Edit {
  const { what, strength } = operation;
  const rank = rankOf(matrix);
  const ranks = listRanks(operation, rank, matrix.name);
  const { value, left, right } = replacements[what];
  const sides = { target, source };
  const chosen = new Set(ranks);
  const intended = {
    ...(strength === 1 && {
      intended: target.values.map((own, index) => (chosen.has(index) ? valueAt(sides[value], index) : own)),
    }),
  };
  if (ranks.length === rank && what === "vectors") return { ...blend(matrix, strength), ...intended };
  // One vector of the source beside one of the target: only together do the two have a sign.
  const signs =
    left === right
      ? undefined
      : alignSigns({ target, source, kept: left === "target" ? "left" : "right" }, ranks, algebra);
  const take = (side: "left" | "right", from: "target" | "source"): Matrix =>
    selectColumns(sides[from][side], ranks, from === "source" ? signs : undefined);
  const put = { left: take("left", left), right: take("right", right) };
  const gained = ranks.map((index) => strength * valueAt(sides[value], index));
  // All ranks are replaced: nothing of the target is left that would have to be taken away.
  if (ranks.length === rank)
    return {
      ofTarget: 1 - strength,
      ofSource: 0,
      left: weigh(put.left, gained),
      right: put.right,
      ...intended,
    };
  const own = { left: take("left", "target"), right: take("right", "target") };
  const lost = ranks.map((index) => -strength * valueAt(target, index));
  const product = joinProducts({ ...put, weights: gained }, { ...own, weights: lost }, { left, right });
  return { ofTarget: 1, ofSource: 0, ...product, ...intended };
}

/** Σ weight · left · rightᵀ over columns. */
interface WeightedProduct {
  readonly left: Matrix;
  readonly right: Matrix;
  readonly weights: readonly number[];
}

/**
 * The sum of what is put in and what is taken away of the target, as one product. Where both have the target's vectors on one
 * side, the others are added, so that it has no more columns than either.
 */
function joinProducts(
  put: WeightedProduct,
  own: WeightedProduct,
  { left, right }: { readonly left: "target" | "source"; readonly right: "target" | "source" },
): Pick<Edit, "left" | "right"> {
  if (right === "target")
    return { left: addColumns(weigh(put.left, put.weights), weigh(own.left, own.weights)), right: own.right };
  // Only directions on the right change: what is gained and lost has the same values.
  if (left === "target")
    return {
      left: weigh(put.left, put.weights),
      right: addColumns(
        put.right,
        weigh(
          own.right,
          own.weights.map(() => -1),
        ),
      ),
    };
  return {
    left: concatenateColumns(weigh(put.left, put.weights), weigh(own.left, own.weights)),
    right: concatenateColumns(put.right, own.right),
  };
}

/**
 * ±1 for every rank: −1 where the source's pair of vectors points against the target's, on both sides together. Where the two
 * sides contradict each other evenly, the side decides whose vectors are kept.
 */
function alignSigns(
  {
    target,
    source,
    kept,
  }: { readonly target: Factors; readonly source: Factors; readonly kept: "left" | "right" },
  ranks: readonly number[],
  algebra: LinearAlgebra,
): readonly number[] {
  const dot = (side: "left" | "right", rank: number): number => {
    const [own, other] = [selectColumns(target[side], [rank]), selectColumns(source[side], [rank])];
    return algebra.multiply(own, other, { left: true }).values[0] ?? 0;
  };
  return ranks.map((rank) => {
    const sum = dot("left", rank) + dot("right", rank);
    return (Math.abs(sum) < evenSum ? dot(kept, rank) : sum) < 0 ? -1 : 1;
  });
}

/** Sums of two cosines that rounding alone may turn. */
const evenSum = 1e-9;

/** The same singular values of the update in directions of a seed: both sides drawn uniformly (Haar). */
function planScramble(operation: OperationOf<"scramble">, factors: FactorPair, place: EditContext): Edit {
  const { matrix, algebra } = place;
  const sizes = algebra.singularValues(materialize(planRestore(operation, factors, place), factors, algebra));
  const { seed, what, top, tail } = operation;
  const frame = (side: string, size: number): Matrix => {
    const random = createRandom(seed, "scramble", matrix.name, side, what, String(top), String(tail));
    const normal = Float64Array.from({ length: size * sizes.length }, () => random.normal());
    const { q, r } = algebra.orthogonalize(createMatrix(size, sizes.length, normal));
    // Uniform only with the signs that make the diagonal of r positive (Mezzadri, Notices of the AMS 54, 2007).
    const signs = Array.from(sizes, (_, index) => ((r.values[index * r.columns + index] ?? 0) < 0 ? -1 : 1));
    return weigh(q, signs);
  };
  const left = frame("left", matrix.rows);
  return {
    ofTarget: 1,
    ofSource: 0,
    left: selectColumns(left, [...sizes.keys()], [...sizes]),
    right: frame("right", matrix.columns),
  };
}

/** What an edit adds to the target, from all factors of both sides. */
function materialize(
  { ofTarget, ofSource, left, right }: Edit,
  { target, source }: FactorPair,
  algebra: LinearAlgebra,
): Matrix {
  const sum = algebra.multiply(left, right, { right: true });
  const add = (factors: Factors, weight: number): void => {
    const ranks = [...factors.values.keys()];
    const weights = ranks.map((rank) => weight * valueAt(factors, rank));
    const part = algebra.multiply(selectColumns(factors.left, ranks, weights), factors.right, {
      right: true,
    });
    for (let index = 0; index < part.values.length; index++)
      sum.values[index] = (sum.values[index] ?? 0) + (part.values[index] ?? 0);
  };
  if (ofTarget !== 1) add(target, ofTarget - 1);
  if (ofSource !== 0 && source !== undefined) add(source, ofSource);
  return sum;
}
