/** How each primitive is written in ONNX: standard operators, and ONNX Runtime's fused ones where they are faster. */
import { requireValue } from "../../base/core/index.ts";
import { topologicalOrder } from "./gradient.ts";
import type { OnnxAttribute, OnnxGraph, OnnxLiteral, OnnxNode } from "./onnx-model.ts";
import type { Primitive, Tensor } from "./primitive.ts";
import { sizeOf } from "./shape.ts";

/** What a lowering rule may do: add operators and literals; the last operator gives the result. */
interface Emitter {
  /** Adds an operator whose single output is the value of the primitive, or a named intermediate of it. */
  emit(operator: string, inputs: readonly string[], options?: EmitOptions): string;
  int64(values: readonly number[]): string;
  float32(values: readonly number[]): string;
}

interface EmitOptions {
  readonly attributes?: Readonly<Record<string, OnnxAttribute>>;
  readonly domain?: OnnxNode["domain"];
  /** Which of the operator's outputs is meant (default the first). */
  readonly output?: number;
}

type LoweringRule<P extends Primitive> = (result: Tensor<P>, names: readonly string[], to: Emitter) => string;

const fused = "com.microsoft" as const;
const simply =
  (operator: string): LoweringRule<Primitive> =>
  (_, names, to) =>
    to.emit(operator, names);
const overLastAxis =
  (operator: string): LoweringRule<Primitive> =>
  (_, names, to) =>
    to.emit(operator, names, { attributes: { axis: { int: -1 } } });

const int32Cast = { attributes: { to: { int: 6 } } } as const;
const floatCast = { attributes: { to: { int: 1 } } } as const;
const int64Cast = { attributes: { to: { int: 7 } } } as const;

/** The total table of lowerings: a primitive without one does not compile. */
const loweringRules: { readonly [P in Primitive]: LoweringRule<P> } = {
  input: ({ params }) => params.name,
  constant: () => {
    throw new TypeError("Cannot lower a constant: it is a literal of the graph");
  },
  add: simply("Add"),
  subtract: simply("Sub"),
  multiply: simply("Mul"),
  divide: simply("Div"),
  minimum: simply("Min"),
  maximum: simply("Max"),
  lessOrEqual: (_, names, to) => to.emit("Cast", [to.emit("LessOrEqual", names)], floatCast),
  negate: simply("Neg"),
  exp: simply("Exp"),
  log: simply("Log"),
  sqrt: simply("Sqrt"),
  reciprocal: simply("Reciprocal"),
  sigmoid: simply("Sigmoid"),
  relu: simply("Relu"),
  tanh: simply("Tanh"),
  erf: simply("Erf"),
  matmul: ({ params }, names, to) => {
    const { transposeLeft, transposeRight, scale } = params;
    if (!transposeLeft && !transposeRight && scale === 1) return to.emit("MatMul", names);
    const attributes = {
      transA: { int: Number(transposeLeft) },
      transB: { int: Number(transposeRight) },
      alpha: { float: scale },
    };
    return to.emit("FusedMatMul", names, { domain: fused, attributes });
  },
  transpose: ({ params }, names, to) =>
    to.emit("Transpose", names, { attributes: { perm: { ints: params.permutation } } }),
  reshape: ({ shape }, names, to) => to.emit("Reshape", [...names, to.int64(shape)]),
  slice: ({ params: { axis, start, end } }, names, to) =>
    to.emit("Slice", [...names, to.int64([start]), to.int64([end]), to.int64([axis])]),
  concatenate: ({ params }, names, to) =>
    to.emit("Concat", names, { attributes: { axis: { int: params.axis } } }),
  sum: ({ params }, names, to) =>
    to.emit("ReduceSum", [...names, to.int64(params.axes)], { attributes: { keepdims: { int: 1 } } }),
  broadcast: ({ shape }, names, to) => to.emit("Expand", [...names, to.int64(shape)]),
  softmax: overLastAxis("Softmax"),
  logSoftmax: overLastAxis("LogSoftmax"),
  rmsNorm: ({ params }, names, to) => {
    const attributes = { axis: { int: -1 }, epsilon: { float: params.epsilon }, stash_type: { int: 1 } };
    return to.emit("SimplifiedLayerNormalization", names, { attributes });
  },
  standardize: ({ params: { epsilon }, shape }, [x = ""], to) => {
    const one = to.float32(new Array<number>(shape.at(-1) ?? 0).fill(1));
    return to.emit("LayerNormalization", [x, one], {
      attributes: { axis: { int: -1 }, epsilon: { float: epsilon } },
    });
  },
  markLargest: ({ params: { count }, shape }, [x = ""], to) => {
    const places = to.emit("TopK", [x, to.int64([count])], { attributes: { axis: { int: -1 } }, output: 1 });
    const marks = to.emit("OneHot", [places, to.int64([shape.at(-1) ?? 0]), to.float32([0, 1])]);
    return to.emit("Squeeze", [to.emit("ReduceSum", [marks, to.int64([-2])]), to.int64([-2])]);
  },
  rotate: (_, [x = "", cosine = "", sine = "", positions = ""], to) =>
    to.emit("RotaryEmbedding", [x, to.emit("Cast", [positions], int64Cast), cosine, sine], { domain: fused }),
  gatherRows: (_, names, to) => to.emit("Gather", names),
  pickRows: (_, [x = "", rows = ""], to) => to.emit("Gather", [x, rows]),
  takeLast: ({ inputs: [, ids] }, [x = "", idNames = ""], to) => {
    const index = to.emit("Reshape", [idNames, to.int64([...ids.shape, 1])]);
    return to.emit("GatherElements", [x, index], { attributes: { axis: { int: -1 } } });
  },
  oneHot: ({ params }, [ids = ""], to) => {
    const depth = to.emit("Cast", [to.int64([params.depth])], int32Cast);
    return to.emit("OneHot", [ids, depth, to.float32([0, 1])]);
  },
  addRows: ({ shape: [, ...rowShape], inputs: [, ids] }, [base = "", idNames = "", rows = ""], to) => {
    const column = to.emit("Reshape", [idNames, to.int64([...ids.shape, ...rowShape.map(() => 1)])]);
    const places = to.emit("Expand", [column, to.int64([...ids.shape, ...rowShape])]);
    return addAt(to, [base, places, rows], 0);
  },
  addLast: ({ inputs: [, ids] }, [base = "", idNames = "", values = ""], to) => {
    const places = to.emit("Reshape", [idNames, to.int64([...ids.shape, 1])]);
    return addAt(to, [base, places, values], -1);
  },
  stopGradient: simply("Identity"),
};

