/** One step of generation: the next logits of a batch of texts, whose newest tokens go into the cache by it. */
import { type KernelData, requireOutput } from "../../tensor/index.ts";
import type { ModelConfig } from "../config/model-config.ts";
import { feedPositions } from "../decoder/positions.ts";
import type { ProgramCache } from "../program-cache.ts";
import { writeSlot } from "./key-value-cache.ts";

/** What takes steps. */
export interface Decoder {
  readonly config: ModelConfig;
  /** Programs by batch size and cache slots. */
  readonly decode: ProgramCache<DecodeProgram>;
}

/** Values of a program's inputs by name. */
export type Feeds = Readonly<Record<string, KernelData>>;

/** What takes a step, whatever it runs on. The values that it gives are good until its next run. */
export interface DecodeProgram {
  run(feeds: Feeds): Promise<Readonly<Record<string, Float32Array>>>;
  release(): Promise<void>;
}

/** The end of a text: how many tokens it has, and the newest, which alone is not in the cache yet. */
export interface TextEnd {
  readonly numTokens: number;
  readonly newest: number;
}

/** The end of a text of so many tokens. Throws `RangeError` where nothing was added to its prompt yet. */
export function describeTextEnd(numTokens: number, newest: number | undefined): TextEnd {
  if (newest === undefined)
    throw new RangeError("Cannot take a step: the text has no token after its prompt");
  return { numTokens, newest };
}

/** Texts with a row each, and their cache: a layer's keys [B, K, D, C] and values [B, K, C, D]. */
export interface DecodedBatch {
  readonly B: number;
  readonly C: number;
  readonly cache: Readonly<Record<string, Float32Array>>;
  readonly ends: readonly TextEnd[];
}

/** The logits [B, V] after each text; its newest token's keys and values are written into the cache. */
export async function takeDecodeStep(
  { config, decode }: Decoder,
  parameters: Feeds,
  { B, C, cache, ends }: DecodedBatch,
): Promise<Float32Array> {
  const tokens = new Int32Array(B).fill(config.padToken);
  const lengths = new Float32Array(B).fill(1);
  for (const [row, { numTokens, newest }] of ends.entries()) {
    tokens[row] = newest;
    lengths[row] = numTokens - 1;
  }
  const texts = ends.map(({ numTokens }) => ({ start: numTokens - 1, numTokens }));
  const positions = feedPositions(config, { B, T: 1, texts });
  const program = await decode.find({ B, T: C });
  const results = await program.run({ ...parameters, ...cache, tokens, ...positions, lengths });
  for (const [name, values] of Object.entries(cache)) {
    const fresh = requireOutput(results, freshName(name));
    for (const [row, { numTokens }] of ends.entries())
      writeSlot(values, fresh, { config, name, C, row, slot: numTokens - 1 });
  }
  return requireOutput(results, "logits");
}

/** The output of a program whose values go into a cache array. */
export function freshName(cacheName: string): string {
  return cacheName.slice("past.".length);
}
