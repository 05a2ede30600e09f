/** What the user's environment says of this machine: read once, where a program starts, and handed on from there. */
import { join, resolve } from "node:path";

/** Environment variables by name. */
export type Variables = Readonly<Record<string, string | undefined>>;

/** What work may know of the machine that it is done on. */
export interface Machine {
  /** Where factors, comparisons, answers and jobs are kept between commands. */
  readonly cacheFolder: string;
  /** The LAPACK library to use, by path, or "none"; absent means the best that is found. */
  readonly lapack?: string;
  /** Folders of Python environments, whose packages may bring a LAPACK along. */
  readonly pythonFolders: readonly string[];
  /** The keys of servers are among them, and programs that are started get them. */
  readonly variables: Variables;
}

/**
 * Reads what `UNTWIST_CACHE` (default: `untwist` in the user's cache folder, by the XDG base directory specification),
 * `UNTWIST_LAPACK`, `VIRTUAL_ENV` and `CONDA_PREFIX` say. `home` is the user's home folder.
 */
export function readMachine(variables: Variables, home: string): Machine {
  const { UNTWIST_CACHE, XDG_CACHE_HOME, UNTWIST_LAPACK: lapack, VIRTUAL_ENV, CONDA_PREFIX } = variables;
  return {
    cacheFolder: resolve(UNTWIST_CACHE || join(XDG_CACHE_HOME || join(home, ".cache"), "untwist")),
    ...(lapack !== undefined && lapack !== "" && { lapack }),
    pythonFolders: [VIRTUAL_ENV, CONDA_PREFIX].flatMap((folder) => folder || []),
    variables,
  };
}
