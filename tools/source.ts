/** TypeScript sources of this project as checks read them: their texts, their imports and the nodes of their syntax trees. */
import { readdirSync, readFileSync } from "node:fs";
import { posix } from "node:path";
import { parseSync } from "oxc-parser";

/** A file of the project; its path is relative to the root, with forward slashes. */
export interface Source {
  readonly file: string;
  readonly text: string;
}

/** An import, re-export, import() or import type. */
export interface Import {
  readonly file: string;
  /** As written; undefined where it is computed. */
  readonly specifier: string | undefined;
  /** Path of the imported file, relative to the root; undefined for packages, Node's modules and computed paths. */
  readonly target: string | undefined;
  /** Whether only types are imported. */
  readonly isTypes: boolean;
}

/** Every .ts and .tsx file under a folder of the project at `root`, in the order of their names; tests left out. */
export function readSources(root: string, folder = "src"): readonly Source[] {
  return readAllSources(root, folder).filter(({ file }) => !/\.test\.tsx?$/.test(file));
}

/** Every .ts and .tsx file under a folder of the project at `root`, in the order of their names; tests as well. */
export function readAllSources(root: string, folder: string): readonly Source[] {
  const files = readdirSync(posix.join(root, folder), { recursive: true, encoding: "utf8" })
    .filter((path) => /\.tsx?$/.test(path))
    .map((path) => `${folder}/${path.replaceAll("\\", "/")}`);
  return files.sort().map((file) => ({ file, text: readFileSync(posix.join(root, file), "utf8") }));
}

/** The imports of a file, in the order of the text. Throws `SyntaxError`. */
export function readImports(source: Source): readonly Import[] {
  return parse(source).flatMap(({ node }) => {
    const written = findSpecifier(node);
    if (written === undefined) return [];
    const specifier = typeof written.value === "string" ? written.value : undefined;
    return [
      {
        file: source.file,
        specifier,
        target: resolve(source.file, specifier),
        isTypes: namesTypesOnly(node),
      },
    ];
  });
}

function resolve(file: string, specifier: string | undefined): string | undefined {
  return specifier?.startsWith(".") ? posix.join(posix.dirname(file), specifier) : undefined;
}

/** A node of the syntax tree, read without its exact type. */
export interface Node {
  readonly type: string;
  readonly [field: string]: unknown;
}

/** A node, and the place where it hangs. */
export interface Place {
  readonly node: Node;
  readonly parent: Node;
  readonly field: string;
}

/** Whether a value is a node of the syntax tree. */
export function isNode(value: unknown): value is Node {
  return typeof value === "object" && value !== null && "type" in value && typeof value.type === "string";
}

const parsed = new WeakMap<Source, readonly Place[]>();

/** Every node of a file below the root, in the order of the text; parsed once. Throws `SyntaxError`. */
export function parse(source: Source): readonly Place[] {
  const places = parsed.get(source) ?? parseAnew(source);
  parsed.set(source, places);
  return places;
}

function parseAnew({ file, text }: Source): readonly Place[] {
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

/** Types of nodes that may name another file. */
export const importTypes: ReadonlySet<string> = new Set([
  ...["ImportDeclaration", "ExportNamedDeclaration", "ExportAllDeclaration"],
  ...["ImportExpression", "TSImportType", "TSExternalModuleReference"],
]);

function findSpecifier(node: Node): Node | undefined {
  const specifier = importTypes.has(node.type) ? (node.source ?? node.expression) : undefined;
  return isNode(specifier) ? specifier : undefined;
}

function namesTypesOnly(node: Node): boolean {
  if (node.type === "TSImportType") return true;
  if (node.importKind === "type" || node.exportKind === "type") return true;
  const specifiers = Array.isArray(node.specifiers) ? node.specifiers.filter(isNode) : [];
  const isType = ({ importKind, exportKind }: Node): boolean =>
    importKind === "type" || exportKind === "type";
  return specifiers.length > 0 && specifiers.every(isType);
}
