/**
 * Texts that outgrow the length up to which their positions are those of short texts. Phi-3 reads them anew then: all keys and values get the
 * positions of longer texts. Of other models only what comes afterwards has those, as in transformers.
 */
import type { ModelConfig } from "../config/model-config.ts";
import { findVaryingRope } from "../decoder/positions.ts";
import { fixedLength } from "../decoder/rotary.ts";
import type { TextEnd } from "./decode-step.ts";
import { copySlots } from "./key-value-cache.ts";
import { type Feeds, type PromptReader, readPrompts } from "./read-prompts.ts";

/** Whether a text has just outgrown its positions, so that what its cache holds must be read anew before the next step. */
export function isOutgrown(config: ModelConfig, { numTokens }: Pick<TextEnd, "numTokens">): boolean {
  const rope = findVaryingRope(config);
  return rope?.isReadAnew === true && numTokens === fixedLength(rope) + 1;
}

/** Texts with a row each, and their cache: a layer's keys [B, K, D, C] and values [B, K, C, D]. */
export interface GrownTexts {
  /** Rows of the program that reads. */
  readonly B: number;
  readonly C: number;
  readonly cache: Readonly<Record<string, Float32Array>>;
  /** All tokens of the texts that have outgrown their positions, by row. */
  readonly texts: ReadonlyMap<number, readonly number[]>;
}

/** Reads those texts anew, all but their newest tokens, which the next step reads. */
export async function readAnew(
  reader: PromptReader,
  parameters: Feeds,
  { B, C, cache, texts }: GrownTexts,
): Promise<void> {
  if (texts.size === 0) return;
  const { config } = reader;
  const requests = [...texts.values()].map((tokens) => ({
    prompt: tokens.slice(0, -1),
    numTokens: tokens.length,
  }));
  const read = await readPrompts(reader, parameters, { requests, B, C });
  for (const [name, values] of Object.entries(read.cache))
    for (const [place, [row, tokens]] of [...texts].entries()) {
      const target = cache[name] ?? values;
      copySlots(
        { cache: values, row: place, C },
        { cache: target, row, C },
        { config, name, length: tokens.length - 1 },
      );
    }
}
