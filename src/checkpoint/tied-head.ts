/** The head of a language model and its embeddings: whether a configuration ties them that the weights do not. */
import { tiesEmbeddings } from "./config-fields.ts";
import type { ReadableBytes } from "./dtype.ts";
import type { Checkpoint } from "./open-checkpoint.ts";

/** Ends of names, below the name of the model. */
const headEnd = /(?:^|\.)(?:lm_head|embed_out)\.weight$/;
const embeddingEnd = /(?:^|\.)(?:embed_tokens|wte|embed_in|word_embeddings)\.weight$/;

/** Whether a tensor has a row for every token: embeddings, head, or the head's bias. */
export function hasTokenRows(name: string): boolean {
  return headEnd.test(name) || embeddingEnd.test(name) || /(?:^|\.)lm_head\.bias$/.test(name);
}

/** What the two are called; absent where there is none, or more than one. */
export function findHead(names: Iterable<string>): { readonly head?: string; readonly embedding?: string } {
  const all = [...names];
  const only = (end: RegExp): string | undefined => {
    const found = all.filter((name) => end.test(name));
    return found.length === 1 ? found[0] : undefined;
  };
  const [head, embedding] = [only(headEnd), only(embeddingEnd)];
  return { ...(head !== undefined && { head }), ...(embedding !== undefined && { embedding }) };
}

/** A tie that the configuration promises and the weights do not keep. */
export interface LostTie {
  readonly head: string;
  readonly embedding: string;
}

/** The lost tie of a checkpoint: head and embeddings both lie in its files and differ. Reads both to the first difference. */
export function findLostTie(checkpoint: Checkpoint): LostTie | undefined {
  const { head, embedding } = findHead(checkpoint.tensors.keys());
  if (head === undefined || embedding === undefined || !tiesEmbeddings(checkpoint.config)) return undefined;
  const [first, second] = [checkpoint.tensors.get(head), checkpoint.tensors.get(embedding)];
  const isSameKind = first?.dtype === second?.dtype && first?.shape.join() === second?.shape.join();
  const isKept = isSameKind && isEqual(checkpoint.openBytes(head), checkpoint.openBytes(embedding));
  return isKept ? undefined : { head, embedding };
}

/** Bytes compared at a time. */
const chunkBytes = 2 ** 20;

function isEqual(first: ReadableBytes, second: ReadableBytes): boolean {
  for (let start = 0; start < first.length; start += chunkBytes) {
    const end = Math.min(start + chunkBytes, first.length);
    if (Buffer.compare(first.subarray(start, end), second.subarray(start, end)) !== 0) return false;
  }
  return true;
}

/** What a lost tie means, in a sentence without its full stop. */
export function describeLostTie({ head, embedding }: LostTie): string {
  return `${head} and ${embedding} differ although config.json ties them (tie_word_embeddings); a loader that ties drops lm_head: the model that answers is not the one that was trained`;
}
