/** Samples of one prompt are read once: each text gets a copy of what was read. */
import type { ModelConfig } from "../config/model-config.ts";
import {
  type Feeds,
  type PromptReader,
  type PromptRequest,
  type ReadPrompts,
  readPrompts,
} from "./read-prompts.ts";

/** Prompts, the rows of their batch, the slots that a text has in the cache, and the rows of the program that reads so many. */
export interface DistinctBatch {
  readonly requests: readonly PromptRequest[];
  readonly B: number;
  readonly C: number;
  fitBatch(numRows: number): number;
}

/** Reads as `readPrompts`, equal requests only once. */
export async function readDistinct(
  reader: PromptReader,
  parameters: Feeds,
  { requests, B, C, fitBatch }: DistinctBatch,
): Promise<ReadPrompts> {
  const { distinct, places } = findDistinct(requests);
  const numRows = fitBatch(distinct.length);
  // Copies are not for nothing: below this, reading again takes as long.
  if (2 * numRows > B) return await readPrompts(reader, parameters, { requests, B, C });
  const read = await readPrompts(reader, parameters, { requests: distinct, B: numRows, C });
  return spread(reader.config, read, { places, B, C });
}

/** The requests without their copies, and where each is among them. */
function findDistinct(requests: readonly PromptRequest[]): {
  readonly distinct: readonly PromptRequest[];
  readonly places: readonly number[];
} {
  const distinct: PromptRequest[] = [];
  const found = new Map<string, number>();
  const places = requests.map((request) => {
    const key = `${request.prompt.join()}|${request.reference?.join()}|${request.numTokens}`;
    const place = found.get(key) ?? distinct.push(request) - 1;
    found.set(key, place);
    return place;
  });
  return { distinct, places };
}

interface Spread {
  readonly places: readonly number[];
  readonly B: number;
  readonly C: number;
}

function spread(
  { vocabularySize: V, numKeyValueHeads: K, headSize: D }: ModelConfig,
  read: ReadPrompts,
  { places, B, C }: Spread,
): ReadPrompts {
  const copyRows = (values: Float32Array, size: number): Float32Array => {
    const rows = new Float32Array(B * size);
    for (const [row, place] of places.entries())
      rows.set(values.subarray(place * size, (place + 1) * size), row * size);
    return rows;
  };
  const layers = Object.entries(read.cache).map(([name, values]) => [name, copyRows(values, K * C * D)]);
  return {
    logits: copyRows(read.logits, V),
    referenceLogProbs: places.map((place) => read.referenceLogProbs[place]),
    cache: Object.fromEntries(layers),
  };
}
