/** What the names of a checkpoint's tensors say of its model: layers, and the kinds of matrices in them. */
import { join } from "node:path";
import { UsageError } from "../../base/core/index.ts";
import { fileExists } from "../../base/file/index.ts";
import { parseModelConfig } from "../../engine/model/index.ts";
import { type Checkpoint, describeTensorName, openCheckpoint } from "../../weights/checkpoint/index.ts";

/** Tensors of one kind. */
export interface TensorKind {
  readonly kind: string;
  readonly count: number;
  /** How many of them lie in layers. */
  readonly numLayers: number;
  /** Different shapes among them. */
  readonly shapes: readonly (readonly number[])[];
}

/** A model by its tensors. */
export interface ModelOutline {
  readonly numTensors: number;
  /** Numbers of layers, ascending. */
  readonly layers: readonly number[];
  /** Of tensors with two or more axes, in the order of the checkpoint. */
  readonly kinds: readonly TensorKind[];
  /** Whether the embedded engine runs it; others are asked through a server. */
  readonly isEmbedded: boolean;
}

/** The outline of the model in a checkpoint folder. Throws as `openCheckpoint`. */
export async function outlineModel(folder: string): Promise<ModelOutline> {
  const checkpoint = await openCheckpoint(folder);
  await checkpoint.close();
  const kinds = new Map<
    string,
    { layers: Set<number>; count: number; shapes: Map<string, readonly number[]> }
  >();
  const layers = new Set<number>();
  for (const [name, { shape }] of checkpoint.tensors) {
    const { layer, kind } = describeTensorName(name);
    if (layer !== undefined) layers.add(layer);
    if (shape.length < 2) continue;
    const known = kinds.get(kind) ?? { layers: new Set(), count: 0, shapes: new Map() };
    known.count += 1;
    if (layer !== undefined) known.layers.add(layer);
    known.shapes.set(shape.join(" "), shape);
    kinds.set(kind, known);
  }
  return {
    isEmbedded: await canRun(checkpoint),
    numTensors: checkpoint.tensors.size,
    layers: [...layers].sort((a, b) => a - b),
    kinds: [...kinds].map(([kind, { layers: own, count, shapes }]) => ({
      kind,
      count,
      numLayers: own.size,
      shapes: [...shapes.values()],
    })),
  };
}

/** Whether the embedded engine knows the model's family, and has a tokenizer for it. */
async function canRun({ folder, config, adapter }: Checkpoint): Promise<boolean> {
  const places = adapter === undefined ? [folder] : [folder, adapter.base];
  const hasTokenizer = await Promise.all(places.map((place) => fileExists(join(place, "tokenizer.json"))));
  if (!hasTokenizer.includes(true)) return false;
  try {
    parseModelConfig(config, folder);
    return true;
  } catch (error) {
    if (error instanceof UsageError) return false;
    throw error;
  }
}
