/**
 * The table of rooms, and what it forbids: imports that are not downward or not through an index.ts, cycles, files in
 * no room, effects where there are to be none, folders that have grown too large, and rooms that do not say what they are
 * for. Leaves types, packages and tests to other checks.
 */
import { isBuiltin } from "node:module";
import { posix } from "node:path";
import {
  type Import,
  importTypes,
  isNode,
  type Node,
  type Place,
  parse,
  readImports,
  type Source,
} from "./source.ts";

/**
 * What a room may touch beside its arguments:
 * - `none`: no disk, network, terminal, clock or unseeded randomness. It may name the types of `base/file`.
 * - `files`: reads or writes files through `base/file`, and has no other effects.
 * - `outside`: anything.
 */
type Effects = "none" | "files" | "outside";

/** A folder of `src` that others use through its `index.ts`, whose first comment says what it is for. */
interface Room {
  /** Its path below `src`. */
  readonly path: string;
  readonly effects: Effects;
}

/** A folder of `src`: rooms of one subject, or one room. */
interface Wing {
  readonly name: string;
  /** One sentence, the same in ARCHITECTURE.md; absent where the wing is one room, which says it itself. */
  readonly purpose?: string;
  /** Lowest row first: a room of the wing may import rooms of its lower rows, never its own row's others. */
  readonly rows: readonly Readonly<Record<string, Effects>>[];
}

/** The first level of `src`, lowest first: rooms of a wing may import those of all lower wings. */
export const wings: readonly Wing[] = [
  {
    name: "base",
    purpose: "What everything stands on.",
    rows: [
      { core: "none" },
      { file: "outside", machine: "outside", statistics: "none", threads: "outside" },
      { progress: "none" },
    ],
  },
  {
    name: "weights",
    purpose: "Matrices of checkpoints: read, compared, edited.",
    rows: [{ linalg: "none", chance: "none", checkpoint: "files" }, { spectra: "none" }, { surgery: "none" }],
  },
  {
    name: "engine",
    purpose: "A small language model that runs here.",
    rows: [{ tensor: "none" }, { model: "files" }, { parallel: "none" }],
  },
  {
    name: "tasks",
    purpose: "What models are asked, how they are graded, and what it says about forgetting.",
    rows: [{ environment: "files", trajectory: "none" }, { rollout: "none" }, { evaluation: "none" }],
  },
  { name: "training", rows: [{ "": "none" }] },
  {
    name: "bridge",
    purpose: "What others write and say: servers, evaluation tools, trainers.",
    rows: [{ endpoint: "outside", interchange: "files", trainer: "files" }],
  },
  {
    name: "cluster",
    purpose: "Work in other processes, on this machine or a cluster.",
    rows: [{ executor: "outside" }, { job: "outside" }, { dispatch: "outside" }],
  },
  { name: "run", rows: [{ "": "files" }] },
  {
    name: "lab",
    purpose: "What Untwist does: puts the wings below to work on a run.",
    rows: [
      { machine: "outside", cache: "outside", outcome: "outside" },
      { factor: "outside", follow: "outside" },
      { comparison: "outside", edit: "outside" },
      { answer: "outside" },
      { evaluation: "outside" },
      { stage: "outside", repair: "outside", watch: "outside" },
      { recipe: "outside", work: "outside" },
    ],
  },
  {
    name: "face",
    purpose: "What people and programs see: commands, pages, servers.",
    rows: [
      { view: "outside", http: "outside" },
      { studio: "outside", serving: "outside", library: "outside" },
      { cli: "outside" },
    ],
  },
];

/** A room and its height: it may import what is lower. */
interface PlacedRoom extends Room {
  /** Of its wing, and of its row in that. */
  readonly height: readonly [wing: number, row: number];
}

const placedRooms: readonly PlacedRoom[] = wings.flatMap(({ name, rows }, wing) =>
  rows.flatMap((row, index) =>
    Object.entries(row).map(([room, effects]) => ({
      path: room === "" ? name : `${name}/${room}`,
      effects,
      height: [wing, index] as const,
    })),
  ),
);

/** All rooms, lowest first. */
export const rooms: readonly Room[] = placedRooms;

