/**
 * The table of rooms, and what it forbids: imports that are not downward or not through an index.ts, cycles, files in
 * no room, and effects in pure rooms. Reads TypeScript sources; leaves types, packages and tests to other checks.
 */
import { readdirSync, readFileSync } from "node:fs";
import { isBuiltin } from "node:module";
import { posix } from "node:path";
import { parseSync } from "oxc-parser";

/** A folder of `src`. */
interface Room {
  readonly name: string;
  /** One sentence, the same in ARCHITECTURE.md. */
  readonly purpose: string;
  /** Its files touch neither disk, network, terminal, clock nor unseeded randomness. */
  readonly isPure: boolean;
}

/** The rooms, lowest row first. A room imports only rooms of lower rows, never its own row's others. */
export const rows: readonly (readonly Room[])[] = [
  [{ name: "base", purpose: "Seeded randomness and the error that users can fix.", isPure: true }],
  [
    {
      name: "file",
      purpose: "Atomic writes, JSON lines and ranged reads: the only way to the disk below `run`.",
      isPure: false,
    },
    {
      name: "execution",
      purpose: "Independent tasks on all cores, the largest first, within a limit of memory.",
      isPure: false,
    },
    {
      name: "linalg",
      purpose: "Dense linear algebra on two backends, factorisations with known errors, principal angles.",
      isPure: true,
    },
    {
      name: "statistics",
      purpose: "Intervals, paired tests and summaries of plain numbers.",
      isPure: true,
    },
    {
      name: "tensor",
      purpose: "Symbolic tensors, their gradients, and programs that run them on ONNX Runtime.",
      isPure: true,
    },
  ],
  [
    {
      name: "endpoint",
      purpose: "Models behind servers that speak OpenAI's interface: asked with retries, answers kept.",
      isPure: false,
    },
    {
      name: "job",
      purpose: "Work in pieces that other processes carry out, here or on a cluster, followed to its end.",
      isPure: false,
    },
    {
      name: "checkpoint",
      purpose: "Safetensors files and Hugging Face checkpoint folders, read and written.",
      isPure: true,
    },
    {
      name: "environment",
      purpose: "The tasks that models are trained and measured on, with their prompts, grades and lessons.",
      isPure: true,
    },
  ],
  [
    {
      name: "follow",
      purpose: "Folders of checkpoints as trainers leave them: what is whole, in which order, and the logs.",
      isPure: true,
    },
    {
      name: "spectra",
      purpose: "What a fine-tune did to every weight matrix: measures, null models, guards, cached factors.",
      isPure: true,
    },
    {
      name: "model",
      purpose:
        "A Llama-style decoder, its parameters and tokenizer, what it says next and how it scores texts.",
      isPure: true,
    },
  ],
  [
    {
      name: "surgery",
      purpose: "Plans of edits as data, what they do to matrices, their controls, and adapters.",
      isPure: true,
    },
    {
      name: "rollout",
      purpose: "A model answers tasks and is graded, for training and evaluation alike.",
      isPure: true,
    },
  ],
  [
    {
      name: "training",
      purpose: "Steps from (state, batch) to (state, metrics), supervised and by reinforcement.",
      isPure: true,
    },
    {
      name: "evaluation",
      purpose: "Verdicts of one checkpoint on fixed tasks, and counts over them.",
      isPure: true,
    },
  ],
  [
    {
      name: "interchange",
      purpose: "Results of other evaluation tools read, and ours written as they write theirs.",
      isPure: true,
    },
    {
      name: "trajectory",
      purpose: "What a run forgot and what came back, with its uncertainty.",
      isPure: true,
    },
  ],
  [{ name: "run", purpose: "The run folder: its schemas, reading, writing and resuming.", isPure: false }],
  [
    {
      name: "lab",
      purpose: "Carries out recipes: the only room that knows all the others below the terminal.",
      isPure: false,
    },
    {
      name: "view",
      purpose: "What pages show of a run folder, as plain data, and reports that hold it.",
      isPure: false,
    },
  ],
  [
    {
      name: "server",
      purpose: "Run folders as pages over HTTP, read-only, on this machine.",
      isPure: false,
    },
  ],
  [{ name: "cli", purpose: "Commands: arguments in, sentences and exit codes out.", isPure: false }],
];

