import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { packPieces } from "./pack-pieces.ts";

const rule = { leastSeconds: 30, cores: 2, learned: () => ({ bytes: 1, seconds: 1, isAlone: false }) };
const pieces = fc.array(
  fc.record({
    seconds: fc.double({ min: 0, max: 500, noNaN: true }),
    bytes: fc.integer({ min: 0, max: 2e11 }),
  }),
  { minLength: 1, maxLength: 60 },
);
const number = (found: readonly { seconds: number; bytes: number }[]) =>
  found.map((piece, index) => ({ index, piece: { name: `${index}`, ...piece } }));

describe("packPieces()", () => {
  it("packs every piece once, gives each what it takes, and starts with what takes longest", () => {
    fc.assert(
      fc.property(pieces, (found) => {
        const groups = packPieces(number(found), rule);
        const all = groups.flatMap((group) => group.packs.flat());
        expect([...all].sort((a, b) => a - b)).toEqual(found.map((_, index) => index));
        for (const { packs, resources } of groups) {
          const secondsOf = (pack: readonly number[]): number =>
            pack.reduce((sum, index) => sum + found[index]!.seconds, 0);
          for (const pack of packs) {
            for (const index of pack)
              expect(resources.bytes).toBeGreaterThan(found[index]!.bytes + 2 ** 29 - 1);
            expect(resources.seconds).toBeGreaterThanOrEqual(600 + secondsOf(pack));
            // No pack could do without its last piece, and only the last pack may be too small.
            expect(secondsOf(pack.slice(0, -1))).toBeLessThanOrEqual(30);
            if (pack !== packs.at(-1)) expect(secondsOf(pack)).toBeGreaterThanOrEqual(30 - 1e-9);
          }
          const firsts = packs.map(([index]) => found[index!]!.seconds);
          expect(firsts).toEqual([...firsts].sort((a, b) => b - a));
          // At most a fifth more than the largest needs.
          const needed = Math.max(
            ...packs.flat().map((index) => 2 ** 29 + Math.max(2 ** 29, found[index]!.bytes)),
          );
          expect(resources.bytes / needed).toBeLessThan(1.2);
        }
      }),
    );
  });

  it("takes the user's word for memory and time, and multiplies both after they did not suffice", () => {
    const wanted = number([
      { seconds: 100, bytes: 9e9 },
      { seconds: 100, bytes: 0 },
    ]);
    const fixed = { ...rule, bytes: 4e9, seconds: 3600 };
    expect(packPieces(wanted, fixed)).toEqual([
      { packs: [[0], [1]], resources: { cores: 2, bytes: 4e9, seconds: 3600 } },
    ]);
    const learned = (piece: number) =>
      piece === 0 ? { bytes: 2, seconds: 4, isAlone: true } : { bytes: 1, seconds: 1, isAlone: false };
    expect(packPieces(wanted, { ...fixed, learned })).toEqual([
      { packs: [[0]], resources: { cores: 2, bytes: 8e9, seconds: 14_400 } },
      { packs: [[1]], resources: { cores: 2, bytes: 4e9, seconds: 3600 } },
    ]);
  });

  it("leaves those that failed before alone, so that they take no others along", () => {
    const wanted = number(Array.from({ length: 5 }, () => ({ seconds: 1, bytes: 0 })));
    const learned = (piece: number) => ({ bytes: 1, seconds: 1, isAlone: piece === 1 });
    expect(packPieces(wanted, { ...rule, learned })[0]?.packs).toEqual([[0], [1], [2, 3, 4]]);
  });
});