const roomOf: ReadonlyMap<string, PlacedRoom> = new Map(placedRooms.map((room) => [room.path, room]));
/** The room that alone may touch the disk for those that use files. */
const fileRoom = "base/file";
/** Files that may have effects though their rooms have none: the doors to compiled libraries. */
const impureFiles: ReadonlySet<string> = new Set([
  "src/weights/linalg/lapack-library.ts",
  "src/weights/linalg/shipped-lapack.ts",
  "src/engine/tensor/session.ts",
  "src/engine/tensor/kernel/host.ts",
]);
/** Node's modules without effects, without the `node:` prefix. */
const pureModules: ReadonlySet<string> = new Set(["path", "crypto", "util"]);
const impureGlobals: ReadonlySet<string> = new Set([
  ...["process", "console", "Date", "performance", "fetch", "globalThis"],
  ...["setTimeout", "setInterval", "setImmediate"],
]);

/** One sentence for every breach of the architecture by these files; an empty list when there is none. */
export function findViolations(sources: readonly Source[]): readonly string[] {
  const imports = sources.flatMap(readImports);
  const found = [
    ...sources.filter(({ file }) => findRoom(file) === undefined).map(({ file }) => `${file} is in no room`),
    ...imports.flatMap(checkDirection),
    ...imports.flatMap(checkModule),
    ...sources.flatMap(checkGlobals),
    ...checkEdge(sources),
    ...findCycles(imports),
    ...findLargeFolders(sources),
  ];
  return [...new Set(found)];
}

function checkDirection({ file, specifier, target, isTypes }: Import): readonly string[] {
  if (specifier === undefined) {
    return [`${file} imports a computed path: write it out, so that it can be checked`];
  }
  const room = findRoom(file);
  if (target === undefined || room === undefined) return [];
  const problem = findProblem(room, target) ?? findDiskAccess(file, { target, isTypes });
  return problem === undefined ? [] : [`${file} imports ${target}, ${problem}`];
}

/** What is wrong with an import of `target` by a file of `room`. */
function findProblem(room: PlacedRoom, target: string): string | undefined {
  const other = findRoom(target);
  if (other === undefined) return "which is in no room";
  const isIndex = target === `src/${other.path}/index.ts`;
  if (other === room) return isIndex ? "the index.ts of its own room: import the file itself" : undefined;
  if (!isBelow(other, room)) return `but room "${other.path}" is not below "${room.path}"`;
  return isIndex ? undefined : "not through index.ts";
}

function isBelow({ height: [wing, row] }: PlacedRoom, { height }: PlacedRoom): boolean {
  return wing < height[0] || (wing === height[0] && row < height[1]);
}

/** What is wrong where a room without effects would reach the disk through the room that may. */
function findDiskAccess(
  file: string,
  { target, isTypes }: { readonly target: string; readonly isTypes: boolean },
): string | undefined {
  const isDisk = findRoom(target)?.path === fileRoom && !isTypes;
  const room = findRoom(file);
  if (!isDisk || room?.effects !== "none" || impureFiles.has(file)) return undefined;
  return `but room "${room.path}" has no effects: it may name types of ${fileRoom} only`;
}

function checkModule({ file, specifier, isTypes }: Import): readonly string[] {
  if (specifier === undefined || isTypes || mayTouchOutside(file) || !isBuiltin(specifier)) return [];
  if (pureModules.has(specifier.replace(/^node:/, ""))) return [];
  return [`${file} imports ${specifier}, but room "${findRoom(file)?.path}" ${describeLimit(file)}`];
}

function checkGlobals(source: Source): readonly string[] {
  const { file } = source;
  if (mayTouchOutside(file)) return [];
  return parse(source)
    .flatMap(findImpureGlobal)
    .map((name) => `${file} uses ${name}, but room "${findRoom(file)?.path}" ${describeLimit(file)}`);
}

/** The wing of the edge: only its rooms know how a user gives settings and starts actions, and what the environment says. */
const edge = "src/face/";
/** The file below the edge that sets a variable: for the native library that reads it. */
const environmentFile = "src/engine/tensor/session.ts";

/** The command line of another program, as messages show it. */
const foreignExample = "vllm serve {path} --port {port}";

