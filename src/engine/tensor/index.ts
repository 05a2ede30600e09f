/** Symbolic tensors, their gradients, and programs that run them on ONNX Runtime or on kernels of our own. */
export { gradients } from "./gradient.ts";
export { type KernelOptions, type Kernels, openKernels } from "./kernel/host.ts";
export { FullMemoryError, type KernelArrays, KernelMemory } from "./kernel/kernel-memory.ts";
export type { PlanOptions } from "./kernel/plan/plan-graph.ts";
export { type KernelData, type KernelProgram, planProgram } from "./kernel/program.ts";
export type { Outputs } from "./lowering.ts";
export type { Operand, Rotation, RowChoice } from "./operations.ts";
export * as op from "./operations.ts";
export type { Tensor } from "./primitive.ts";
export {
  type CompileOptions,
  compile,
  compileEncoded,
  type EncodedProgram,
  encodeProgram,
  type Program,
  readEngineVersion,
  requireOutput,
  type TensorData,
} from "./session.ts";
export { type Shape, sizeOf } from "./shape.ts";
