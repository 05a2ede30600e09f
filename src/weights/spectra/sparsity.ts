/**
 * How many scalars of a tensor an update left as they were, under several meanings of "as they were". One pass in
 * plain JavaScript; says nothing of which scalars. Values must be finite, and the machine little-endian.
 */

/** The absolute tolerances that are counted, by name; smallest first. */
export const tolerances = ["1e-8", "1e-7", "1e-6", "1e-5", "1e-4"] as const;

/** The name of an absolute tolerance; `Number(name)` is its value. */
export type Tolerance = (typeof tolerances)[number];

/** One number for every meaning of "w became ŵ and is still the same". */
interface SparsityMeasures {
  /** ŵ = w, with +0 and −0 the same. */
  readonly bitwise: number;
  /**
   * |ŵ − w| ≤ tolerance, formed in float64; never falls from one tolerance to the next. 1e-5 is what "RL finetunes
   * small subnetworks in large language models" (arXiv 2505.11711) calls unchanged; it hides changes of one bf16
   * step below 2⁻⁹.
   */
  readonly byTolerance: { readonly [T in Tolerance]: number };
  /**
   * |ŵ − w| ≤ 1e-3 · max(|w|, |ŵ|), formed in float64: "The Path Not Taken" (arXiv 2511.08567). For numbers that are
   * bf16 already this is `bitwise`, as their smallest relative gap is 2⁻⁸.
   */
  readonly relative: number;
  /** w and ŵ are the same once both are rounded to bf16 (nearest even): `bitwise` of the pair if stored in bf16. */
  readonly bitwiseInBf16: number;
}

/** Numbers of scalars of one tensor; whole, at most `numElements`. Never less than `bitwise`. */
export interface SparsityCounts extends SparsityMeasures {
  readonly numElements: number;
}

/** Shares of scalars, in [0, 1]: 1 when nothing changed. Density is 1 minus sparsity. */
export type Sparsity = SparsityMeasures;

/** Counts over the chunks of one tensor. */
export interface SparsityCounter {
  /**
   * Counts scalars by their values `before` and `after` the update, read during the call; finite, any chunking of the
   * tensor. Throws `TypeError` when the lengths differ.
   */
  add(before: Float32Array, after: Float32Array): void;
  /** What was counted so far. */
  read(): SparsityCounts;
}

/** Sparsity over several tensors: of a layer, or of a model. */
export interface CombinedSparsity {
  /** Unchanged scalars of all tensors by all their scalars: 1 − ‖θ̂ − θ‖₀ / n of arXiv 2505.11711. */
  readonly weighted: Sparsity;
  /** Mean of the tensors' own shares: a norm vector counts as much as a matrix, as in that paper's layer figures. */
  readonly unweighted: Sparsity;
  /** Tensors that hold any scalar. */
  readonly numTensors: number;
  readonly numElements: number;
}

/** Starts a count of zero scalars. */
export function createSparsityCounter(): SparsityCounter {
  const bins = new Float64Array(NUM_BINS);
  let [numElements, numChanged, numChangedRelatively, numChangedInBf16] = [0, 0, 0, 0];
  return {
    add: (before, after) => {
      if (before.length !== after.length)
        throw new TypeError(
          `Cannot compare ${before.length} scalars with ${after.length}: chunks must match`,
        );
      numElements += before.length;
      for (let start = 0; start < before.length; start += BLOCK_LENGTH) {
        const end = start + BLOCK_LENGTH;
        const length = loadUnequal(before.subarray(start, end), after.subarray(start, end));
        if (length === 0) continue;
        const changed = measureDistances(bins, length);
        numChanged += changed;
        // Two unequal bf16 numbers lie further apart than the relative tolerance, so all three counts agree.
        const isBf16 = holdsBf16(length);
        numChangedRelatively += isBf16 ? changed : countChangedRelatively(length);
        numChangedInBf16 += isBf16 ? changed : countChangedInBf16(length);
      }
    },
    read: () => ({
      numElements,
      bitwise: numElements - numChanged,
      byTolerance: countWithin(bins, numElements),
      relative: numElements - numChangedRelatively,
      bitwiseInBf16: numElements - numChangedInBf16,
    }),
  };
}

