import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { normalize, packSequences, type Sequence } from "./batch.ts";

const config = { padToken: 0, layers: [] };
/** Sequences of 2 … 20 tokens with a prompt of at least one and an answer of at least one. */
const sequenceOf: fc.Arbitrary<Sequence> = fc
  .array(fc.integer({ min: 1, max: 50 }), { minLength: 2, maxLength: 20 })
  .chain((tokens) =>
    fc.record({
      tokens: fc.constant(tokens),
      numPromptTokens: fc.integer({ min: 1, max: tokens.length - 1 }),
    }),
  );
const batchOf: fc.Arbitrary<{ sequences: Sequence[]; numRows: number }> = fc
  .array(sequenceOf, { maxLength: 5 })
  .chain((sequences) =>
    fc.record({
      sequences: fc.constant(sequences),
      numRows: fc.integer({ min: Math.max(1, sequences.length), max: 8 }),
    }),
  );

describe("packSequences()", () => {
  it("has the next token as each position's target", () => {
    fc.assert(
      fc.property(batchOf, ({ sequences, numRows }) => {
        const { size, tokens, targets } = packSequences(sequences, { numRows, config });
        for (const [row, sequence] of sequences.entries()) {
          const length = sequence.tokens.length - 1;
          const start = row * size.T;
          expect([...tokens.subarray(start, start + length)]).toEqual(sequence.tokens.slice(0, -1));
          expect([...targets.subarray(start, start + length)]).toEqual(sequence.tokens.slice(1));
        }
      }),
    );
  });

  it("marks the positions whose target belongs to the answer, and no others", () => {
    fc.assert(
      fc.property(batchOf, ({ sequences, numRows }) => {
        const { size, targets, answerMask } = packSequences(sequences, { numRows, config });
        for (let row = 0; row < size.B; row++) {
          const marked = [...targets.subarray(row * size.T, (row + 1) * size.T)].filter(
            (_, t) => answerMask[row * size.T + t] === 1,
          );
          const sequence = sequences[row];
          expect(marked).toEqual(sequence?.tokens.slice(sequence.numPromptTokens) ?? []);
        }
        expect(answerMask.every((value) => value === 0 || value === 1)).toBe(true);
      }),
    );
  });

  it("fills what is left with padding", () => {
    const { size, tokens, targets, answerMask } = packSequences([{ tokens: [5, 6, 7], numPromptTokens: 1 }], {
      numRows: 2,
      config: { padToken: 9, layers: [] },
    });
    expect([...tokens]).toEqual([5, 6, ...new Array(2 * size.T - 2).fill(9)]);
    expect([...targets]).toEqual([6, 7, ...new Array(2 * size.T - 2).fill(9)]);
    expect([...answerMask.subarray(size.T)]).toEqual(new Array(size.T).fill(0));
  });

  it("counts the positions of every row from 0, in few different lengths", () => {
    fc.assert(
      fc.property(batchOf, ({ sequences, numRows }) => {
        const { size, tokens, positions } = packSequences(sequences, { numRows, config });
        expect(size.B).toBe(numRows);
        expect(size.T % 8).toBe(0);
        expect(size.T).toBeGreaterThanOrEqual(
          Math.max(0, ...sequences.map(({ tokens }) => tokens.length - 1)),
        );
        // Padding stays at the last position of its text, or in rows without one, of the longest.
        const lengths = sequences.map((sequence) => sequence.tokens.length - 1);
        const longest = Math.max(0, ...lengths) || size.T;
        expect([...(positions.positions ?? [])]).toEqual(
          [...tokens.keys()].map((index) =>
            Math.min(index % size.T, (lengths[Math.floor(index / size.T)] ?? longest) - 1),
          ),
        );
      }),
    );
  });
});

describe("normalize()", () => {
  it("scales to a sum of 1 in the same proportions", () => {
    expect([...normalize(Float32Array.of(0, 1, 3, 0))]).toEqual([0, 0.25, 0.75, 0]);
  });

  it("leaves zeros alone", () => {
    expect([...normalize(new Float32Array(3))]).toEqual([0, 0, 0]);
  });
});
