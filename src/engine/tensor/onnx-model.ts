/**
 * The part of the ONNX format that the engine writes, encoded with protobufjs. Field numbers are those of
 * onnx.proto (https://onnx.ai); nothing here knows what an operator means.
 */
import protobuf from "protobufjs/light.js";
import type { DataType } from "./primitive.ts";
import type { Shape } from "./shape.ts";

/** A literal tensor of an ONNX model. */
export interface OnnxLiteral {
  readonly name: string;
  readonly dtype: DataType | "int64";
  readonly shape: Shape;
  readonly bytes: Uint8Array;
}

/** An attribute of an ONNX node: an integer, a float, a text or integers. */
export type OnnxAttribute =
  | { readonly int: number }
  | { readonly float: number }
  | { readonly text: string }
  | { readonly ints: readonly number[] };

/** One operator call. `domain` is "" for standard operators. */
export interface OnnxNode {
  readonly operator: string;
  readonly domain: "" | "com.microsoft";
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes: Readonly<Record<string, OnnxAttribute>>;
}

/** A named value with its static type. */
export interface OnnxValue {
  readonly name: string;
  readonly dtype: DataType;
  readonly shape: Shape;
}

/** A whole graph, nodes in topological order. */
export interface OnnxGraph {
  readonly nodes: readonly OnnxNode[];
  readonly literals: readonly OnnxLiteral[];
  readonly inputs: readonly OnnxValue[];
  readonly outputs: readonly OnnxValue[];
}

/** TensorProto.DataType */
const elementTypes = { float32: 1, int32: 6, int64: 7 } as const;
/** AttributeProto.AttributeType */
const attributeTypes = { float: 1, int: 2, text: 3, ints: 7 } as const;

const field = (id: number, type: string): protobuf.IField => ({ id, type });
const repeated = (id: number, type: string): protobuf.IField => ({ id, type, rule: "repeated" });

const schema = protobuf.Root.fromJSON({
  nested: {
    Model: {
      fields: {
        irVersion: field(1, "int64"),
        producerName: field(2, "string"),
        graph: field(7, "Graph"),
        opsetImport: repeated(8, "Opset"),
      },
    },
    Opset: { fields: { domain: field(1, "string"), version: field(2, "int64") } },
    Graph: {
      fields: {
        node: repeated(1, "Node"),
        name: field(2, "string"),
        initializer: repeated(5, "Literal"),
        input: repeated(11, "Value"),
        output: repeated(12, "Value"),
      },
    },
    Node: {
      fields: {
        input: repeated(1, "string"),
        output: repeated(2, "string"),
        name: field(3, "string"),
        opType: field(4, "string"),
        attribute: repeated(5, "Attribute"),
        domain: field(7, "string"),
      },
    },
    Attribute: {
      fields: {
        name: field(1, "string"),
        f: field(2, "float"),
        i: field(3, "int64"),
        s: field(4, "bytes"),
        ints: repeated(8, "int64"),
        type: field(20, "int32"),
      },
    },
    Literal: {
      fields: {
        dims: repeated(1, "int64"),
        dataType: field(2, "int32"),
        name: field(8, "string"),
        rawData: field(9, "bytes"),
      },
    },
    Value: { fields: { name: field(1, "string"), type: field(2, "Type") } },
    Type: { fields: { tensorType: field(1, "TensorType") } },
    TensorType: { fields: { elemType: field(1, "int32"), shape: field(2, "Dims") } },
    Dims: { fields: { dim: repeated(1, "Dim") } },
    Dim: { fields: { dimValue: field(1, "int64") } },
  },
});

function describeAttribute(name: string, attribute: OnnxAttribute): Record<string, unknown> {
  if ("int" in attribute) return { name, i: attribute.int, type: attributeTypes.int };
  if ("float" in attribute) return { name, f: attribute.float, type: attributeTypes.float };
  if ("text" in attribute) return { name, s: Buffer.from(attribute.text), type: attributeTypes.text };
  return { name, ints: attribute.ints, type: attributeTypes.ints };
}

function describeValue({ name, dtype, shape }: OnnxValue): Record<string, unknown> {
  const dim = shape.map((dimValue) => ({ dimValue }));
  return { name, type: { tensorType: { elemType: elementTypes[dtype], shape: { dim } } } };
}

/** The bytes of an ONNX model (IR 8, opset 17 and ONNX Runtime's contributed operators) of that graph. */
export function encodeOnnxModel(graph: OnnxGraph): Uint8Array {
  const message = {
    irVersion: 8,
    producerName: "untwist",
    opsetImport: [
      { domain: "", version: 17 },
      { domain: "com.microsoft", version: 1 },
    ],
    graph: {
      name: "untwist",
      node: graph.nodes.map((node, index) => ({
        name: `${node.operator}_${index}`,
        opType: node.operator,
        domain: node.domain,
        input: node.inputs,
        output: node.outputs,
        attribute: Object.entries(node.attributes).map(([name, value]) => describeAttribute(name, value)),
      })),
      initializer: graph.literals.map(({ name, dtype, shape, bytes }) => ({
        name,
        dims: shape,
        dataType: elementTypes[dtype],
        rawData: bytes,
      })),
      input: graph.inputs.map(describeValue),
      output: graph.outputs.map(describeValue),
    },
  };
  return schema.lookupType("Model").encode(message).finish();
}