/** One sentence for each text below the edge with a flag or command of ours in it, and each use of the environment. */
function checkEdge(sources: readonly Source[]): readonly string[] {
  const commands = sources.flatMap(({ file }) => /^src\/face\/cli\/command\/(.*)\.ts$/.exec(file)?.[1] ?? []);
  const flags = sources
    .filter(({ file }) => file.startsWith(`${edge}cli/`))
    .flatMap(({ text }) => text.match(/--[a-z][a-z-]+/g) ?? []);
  const words = `${[...new Set(flags)].join("|") || "--"}`;
  // An argument of another program is a text of its own, or begins one.
  const typed = new RegExp(`[\\s("'](?:${words})(?![\\w-])|untwist (?:${commands.join("|") || "-"}) `);
  return sources
    .filter(({ file }) => !file.startsWith(edge))
    .flatMap((source) => [
      ...listTexts(source).flatMap((text) => {
        const found = typed.exec(text.replace(foreignExample, ""))?.[0].trim();
        return found === undefined
          ? []
          : [`${source.file} names ${found}: only ${edge} knows what users type`];
      }),
      ...(readsEnvironment(source) && source.file !== environmentFile
        ? [`${source.file} uses process.env: ${edge} reads it, and hands it on`]
        : []),
    ]);
}

/** Texts of a file: strings, and the parts of templates; but for the names of imported files. */
function listTexts(source: Source): readonly string[] {
  return parse(source).flatMap(({ node, parent }) => {
    if (node.type === "Literal" && typeof node.value === "string" && !importTypes.has(parent.type))
      return [node.value];
    const { raw } =
      node.type === "TemplateElement" ? (node.value as { readonly raw: string }) : { raw: undefined };
    return raw === undefined ? [] : [raw];
  });
}

function readsEnvironment(source: Source): boolean {
  return parse(source).some(({ node }) => {
    const { object, property } = node;
    return (
      node.type === "MemberExpression" &&
      isNode(object) &&
      object.name === "process" &&
      isNode(property) &&
      property.name === "env"
    );
  });
}

function describeLimit(file: string): string {
  return findRoom(file)?.effects === "files"
    ? `touches the outside only through ${fileRoom}`
    : "has no effects";
}

/** The innermost room of a file of `src`; undefined for files beside the rooms. */
function findRoom(file: string): PlacedRoom | undefined {
  const [top, ...names] = file.split("/").slice(0, -1);
  if (top !== "src") return undefined;
  for (let depth = names.length; depth > 0; depth -= 1) {
    const room = roomOf.get(names.slice(0, depth).join("/"));
    if (room !== undefined) return room;
  }
  return undefined;
}

function mayTouchOutside(file: string): boolean {
  const effects = findRoom(file)?.effects;
  return effects === undefined || effects === "outside" || impureFiles.has(file);
}

/** The most that a folder may hold of its own, and those that may hold more: each of their files is one of a kind. */
const mostFiles = 15;
const mostLines = 1500;
const openFolders: readonly string[] = ["src/tasks/environment", "src/face/cli/command"];

/** One sentence for each folder with more files or lines than a reader takes in. */
function findLargeFolders(sources: readonly Source[]): readonly string[] {
  const folders = new Map<string, readonly Source[]>();
  for (const source of sources) {
    const folder = posix.dirname(source.file);
    folders.set(folder, [...(folders.get(folder) ?? []), source]);
  }
  return [...folders].flatMap(([folder, held]) => {
    const numLines = held.reduce((sum, { text }) => sum + text.split("\n").length - 1, 0);
    const isLarge = held.length > mostFiles || numLines > mostLines;
    return isLarge && !openFolders.includes(folder)
      ? [`${folder} holds ${held.length} files with ${numLines} lines: make rooms or folders of it`]
      : [];
  });
}

/** What a room is for: the first comment of its `index.ts`, one sentence. Throws `SyntaxError` where there is none. */
export function readPurpose(sources: readonly Source[], { path }: Pick<Room, "path">): string {
  const index = sources.find(({ file }) => file === `src/${path}/index.ts`);
  const [, purpose] = /^\/\*\* ([A-Z][^.*]*\.) \*\/\n/.exec(index?.text ?? "") ?? [];
  if (purpose !== undefined) return purpose;
  throw new SyntaxError(
    `src/${path}/index.ts does not begin with one sentence that says what the room is for`,
  );
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
