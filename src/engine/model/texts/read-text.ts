/**
 * Reading prompts, part by part. What a prompt has in common with the one that was read before it is not computed again: options of a
 * question, samples of one prompt, and instructions that stand before every question.
 */
import { requireOutput } from "../../tensor/index.ts";
import { feedPositions, findVaryingRope } from "../decoder/positions.ts";
import { fixedLength } from "../decoder/rotary.ts";
import { freshName } from "../generation/decode-step.ts";
import { copySlots, writeSlots } from "../generation/key-value-cache.ts";
import type { Text } from "./text.ts";
import { createCache, fitCache, type TextCache } from "./text-batch.ts";
import { forgetRead, type ReadText, type TextComputer, type TextPrograms } from "./text-programs.ts";
import { scoreToken } from "./token-scores.ts";
import type { PooledWeights } from "./weight-pool.ts";

/** What reads prompts under the same weights. */
export interface TextReader {
  readonly computer: TextComputer;
  readonly weights: PooledWeights;
  readonly programs: TextPrograms;
}

/** A text that waits to be read, or is being read. */
export interface Reading {
  readonly text: Text;
  /** What is read of it: of the prompt all that a later token depends on, or where it outgrew its positions, all of it. */
  readonly tokens: readonly number[];
  readonly C: number;
  /** Its own, once it is its turn. */
  cache?: TextCache;
  numRead: number;
}

/** What is to be read of the prompt of a text. */
export function awaitReading({ computer }: TextReader, text: Text): Reading {
  const { prompt, maxNewTokens, scoresFrom } = text.request;
  // Nothing is asked that the last token decides on.
  const tokens = maxNewTokens === 0 ? prompt.slice(0, -1) : prompt;
  const [first] = prompt;
  // Nothing stands before it.
  if (scoresFrom === 0 && first !== undefined) text.scored.push({ token: first, likeliest: [] });
  return createReading(computer, text, tokens);
}

/** What is to be read of a text that is read anew, with all that was added to it. */
export function awaitReadingAnew({ computer }: TextReader, text: Text): Reading {
  return createReading(computer, text, [...text.request.prompt, ...text.added.map(({ token }) => token)]);
}

function createReading(computer: TextComputer, text: Text, tokens: readonly number[]): Reading {
  const C = fitCache(computer.config, tokens.length + 1);
  return { text, tokens, C, numRead: 0 };
}

/** Begins to read: gives it a cache, which holds what it has in common with the last prompt that was read. */
export function startReading(reader: TextReader, reading: Reading): TextCache {
  if (reading.cache !== undefined) return reading.cache;
  const cache = createCache(reader.computer, { B: 1, C: reading.C });
  reading.cache = cache;
  reading.numRead = shareRead(reader, reading, cache);
  return cache;
}

/** Keeps what was read for the next prompt, in place of what was kept before. */
export function keepRead(
  { computer, weights }: TextReader,
  { text, tokens, C }: Reading,
  cache: TextCache,
): void {
  forgetRead(computer);
  computer.lastRead = { weights, text, tokens, C, cache };
}

/** Tokens that are not worth a copy. */
const fewShared = 8;

/** Takes over what a prompt has in common with the last one that was read. Gives the number of its tokens. */
function shareRead(
  { computer, weights }: TextReader,
  { text, tokens, C }: Reading,
  cache: TextCache,
): number {
  const { config, lastRead } = computer;
  if (lastRead?.weights !== weights) return 0;
  const length = countShared(computer, { lastRead, reading: { text, tokens } });
  if (length < fewShared) return 0;
  for (const [name, values] of Object.entries(cache)) {
    const from = { cache: lastRead.cache[name] ?? values, row: 0, C: lastRead.C };
    copySlots(from, { cache: values, row: 0, C }, { config, name, length });
  }
  const { scoresFrom } = text.request;
  if (scoresFrom === undefined || scoresFrom > length) return length;
  const first = scoresFrom - (lastRead.text.request.scoresFrom ?? 0);
  const scores = lastRead.text.scored.slice(first + text.scored.length, first + length + 1 - scoresFrom);
  text.scored.push(...scores);
  return length;
}

