/** Repairs of models in memory: both ends are loaded once, and factors for many repairs together. */
import type { Effects } from "../../base/progress/index.ts";
import type { Model } from "../../engine/model/index.ts";
import type { LinearAlgebra } from "../../weights/linalg/index.ts";
import { identifyOperation, type Operation } from "../../weights/surgery/index.ts";
import { openBackend, readModel } from "../machine/index.ts";
import { type EditedModels, editParameters, readTensors, type StoredModel } from "./edit-model.ts";
import { loadFactors } from "./load-factors.ts";

/** What is done, to the weights of which folder, by those of which other. */
export interface ModelRepair {
  readonly target: { readonly path: string };
  readonly source: { readonly path: string };
  readonly operation: Operation;
}

/** Makes repairs. It keeps the last two models in memory, and the factors that were prepared for them. */
export interface ModelRepairer {
  /** Brings the factors that repairs of one target by one source need into the cache and into memory. Throws as `loadFactors`. */
  prepare(repairs: readonly ModelRepair[], effects: Effects): Promise<void>;
  /** The repaired model, and how far it moved. Throws as `loadModel` and `loadFactors`. */
  repair(repair: ModelRepair, effects: Effects): Promise<{ readonly model: Model; readonly moved: number }>;
}

/** Both ends, and what was prepared for them. */
interface Ends {
  readonly target: StoredModel;
  readonly source: StoredModel;
  readonly algebra: LinearAlgebra;
  /** What was prepared last, and its factors. */
  prepared: { readonly operations: ReadonlySet<string>; readonly factors: EditedModels["factors"] };
}

/** A repairer with nothing loaded. */
export function createModelRepairer(): ModelRepairer {
  let last: { readonly key: string; readonly ends: Ends } | undefined;
  const open = async ({ target, source }: ModelRepair, { machine }: Effects): Promise<Ends> => {
    const key = JSON.stringify([target.path, source.path]);
    if (last?.key === key) return last.ends;
    last = undefined;
    const ends: Ends = {
      target: await loadStoredModel(target.path),
      source: await loadStoredModel(source.path),
      algebra: await openBackend(machine),
      prepared: { operations: new Set(), factors: { target: new Map(), source: new Map() } },
    };
    last = { key, ends };
    return ends;
  };
  return {
    prepare: async (repairs, effects) => {
      const [first] = repairs;
      if (first === undefined) return;
      const ends = await open(first, effects);
      const operations = repairs.map(({ operation }) => operation);
      const factors = await loadFactors(operations, ends, { algebra: ends.algebra, effects });
      ends.prepared = { operations: new Set(operations.map(identifyOperation)), factors };
    },
    repair: async (repair, effects) => {
      const { operation } = repair;
      const { prepared, ...ends } = await open(repair, effects);
      const own = prepared.operations.has(identifyOperation(operation))
        ? prepared.factors
        : await loadFactors([operation], ends, { algebra: ends.algebra, effects });
      const { parameters, moved } = editParameters(operation, { ...ends, factors: own }, ends.algebra);
      const { config, tokenizer, description } = ends.target;
      return {
        model: { config, tokenizer, parameters, ...(description !== undefined && { description }) },
        moved,
      };
    },
  };
}

async function loadStoredModel(folder: string): Promise<StoredModel> {
  return { ...(await readModel(folder)), folder, tensors: await readTensors(folder) };
}
