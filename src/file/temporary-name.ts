/** The names of unfinished writes. They start with `.untwist-` and end in `.tmp`, so leftovers can be told apart. */
import { randomBytes } from "node:crypto";
import { basename, dirname, join } from "node:path";

const PATTERN = /^\.untwist-[0-9a-f]{12}\.(?:(?<replaced>.+)\.)?tmp$/s;

/** A new sibling path of `path` to fill before renaming it to `path`. */
export function createTemporaryPath(path: string): string {
  return join(dirname(path), `.untwist-${randomBytes(6).toString("hex")}.tmp`);
}

/** A new sibling path of `path` for the old content to wait at while new content takes its place. */
export function createReplacedPath(path: string): string {
  return join(dirname(path), `.untwist-${randomBytes(6).toString("hex")}.${basename(path)}.tmp`);
}

/**
 * What a file name says: `undefined` when it is no temporary name, otherwise `replaced`, the name its content
 * had before it was moved aside (`undefined` when it never had another name).
 */
export function parseTemporaryName(name: string): { readonly replaced: string | undefined } | undefined {
  const match = PATTERN.exec(name);
  return match === null ? undefined : { replaced: match.groups?.replaced };
}