/** The shares behind counts of one tensor. Throws `RangeError` for a tensor without scalars. */
export function shareOf(counts: SparsityCounts): Sparsity {
  if (counts.numElements === 0) throw new RangeError("Cannot take a share of a tensor: it has no scalars");
  return divide(counts, counts.numElements);
}

/** Sparsity over several tensors in both usual ways; undefined when they hold no scalar at all. */
export function combineSparsity(
  tensors: readonly { readonly counts: SparsityCounts }[],
): CombinedSparsity | undefined {
  const counts = tensors.map((tensor) => tensor.counts).filter(({ numElements }) => numElements > 0);
  if (counts.length === 0) return undefined;
  const numElements = counts.reduce((sum, count) => sum + count.numElements, 0);
  return {
    weighted: divide(add(counts), numElements),
    unweighted: divide(add(counts.map(shareOf)), counts.length),
    numTensors: counts.length,
    numElements,
  };
}

function add(list: readonly SparsityMeasures[]): SparsityMeasures {
  const sumOf = (pick: (measures: SparsityMeasures) => number): number =>
    list.reduce((sum, measures) => sum + pick(measures), 0);
  return {
    bitwise: sumOf(({ bitwise }) => bitwise),
    byTolerance: tabulate((tolerance) => sumOf(({ byTolerance }) => byTolerance[tolerance])),
    relative: sumOf(({ relative }) => relative),
    bitwiseInBf16: sumOf(({ bitwiseInBf16 }) => bitwiseInBf16),
  };
}

function divide(measures: SparsityMeasures, divisor: number): SparsityMeasures {
  return {
    bitwise: measures.bitwise / divisor,
    byTolerance: tabulate((tolerance) => measures.byTolerance[tolerance] / divisor),
    relative: measures.relative / divisor,
    bitwiseInBf16: measures.bitwiseInBf16 / divisor,
  };
}

function tabulate(pick: (tolerance: Tolerance) => number): SparsityMeasures["byTolerance"] {
  return {
    "1e-8": pick("1e-8"),
    "1e-7": pick("1e-7"),
    "1e-6": pick("1e-6"),
    "1e-5": pick("1e-5"),
    "1e-4": pick("1e-4"),
  };
}

// Below, scalars are compared in blocks. A block lies in constants of the module, whose addresses and lengths the
// compiler then knows, and no loop branches on what it cannot guess from the scalars before: the one makes it one and a
// half times as fast, the other three times. Nothing in a block outlives the call that filled it.

/** Scalars per block; even. */
const BLOCK_LENGTH = 1024;
const RELATIVE_TOLERANCE = 1e-3;

const befores = new Float32Array(BLOCK_LENGTH);
const afters = new Float32Array(BLOCK_LENGTH);
const beforeBits = new Int32Array(befores.buffer);
const afterBits = new Int32Array(afters.buffer);
const beforePairs = new Float64Array(befores.buffer);
const afterPairs = new Float64Array(afters.buffer);
const distances = new Float64Array(BLOCK_LENGTH);
const distanceWords = new Int32Array(distances.buffer);
const margins = new Float64Array(2);
const marginWords = new Int32Array(margins.buffer);

/**
 * Fills the block with those pairs of neighboring scalars in which one was changed, and returns their number of
 * scalars. Two 32-bit floats are compared as one of 64 bits, which no finite pair turns into NaN, and whose zeros are
 * pairs of zeros.
 */
