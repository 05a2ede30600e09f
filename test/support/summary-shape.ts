/** What summary.json promises, as a shape for `toMatchObject`. */
import { expect } from "vitest";

/** A count of the tiny recipe's evaluations. */
export const count = { correct: expect.any(Number), total: 24 };

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
  timings: expect.objectContaining({
    sft: expect.any(Number),
    rl: expect.any(Number),
    evaluation: expect.any(Number),
  }),
  versions: expect.objectContaining({ untwist: expect.any(String), onnxruntime: expect.any(String) }),
};
