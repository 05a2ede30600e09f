/**
 * The names of unfinished writes. They start with `.untwist-`, say which process is at it, and end in `.tmp`: so leftovers of
 * a dead process can be told from the work of a living one.
 */
import { randomBytes } from "node:crypto";
import { basename, dirname, join } from "node:path";
import { hashShortly, identifyProcess, judgeProcess } from "./process-identity.ts";

const PATTERN =
  /^\.untwist-(?<host>[0-9a-f]{8})-(?<boot>[0-9a-f]{8})-(?<namespace>\d*)-(?<id>\d+)-[0-9a-f]{12}\.(?:(?<replaced>.+)\.)?tmp$/s;

/** A new sibling path of `path` to fill before renaming it to `path`. */
export function createTemporaryPath(path: string): string {
  return join(dirname(path), `${createStem()}.tmp`);
}

/** A new sibling path of `path` for the old content to wait at while new content takes its place. */
export function createReplacedPath(path: string): string {
  return join(dirname(path), `${createStem()}.${basename(path)}.tmp`);
}

function createStem(): string {
  const { id, host, boot, namespace } = identifyProcess();
  return `.untwist-${hashShortly(host)}-${hashShortly(boot)}-${namespace}-${id}-${randomBytes(6).toString("hex")}`;
}

/** What a temporary name says. */
export interface TemporaryName {
  /** The name that the content had before it was moved aside; `undefined` when it never had another name. */
  readonly replaced: string | undefined;
  /** Whether the process that made it is surely no more. */
  readonly isDead: boolean;
}

/** Whether a name is that of an unfinished write. */
export function isTemporary(name: string): boolean {
  return PATTERN.test(name);
}

/** What a file name says: `undefined` when it is not a temporary name. */
export function parseTemporaryName(name: string): TemporaryName | undefined {
  const { groups } = PATTERN.exec(name) ?? {};
  if (groups === undefined) return undefined;
  const own = identifyProcess();
  // A hash is compared with our own; what it stands for is not needed.
  const expand = (hash: string | undefined, ours: string): string =>
    hash === hashShortly(ours) ? ours : `other than ${ours}`;
  const fate = judgeProcess({
    id: Number(groups.id),
    host: expand(groups.host, own.host),
    boot: own.boot === "" ? "" : expand(groups.boot, own.boot),
    namespace: groups.namespace ?? "",
  });
  return { replaced: groups.replaced, isDead: fate === "dead" };
}