/** Adds up in the order of the updates, whatever the number of threads; ScatterND does not. */
function addAt(to: Emitter, names: readonly string[], axis: number): string {
  return to.emit("ScatterElements", names, {
    attributes: { axis: { int: axis }, reduction: { text: "add" } },
  });
}

function lower<P extends Primitive>(result: Tensor<P>, names: readonly string[], to: Emitter): string {
  return loweringRules[result.primitive](result, names, to);
}

/** The named results of a program. */
export type Outputs = Readonly<Record<string, Tensor>>;

/** The ONNX graph that computes `outputs`; its inputs are the `input` tensors they depend on. */
export function lowerGraph(outputs: Outputs): OnnxGraph {
  const nodes: OnnxNode[] = [];
  const literals = new Map<string, OnnxLiteral>();
  const names = new Map<Tensor, string>();
  const to = createEmitter(nodes, literals);
  const order = topologicalOrder(Object.values(outputs));
  for (const tensor of order) {
    if (tensor.primitive === "constant")
      names.set(tensor, addConstant(tensor as Tensor<"constant">, literals));
    else
      names.set(
        tensor,
        lower(
          tensor,
          tensor.inputs.map((source) => requireValue(names, source)),
          to,
        ),
      );
  }
  const results = Object.entries(outputs).map(([name, tensor]) => {
    // A result under its own name, also where the same tensor is an input or another result.
    const source = requireValue(names, tensor);
    nodes.push({ operator: "Identity", domain: "", inputs: [source], outputs: [name], attributes: {} });
    return { name, dtype: tensor.dtype, shape: tensor.shape };
  });
  const inputs = order
    .filter((tensor) => tensor.primitive === "input")
    .map((tensor) => ({ name: requireValue(names, tensor), dtype: tensor.dtype, shape: tensor.shape }));
  return { nodes, literals: [...literals.values()], inputs, outputs: results };
}

function createEmitter(nodes: OnnxNode[], literals: Map<string, OnnxLiteral>): Emitter {
  const addLiteral = (literal: OnnxLiteral): string => {
    literals.set(literal.name, literal);
    return literal.name;
  };
  return {
    emit: (operator, inputs, { attributes = {}, domain = "", output = 0 } = {}) => {
      const name = `t${nodes.length}`;
      const outputs = [...Array.from({ length: output }, (_, index) => `${name}_${index}`), name];
      nodes.push({ operator, domain, inputs, outputs, attributes });
      return name;
    },
    int64: (values) => {
      const bytes = new Uint8Array(BigInt64Array.from(values, BigInt).buffer);
      return addLiteral({ name: `i${values.join("_")}`, dtype: "int64", shape: [values.length], bytes });
    },
    float32: (values) => {
      const bytes = new Uint8Array(Float32Array.from(values).buffer);
      return addLiteral({ name: `f${values.join("_")}`, dtype: "float32", shape: [values.length], bytes });
    },
  };
}

function addConstant(tensor: Tensor<"constant">, literals: Map<string, OnnxLiteral>): string {
  const { values } = tensor.params;
  const isFilled = values.length === 1 && sizeOf(tensor.shape) !== 1;
  const data = isFilled
    ? new Float32Array(sizeOf(tensor.shape)).fill(values[0] ?? 0)
    : Float32Array.from(values);
  const isScalar = values.length === 1 && tensor.shape.length === 0;
  const name = isScalar ? `s${values[0]}` : `c${literals.size}`;
  literals.set(name, { name, dtype: "float32", shape: tensor.shape, bytes: new Uint8Array(data.buffer) });
  return name;
}
