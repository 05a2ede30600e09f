/** Small LoRA adapters in the layout of PEFT, as whole or broken as a test wants them. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { writeSafetensors } from "../../src/weights/checkpoint/index.ts";
import { drawExact, relabel, type TensorSpec } from "./checkpoint-folder.ts";

/** What an adapter is made of. */
export interface AdapterSpec {
  /** `base_model_name_or_path`. */
  readonly base: string;
  /** Modules with their outputs, inputs and rank. */
  readonly modules: Readonly<Record<string, readonly [outputs: number, inputs: number, rank: number]>>;
  /** Further tensors by their names in the file, such as `base_model.model.lm_head.weight`. */
  readonly tensors?: readonly TensorSpec[];
  /** Fields of `adapter_config.json` on top of r = lora_alpha = 4; a module of another rank is in its pattern. */
  readonly fields?: Readonly<Record<string, unknown>>;
  /** Tells the numbers of two adapters apart. */
  readonly seed?: string;
}

/** lora_A [rank, inputs] of a module, in multiples of 1/64. */
export function drawFirst(seed: string, module: string, [, inputs, rank]: readonly number[]): Float32Array {
  return drawExact(`${seed} ${module} A`, inputs! * rank!);
}

/** lora_B [outputs, rank] of a module, in multiples of 1/64. */
export function drawSecond(seed: string, module: string, [outputs, , rank]: readonly number[]): Float32Array {
  return drawExact(`${seed} ${module} B`, outputs! * rank!);
}

/** Writes an adapter folder and gives its path. */
export async function writeAdapterFolder(
  folder: string,
  { base, modules, tensors = [], fields = {}, seed = "adapter" }: AdapterSpec,
): Promise<string> {
  mkdirSync(folder, { recursive: true });
  const { r = 4 } = fields;
  const ownRanks = Object.entries(modules).flatMap(([module, [, , rank]]) =>
    rank === r ? [] : [[module, rank] as const],
  );
  const config = {
    peft_type: "LORA",
    base_model_name_or_path: base,
    r: 4,
    lora_alpha: 4,
    target_modules: Object.keys(modules),
    rank_pattern: Object.fromEntries(ownRanks),
    ...fields,
  };
  writeFileSync(join(folder, "adapter_config.json"), JSON.stringify(config));
  const path = join(folder, "adapter_model.safetensors");
  await writeSafetensors(path, [
    ...Object.entries(modules).flatMap(([module, shape]) => {
      const [outputs, inputs, rank] = shape;
      const name = (side: string): string => `base_model.model.${module}.lora_${side}.weight`;
      return [
        {
          name: name("A"),
          dtype: "F32" as const,
          shape: [rank, inputs],
          data: () => drawFirst(seed, module, shape),
        },
        {
          name: name("B"),
          dtype: "F32" as const,
          shape: [outputs, rank],
          data: () => drawSecond(seed, module, shape),
        },
      ];
    }),
    ...tensors.map(({ name, shape, values, dtype }) => ({
      name,
      dtype: dtype === "F16" || dtype === "BF16" ? dtype : ("F32" as const),
      shape,
      data: () => Float32Array.from(values),
    })),
  ]);
  relabel(
    path,
    tensors.filter(({ dtype }) => dtype === "I32").map(({ name }) => name),
  );
  return folder;
}
