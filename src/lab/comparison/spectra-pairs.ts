/** Pairs of checkpoints whose tensors are matched: what can be compared, by headers and configurations alone. */
import { resolve } from "node:path";
import { setting, UsageError } from "../../base/core/index.ts";
import {
  type AdapterOrigin,
  findLostTie,
  openCheckpoint,
  requireUnquantized,
  tiesEmbeddings,
} from "../../weights/checkpoint/index.ts";
import {
  type Coverage,
  type MatchedTensor,
  matchTensors,
  type NamedTensors,
  type TensorLabel,
} from "../../weights/spectra/index.ts";

/** A checkpoint folder under the name that results call it by. */
export interface NamedCheckpoint {
  readonly name: string;
  readonly folder: string;
}

/** Which pairs, and which of their tensors. */
export interface PairRequest {
  readonly pairs: readonly { readonly before: NamedCheckpoint; readonly after: NamedCheckpoint }[];
  /** Which tensors are asked for. */
  readonly isWanted: (label: TensorLabel) => boolean;
}

/** A pair whose tensors are matched. */
export interface MatchedPair {
  readonly before: NamedCheckpoint;
  readonly after: NamedCheckpoint;
  readonly coverage: Coverage;
  /** The head's name after, where the weights do not keep a tie that their configuration promises. */
  readonly lostHead?: string;
  /** Whether adapters that are added exactly to one base make the difference of a tensor, so that it is known as a thin product. */
  readonly isProduct: (tensor: MatchedTensor) => boolean;
}

/** All pairs, matched. Throws `UsageError` for one that has nothing in common. */
export async function requirePairs(request: PairRequest): Promise<readonly MatchedPair[]> {
  const pairs = await matchPairs(request);
  const missing = pairs.find(({ coverage }) => coverage.matched.length === 0);
  if (missing !== undefined) throw new UsageError(describeMismatch(missing));
  return pairs;
}

/** All pairs, with the tensors that both sides have and that are wanted: there may be none. */
export async function matchPairs({ pairs, isWanted }: PairRequest): Promise<readonly MatchedPair[]> {
  const listed = new Map<string, ListedCheckpoint>();
  const list = async ({ folder }: NamedCheckpoint): Promise<ListedCheckpoint> => {
    const found = listed.get(folder) ?? (await listTensors(folder));
    listed.set(folder, found);
    return found;
  };
  const matched: MatchedPair[] = [];
  for (const { before, after } of pairs) {
    const sides = { before: await list(before), after: await list(after) };
    const { lostHead } = sides.after;
    const coverage = matchTensors(sides, isWanted);
    const isProduct = (tensor: MatchedTensor): boolean => isMadeThin(sides, tensor);
    matched.push({ before, after, coverage, isProduct, ...(lostHead !== undefined && { lostHead }) });
  }
  return matched;
}

interface ListedCheckpoint extends NamedTensors, Pick<MatchedPair, "lostHead"> {
  /** Its own place, or that of an adapter's base. */
  readonly base: string;
  readonly adapter: AdapterOrigin | undefined;
}

function isMadeThin(
  { before, after }: { readonly before: ListedCheckpoint; readonly after: ListedCheckpoint },
  { source, isPart }: MatchedTensor,
): boolean {
  const { name } = source.after;
  const isOther = source.before.name !== name || isPart || before.base !== after.base;
  const adapters = [before.adapter, after.adapter];
  const isReplaced = adapters.some((adapter) => adapter?.replaced.has(name));
  return !isOther && !isReplaced && adapters.some((adapter) => adapter?.updates.has(name));
}

/** What can be known of a checkpoint without reading its weights. Throws `CheckpointError` where those are quantized. */
async function listTensors(folder: string): Promise<ListedCheckpoint> {
  const checkpoint = await openCheckpoint(folder);
  try {
    await requireUnquantized(checkpoint);
    const { tensors, config, adapter, computed } = checkpoint;
    const lostHead = findLostTie(checkpoint)?.head;
    const type = config.model_type;
    return {
      tensors,
      isTied: tiesEmbeddings(config),
      model: typeof type === "string" ? type : "",
      sums: computed ?? new Set(),
      base: resolve(adapter?.base ?? folder),
      adapter,
      ...(lostHead !== undefined && { lostHead }),
    };
  } finally {
    await checkpoint.close();
  }
}

function describeMismatch({ before, after, coverage: { unmatched, notes } }: MatchedPair): string {
  const subject = `Cannot compare "${before.folder}" with "${after.folder}"`;
  const [first] = unmatched;
  return first === undefined
    ? `${subject}: no tensor is chosen; choose others with ${setting("matrices")} and ${setting("layers")}`
    : `${subject}: no tensor has its match, "${first.name}" is ${first.reason}; ${[...notes, "give two checkpoints of one model"].join("; ")}`;
}
