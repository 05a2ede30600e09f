/** What summary.json promises, as a shape for `toMatchObject`. */
import { expect } from "vitest";

/** A count of the tiny recipe's evaluations. */
export const count = { correct: expect.any(Number), total: 24 };

const spread = { least: expect.any(Number), median: expect.any(Number), largest: expect.any(Number) };

/** What `spectra` of a summary promises where it is there: the pairs of checkpoints, each in a few numbers. */
export const summarySpectraShape = {
  schema: 1,
  backend: expect.stringMatching(/^(lapack|portable)$/),
  ranks: expect.any(Array),
  pairs: expect.toSatisfy(
    (pairs: readonly Readonly<Record<string, unknown>>[]) =>
      pairs.length > 0 &&
      pairs.every((pair) => {
        expect(pair).toMatchObject({
          before: expect.any(String),
          after: expect.any(String),
          numMatrices: expect.any(Number),
          spectralShift: spread,
          relativeUpdate: spread,
          rotation: spread,
          chance: spread,
          beyondChance: spread,
          unchanged: { weighted: expect.any(Number), unweighted: expect.any(Number) },
          flags: expect.any(Object),
          coverage: { numMatched: expect.any(Number), numLeftOut: expect.any(Number), unmatched: [] },
          reading: expect.any(String),
        });
        return true;
      }),
  ),
};

const contrast = {
  estimate: expect.any(Number),
  low: expect.any(Number),
  high: expect.any(Number),
  pValue: expect.any(Number),
  numItems: expect.any(Number),
};

/** What `repairs` of a summary promises of the tiny recipe's grid. */
export const repairRecordShape = {
  schema: 1,
  name: "tiny",
  target: "sft-12",
  source: "sft-4",
  ends: { target: { id: count, ood: count }, source: { id: count, ood: count } },
  repairs: expect.toSatisfy((repairs: readonly Readonly<Record<string, unknown>>[]) => {
    for (const repair of repairs)
      expect(repair).toMatchObject({
        name: expect.any(String),
        role: expect.stringMatching(/^(edit|identity|rollback|random|elsewhere|values)$/),
        operation: { operation: expect.any(String) },
        id: count,
        ood: count,
        gain: contrast,
        idGain: contrast,
        moved: expect.any(Number),
      });
    return repairs.length === 6;
  }),
  best: { name: expect.any(String), gain: contrast, idGain: contrast },
  sentences: expect.arrayContaining([expect.any(String)]),
};

/** What every summary.json of schema 1 has, and any program may rely on. */
export const summaryShape = {
  schema: 1,
  recipe: "tiny",
  seed: 5,
  checkpoints: expect.any(Array),
  trajectory: {
    peak: expect.objectContaining({ checkpoint: expect.stringMatching(/^sft-/), step: expect.any(Number) }),
    sftEnd: expect.objectContaining({ checkpoint: "sft-12", step: 12 }),
    rlEnd: expect.objectContaining({ stage: "rl" }),
    forgetting: {
      estimate: expect.any(Number),
      low: expect.any(Number),
      high: expect.any(Number),
      pValue: expect.any(Number),
    },
    recovery: expect.toSatisfy(
      (value) => value === null || ["estimate", "low", "high"].every((key) => typeof value[key] === "number"),
    ),
  },
  spectra: summarySpectraShape,
  repairs: [repairRecordShape],
  timings: expect.objectContaining({
    sft: expect.any(Number),
    rl: expect.any(Number),
    evaluation: expect.any(Number),
  }),
  versions: expect.objectContaining({ untwist: expect.any(String), onnxruntime: expect.any(String) }),
};
