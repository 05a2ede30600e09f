/**
 * Finding and loading a LAPACK through koffi, a foreign-function library that needs no compiler: OpenBLAS, MKL,
 * Accelerate, or the OpenBLAS inside a NumPy install. The one file of this room that touches the machine.
 */
import { existsSync, readdirSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { UsageError } from "../../base/core/index.ts";
import type { LinearAlgebra } from "./linear-algebra.ts";

/** An integer argument of LAPACK, by reference: 32 or 64 bits, as the library was built. */
export type LapackIntegers = Int32Array | BigInt64Array;

/**
 * The routines in use, with the kinds of their arguments: c a character, i integers, d doubles, w doubles to work with;
 * a capital where the routine leaves a result there.
 */
export const lapackRoutines = {
  gemm: "cciiiddididDi",
  syrk: "cciiddidDi",
  gesdd: "ciidiDDiDiwiiI",
  sytrd: "ciDiDDDwiI",
  sterf: "iDDI",
  stemr: "cciddddiiIDDiiiIwiiiI",
  stedc: "ciDdDiwiiiI",
  ormtr: "ccciididDiwiI",
  gelqf: "iiDiDwiI",
  orglq: "iiiDidwiI",
} as const;

/** A routine of BLAS or LAPACK, without the letter of its precision (all are in double precision). */
export type LapackRoutine = keyof typeof lapackRoutines;

/** An open library. */
export interface LapackLibrary {
  readonly name: LinearAlgebra["name"];
  /** What it is and where, for people. */
  readonly description: string;
  /** An array of integers as the library wants them. */
  integers(value: number, count?: number): LapackIntegers;
  /** Calls a routine with its arguments in LAPACK's order. */
  call(routine: LapackRoutine, ...args: readonly unknown[]): void;
  /** Threads that a routine may use from now on, in the whole process. */
  useThreads(count: number): void;
}

/** How builds of LAPACK name their symbols, and how many bits their integers have. */
const namings = [
  { prefix: "", suffix: "_", bits: 32 },
  { prefix: "", suffix: "_64_", bits: 64 },
  { prefix: "scipy_", suffix: "_64_", bits: 64 },
  { prefix: "scipy_", suffix: "_", bits: 32 },
  { prefix: "", suffix: "64_", bits: 64 },
  { prefix: "", suffix: "", bits: 32 },
] as const;

type Naming = (typeof namings)[number];
type Koffi = typeof import("koffi").default;
type NativeLibrary = ReturnType<Koffi["load"]>;
type NativeFunction = ReturnType<NativeLibrary["func"]>;

/**
 * Opens the LAPACK at `path`, or the first that is found in the usual places; `undefined` where there is none.
 * Throws `UsageError` when `path` is given and cannot be used.
 */
export async function openLapackLibrary(
  path?: string,
  pythonFolders: readonly string[] = [],
): Promise<LapackLibrary | undefined> {
  const koffi = await loadKoffi();
  if (koffi === undefined) {
    if (path === undefined) return undefined;
    throw new UsageError(`Cannot load "${path}": koffi has no build for ${process.platform} ${process.arch}`);
  }
  if (path !== undefined) return openNamed(koffi, path);
  for (const candidate of listCandidates(pythonFolders)) {
    const library = tryOpen(koffi, candidate);
    if (typeof library !== "string") return library;
  }
  return undefined;
}

/** Koffi, where the package has a build for this machine. */
async function loadKoffi(): Promise<Koffi | undefined> {
  try {
    return (await import("koffi")).default;
  } catch {
    return undefined;
  }
}

function openNamed(koffi: Koffi, path: string): LapackLibrary {
  const library = tryOpen(koffi, path);
  if (typeof library !== "string") return library;
  throw new UsageError(
    `Cannot use "${path}" as LAPACK (UNTWIST_LAPACK): ${library}; give the path of an OpenBLAS or MKL library, or unset it`,
  );
}

/** The library, or why it cannot be used. */
function tryOpen(koffi: Koffi, path: string): LapackLibrary | string {
  let library: NativeLibrary;
  try {
    library = koffi.load(path);
  } catch (error) {
    return error instanceof Error
      ? error.message.replace(/^Failed to load shared library: /, "")
      : String(error);
  }
  const naming = namings.find((candidate) => hasRoutines(library, candidate));
  return naming === undefined ? "it lacks routines of LAPACK" : createLibrary(library, { path, naming });
}

function hasRoutines(library: NativeLibrary, naming: Naming): boolean {
  try {
    for (const routine of Object.keys(lapackRoutines)) library.func(symbolOf(routine, naming), "void", []);
    return true;
  } catch {
    return false;
  }
}

function symbolOf(routine: string, { prefix, suffix }: Naming): string {
  return `${prefix}d${routine}${suffix}`;
}

function createLibrary(
  library: NativeLibrary,
  { path, naming }: { readonly path: string; readonly naming: Naming },
): LapackLibrary {
  const integerType = naming.bits === 32 ? "int32_t *" : "int64_t *";
  const functions = new Map<string, NativeFunction>();
  for (const [routine, kinds] of Object.entries(lapackRoutines)) {
    const args = [...kinds.toLowerCase()].map((kind) =>
      kind === "c" ? "const char *" : kind === "i" ? integerType : "double *",
    );
    functions.set(routine, library.func(symbolOf(routine, naming), "void", args));
  }
  return {
    name: "lapack",
    description: `${describe(library)} (${path})`,
    integers: (value, count = 1) =>
      naming.bits === 32
        ? new Int32Array(count).fill(value)
        : new BigInt64Array(count).fill(BigInt(Math.trunc(value))),
    call: (routine, ...args) => functions.get(routine)?.(...args),
    useThreads: findThreadSetter(library),
  };
}

/** OpenBLAS tells its version and kernels; others are known by their path. */
function describe(library: NativeLibrary): string {
  for (const name of [
    "openblas_get_config",
    "openblas_get_config64_",
    "scipy_openblas_get_config64_",
    "scipy_openblas_get_config",
  ]) {
    try {
      const text: unknown = library.func(name, "const char *", [])();
      return String(text).split(" ").slice(0, 2).join(" ");
    } catch {
      // Not this name.
    }
  }
  return "LAPACK";
}

function findThreadSetter(library: NativeLibrary): (count: number) => void {
  const names = [
    "openblas_set_num_threads",
    "openblas_set_num_threads64_",
    "scipy_openblas_set_num_threads64_",
    "scipy_openblas_set_num_threads",
    "MKL_Set_Num_Threads",
  ];
  for (const name of names) {
    try {
      const set = library.func(name, "void", ["int"]);
      return (count) => {
        set(count);
      };
    } catch {
      // Not this name.
    }
  }
  return () => undefined;
}

/** Where a LAPACK may be, the likeliest fast one first. Bare names are left to the system's loader. */
function listCandidates(pythonFolders: readonly string[]): readonly string[] {
  return [...(systemNames[process.platform] ?? []), ...listPythonLibraries(pythonFolders)];
}

const systemNames: Readonly<Partial<Record<NodeJS.Platform, readonly string[]>>> = {
  linux: [
    "libopenblas.so.0",
    "libopenblas.so",
    "libmkl_rt.so.2",
    "libmkl_rt.so",
    "libflexiblas.so.3",
    "liblapack.so.3",
  ],
  darwin: [
    "/System/Library/Frameworks/Accelerate.framework/Accelerate",
    "/opt/homebrew/opt/openblas/lib/libopenblas.dylib",
    "/usr/local/opt/openblas/lib/libopenblas.dylib",
  ],
  win32: ["libopenblas.dll", "mkl_rt.2.dll"],
};

/** The OpenBLAS that NumPy and SciPy wheels bring along, and conda's. */
function listPythonLibraries(pythonFolders: readonly string[]): readonly string[] {
  const roots = [...pythonFolders, join(homedir(), ".local"), "/usr/local", "/usr"];
  const packages = roots.flatMap((root) => [
    ...listMatching(join(root, "lib"), /^python3/).map((folder) => join(folder, "site-packages")),
    join(root, "Lib", "site-packages"),
  ]);
  const wheels = packages.flatMap((folder) =>
    ["numpy.libs", "numpy/.dylibs", "scipy.libs", "scipy/.dylibs"].flatMap((name) =>
      listMatching(join(folder, name), /openblas.*\.(so|dylib|dll)/),
    ),
  );
  const conda = roots.flatMap((root) => listMatching(join(root, "lib"), /^lib(openblas|mkl_rt)\.(so|dylib)/));
  return [...wheels, ...conda];
}

function listMatching(folder: string, pattern: RegExp): readonly string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .filter((name) => pattern.test(name))
    .sort()
    .map((name) => join(folder, name));
}
