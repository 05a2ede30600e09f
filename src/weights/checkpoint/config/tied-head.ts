/** The head of a language model and its embeddings: whether a configuration ties them that the weights do not. */

import type { Checkpoint } from "../open-checkpoint.ts";
import { haveSameBytes } from "../source/same-bytes.ts";
import { saysTie, tiesEmbeddings } from "./config-fields.ts";

/** Ends of names, below the name of the model. */
const headEnd = /(?:^|\.)(?:lm_head|embed_out)\.weight$/;
const embeddingEnd = /(?:^|\.)(?:embed_tokens|wte|embed_in|word_embeddings)\.weight$/;

/** Whether a tensor is a table with a row for every token: embeddings or head. */
export function isTokenTable(name: string): boolean {
  return headEnd.test(name) || embeddingEnd.test(name);
}

/** Whether a tensor has a row for every token: embeddings, head, or the head's bias. */
export function hasTokenRows(name: string): boolean {
  return isTokenTable(name) || /(?:^|\.)lm_head\.bias$/.test(name);
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

/** Two names of one table. */
export interface Tie {
  readonly head: string;
  readonly embedding: string;
}

/**
 * The names of a model's embeddings and head where they are one table: by its configuration, or where that says nothing and there is
 * no head.
 */
export function findTie({ config, tensors }: Pick<Checkpoint, "config" | "tensors">): Tie | undefined {
  const { head, embedding } = findHead(tensors.keys());
  if (embedding === undefined) return undefined;
  const isSaid = saysTie(config) !== undefined || head !== undefined;
  if (isSaid && !tiesEmbeddings(config)) return undefined;
  return {
    embedding,
    head: head ?? (embedding.includes("embed_in") ? "embed_out.weight" : "lm_head.weight"),
  };
}

/** The lost tie of a checkpoint: head and embeddings both lie in its files and differ. Reads both to the first difference. */
export function findLostTie(checkpoint: Checkpoint): Tie | undefined {
  const tie = findTie(checkpoint);
  const [first, second] = [tie?.head, tie?.embedding].map((name) => checkpoint.tensors.get(name ?? ""));
  if (tie === undefined || first === undefined || second === undefined) return undefined;
  const isSameKind = first.dtype === second.dtype && first.shape.join() === second.shape.join();
  const isKept =
    isSameKind && haveSameBytes(checkpoint.openBytes(tie.head), checkpoint.openBytes(tie.embedding));
  return isKept ? undefined : tie;
}

/** What a lost tie means, in a sentence without its full stop. */
export function describeLostTie({ head, embedding }: Tie): string {
  return `${head} and ${embedding} differ although config.json ties them (tie_word_embeddings); a loader that ties drops lm_head: the model that answers is not the one that was trained`;
}
