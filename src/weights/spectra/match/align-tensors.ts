/**
 * Both checkpoints' tensors under common names: those that are called alike, those that are only spelled differently, experts one by
 * one beside packed ones, and a head beside the embeddings that it is tied to.
 */
import { type CheckpointTensor, findHead, packsTransposed } from "../../checkpoint/index.ts";
import type { Change } from "../record/matrix-spectra.ts";
import { countElements } from "../stored-tensor.ts";
import { parseExpert, spellName, unwrapName } from "./spelling.ts";

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
    ...matchSpellings(sides, { rest, offered }),
    ...matchPrefix("before", { rest, offered }),
    ...matchPrefix("after", { rest, offered }),
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

/** What is not matched yet, and what is. */
interface Matching {
  readonly rest: Change<Offers>;
  readonly offered: Change<Offers>;
}

/** Matches what is spelled differently, and takes it from the rest. */
function matchSpellings(sides: Change<NamedTensors>, { rest, offered }: Matching): readonly string[] {
  const first = indexSpellings(rest.before, sides.before);
  const second = indexSpellings(rest.after, sides.after);
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

/** Names by spelling, without spellings that several names of the checkpoint share, matched or not. */
function indexSpellings(offers: Offers, { tensors }: NamedTensors): ReadonlyMap<string, string> {
  const counts = new Map<string, number>();
  for (const name of tensors.keys()) counts.set(spellName(name), (counts.get(spellName(name)) ?? 0) + 1);
  const all = [...offers.keys()].map((name) => [spellName(name), name] as const);
  return new Map(all.filter(([spelling]) => counts.get(spelling) === 1));
}

/**
 * Where nothing matches: matches a whole side with what the other has under one prefix, as trainers that hold several models put in
 * front of each (`policy.model.layers…`). A head may be missing there, as tied models have none.
 */
function matchPrefix(side: "before" | "after", { rest, offered }: Matching): readonly string[] {
  const other = side === "before" ? "after" : "before";
  const { head } = findHead(rest[side].keys());
  const names = [...rest[side].keys()].filter((name) => name !== head);
  const [first] = names;
  if (first === undefined || offered[side].size + offered[other].size > 0) return [];
  const prefixes = [...rest[other].keys()]
    .filter((name) => name.endsWith(`.${first}`))
    .map((name) => name.slice(0, -first.length))
    .filter((prefix) => names.every((name) => rest[other].has(prefix + name)));
  const [prefix, ...more] = prefixes;
  if (prefix === undefined) return [];
  if (more.length > 0)
    return [
      `the model ${side} is there ${prefixes.length} times ${other}, under ${prefixes.map((one) => `"${one}"`).join(" and ")}, and nothing says which one is meant`,
    ];
  for (const name of [...rest[side].keys()]) {
    const partner = prefix + name;
    if (!rest[other].has(partner)) continue;
    move(name, { from: rest[side], to: offered[side], name: unwrapName(name) });
    move(partner, { from: rest[other], to: offered[other], name: unwrapName(name) });
  }
  return [`names ${other} have "${prefix}" in front, and were matched without it`];
}

function move(source: string, { from, to, name }: { from: Offers; to: Offers; name: string }): void {
  const tensor = from.get(source);
  if (tensor === undefined) return;
  from.delete(source);
  to.set(name, tensor);
}

interface ExpertPlaces extends Matching {
  /** The side whose experts are packed. */
  readonly packed: NamedTensors;
}

/**
 * Matches experts that one side has one by one with the parts of the other's stacks: `gate_up_proj` holds for each expert the rows
 * of its gate and then those of its up projection (Mixtral, Qwen-MoE and their like in transformers 5). Of models that pack with
 * inputs as rows the halves are not blocks of rows.
 */
function matchExperts(side: "before" | "after", { rest, offered, packed }: ExpertPlaces): readonly string[] {
  const other = side === "before" ? "after" : "before";
  const stacks = indexSpellings(rest[other], packed);
  /** Elements that were matched, by where they start, of each tensor that they lie in. */
  const used = new Map<string, Map<number, number>>();
  let numMatched = 0;
  for (const [name, { shape }] of packsTransposed(packed.model) ? [] : [...rest[side]]) {
    const part = findPart(spellName(name), shape, (spelling) => rest[other].get(stacks.get(spelling) ?? ""));
    if (part === undefined) continue;
    const label = unwrapName(name);
    move(name, { from: rest[side], to: offered[side], name: label });
    offered[other].set(label, part);
    const places = used.get(part.source) ?? new Map<number, number>();
    used.set(part.source, places.set(part.start, countElements(part.shape)));
    numMatched += 1;
  }
  for (const [source, places] of used) keepRemainder(rest[other], { source, places });
  if (numMatched === 0) return [];
  return [
    `experts are one by one ${side} and packed ${other}: ${numMatched} matrices were matched slice by slice, of gate_up_proj the gate's rows first`,
  ];
}

/** Takes matched parts from the rest; what else the stack holds stays there under its name. */
function keepRemainder(
  rest: Offers,
  { source, places }: { readonly source: string; readonly places: ReadonlyMap<number, number> },
): void {
  const stack = rest.get(source);
  if (stack === undefined) return;
  const numMatched = [...places.values()].reduce((sum, count) => sum + count, 0);
  const numOthers = countElements(stack.shape) - numMatched;
  if (numOthers > 0) rest.set(source, { ...stack, shape: [numOthers] });
  else rest.delete(source);
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
