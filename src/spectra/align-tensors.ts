/**
 * Both checkpoints' tensors under common names: those that are called alike, those that are only spelled differently, experts one by
 * one beside packed ones, and a head beside the embeddings that it is tied to.
 */
import { type CheckpointTensor, findHead } from "../checkpoint/index.ts";
import type { Change } from "./matrix-spectra.ts";
import { parseExpert, spellName, unwrapName } from "./spelling.ts";
import { countElements } from "./stored-tensor.ts";

/** A tensor, or a part of one, as a checkpoint offers it to be matched. */
export interface OfferedTensor extends Pick<CheckpointTensor, "dtype" | "shape"> {
  /** What it is called in the checkpoint. */
  readonly source: string;
  /** Elements of that tensor in front of it. */
  readonly start: number;
  /** Elements of that tensor. */
  readonly numElements: number;
}

/** A checkpoint's tensors, and what its configuration says of them. */
export interface NamedTensors {
  readonly tensors: ReadonlyMap<string, CheckpointTensor>;
  /** Whether the head is the embeddings. */
  readonly isTied: boolean;
  /** `model_type`. */
  readonly model: string;
  /** Tensors whose number format is that of a sum made for reading, as an adapter's, and not of a file. */
  readonly sums: ReadonlySet<string>;
}

/** Tensors by common name, and what was done to find it. */
export interface Alignment {
  readonly offered: Change<ReadonlyMap<string, OfferedTensor>>;
  /** Sentences without their full stops. */
  readonly notes: readonly string[];
}

type Offers = Map<string, OfferedTensor>;

/** Brings both sides' tensors under common names. */
export function alignTensors(sides: Change<NamedTensors>): Alignment {
  const offered = { before: new Map<string, OfferedTensor>(), after: new Map<string, OfferedTensor>() };
  const rest = {
    before: listOthers(sides.before, sides.after),
    after: listOthers(sides.after, sides.before),
  };
  for (const side of ["before", "after"] as const)
    for (const [name, tensor] of sides[side].tensors)
      if (!rest[side].has(name)) offered[side].set(name, offerWhole(name, tensor));
  const notes = [
    ...matchSpellings(rest, offered),
    ...matchExperts("before", { rest, offered, packed: sides.after }),
    ...matchExperts("after", { rest, offered, packed: sides.before }),
    ...matchTied("before", { rest, offered, tied: sides.after }),
    ...matchTied("after", { rest, offered, tied: sides.before }),
  ];
  for (const side of ["before", "after"] as const)
    for (const [name, tensor] of rest[side]) offered[side].set(name, tensor);
  const ordered = {
    before: reorder(offered.before, sides.before.tensors),
    after: reorder(offered.after, sides.after.tensors),
  };
  return { offered: ordered, notes };
}

/** In the order of the checkpoint. */
function reorder(offers: Offers, tensors: NamedTensors["tensors"]): ReadonlyMap<string, OfferedTensor> {
  const places = new Map([...tensors.keys()].map((name, index) => [name, index]));
  const placeOf = ({ source }: OfferedTensor): number => places.get(source) ?? 0;
  return new Map([...offers].sort(([, a], [, b]) => placeOf(a) - placeOf(b)));
}

const offerWhole = (source: string, { dtype, shape }: CheckpointTensor): OfferedTensor => ({
  dtype,
  shape,
  source,
  start: 0,
  numElements: countElements(shape),
});

/** The tensors whose names only this side has. */
function listOthers(own: NamedTensors, other: NamedTensors): Offers {
  const names = [...own.tensors].filter(([name]) => !other.tensors.has(name));
  return new Map(names.map(([name, tensor]) => [name, offerWhole(name, tensor)]));
}

/** Matches what is spelled differently, and takes it from the rest. */
function matchSpellings(rest: Change<Offers>, offered: Change<Offers>): readonly string[] {
  const [first, second] = [indexSpellings(rest.before), indexSpellings(rest.after)];
  const matched = [...first].flatMap(([spelling, before]) => {
    const after = second.get(spelling);
    const isTaken = after !== undefined && offered.after.has(unwrapName(after));
    return after === undefined || isTaken ? [] : [{ before, after }];
  });
  for (const { before, after } of matched) {
    // The name after is that of a training's later checkpoints as well.
    move(before, { from: rest.before, to: offered.before, name: unwrapName(after) });
    move(after, { from: rest.after, to: offered.after, name: unwrapName(after) });
  }
  const [example] = matched;
  if (example === undefined) return [];
  return [
    `${matched.length} ${matched.length === 1 ? "tensor is" : "tensors are"} spelled differently, as "${example.before}" before and "${example.after}" after, and were matched by what they are`,
  ];
}

