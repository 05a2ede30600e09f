/** System errors about a path (missing, forbidden, disk full), turned into sentences a user can act on. */
import { UsageError } from "../core/index.ts";

const IN_THE_WAY = "a file stands where a folder is needed; remove it or give another path";
const FORBIDDEN = "permission denied; change the permissions or give another path";
const FULL = "no space is left on the disk; free some or give a path on another disk";
const GONE = "the network disk that holds it has gone; connect it again";

/** What each system error code means to the user, and what to do. */
const PROBLEMS: ReadonlyMap<string, string> = new Map([
  ["ENOENT", "no such file or folder; check the path"],
  ["ENOTDIR", IN_THE_WAY],
  ["EEXIST", IN_THE_WAY],
  ["EISDIR", "it is a folder, not a file; give the path of a file"],
  ["EACCES", FORBIDDEN],
  ["EPERM", FORBIDDEN],
  ["EROFS", "the file system is read-only; give a path on a writable disk"],
  ["ENOSPC", FULL],
  ["EDQUOT", FULL],
  ["ENAMETOOLONG", "the name is too long; give a shorter path"],
  ["ELOOP", "its symbolic links form a loop; correct the links"],
  ["EBUSY", "it is in use by the system; give another path"],
  ["EIO", "the disk failed to answer; check the disk or the network behind it"],
  ["ESTALE", GONE],
  ["ENOTCONN", GONE],
  ["ENOTEMPTY", "the folder is not empty; give another path"],
  ["EFBIG", "the file is larger than the system allows; give a path on another disk"],
  ["EMFILE", "too many files are open; raise the limit (ulimit -n) or end other programs"],
  ["ENFILE", "too many files are open; raise the limit (ulimit -n) or end other programs"],
  ["ERR_INVALID_ARG_VALUE", "the path holds a null character; correct the path"],
]);

/** Whether `error` is a system error with one of these codes (`"ENOENT"`, …). */
export function hasCode(error: unknown, codes: readonly string[]): boolean {
  return codes.some((code) => code === codeOf(error));
}

/**
 * The error to throw instead of `error`: a `UsageError` reading `<action>: <problem>; <what to do>` when the
 * system's code is one a user can fix, otherwise `error` itself. `action` is e.g. `Cannot read "a.txt"`.
 */
export function describePathProblem(action: string, error: unknown): unknown {
  const problem = PROBLEMS.get(codeOf(error) ?? "");
  return problem === undefined ? error : new UsageError(`${action}: ${problem}`, { cause: error });
}

/** What a disk, local or not, may say now and not in a while. */
const PASSING = "EACCES EPERM EROFS ENOSPC EDQUOT EIO ESTALE ENOTCONN EBUSY EMFILE ENFILE".split(" ");

/** Whether an error, or what is behind it, came from a disk that may do better later: not from a program or a server. */
export function isDiskProblem(error: unknown): error is Error {
  if (!(error instanceof Error)) return false;
  const call = "syscall" in error ? String(error.syscall) : "spawn";
  return (
    (!/^(?:spawn|connect|listen|bind)/.test(call) && hasCode(error, PASSING)) || isDiskProblem(error.cause)
  );
}

function codeOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || !("code" in error)) return undefined;
  return typeof error.code === "string" ? error.code : undefined;
}
