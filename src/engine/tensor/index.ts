/** Symbolic tensors, their gradients, and programs that run them on ONNX Runtime. */
export { gradients } from "./gradient.ts";
export type { Operand, Rotation, RowChoice } from "./operations.ts";
export * as op from "./operations.ts";
export type { Tensor } from "./primitive.ts";
export {
  type CompileOptions,
  compile,
  type Program,
  readEngineVersion,
  requireOutput,
  type TensorData,
} from "./session.ts";
export { type Shape, sizeOf } from "./shape.ts";