/** Names by spelling, without spellings that several names share. */
function indexSpellings(offers: Offers): ReadonlyMap<string, string> {
  const all = [...offers.keys()].map((name) => [spellName(name), name] as const);
  const counts = new Map<string, number>();
  for (const [spelling] of all) counts.set(spelling, (counts.get(spelling) ?? 0) + 1);
  return new Map(all.filter(([spelling]) => counts.get(spelling) === 1));
}

function move(source: string, { from, to, name }: { from: Offers; to: Offers; name: string }): void {
  const tensor = from.get(source);
  if (tensor === undefined) return;
  from.delete(source);
  to.set(name, tensor);
}

/** Models that store packed experts with inputs as rows: their halves are no blocks of rows. */
const transposed = /gpt_oss|llama4|aria|qwen3_vl_moe|privacy_filter/;

interface ExpertPlaces {
  readonly rest: Change<Offers>;
  readonly offered: Change<Offers>;
  /** The side whose experts are packed. */
  readonly packed: NamedTensors;
}

/**
 * Matches experts that one side has one by one with the parts of the other's stacks: `gate_up_proj` holds for each expert the rows
 * of its gate and then those of its up projection (Mixtral, Qwen-MoE and their like in transformers 5).
 */
function matchExperts(side: "before" | "after", { rest, offered, packed }: ExpertPlaces): readonly string[] {
  const other = side === "before" ? "after" : "before";
  const stacks = indexSpellings(rest[other]);
  const used = new Set<string>();
  let numMatched = 0;
  for (const [name, { shape }] of transposed.test(packed.model) ? [] : [...rest[side]]) {
    const part = findPart(spellName(name), shape, (spelling) => rest[other].get(stacks.get(spelling) ?? ""));
    if (part === undefined) continue;
    const label = unwrapName(name);
    move(name, { from: rest[side], to: offered[side], name: label });
    offered[other].set(label, part);
    used.add(part.source);
    numMatched += 1;
  }
  for (const source of used) rest[other].delete(source);
  if (numMatched === 0) return [];
  return [
    `experts are one by one ${side} and packed ${other}: ${numMatched} matrices were matched slice by slice, of gate_up_proj the gate's rows first`,
  ];
}

/** The part of a stack that is an expert's matrix of that shape. */
function findPart(
  spelling: string,
  shape: readonly number[],
  find: (spelling: string) => OfferedTensor | undefined,
): OfferedTensor | undefined {
  const expert = parseExpert(spelling);
  if (expert === undefined || shape.length !== 2) return undefined;
  const [rows = 0, columns = 0] = shape;
  const isDown = expert.part === "down_proj";
  const wanted = [isDown ? rows : 2 * rows, columns];
  const stack = `${expert.experts}.${isDown ? "down_proj" : "gate_up_proj"}`;
  const offset = expert.part === "up_proj" ? rows * columns : 0;
  const [slice, whole] = [find(`${stack}[${expert.index}]`), find(stack)];
  if (slice !== undefined && isShape(slice.shape, wanted)) return { ...slice, shape, start: offset };
  // Stacks of small matrices are not offered one by one.
  if (whole === undefined || !isShape(whole.shape.slice(1), wanted)) return undefined;
  if (expert.index >= (whole.shape[0] ?? 0)) return undefined;
  return { ...whole, shape, start: expert.index * countElements(wanted) + offset };
}

function isShape(shape: readonly number[], wanted: readonly number[]): boolean {
  return shape.length === wanted.length && shape.every((size, axis) => size === wanted[axis]);
}

/** Matches a head that one side has with the embeddings of the other, where those are its head. */
function matchTied(
  side: "before" | "after",
  {
    rest,
    offered,
    tied: { tensors, isTied },
  }: { readonly rest: Change<Offers>; readonly offered: Change<Offers>; readonly tied: NamedTensors },
): readonly string[] {
  const other = side === "before" ? "after" : "before";
  const { head } = findHead(rest[side].keys());
  const { head: own, embedding } = findHead(tensors.keys());
  const tensor = tensors.get(embedding ?? "");
  if (!isTied || head === undefined || own !== undefined || embedding === undefined || tensor === undefined)
    return [];
  move(head, { from: rest[side], to: offered[side], name: unwrapName(head) });
  offered[other].set(unwrapName(head), offerWhole(embedding, tensor));
  return [
    `the head ${head} is a tensor of its own only ${side}: it was compared with ${embedding} ${other}, which is the head there (tied)`,
  ];
}
