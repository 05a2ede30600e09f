/**
 * Low-rank adapters (LoRA, Hu et al. 2021) on the linear layers of a decoder: y = x Wᵀ + (α / r) x Aᵀ Bᵀ, with W frozen. All of a layer's
 * matrices have one; embeddings, head and norms have none.
 */
import type { Random } from "../../base/core/index.ts";
import { op, sizeOf, type Tensor } from "../tensor/index.ts";
import type { ModelConfig } from "./config/model-config.ts";
import { families } from "./family/families.ts";
import { listLayerShapes } from "./family/layer-shapes.ts";
import { layOut, type ParameterEntry, type ParameterLayout, type Weights } from "./parameters.ts";

/** How low the rank is, and how much adapters count. */
export interface LoraOptions {
  /** r, at least 1. */
  readonly rank: number;
  /** α: the product of both matrices is multiplied by α / r. */
  readonly alpha: number;
}

/** A matrix with an adapter: its name without ".weight", and what goes in and comes out. */
interface AdaptedMatrix {
  readonly name: string;
  readonly inputs: number;
  readonly outputs: number;
}

function listAdapted(config: ModelConfig): readonly AdaptedMatrix[] {
  const { names, hasInputRows = false } = families[config.family];
  return config.layers.flatMap((_, index) =>
    listLayerShapes(config, index).flatMap(([part, [rows = 0, columns]]) => {
      if (columns === undefined) return [];
      const [outputs, inputs] = hasInputRows ? [columns, rows] : [rows, columns];
      return [{ name: `${names.layers}.${index}.${part.replace(/\.weight$/, "")}`, inputs, outputs }];
    }),
  );
}

/** PEFT's names of both matrices of an adapter. */
const nameParts = (name: string): Readonly<Record<"down" | "up", string>> => ({
  down: `${name}.lora_A.weight`,
  up: `${name}.lora_B.weight`,
});

/** The layout of the adapters: A [r, inputs] and B [outputs, r] of each matrix, under PEFT's names. */
export function createLoraLayout(config: ModelConfig, { rank }: LoraOptions): ParameterLayout {
  return layOut(
    listAdapted(config).flatMap(({ name, inputs, outputs }) => {
      const { down, up } = nameParts(name);
      return [
        [down, [rank, inputs]],
        [up, [outputs, rank]],
      ];
    }),
  );
}

/** New adapters, which change nothing yet: A uniform in ±1/√inputs, B zero, as PEFT has them. */
export function initializeLora({ size, entries }: ParameterLayout, random: Random): Float32Array {
  const parameters = new Float32Array(size);
  for (const { shape, offset } of entries.filter(isDown)) {
    const bound = 1 / Math.sqrt(shape[1] ?? 1);
    for (let index = offset; index < offset + sizeOf(shape); index++)
      parameters[index] = (2 * random.uniform() - 1) * bound;
  }
  return parameters;
}

const isDown = ({ name }: ParameterEntry): boolean => name.endsWith(".lora_A.weight");

/** The weights of a model with adapters, both as graph inputs. */
export function addAdapters(model: Weights, adapters: Weights, { rank, alpha }: LoraOptions): Weights {
  return {
    ...model,
    findAdapter: (name) => {
      const { down, up } = nameParts(name);
      if (!adapters.has(down)) return undefined;
      return { down: adapters.get(down), up: adapters.get(up), scale: alpha / rank };
    },
  };
}

/** What the names of merged matrices begin with: those of the inputs are taken. */
export const mergedPrefix = "merged.";

/** The matrices W + (α / r) B A that adapters make, from graph inputs and as the model stores them: by their names behind "merged.". */
export function mergeAdapters(config: ModelConfig, weights: Weights): Readonly<Record<string, Tensor>> {
  const { hasInputRows = false } = families[config.family];
  const merged = listAdapted(config).flatMap(({ name }) => {
    const adapter = weights.findAdapter(name);
    if (adapter === undefined) return [];
    const { down, up, scale } = adapter;
    const update = hasInputRows
      ? op.matmul(down, up, { transposeLeft: true, transposeRight: true, scale })
      : op.matmul(up, down, { scale });
    return [[`${mergedPrefix}${name}.weight`, op.add(weights.get(`${name}.weight`), update)] as const];
  });
  return Object.fromEntries(merged);
}
