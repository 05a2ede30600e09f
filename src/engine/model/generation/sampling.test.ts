import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createRandom } from "../../../base/core/index.ts";
import { chooseToken, greedy, type Sampling } from "./sampling.ts";

/** Logits on a grid of 1/16: ties occur, and no two differ by less than a float64 exponential can tell. */
const logitsOf: fc.Arbitrary<Float32Array> = fc
  .array(fc.integer({ min: -128, max: 128 }), { minLength: 1, maxLength: 12 })
  .map((values) => Float32Array.from(values, (value) => value / 16));
const temperatureOf: fc.Arbitrary<number> = fc.double({ min: 0.1, max: 3, noNaN: true });
const seedOf: fc.Arbitrary<number> = fc.nat();

function logSoftmax(logits: Float32Array, temperature: number): readonly number[] {
  const scaled = [...logits].map((logit) => logit / temperature);
  const top = Math.max(...scaled);
  const total = Math.log(scaled.reduce((sum, x) => sum + Math.exp(x - top), 0));
  return scaled.map((x) => x - top - total);
}

function firstArgmax(logits: Float32Array): number {
  return logits.indexOf(Math.max(...logits));
}

function drawMany(logits: Float32Array, sampling: Sampling, numDraws: number): readonly number[] {
  const random = createRandom(11, "draws", ...logits);
  const counts = new Array<number>(logits.length).fill(0);
  for (let draw = 0; draw < numDraws; draw++) {
    const { token } = chooseToken(logits, sampling, random);
    counts[token] = counts[token]! + 1;
  }
  return counts;
}

/** Each count lies within 5 standard errors of a binomial count, or is 0 where the probability is. */
function expectFrequencies(counts: readonly number[], probabilities: readonly number[]): void {
  const numDraws = counts.reduce((sum, count) => sum + count, 0);
  for (const [token, p] of probabilities.entries()) {
    const gap = Math.abs(counts[token]! - numDraws * p);
    expect(gap).toBeLessThanOrEqual(5 * Math.sqrt(numDraws * p * (1 - p)));
  }
}

describe("chooseToken()", () => {
  it("is the argmax, of equal ones the first, when greedy", () => {
    fc.assert(
      fc.property(logitsOf, seedOf, (logits, seed) => {
        expect(chooseToken(logits, greedy, createRandom(seed)).token).toBe(firstArgmax(logits));
      }),
    );
    expect(chooseToken(Float32Array.of(1, 3, 3, 2), greedy, createRandom(1)).token).toBe(1);
  });

  it("draws nothing from the stream when greedy", () => {
    const random = createRandom(5);
    chooseToken(Float32Array.of(1, 2, 3), greedy, random);
    expect(random.uniform()).toBe(createRandom(5).uniform());
  });

  it("is the argmax when only one token may be drawn", () => {
    fc.assert(
      fc.property(logitsOf, temperatureOf, seedOf, (logits, temperature, seed) => {
        const best = firstArgmax(logits);
        expect(chooseToken(logits, { temperature, topK: 1 }, createRandom(seed)).token).toBe(best);
        expect(chooseToken(logits, { temperature, topP: 1e-12 }, createRandom(seed)).token).toBe(best);
      }),
    );
  });

  it("gives the log-softmax at the temperature, whatever top-k and top-p leave out", () => {
    const limits = fc.record({
      topK: fc.integer({ min: 1, max: 12 }),
      topP: fc.double({ min: 0.01, max: 1 }),
    });
    fc.assert(
      fc.property(
        logitsOf,
        temperatureOf,
        seedOf,
        fc.option(limits, { nil: {} }),
        (logits, temperature, seed, some) => {
          const { token, logProb } = chooseToken(logits, { temperature, ...some }, createRandom(seed));
          expect(logProb).toBeCloseTo(logSoftmax(logits, temperature)[token]!, 9);
        },
      ),
    );
  });

  it("is certain of its choice when greedy", () => {
    fc.assert(
      fc.property(logitsOf, seedOf, (logits, seed) => {
        const { token, logProb } = chooseToken(logits, greedy, createRandom(seed));
        expect([token, logProb]).toEqual([logits.indexOf(Math.max(...logits)), 0]);
      }),
    );
  });

  it("never draws beyond the k likeliest", () => {
    fc.assert(
      fc.property(logitsOf, fc.integer({ min: 1, max: 12 }), seedOf, (logits, topK, seed) => {
        const { token } = chooseToken(logits, { temperature: 2, topK }, createRandom(seed));
        const numLikelier = logits.filter((logit) => logit > logits[token]!).length;
        expect(numLikelier).toBeLessThan(topK);
      }),
    );
  });

  it("never draws beyond the likeliest tokens that reach p", () => {
    fc.assert(
      fc.property(
        logitsOf,
        fc.double({ min: 0.01, max: 1, noNaN: true }),
        temperatureOf,
        seedOf,
        (logits, topP, temperature, seed) => {
          const { token } = chooseToken(logits, { temperature, topP }, createRandom(seed));
          const probabilities = logSoftmax(logits, temperature).map(Math.exp);
          const before = probabilities.filter((_, other) => logits[other]! > logits[token]!);
          expect(before.reduce((sum, p) => sum + p, 0)).toBeLessThan(topP + 1e-9);
        },
      ),
    );
  });

  const logits = Float32Array.of(1.2, -0.3, 0.4, 2.1, -3, 0.4);
  for (const temperature of [0.5, 1, 1.7])
    it(`draws as often as the softmax at temperature ${temperature} says`, () => {
      const probabilities = logSoftmax(logits, temperature).map(Math.exp);
      expectFrequencies(drawMany(logits, { temperature }, 20_000), probabilities);
    });

  it("draws from the k likeliest in proportion", () => {
    const odds = [...logits].map((logit) => (logit > 0.39 ? Math.exp(logit) : 0));
    // Of the two equal logits the first is kept.
    odds[5] = 0;
    const total = odds.reduce((sum, odd) => sum + odd, 0);
    const counts = drawMany(logits, { temperature: 1, topK: 3 }, 20_000);
    expectFrequencies(
      counts,
      odds.map((odd) => odd / total),
    );
  });

  it("draws from the tokens that first reach p in proportion", () => {
    // Softmax of these is 0.5, 0.3, 0.15, 0.05: 0.75 is reached with the second.
    const chosen = Float32Array.from([0.15, 0.5, 0.05, 0.3], Math.log);
    const counts = drawMany(chosen, { temperature: 1, topP: 0.75 }, 20_000);
    expectFrequencies(counts, [0, 0.5 / 0.8, 0, 0.3 / 0.8]);
  });

  it("stays finite for logits that would overflow an exponential", () => {
    const { token, logProb } = chooseToken(
      Float32Array.of(1e4, -1e4, 9.9e3),
      { temperature: 1 },
      createRandom(1),
    );
    expect(token).toBe(0);
    expect(logProb).toBeCloseTo(0, 12);
  });
});
