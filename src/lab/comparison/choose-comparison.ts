/** What is compared, and at which ranks, from what users say. */
import { UsageError } from "../../base/core/index.ts";
import { parseLayers, parsePatterns } from "../../weights/checkpoint/index.ts";
import type { SpectraChoice } from "./run-spectra.ts";

/** What users say of a comparison. */
export interface ComparisonWords {
  readonly ranks: readonly number[];
  /** Kinds, names or patterns, as `parsePatterns` reads them. Default: all. */
  readonly matrices?: string | undefined;
  /** Layers, as `parseLayers` reads them. Default: all. */
  readonly layers?: string | undefined;
  /** The seed of random projections. Default: exact. */
  readonly randomizedSeed?: number | undefined;
}

/** The choice, its ranks sorted and each once. Throws `UsageError` for ranks that are not whole numbers from 1, or malformed words. */
export function chooseComparison({
  ranks,
  matrices,
  layers,
  randomizedSeed,
}: ComparisonWords): Pick<SpectraChoice, "settings" | "isWanted"> {
  if (ranks.length === 0 || !ranks.every((rank) => Number.isSafeInteger(rank) && rank >= 1))
    throw new UsageError(`Cannot compare at the ranks [${ranks.join(", ")}]: give whole numbers from 1`);
  const isKind = matrices === undefined ? () => true : parsePatterns(matrices);
  const isLayer = layers === undefined ? undefined : parseLayers(layers);
  return {
    settings: {
      ranks: [...new Set(ranks)].sort((a, b) => a - b),
      ...(randomizedSeed !== undefined && { randomizedSeed }),
    },
    isWanted: ({ name, layer }) =>
      isKind(name) && (isLayer === undefined || (layer !== undefined && isLayer(layer))),
  };
}