function loadUnequal(before: Float32Array, after: Float32Array): number {
  befores.set(before);
  afters.set(after);
  if (before.length % 2 === 1) {
    befores[before.length] = 0;
    afters[before.length] = 0;
  }
  const numPairs = (before.length + 1) >>> 1;
  let index = 0;
  while (index < numPairs && (beforePairs[index] ?? 0) === (afterPairs[index] ?? 0)) index++;
  let numUnequal = 0;
  for (; index < numPairs; index++) {
    const before = beforePairs[index] ?? 0;
    const after = afterPairs[index] ?? 0;
    beforePairs[numUnequal] = before;
    afterPairs[numUnequal] = after;
    numUnequal = (numUnequal + Number(before !== after)) | 0;
  }
  return 2 * numUnequal;
}

/** Whether all scalars of the block are bf16 numbers: their lower halves are empty. */
function holdsBf16(length: number): boolean {
  let bits = 0;
  for (let index = 0; index < length; index++) bits |= (beforeBits[index] ?? 0) | (afterBits[index] ?? 0);
  return (bits & 0xffff) === 0;
}

/** Counts the distances |after − before| of the block into bins, and returns how many are not 0. */
function measureDistances(bins: Float64Array, length: number): number {
  for (let index = 0; index < length; index++)
    distances[index] = Math.abs((afters[index] ?? 0) - (befores[index] ?? 0));
  let numChanged = 0;
  for (let index = 0; index < length; index++) {
    const word = distanceWords[2 * index + 1] ?? 0;
    numChanged = (numChanged + (-word >>> 31)) | 0;
    const bin = word >>> 16;
    const limit = limitOfBin[bin] ?? 0;
    const settled = limit === 0 ? bin : (distances[index] ?? 0) <= limit ? bin - 1 : bin + 1;
    bins[settled] = (bins[settled] ?? 0) + 1;
  }
  return numChanged;
}

/** How many scalars of the block changed by more than the relative tolerance: by more than that of w and that of ŵ. */
function countChangedRelatively(length: number): number {
  let numChanged = 0;
  for (let index = 0; index < length; index++) {
    const distance = distances[index] ?? 0;
    margins[0] = RELATIVE_TOLERANCE * Math.abs(befores[index] ?? 0) - distance;
    margins[1] = RELATIVE_TOLERANCE * Math.abs(afters[index] ?? 0) - distance;
    numChanged = (numChanged + (((marginWords[1] ?? 0) & (marginWords[3] ?? 0)) >>> 31)) | 0;
  }
  return numChanged;
}

/** How many scalars of the block are still changed when both values are rounded to bf16; zeros are the same. */
function countChangedInBf16(length: number): number {
  let numChanged = 0;
  for (let index = 0; index < length; index++) {
    const before = beforeBits[index] ?? 0;
    const after = afterBits[index] ?? 0;
    const beforeHalf = (before + 0x7fff + ((before >>> 16) & 1)) >>> 16;
    const afterHalf = (after + 0x7fff + ((after >>> 16) & 1)) >>> 16;
    const size = (beforeHalf | afterHalf) & 0x7fff;
    numChanged = (numChanged + ((-(beforeHalf ^ afterHalf) & -size) >>> 31)) | 0;
  }
  return numChanged;
}

/**
 * Bins of distances by the upper 16 bits of their float64, 16 bins to a factor of 2. A bin that holds a tolerance stays
 * empty: what would fall in it is compared with the tolerance and put in the bin below or above.
 */
const NUM_BINS = 2 ** 15;
/** The tolerance that a bin holds, 0 where it holds none. */
const limitOfBin = new Float64Array(NUM_BINS);
for (const tolerance of tolerances) limitOfBin[binOf(tolerance)] = Number(tolerance);

function binOf(tolerance: Tolerance): number {
  return (new Uint32Array(Float64Array.of(Number(tolerance)).buffer)[1] ?? 0) >>> 16;
}

/** Of `numElements` scalars, those that are in no bin above the tolerance, for each tolerance. */
function countWithin(bins: Float64Array, numElements: number): SparsityMeasures["byTolerance"] {
  return tabulate((tolerance) =>
    bins.subarray(binOf(tolerance) + 1).reduce((rest, count) => rest - count, numElements),
  );
}
