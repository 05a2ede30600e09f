/**
 * Plans a graph: every tensor becomes an instruction, a view or a part of an elementwise expression. Nothing here has an
 * address, so that a plan can be linked to any memory.
 */
import { requireValue } from "../../../../base/core/index.ts";
import { topologicalOrder } from "../../gradient.ts";
import type { Outputs } from "../../lowering.ts";
import type { Tensor } from "../../primitive.ts";
import { formatShape, isSameShape, type Shape, sizeOf } from "../../shape.ts";
import { encodeWiden } from "./encode-rows.ts";
import type { ConstantStorage, InputStorage, Instruction, ResultStorage } from "./instruction.ts";
import { type PlanBuilder, planTensor, type Value } from "./kernel-rules.ts";
import { applyStep, type Expression, encodeMap, expressView } from "./map-tree.ts";
import { type Arena, makeStages, placeResults, type Stage } from "./schedule.ts";
import { isRowMajor, reshapeView, rowMajorStrides, sliceView, type View, viewStorage } from "./view.ts";

/** How a program's inputs lie in memory. */
export interface PlanOptions {
  /** Inputs that are bound to bfloat16 (`Uint16Array`) in place of float32. */
  readonly halves?: ReadonlySet<string>;
}

/** A graph as instructions. */
export interface Plan {
  readonly stages: readonly Stage[];
  readonly arena: Arena;
  readonly inputs: ReadonlyMap<string, InputStorage>;
  readonly constants: readonly ConstantStorage[];
  readonly outputs: ReadonlyMap<string, View>;
  /** Bytes that each thread needs of its own. */
  readonly scratchBytes: number;
}

/** Plans the graph of these outputs. */
export function planGraph(outputs: Outputs, options: PlanOptions = {}): Plan {
  const order = topologicalOrder(Object.values(outputs));
  const planner = new Planner(order, options);
  for (const tensor of order) planner.plan(tensor);
  const results = new Map(Object.entries(outputs).map(([name, tensor]) => [name, planner.keep(tensor)]));
  const { instructions, constants, inputs } = planner;
  const stages = makeStages(instructions);
  const scratchBytes = instructions.reduce((most, { scratchBytes: own = 0 }) => Math.max(most, own), 0);
  const arena = placeResults(stages);
  return { stages, arena, inputs, constants, outputs: results, scratchBytes };
}

/** Who reads each tensor, a reader once for each time. */
function findReaders(order: readonly Tensor[]): ReadonlyMap<Tensor, readonly Tensor[]> {
  const readers = new Map<Tensor, Tensor[]>();
  for (const reader of order)
    for (const input of reader.inputs) {
      const known = readers.get(input);
      if (known === undefined) readers.set(input, [reader]);
      else known.push(reader);
    }
  return readers;
}

function isExpression(value: Value): value is Expression {
  return "steps" in value;
}

/** A graph that is being planned. */
class Planner implements PlanBuilder {
  readonly instructions: Instruction[] = [];
  readonly inputs = new Map<string, InputStorage>();
  readonly constants: ConstantStorage[] = [];
  readonly #options: PlanOptions;
  readonly #readers: ReadonlyMap<Tensor, readonly Tensor[]>;
  readonly #values = new Map<Tensor, Value>();
  readonly #places = new Map<Tensor, View>();
  readonly #wide = new Map<InputStorage, ResultStorage>();

  constructor(order: readonly Tensor[], options: PlanOptions) {
    this.#options = options;
    this.#readers = findReaders(order);
  }

  plan(tensor: Tensor): void {
    const value = planTensor(tensor, this);
    const [reader, ...others] = this.#readers.get(tensor) ?? [];
    const isAlone = reader !== undefined && others.length === 0 && isSameShape(reader.shape, tensor.shape);
    this.#values.set(tensor, value);
    // An expression with one reader of its shape may be carried on by it.
    if (isExpression(value) && !isAlone) this.view(tensor);
  }

