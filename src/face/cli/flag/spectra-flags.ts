/** Flags of `untwist spectra`: which tensors are compared, how, and where. */
import { UsageError } from "../../../base/core/index.ts";
import { parseSize } from "../../../cluster/executor/index.ts";
import { chooseComparison, type SpectraChoice } from "../../../lab/comparison/index.ts";
import type { PairHeadline } from "../../../weights/spectra/index.ts";
import type { Invocation } from "./invocation.ts";
import { type JobFlags, parseJob } from "./job-flags.ts";

/** The flags as given. */
export interface SpectraFlags extends JobFlags {
  readonly rank?: string;
  readonly matrices?: string;
  readonly layers?: string;
  readonly randomized?: string;
  /** The earlier spelling. */
  readonly out?: string;
  readonly strict?: boolean;
  readonly json?: boolean;
}

/** Throws `UsageError` where something that was asked for could not be compared. */
export function requireComplete(pairs: readonly Pick<PairHeadline, "before" | "after" | "coverage">[]): void {
  const partial = pairs.find(({ coverage }) => !coverage.isComplete);
  if (partial === undefined) return;
  const { before, after, coverage } = partial;
  const [first] = coverage.unmatched;
  const example = first === undefined ? "" : `, as "${first.name}" is ${first.reason}`;
  throw new UsageError(
    `Not all of "${before}" and "${after}" could be compared${example}; leave tensors out by --matrices '!NAME', or leave --strict out`,
  );
}

/** Where the work is done, and what of this machine it may take. */
export async function chooseMachine(
  flags: SpectraFlags,
  invocation: Invocation,
): Promise<Pick<SpectraChoice, "place" | "bytes">> {
  const { memory } = flags;
  return {
    // In this process, too, memory has a limit.
    place: await parseJob(flags.on === undefined ? { ...flags, memory: undefined } : flags, invocation),
    ...(memory !== undefined && { bytes: parseSize("--memory", memory) }),
  };
}

/** Which tensors, and how they are compared. Throws `UsageError`. */
export function parseChoice(
  { rank, matrices, layers, randomized }: SpectraFlags,
  usualRanks: readonly number[],
): SpectraChoice {
  const randomizedSeed = randomized === undefined ? undefined : parseSeed(randomized);
  const ranks = rank === undefined ? usualRanks : parseRanks(rank);
  return chooseComparison({ ranks, matrices, layers, randomizedSeed });
}

function parseRanks(text: string): readonly number[] {
  if (/^ *[1-9]\d{0,8} *(, *[1-9]\d{0,8} *)*$/.test(text)) return text.split(",").map(Number);
  throw new UsageError(`Cannot read --rank "${text}": give whole numbers from 1, separated by commas`);
}

function parseSeed(text: string): number {
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw new UsageError(`Cannot read --randomized "${text}": give a whole number from 0`);
}