const rowOf: ReadonlyMap<string, number> = new Map(
  rows.flatMap((row, index) => row.map(({ name }) => [name, index])),
);
const pureRooms: ReadonlySet<string> = new Set(
  rows.flatMap((row) => row.flatMap(({ name, isPure }) => (isPure ? [name] : []))),
);
/** Files of pure rooms that may have effects: the one door to ONNX Runtime. */
const impureFiles: ReadonlySet<string> = new Set(["src/linalg/lapack-library.ts", "src/tensor/session.ts"]);
/** Node's modules that pure rooms may import, without the `node:` prefix. */
const pureModules: ReadonlySet<string> = new Set(["path", "crypto"]);
const impureGlobals: ReadonlySet<string> = new Set([
  ...["process", "console", "Date", "performance", "fetch", "globalThis"],
  ...["setTimeout", "setInterval", "setImmediate"],
]);

/** A file of the project; its path is relative to the root, with forward slashes. */
export interface Source {
  readonly file: string;
  readonly text: string;
}

/** An import, re-export, import() or import type. */
interface Import {
  readonly file: string;
  /** As written; undefined where it is computed. */
  readonly specifier: string | undefined;
  /** Path of the imported file, relative to the root; undefined for packages, Node's modules and computed paths. */
  readonly target: string | undefined;
}

/** Every .ts file under `src` of the project at `root`, tests left out. */
export function readSources(root: string): readonly Source[] {
  const files = readdirSync(posix.join(root, "src"), { recursive: true, encoding: "utf8" })
    .filter((path) => path.endsWith(".ts") && !path.endsWith(".test.ts"))
    .map((path) => `src/${path.replaceAll("\\", "/")}`);
  return files.sort().map((file) => ({ file, text: readFileSync(posix.join(root, file), "utf8") }));
}

/** The imports of a file, in the order of the text. Throws `SyntaxError`. */
export function readImports(source: Source): readonly Import[] {
  return parse(source).flatMap(({ node }) => {
    const written = findSpecifier(node);
    if (written === undefined) return [];
    const specifier = typeof written.value === "string" ? written.value : undefined;
    return [{ file: source.file, specifier, target: resolve(source.file, specifier) }];
  });
}

/** One sentence for every breach of the architecture by these files; an empty list when there is none. */
export function findViolations(sources: readonly Source[]): readonly string[] {
  const imports = sources.flatMap(readImports);
  const found = [
    ...sources.filter(({ file }) => findRoom(file) === undefined).map(({ file }) => `${file} is in no room`),
    ...imports.flatMap(checkDirection),
    ...imports.flatMap(checkModule),
    ...sources.flatMap(checkGlobals),
    ...findCycles(imports),
  ];
  return [...new Set(found)];
}

function checkDirection({ file, specifier, target }: Import): readonly string[] {
  if (specifier === undefined) {
    return [`${file} imports a computed path: write it out, so that it can be checked`];
  }
  const room = findRoom(file);
  if (target === undefined || room === undefined) return [];
  const problem = findProblem(room, target);
  return problem === undefined ? [] : [`${file} imports ${target}, ${problem}`];
}

/** What is wrong with an import of `target` by a file of `room`. */
function findProblem(room: string, target: string): string | undefined {
  const other = findRoom(target);
  if (other === undefined) return "which is in no room";
  const isIndex = target === `src/${other}/index.ts`;
  if (other === room) return isIndex ? "the index.ts of its own room: import the file itself" : undefined;
  const isBelow = (rowOf.get(other) ?? 0) < (rowOf.get(room) ?? 0);
  if (!isBelow) return `but room "${other}" is not below "${room}"`;
  return isIndex ? undefined : "not through index.ts";
}

function checkModule({ file, specifier }: Import): readonly string[] {
  if (specifier === undefined || !isPureFile(file) || !isBuiltin(specifier)) return [];
  if (pureModules.has(specifier.replace(/^node:/, ""))) return [];
  return [`${file} imports ${specifier}, but room "${findRoom(file)}" is pure`];
}

