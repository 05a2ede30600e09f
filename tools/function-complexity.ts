/**
 * How many ways lead through a function: McCabe's cyclomatic complexity, one more than its branches. A function inside of another counts
 * on its own. Code outside of functions is not looked at.
 */
import { isNode, type Node, type Place, parse, type Source } from "./source.ts";

const functionTypes: ReadonlySet<string> = new Set([
  ...["FunctionDeclaration", "FunctionExpression", "ArrowFunctionExpression"],
]);

/** Nodes that are a branch whatever they hold. */
const branchTypes: ReadonlySet<string> = new Set([
  ...["IfStatement", "ConditionalExpression", "LogicalExpression", "CatchClause"],
  ...["ForStatement", "ForInStatement", "ForOfStatement", "WhileStatement", "DoWhileStatement"],
]);

/** Assignments that may not assign. */
const branchOperators: ReadonlySet<unknown> = new Set(["&&=", "||=", "??="]);

/** One sentence for each function with more than `most` ways through it, file by file. Throws `SyntaxError`. */
export function findComplexFunctions(sources: readonly Source[], most: number): readonly string[] {
  return sources.flatMap((source) =>
    measureFunctions(source)
      .filter(({ complexity }) => complexity > most)
      .map(
        ({ name, line, complexity }) =>
          `${source.file}:${line} has ${complexity} ways through ${name}, more than ${most}: extract functions, or make a table`,
      ),
  );
}

interface MeasuredFunction {
  readonly name: string;
  readonly line: number;
  readonly complexity: number;
}

/** The functions of a file, in the order of the text. */
function measureFunctions(source: Source): readonly MeasuredFunction[] {
  const owners = new Map<Node, Place>();
  const complexities = new Map<Place, number>();
  // Parents come before their children.
  for (const place of parse(source)) {
    const { node, parent } = place;
    const owner = functionTypes.has(node.type) ? place : owners.get(parent);
    if (owner === undefined) continue;
    owners.set(node, owner);
    complexities.set(owner, (complexities.get(owner) ?? 1) + (isBranch(node) ? 1 : 0));
  }
  return [...complexities].map(([place, complexity]) => ({
    name: nameFunction(place),
    line: source.text.slice(0, Number(place.node.start)).split("\n").length,
    complexity,
  }));
}

function isBranch({ type, operator, test }: Node): boolean {
  if (type === "AssignmentExpression") return branchOperators.has(operator);
  if (type === "SwitchCase") return isNode(test);
  return branchTypes.has(type);
}

/** The name of a function, or of what it is written to. */
function nameFunction({ node, parent }: Place): string {
  const named = [node.id, parent.id, parent.key, parent.left].find((value) => isNode(value));
  return typeof named?.name === "string" ? named.name : "a function without a name";
}
