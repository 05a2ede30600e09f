/** Bases whose head is their table of embeddings: an adapter may change one of them only, and the model has two tables then. */
import { toObject } from "../../../base/core/index.ts";
import { quote } from "../checkpoint-error.ts";
import { findTie, isTokenTable, type Tie } from "../config/tied-head.ts";
import type { Checkpoint, CheckpointTensor } from "../open-checkpoint.ts";
import { haveSameBytes } from "../source/same-bytes.ts";
import type { AdaptedTensor, AdapterContents, TensorSource } from "./adapter-contents.ts";
import { mergeIt, UnusableAdapterError } from "./adapter-error.ts";

/** What an adapter makes of the tensors of its base, and of its configuration. */
export interface Plan {
  readonly tensors: ReadonlyMap<string, AdaptedTensor>;
  readonly config: Readonly<Record<string, unknown>>;
}

/**
 * A plan in which embeddings and head are as PEFT has them in front of a base that ties them: tables that are saved take the place of
 * one of both, and the other stays; rows of tokens are both's. Throws `UnusableAdapterError` for factors of either, of which PEFT
 * makes one model before merging and another after.
 */
export function settleTie(contents: AdapterContents, planned: ReadonlyMap<string, AdaptedTensor>): Plan {
  const { base } = contents;
  const tie = findTie(base);
  const tensors = new Map(planned);
  if (tie === undefined) return { tensors, config: base.config };
  const { embedding: embeddings, head } = tie;
  const [ofEmbeddings, ofHead] = [planned.get(embeddings), planned.get(head)];
  const hasHead = base.tensors.has(head);
  refuseOneSided(contents, tie, ofHead);
  if (ofEmbeddings?.change?.rows !== undefined) {
    if (hasHead) tensors.set(head, { ...ofEmbeddings, source: { from: "base", key: head } });
    return { tensors, config: base.config };
  }
  if (ofEmbeddings === undefined && ofHead === undefined) return { tensors, config: base.config };
  if (ofEmbeddings !== undefined && ofHead !== undefined && isSame(contents, ofEmbeddings, ofHead)) {
    if (!hasHead) tensors.delete(head);
    return { tensors, config: base.config };
  }
  const source = ofHead === undefined ? findOwnHead(contents, tie) : undefined;
  if (source !== undefined) tensors.set(head, { source });
  return { tensors, config: untie(base.config) };
}

/** Throws `UnusableAdapterError` where an adapter changes one of two names of a table in a way that PEFT carries over on merging only. */
function refuseOneSided(
  { file, parts }: AdapterContents,
  { embedding, head }: Tie,
  ofHead: AdaptedTensor | undefined,
): void {
  for (const { module } of parts.factors)
    if ([embedding, head].includes(`${module}.weight`))
      throw new UnusableAdapterError(
        `it adapts ${quote(module)}, and the base's embeddings are its head as well: PEFT adapts one of them, and both once it is merged; untie the base before training, or ${mergeIt}`,
        { path: file.path },
      );
  if (ofHead?.change?.rows !== undefined)
    throw new UnusableAdapterError(
      `it trains tokens of ${quote(head)}, which is the base's embeddings as well; ${mergeIt}`,
      { path: file.path },
    );
}

/** Where the head is once the embeddings are others, if not where the base has it: the embeddings as they were. */
function findOwnHead({ base, parts }: AdapterContents, { embedding, head }: Tie): TensorSource | undefined {
  const original = parts.originals.get(embedding);
  if (original !== undefined) return { from: "adapter", key: original };
  return base.tensors.has(head) ? undefined : { from: "base", key: embedding };
}

/** A configuration that says of embeddings and head that they are two. */
export function untie(config: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  const { text_config: text } = config;
  const isNested = toObject(text).tie_word_embeddings !== undefined;
  return {
    ...config,
    tie_word_embeddings: false,
    ...(isNested && { text_config: { ...toObject(text), tie_word_embeddings: false } }),
  };
}

function isSame({ file }: AdapterContents, one: AdaptedTensor, other: AdaptedTensor): boolean {
  const [a, b] = [file.tensors.get(one.source.key), file.tensors.get(other.source.key)];
  return (
    a?.dtype === b?.dtype &&
    a?.shape.join() === b?.shape.join() &&
    haveSameBytes(file.openBytes(one.source.key), file.openBytes(other.source.key))
  );
}

/** The configuration with the number of tokens that the tables have. Throws `UnusableAdapterError` where they have two. */
export function countTokens(
  base: Pick<Checkpoint, "config" | "tensors">,
  tensors: ReadonlyMap<string, Pick<CheckpointTensor, "shape">>,
  { config, path }: { readonly config: Readonly<Record<string, unknown>>; readonly path: string },
): Readonly<Record<string, unknown>> {
  const tables = [...tensors.keys()].filter((name) => isTokenTable(name));
  const changed = tables.filter((name) => {
    const before = base.tensors.get(name)?.shape[0];
    return before !== undefined && before !== tensors.get(name)?.shape[0];
  });
  const [first] = changed;
  if (first === undefined) return config;
  const [before, after] = [base.tensors.get(first)?.shape[0], tensors.get(first)?.shape[0]];
  const isEven = tables.every((name) => tensors.get(name)?.shape[0] === after);
  if (!isEven || config.vocab_size !== before)
    throw new UnusableAdapterError(
      `it holds ${after} rows of ${quote(first)} in the place of ${before}, and the rest of the model does not follow; ${mergeIt}`,
      { path },
    );
  return { ...config, vocab_size: after };
}