  view(tensor: Tensor): View {
    const value = requireValue(this.#values, tensor);
    if (!isExpression(value)) return value;
    const out = this.place(tensor);
    this.emit(encodeMap(value, out));
    this.#values.set(tensor, out);
    return out;
  }

  apply(name: Parameters<PlanBuilder["apply"]>[0], result: Tensor): Value {
    const carry = (tensor: Tensor): Expression => {
      const value = requireValue(this.#values, tensor);
      return isExpression(value) && isSameShape(tensor.shape, result.shape) ? value : this.#express(tensor);
    };
    const inputs: readonly Tensor[] = result.inputs;
    const carried = applyStep(name, result.shape, inputs.map(carry));
    if (carried !== undefined) return carried;
    const short = applyStep(
      name,
      result.shape,
      inputs.map((tensor) => this.#express(tensor)),
    );
    if (short === undefined) throw new RangeError(`Cannot plan ${name} of ${inputs.length} inputs`);
    return short;
  }

  #express(tensor: Tensor): Expression {
    return expressView(this.widen(this.view(tensor)));
  }

  bind({ params: { name }, shape, dtype }: Tensor<"input">): View {
    const numElements = sizeOf(shape);
    const isInteger = dtype === "int32";
    const isHalf = this.#options.halves?.has(name) ?? false;
    const known = this.inputs.get(name);
    const storage = known ?? { kind: "input", name, isInteger, isHalf, numElements };
    if (storage.numElements !== numElements || storage.isInteger !== isInteger)
      throw new TypeError(
        `Cannot plan the input "${name}" as ${formatShape(shape)}: it has another shape elsewhere`,
      );
    this.inputs.set(name, storage);
    return viewStorage(storage, shape);
  }

  constant({ params: { values }, shape }: Tensor<"constant">): View {
    const storage: ConstantStorage = { kind: "constant", values, numElements: values.length };
    this.constants.push(storage);
    if (values.length === sizeOf(shape)) return viewStorage(storage, shape);
    return { storage, offset: 0, shape, strides: shape.map(() => 0) };
  }

  place(result: Tensor): View {
    const known = this.#places.get(result);
    if (known !== undefined) return known;
    const view = this.#placeInReader(result) ?? this.allocate(result.shape);
    this.#places.set(result, view);
    return view;
  }

  /** A part of the result of `concatenate`, where nothing else reads the tensor. */
  #placeInReader(result: Tensor): View | undefined {
    const [reader, ...others] = this.#readers.get(result) ?? [];
    if (reader?.primitive !== "concatenate" || others.length > 0) return undefined;
    const { axis } = (reader as Tensor<"concatenate">).params;
    let start = 0;
    for (const input of reader.inputs as readonly Tensor[]) {
      if (input === result) break;
      start += input.shape[axis] ?? 0;
    }
    return sliceView(this.place(reader), { axis, start, end: start + (result.shape[axis] ?? 0) });
  }

  allocate(shape: Shape): View {
    return viewStorage({ kind: "result", numElements: sizeOf(shape), isKept: false }, shape);
  }

  widen(view: View): View {
    const { storage } = view;
    if (storage.kind !== "input" || !storage.isHalf) return view;
    const known = this.#wide.get(storage);
    if (known !== undefined) return { ...view, storage: known };
    const shape = [storage.numElements];
    const out = this.allocate(shape);
    this.emit(encodeWiden(viewStorage(storage, shape), out));
    if (out.storage.kind === "result") this.#wide.set(storage, out.storage);
    return { ...view, storage: out.storage };
  }

  settle(view: View): View {
    const wide = this.widen(view);
    if (isRowMajor(wide)) return wide;
    const out = this.allocate(view.shape);
    this.copy(wide, out);
    return out;
  }

  reshape(view: View, shape: Shape): View {
    return reshapeView(view, shape) ?? viewAs(this.settle(view), shape);
  }

  copy(from: View, to: View): void {
    const isThere =
      from.storage === to.storage &&
      from.offset === to.offset &&
      from.strides.every((stride, axis) => from.shape[axis] === 1 || stride === to.strides[axis]);
    if (!isThere) this.emit(encodeMap(expressView(this.widen(from)), to));
  }

  emit(instruction: Instruction): void {
    this.instructions.push(instruction);
  }

  /** An output's numbers: in order, in memory that nothing else takes before the run is over. */
  keep(tensor: Tensor): View {
    const view = this.view(tensor);
    const isOwn = view.storage.kind === "result" && isRowMajor(view);
    const kept = isOwn ? view : this.allocate(view.shape);
    if (!isOwn) this.copy(view, kept);
    if (kept.storage.kind === "result") kept.storage.isKept = true;
    return kept;
  }
}

/** Numbers in order in another shape. */
function viewAs(view: View, shape: Shape): View {
  return { ...view, shape, strides: rowMajorStrides(shape) };
}
