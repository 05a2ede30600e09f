/** Factors of parameters (`target_parameters`): experts that lie in one stack, and weights named as such. */
import { quote } from "../../checkpoint-error.ts";
import type { CheckpointTensor, LowRankUpdate } from "../../open-checkpoint.ts";
import { findScaling } from "../adapter-config.ts";
import type { AdapterContents, NamedChange, ReadFactors } from "../adapter-contents.ts";
import { mergeIt, UnusableAdapterError } from "../adapter-error.ts";
import type { FactorKeys } from "../adapter-parts.ts";
import { createExpertUpdates, createUpdate, stackUpdates, takeRows } from "./place-factors.ts";

/** In the order in which modules of experts define them: the first is wrapped innermost. */
const definitionOrder: readonly string[] = [
  "gate_up_proj",
  "gate_up_proj_bias",
  "down_proj",
  "down_proj_bias",
];

/** A parameter of the base, as a whole or as its matrices. */
interface Parameter {
  readonly name: string;
  readonly count: number;
  readonly shape: readonly number[];
  /** The base's tensors that make it, for each matrix the parts of its rows. */
  readonly tensors: readonly (readonly string[])[];
}

/**
 * Changes of the parameter that factors belong to; `undefined` where they belong to a module, as most do. Throws
 * `UnusableAdapterError` where it is not clear which parameter they belong to.
 */
export function placeParameters(
  contents: AdapterContents,
  keys: FactorKeys,
  { first, second, bias, magnitude }: ReadFactors,
): readonly NamedChange[] | undefined {
  const { base, folder, file, config } = contents;
  const names = listTargets(config.fields.target_parameters, keys.module, base.tensors);
  if (names.length === 0) return undefined;
  const place = { path: file.path, tensor: keys.first };
  const refuse = (problem: string): never => {
    throw new UnusableAdapterError(`${problem}; ${mergeIt}`, place);
  };
  const name =
    chooseTarget(names, keys.depth) ?? refuse("nothing tells which of its module's parameters it adapts");
  const parameter =
    findParameter(name, base.tensors) ?? refuse(`the base holds ${quote(name)} in no known way`);
  if (bias !== undefined || magnitude !== undefined)
    refuse("it has a bias or magnitudes, which parameters have not");
  const { rank, scale } = findScaling(config.fields, name, folder);
  const modelType = base.config.model_type;
  const factors = { first, second, scale };
  const updates =
    parameter.count === 1
      ? isPlain(factors, parameter.shape, rank)
        ? [createUpdate(factors, false)]
        : undefined
      : createExpertUpdates(factors, { ...parameter, rank, modelType, path: file.path });
  if (updates === undefined)
    return refuse(
      `with its partner it makes no update of ${quote(name)}, ${parameter.count} × [${parameter.shape.join(", ")}], at rank ${rank}`,
    );
  return spread(parameter, updates);
}

function isPlain(
  { first, second }: Pick<ReadFactors, "first" | "second">,
  shape: readonly number[],
  rank: number,
): boolean {
  return first.shape.join() === [rank, shape[1]].join() && second.shape.join() === [shape[0], rank].join();
}

/** The parameters of a module that are adapted, in the order in which its class defines them. */
function listTargets(
  targets: unknown,
  module: string,
  tensors: ReadonlyMap<string, CheckpointTensor>,
): readonly string[] {
  if (!Array.isArray(targets)) return [];
  const names = new Set<string>();
  for (const target of targets) {
    const parameter = typeof target === "string" ? (target.split(".").at(-1) ?? "") : "";
    const name = `${module}.${parameter}`;
    if (name !== target && !name.endsWith(`.${target}`)) continue;
    if (findParameter(name, tensors) !== undefined || definitionOrder.includes(parameter)) names.add(name);
  }
  return [...names].sort((a, b) => orderOf(a) - orderOf(b));
}

const orderOf = (name: string): number => definitionOrder.indexOf(name.split(".").at(-1) ?? "");

/** Wrappers lie one in the other: the last parameter's is the outermost. */
function chooseTarget(names: readonly string[], depth: number): string | undefined {
  if (names.length > 1 && names.some((name) => orderOf(name) < 0)) return undefined;
  return names[names.length - 1 - depth];
}

/** How the base holds a parameter: under its name, matrix by matrix, or as the layers of experts one by one. */
function findParameter(name: string, tensors: ReadonlyMap<string, CheckpointTensor>): Parameter | undefined {
  const whole = tensors.get(name);
  if (whole !== undefined) {
    const [count = 1, ...shape] = whole.shape.length === 3 ? whole.shape : [1, ...whole.shape];
    return { name, count, shape, tensors: [[name]] };
  }
  const [, experts = "", kind = ""] = /^(.*\.experts)\.(gate_up_proj|down_proj)$/.exec(name) ?? [];
  const parts = kind === "gate_up_proj" ? ["gate_proj", "up_proj"] : kind === "" ? [] : ["down_proj"];
  for (const nameParts of [
    (expert: number) => [`${name}[${expert}]`],
    (expert: number) => parts.map((part) => `${experts}.${expert}.${part}.weight`),
  ]) {
    const found: (readonly string[])[] = [];
    while (nameParts(found.length).some((part) => tensors.has(part))) found.push(nameParts(found.length));
    const shapes = (found[0] ?? []).map((part) => tensors.get(part)?.shape ?? []);
    const [rows = 0, columns = 0] = shapes[0] ?? [];
    if (found.length > 0)
      return { name, count: found.length, shape: [rows * shapes.length, columns], tensors: found };
  }
  return undefined;
}

/** The updates of a parameter's matrices as updates of the base's tensors. */
function spread(
  { count, shape, tensors }: Parameter,
  updates: readonly LowRankUpdate[],
): readonly NamedChange[] {
  const [first = []] = tensors;
  const [rows = 0] = shape;
  if (tensors.length === 1 && first.length === 1 && count > 1)
    return [[first[0] ?? "", { update: stackUpdates(updates) }]];
  return tensors.flatMap((parts, index) => {
    const update = updates[index];
    if (update === undefined) return [];
    const share = rows / parts.length;
    return parts.map(
      (part, number): NamedChange => [
        part,
        { update: parts.length === 1 ? update : takeRows(update, number * share, (number + 1) * share) },
      ],
    );
  });
}