/** How many tokens need not be read, since the last prompt began with them and their scores are known or nobody asks for them. */
function countShared(
  { config }: TextComputer,
  {
    lastRead,
    reading: { text, tokens },
  }: { readonly lastRead: ReadText; readonly reading: Pick<Reading, "text" | "tokens"> },
): number {
  const rope = findVaryingRope(config);
  // Positions of longer texts are others from the beginning.
  if (rope !== undefined && Math.max(lastRead.tokens.length, tokens.length) > fixedLength(rope)) return 0;
  const most = Math.min(lastRead.tokens.length, tokens.length - 1);
  let common = 0;
  while (common < most && lastRead.tokens[common] === tokens[common]) common++;
  const { scoresFrom, numLikeliest = 0 } = text.request;
  if (scoresFrom === undefined) return common;
  // A token is scored by what was computed of the one before it.
  const unscored = Math.min(common, scoresFrom - 1);
  const last = lastRead.text.request;
  const isScored =
    last.scoresFrom !== undefined &&
    last.scoresFrom <= scoresFrom &&
    (last.numLikeliest ?? 0) === numLikeliest;
  return isScored ? Math.max(unscored, common - 1) : unscored;
}

/** Tokens that one program reads at most, and of what its smaller ones and its rows are multiples: pairs of rows are computed together. */
const [largestChunk, chunkStep] = [128, 8];

/** Reads the next part of a prompt. Gives the number of tokens read, and behind the whole the logits of the next one. */
export async function readChunk(
  reader: TextReader,
  reading: Reading,
): Promise<{ readonly count: number; readonly logits?: Float32Array }> {
  const {
    computer: { config },
    weights,
    programs,
  } = reader;
  const cache = startReading(reader, reading);
  const { text, tokens: read, C, numRead: start } = reading;
  const count = Math.min(read.length - start, largestChunk);
  const T = roundUp(count, chunkStep);
  const tokens = new Int32Array(T).fill(config.padToken);
  tokens.set(read.slice(start, start + count));
  const rows = chooseRows(text, { start, count });
  const numPast = Math.min(C, fitPast(start));
  const program = await programs.chunk.find({ T, C, numPast, R: rows.length });
  const results = await program.run({
    ...weights.arrays,
    ...cache,
    tokens,
    ...feedPositions(config, { B: 1, T, texts: [{ start, numTokens: read.length }] }),
    lengths: Float32Array.of(start),
    rows,
  });
  for (const [name, values] of Object.entries(cache))
    writeSlots(values, requireOutput(results, freshName(name)), { config, name, C, T, start, count });
  const logits = requireOutput(results, "logits");
  const V = config.vocabularySize;
  const rowAfter = (index: number): Float32Array => {
    const row = rows.indexOf(index);
    return logits.subarray(row * V, (row + 1) * V);
  };
  scorePrompt(text, { start, count, rowAfter });
  reading.numRead += count;
  return { count, ...(reading.numRead === read.length && { logits: rowAfter(count - 1) }) };
}

/** Slots that are read where so many are filled: few sizes, so few programs. */
function fitPast(start: number): number {
  let numPast = start === 0 ? 0 : largestChunk;
  while (numPast < start) numPast *= 2;
  return numPast;
}

function roundUp(count: number, multiple: number): number {
  return Math.ceil(count / multiple) * multiple;
}

/** The tokens of a part after which logits are wanted: those before scored ones, and the last. */
function chooseRows(text: Text, { start, count }: Pick<ReadPart, "start" | "count">): Int32Array {
  const first = Math.min(count - 1, Math.max(0, firstScored(text) - 1 - start));
  const numRows = count - first;
  // Few sizes; what is there twice is not looked at.
  const rows = new Int32Array(numRows === 1 ? 1 : roundUp(numRows, chunkStep)).fill(count - 1);
  for (let row = 0; row < numRows; row++) rows[row] = first + row;
  return rows;
}

/** The first token of a prompt that is still to be scored. */
function firstScored({ request: { scoresFrom = Number.POSITIVE_INFINITY }, scored, added }: Text): number {
  return added.length > 0 ? Number.POSITIVE_INFINITY : scoresFrom + scored.length;
}

interface ReadPart {
  readonly start: number;
  readonly count: number;
  /** The logits after a token of the part. */
  readonly rowAfter: (index: number) => Float32Array;
}

function scorePrompt(text: Text, { start, count, rowAfter }: ReadPart): void {
  const { prompt, numLikeliest = 0 } = text.request;
  for (let place = firstScored(text); place <= start + count; place++) {
    const token = prompt[place];
    if (token !== undefined)
      text.scored.push(scoreToken(rowAfter(place - 1 - start), token, { numLikeliest }));
  }
}
