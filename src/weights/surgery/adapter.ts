/** Edits of low rank as a LoRA adapter in the layout of PEFT: what is added to the target, and nothing else. */
import { setting, UsageError } from "../../base/core/index.ts";
import {
  type AdapterOrigin,
  type Checkpoint,
  findTie,
  hasConv1D,
  type WritableTensor,
} from "../checkpoint/index.ts";
import { createMatrix, type Matrix } from "../linalg/index.ts";
import { limitRank } from "./edit.ts";
import type { PlannedEdit } from "./resolve.ts";

/** What is added to a matrix: left · rightᵀ. */
export interface AddedProduct {
  /** The tensor's name. */
  readonly name: string;
  /** [rows, rank]. */
  readonly left: Matrix;
  /** [columns, rank]. */
  readonly right: Matrix;
}

/** Edits of a target that is an adapter itself, as one adapter to its base: what it adds and what the edits add, side by side. */
export function joinAdapter(
  edits: readonly AddedProduct[],
  { updates }: Pick<AdapterOrigin, "updates">,
): readonly AddedProduct[] {
  const products = new Map(
    [...updates].map(([name, { left, right, rank }]) => {
      const [rows, columns] = [left.length / rank, right.length / rank];
      return [
        name,
        {
          name,
          left: createMatrix(rows, rank, left),
          right: createMatrix(columns, rank, transposed(right, rank, columns)),
        },
      ];
    }),
  );
  for (const { name, left, right } of edits) {
    const own = products.get(name);
    products.set(
      name,
      own === undefined
        ? { name, left, right }
        : { name, left: joinColumns(own.left, left), right: joinColumns(own.right, right) },
    );
  }
  return [...products.values()];
}

function joinColumns(first: Matrix, second: Matrix): Matrix {
  const joined = createMatrix(first.rows, first.columns + second.columns);
  for (let row = 0; row < first.rows; row++) {
    const start = row * joined.columns;
    joined.values.set(first.values.subarray(row * first.columns, (row + 1) * first.columns), start);
    joined.values.set(
      second.values.subarray(row * second.columns, (row + 1) * second.columns),
      start + first.columns,
    );
  }
  return joined;
}

/** Kinds of matrices that are tables of embeddings, which PEFT adapts in another way than linear layers. */
const embeddingKinds: readonly RegExp[] = [/embed/, /^wte$/, /^wpe$/];

/**
 * Throws `UsageError` where no adapter of PEFT can say what an edited target is: one that does more than add products to a model, or
 * is not a model that PEFT finds in its folder.
 */
export function checkAdaptableTarget(
  {
    folder,
    config,
    tensors,
    adapter,
    isConverted,
  }: Pick<Checkpoint, "folder" | "config" | "tensors" | "adapter" | "isConverted">,
  edits: readonly PlannedEdit[],
): void {
  const refuse = (problem: string): never => {
    throw new UsageError(
      `Cannot write the edited model as a LoRA: ${problem}; leave ${setting("form")} out for a whole checkpoint`,
    );
  };
  if (isConverted === true) refuse(`PEFT cannot load "${folder}" as a base`);
  if (adapter !== undefined && adapter.base !== adapter.model)
    refuse(`the target's base "${adapter.base}" is an adapter itself`);
  const [whole] = adapter?.replaced ?? [];
  if (whole !== undefined) refuse(`the target makes ${whole} in another way than by adding a product`);
  const isLinear = (name: string): boolean => {
    const kind = name.split(".").at(-2) ?? "";
    return name.endsWith(".weight") && !embeddingKinds.some((pattern) => pattern.test(kind));
  };
  const other = [...(adapter?.updates.keys() ?? [])].find((name) => !isLinear(name));
  if (other !== undefined) refuse(`the target adapts ${other}, which is not a weight of a linear layer`);
  const expert = [...edits.map(({ name }) => name), ...(adapter?.updates.keys() ?? [])].find((name) =>
    /\.experts\./.test(name),
  );
  if (expert !== undefined) refuse(`${expert} is one of many experts, which PEFT adapts together`);
  const { head } = findTie({ config, tensors }) ?? {};
  if (edits.some(({ name }) => name === head))
    refuse(`${head} is the table of embeddings as well, by tie_word_embeddings in config.json`);
}

/**
 * Throws `UsageError` where an edit cannot be a LoRA: it takes whole multiples of target or source, its rank is not below
 * the matrix's, or PEFT would not add it to this tensor in this way.
 */
export function checkAdaptable(edits: readonly PlannedEdit[], modelType: unknown): void {
  for (const { name, kind, shape, operation } of edits) {
    const refuse = (problem: string): never => {
      throw new UsageError(
        `Cannot write ${name} as a LoRA: ${problem}; leave ${setting("form")} out for a whole checkpoint`,
      );
    };
    // Their adapters lie the other way round.
    if (hasConv1D(modelType)) refuse(`the linear layers of ${modelType} are stored transposed`);
    if (embeddingKinds.some((pattern) => pattern.test(kind))) refuse("it is a table of embeddings");
    const [rows = 1, columns = 1, ...others] = shape;
    if (!name.endsWith(".weight") || shape.length !== 2 || others.length > 0)
      refuse("it is not a weight of a linear layer");
    const rank = Math.min(rows, columns);
    if (limitRank(operation, { name, rows, columns }) >= rank)
      refuse(
        `the edit has full rank ${rank}, which is not low; take fewer ranks, of directions less than half`,
      );
  }
}

/** The tensors of `adapter_model.safetensors`: for every product lora_B = left and lora_A = rightᵀ, in 32-bit floats. */
export function listAdapterTensors(products: readonly AddedProduct[]): readonly WritableTensor[] {
  return products.flatMap(({ name, left, right }) => {
    const prefix = `base_model.model.${moduleOf(name)}`;
    const rank = left.columns;
    return [
      {
        name: `${prefix}.lora_A.weight`,
        shape: [rank, right.rows],
        dtype: "F32" as const,
        data: () => new Float32Array(transposed(right.values, right.rows, rank)),
      },
      {
        name: `${prefix}.lora_B.weight`,
        shape: [left.rows, rank],
        dtype: "F32" as const,
        data: () => new Float32Array(left.values),
      },
    ];
  });
}

/** `adapter_config.json`. Every module has its own rank, and alpha equal to it, so that B · A is added as it is. */
export function describeAdapter(
  products: readonly AddedProduct[],
  base: string,
): Readonly<Record<string, unknown>> {
  const ranks = products.map(({ name, left }) => [moduleOf(name), left.columns] as const);
  const largest = Math.max(...ranks.map(([, rank]) => rank));
  const pattern = Object.fromEntries(ranks.filter(([, rank]) => rank !== largest));
  return {
    peft_type: "LORA",
    task_type: "CAUSAL_LM",
    base_model_name_or_path: base,
    r: largest,
    lora_alpha: largest,
    lora_dropout: 0,
    bias: "none",
    target_modules: ranks.map(([module]) => module),
    rank_pattern: pattern,
    alpha_pattern: pattern,
    fan_in_fan_out: false,
    use_rslora: false,
    init_lora_weights: true,
    inference_mode: true,
    modules_to_save: null,
  };
}

const moduleOf = (name: string): string => name.replace(/\.weight$/, "");

function transposed(values: Float64Array, rows: number, columns: number): Float64Array {
  const turned = new Float64Array(values.length);
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++)
      turned[column * rows + row] = values[row * columns + column] ?? 0;
  return turned;
}
