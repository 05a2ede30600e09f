/** Choosing the next token from logits: greedy, temperature, top-k, top-p. */
import type { Random } from "../../../base/core/index.ts";

/** How tokens are chosen. */
export interface Sampling {
  /** 0 chooses the likeliest token; above 0 the logits are divided by it. */
  readonly temperature: number;
  /** Only the k likeliest tokens may be drawn (default: all). */
  readonly topK?: number;
  /** Only the likeliest tokens whose probabilities first reach p may be drawn (Holtzman et al. 2020; default 1). */
  readonly topP?: number;
}

/** The likeliest token, always. */
export const greedy: Sampling = { temperature: 0 };

/** A chosen token and its log-probability at the temperature, before top-k and top-p: 0 when greedy, a choice that is certain. */
export interface TokenChoice {
  readonly token: number;
  readonly logProb: number;
}

/** Chooses a token from the logits of one position; of equal logits the first counts as likelier. */
export function chooseToken(logits: Float32Array, sampling: Sampling, random: Random): TokenChoice {
  const { temperature } = sampling;
  const likeliest = argmax(logits);
  if (temperature === 0) return { token: likeliest, logProb: 0 };
  const highest = logits[likeliest] ?? 0;
  const scale = 1 / temperature;
  const odds = takeRoom(logits.length);
  let total = 0;
  // Plain loops: this runs for every token, and iterators would cost more than the model does.
  for (let token = 0; token < odds.length; token++) {
    const odd = Math.exp(((logits[token] ?? 0) - highest) * scale);
    odds[token] = odd;
    total += odd;
  }
  const token = drawToken(odds, { total, sampling, random });
  return { token, logProb: ((logits[token] ?? 0) - highest) * scale - Math.log(total) };
}

/** Room for the odds of one choice: a new array for every token would take as long as filling it. */
let room = new Float64Array(0);

function takeRoom(length: number): Float64Array {
  if (room.length !== length) room = new Float64Array(length);
  return room;
}

function argmax(values: Float32Array): number {
  let best = 0;
  let highest = values[0] ?? 0;
  for (let index = 1; index < values.length; index++) {
    const value = values[index] ?? 0;
    if (value > highest) {
      best = index;
      highest = value;
    }
  }
  return best;
}

interface Draw {
  /** Sum of the odds. */
  readonly total: number;
  readonly sampling: Sampling;
  readonly random: Random;
}

function drawToken(odds: Float64Array, { total, sampling, random }: Draw): number {
  const { topK = odds.length, topP = 1 } = sampling;
  if (topK < odds.length || topP < 1) {
    const kept = nucleus(odds, { total, topK, topP });
    const keptTotal = kept.reduce((sum, token) => sum + (odds[token] ?? 0), 0);
    const keptOdds = Float64Array.from(kept, (token) => odds[token] ?? 0);
    return kept[drawIndex(keptOdds, keptTotal, random)] ?? 0;
  }
  return drawIndex(odds, total, random);
}

function drawIndex(odds: Float64Array, total: number, random: Random): number {
  let remaining = random.uniform() * total;
  let last = 0;
  for (let index = 0; index < odds.length; index++) {
    const odd = odds[index] ?? 0;
    remaining -= odd;
    if (remaining < 0) return index;
    // Rounding may leave a crumb at the end: it goes to the last index that could be drawn.
    if (odd > 0) last = index;
  }
  return last;
}

/** The likeliest tokens, at most `topK`, until their probabilities reach `topP`; at least one. */
function nucleus(
  odds: Float64Array,
  { total, topK, topP }: { readonly total: number; readonly topK: number; readonly topP: number },
): readonly number[] {
  const ranked = [...odds.keys()].sort((a, b) => (odds[b] ?? 0) - (odds[a] ?? 0) || a - b);
  const kept: number[] = [];
  let mass = 0;
  for (const token of ranked.slice(0, Math.max(1, topK))) {
    kept.push(token);
    mass += (odds[token] ?? 0) / total;
    if (mass >= topP) break;
  }
  return kept;
}