function checkGlobals(source: Source): readonly string[] {
  if (!isPureFile(source.file)) return [];
  return parse(source)
    .flatMap(findImpureGlobal)
    .map((name) => `${source.file} uses ${name}, but room "${findRoom(source.file)}" is pure`);
}

/** The room of a file of `src`; undefined for files beside the rooms. */
function findRoom(file: string): string | undefined {
  const [top, room = "", ...rest] = file.split("/");
  return top === "src" && rest.length > 0 && rowOf.has(room) ? room : undefined;
}

function isPureFile(file: string): boolean {
  return pureRooms.has(findRoom(file) ?? "") && !impureFiles.has(file);
}

function resolve(file: string, specifier: string | undefined): string | undefined {
  return specifier?.startsWith(".") ? posix.join(posix.dirname(file), specifier) : undefined;
}

/** One sentence for each import that closes a cycle, met depth first. */
function findCycles(imports: readonly Import[]): readonly string[] {
  const targets = new Map<string, string[]>();
  for (const { file, target } of imports) {
    if (target !== undefined) targets.set(file, [...(targets.get(file) ?? []), target]);
  }
  const done = new Set<string>();
  const visit = (file: string, path: readonly string[]): readonly string[] => {
    if (path.includes(file)) return [`Cycle: ${[...path.slice(path.indexOf(file)), file].join(" → ")}`];
    if (done.has(file)) return [];
    const cycles = (targets.get(file) ?? []).flatMap((target) => visit(target, [...path, file]));
    done.add(file);
    return cycles;
  };
  return [...targets.keys()].flatMap((file) => visit(file, []));
}

/** A node of the syntax tree, read without its exact type. */
interface Node {
  readonly type: string;
  readonly [field: string]: unknown;
}

/** A node, and the place where it hangs. */
interface Place {
  readonly node: Node;
  readonly parent: Node;
  readonly field: string;
}

function isNode(value: unknown): value is Node {
  return typeof value === "object" && value !== null && "type" in value && typeof value.type === "string";
}

/** Every node of a file below the root, in the order of the text. */
function parse({ file, text }: Source): readonly Place[] {
  const { program, errors } = parseSync(file, text);
  const [error] = errors;
  if (error !== undefined) throw new SyntaxError(`Cannot parse ${file}: ${error.message}`);
  return isNode(program) ? listPlaces(program) : [];
}

function listPlaces(parent: Node): readonly Place[] {
  return Object.entries(parent).flatMap(([field, value]) =>
    [value]
      .flat()
      .filter(isNode)
      .flatMap((node) => [{ node, parent, field }, ...listPlaces(node)]),
  );
}

const importTypes: ReadonlySet<string> = new Set([
  ...["ImportDeclaration", "ExportNamedDeclaration", "ExportAllDeclaration"],
  ...["ImportExpression", "TSImportType", "TSExternalModuleReference"],
]);

function findSpecifier(node: Node): Node | undefined {
  const specifier = importTypes.has(node.type) ? (node.source ?? node.expression) : undefined;
  return isNode(specifier) ? specifier : undefined;
}

/** Fields that hold a name of their own, which refers to no variable. */
const nameFields: ReadonlySet<string> = new Set([
  ...["property", "key", "imported", "exported", "qualifier", "label"],
]);

/** The impure global that a name may refer to. Local variables of such a name count too: give them another. */
function findImpureGlobal({ node, parent, field }: Place): readonly string[] {
  const name = node.type === "Identifier" ? node.name : undefined;
  if (typeof name !== "string") return [];
  if (nameFields.has(field) && parent.computed !== true) return [];
  if (name === "Math") return isSeededUse(parent, field) ? [] : ["Math.random"];
  return impureGlobals.has(name) ? [name] : [];
}

/** Whether this use of `Math` cannot be a way to `Math.random`: it names another member. */
function isSeededUse(parent: Node, field: string): boolean {
  const member = parent.property;
  const isNamed = parent.type === "MemberExpression" && field === "object" && parent.computed === false;
  return isNamed && isNode(member) && member.name !== "random";
}
