/** Edits of low rank as a LoRA adapter in the layout of PEFT: what is added to the target, and nothing else. */
import { UsageError } from "../base/index.ts";
import type { WritableTensor } from "../checkpoint/index.ts";
import { type Edit, limitRank } from "./edit.ts";
import type { PlannedEdit } from "./resolve.ts";

/** An edit and the matrix it belongs to. */
export interface NamedEdit {
  readonly planned: PlannedEdit;
  readonly edit: Edit;
}

/** Kinds of matrices that are tables of embeddings, which PEFT adapts in another way than linear layers. */
const embeddingKinds: readonly RegExp[] = [/embed/, /^wte$/, /^wpe$/];

/** Architectures whose linear layers are stored with inputs as rows (Conv1D): their adapters lie the other way round. */
const transposedModels: readonly string[] = ["gpt2", "openai-gpt"];

/**
 * Throws `UsageError` where an edit cannot be a LoRA: it takes whole multiples of target or source, its rank is not below
 * the matrix's, or PEFT would not add it to this tensor in this way.
 */
export function checkAdaptable(edits: readonly PlannedEdit[], modelType: unknown): void {
  for (const { name, kind, shape, operation } of edits) {
    const refuse = (problem: string): never => {
      throw new UsageError(
        `Cannot write ${name} as a LoRA: ${problem}; leave --as out for a whole checkpoint`,
      );
    };
    if (typeof modelType === "string" && transposedModels.includes(modelType))
      refuse(`the linear layers of ${modelType} are stored transposed`);
    if (embeddingKinds.some((pattern) => pattern.test(kind))) refuse("it is a table of embeddings");
    const [rows = 1, columns = 1, ...others] = shape;
    if (!name.endsWith(".weight") || shape.length !== 2 || others.length > 0)
      refuse("it is no weight of a linear layer");
    const rank = Math.min(rows, columns);
    if (limitRank(operation, { name, rows, columns }) >= rank)
      refuse(
        `the edit has full rank ${rank}, which is not low; take fewer ranks, of directions less than half`,
      );
  }
}

/** The tensors of `adapter_model.safetensors`: for every edit lora_B = left and lora_A = rightᵀ, in 32-bit floats. */
export function listAdapterTensors(edits: readonly NamedEdit[]): readonly WritableTensor[] {
  return edits.flatMap(({ planned, edit: { left, right } }) => {
    const prefix = `base_model.model.${moduleOf(planned)}`;
    const rank = left.columns;
    return [
      {
        name: `${prefix}.lora_A.weight`,
        shape: [rank, right.rows],
        dtype: "F32" as const,
        data: () => transposed(right.values, right.rows, rank),
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
  edits: readonly NamedEdit[],
  target: string,
): Readonly<Record<string, unknown>> {
  const ranks = edits.map(({ planned, edit }) => [moduleOf(planned), edit.left.columns] as const);
  const largest = Math.max(...ranks.map(([, rank]) => rank));
  const pattern = Object.fromEntries(ranks.filter(([, rank]) => rank !== largest));
  return {
    peft_type: "LORA",
    task_type: "CAUSAL_LM",
    base_model_name_or_path: target,
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

const moduleOf = ({ name }: PlannedEdit): string => name.replace(/\.weight$/, "");

function transposed(values: Float64Array, rows: number, columns: number): Float32Array {
  const turned = new Float32Array(values.length);
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++)
      turned[column * rows + row] = values[row * columns + column] ?? 0;
  return turned;
}
