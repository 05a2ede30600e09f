/** What is said of a run agrees with itself: intervals, p-values and words, over many simulated runs. */
import { describe, expect, it } from "vitest";
import { createRandom, type Random } from "../../base/core/index.ts";
import type { CheckpointOutcome } from "./checkpoint-outcome.ts";
import { computeContrast } from "./contrast.ts";
import { describeRepairs } from "./describe-repairs.ts";
import { describeTrajectory } from "./describe-trajectory.ts";
import { computeShare } from "./recovery.ts";
import { measureRepairs } from "./repair.ts";
import { computeTrajectory } from "./trajectory.ts";

const numRuns = 200;

/** A run of five SFT checkpoints, two branches and three repairs, whose true changes are small, so that all verdicts occur; every third has groups. */
function simulateRun(random: Random): {
  readonly checkpoints: readonly CheckpointOutcome[];
  readonly repairs: readonly CheckpointOutcome[];
} {
  const numItems = random.integer(20, 200);
  const group = random.integer(0, 2) === 0 ? 5 : 1;
  const keys = (name: string): readonly string[] =>
    Array.from({ length: numItems }, (_, item) => `${name}-${Math.floor(item / group)}`);
  const both = { id: keys("id"), ood: keys("ood") };
  const eases = Array.from({ length: numItems }, () => random.uniform());
  const answer = (accuracy: number): readonly boolean[] =>
    eases.map((ease) => (random.uniform() < 0.15 ? random.uniform() < accuracy : ease < accuracy));
  const draw = (stage: "sft" | "rl", step: number, parent: string, branch?: string): CheckpointOutcome => {
    const accuracy = 0.5 + 0.4 * (random.uniform() - 0.5);
    return {
      id: `${branch ?? stage}-${step}`,
      ...{ stage, step, parent, branch, keys: both },
      solved: { id: answer(accuracy + 0.1), ood: answer(accuracy) },
    };
  };
  const sft = [1, 2, 3, 4, 5].map((step) => draw("sft", step, step === 1 ? "" : `sft-${step - 1}`));
  return {
    checkpoints: [...sft, draw("rl", 9, "sft-5", "late"), draw("rl", 9, "sft-3", "early")],
    repairs: [1, 2, 3].map((step) => draw("sft", step, "")),
  };
}

function say(seed: number): readonly string[] {
  const { checkpoints, repairs } = simulateRun(createRandom(seed, "agreement"));
  const draws = { seed, numDraws: 499 };
  const trajectory = computeTrajectory(checkpoints, draws);
  const [source, target] = ["sft-1", "sft-5"].map((id) => checkpoints.find((one) => one.id === id));
  if (source === undefined || target === undefined) throw new RangeError("Every run has these checkpoints");
  const outcomes = repairs.map(({ solved }, index) => ({
    ...{ name: `repair ${index}`, solved, isCandidate: index < 2 },
  }));
  const measured = measureRepairs(outcomes, { source, target }, draws);
  const rows = measured.repairs.map((repair, index) => ({
    ...{ ...repair, recovered: repair.recovered ?? null, role: index < 2 ? "edit" : "random" },
    controls: ["repair 2"],
  }));
  const { best } = measured;
  return [
    ...describeTrajectory(trajectory),
    ...describeRepairs({
      ...{ source: "sft-1", target: "sft-5", repairs: rows },
      best: best === undefined ? null : { ...best, recovered: best.recovered ?? null },
    }),
  ];
}

const number = "(−?[\\d.]+)(?: %)?";
const toNumber = (text: string | undefined): number => Number(text?.replace("−", "-"));

/** The intervals and p-values of a sentence, one after the other, with the words that stand before them. */
function findClaims(sentence: string): readonly Claim[] {
  const claim = new RegExp(`([^[]*)\\[${number}, ${number}\\](?:[,)(a-z ]*p (=|<) ([\\d.]+))?`, "g");
  return [...sentence.matchAll(claim)].map(([, words = "", low, high, , pValue]) => ({
    words,
    holdsZero: toNumber(low) <= 0 && toNumber(high) >= 0,
    pValue: pValue === undefined ? undefined : Number(pValue),
  }));
}

interface Claim {
  readonly words: string;
  readonly holdsZero: boolean;
  readonly pValue: number | undefined;
}

describe("computeShare()", () => {
  it("holds 0 where the gain, tested in whatever family, is not significant", () => {
    const answer = (numSolved: number) => ({
      ...{ solved: Array.from({ length: 100 }, (_, item) => item < numSolved), keys: undefined },
    });
    const path = { peak: answer(90), start: answer(30), end: answer(45) };
    const names = { peak: "the source", start: "the target" };
    const gain = computeContrast({ first: path.end.solved, second: path.start.solved });
    expect(computeShare(path, names).recovery?.low).toBeGreaterThan(0);
    expect(computeShare(path, names, { gain: { ...gain, pValue: 0.2 } }).recovery?.low).toBe(0);
  });
});

describe(`all sentences of ${numRuns} simulated runs`, () => {
  const sentences = Array.from({ length: numRuns }, (_, seed) => say(seed)).flat();
  const claims = sentences.flatMap(findClaims);

  it("give every kind of verdict", () => {
    for (const words of [
      ...["points forgotten", "no significant forgetting", "gained significantly", "lost significantly"],
      ...[
        "no significant change",
        "came back",
        "no clear recovery",
        "(not significant, p",
        "no forgetting to report",
      ],
    ])
      expect(sentences.filter((sentence) => sentence.includes(words)).length, words).toBeGreaterThan(2);
    expect(claims.length).toBeGreaterThan(5 * numRuns);
  });

  it("print an interval with 0 just where they print a p-value from 0.05 on", () => {
    const tested = claims.filter(({ pValue }) => pValue !== undefined);
    expect(tested.length).toBeGreaterThan(3 * numRuns);
    for (const { words, holdsZero, pValue = 1 } of tested)
      expect(holdsZero, words).toBe(pValue >= 0.05 && !words.includes("p < 0.05"));
  });

  it("print no interval without 0 beside words that say there is nothing", () => {
    const denied = claims.filter(({ words }) => /no significant|no clear|not significant/.test(words));
    expect(denied.length).toBeGreaterThan(numRuns);
    for (const { words, holdsZero } of denied) expect(holdsZero, words).toBe(true);
  });

  it("print none with 0 beside words that say there is something", () => {
    const said = claims.filter(({ words }) => /points forgotten|significantly, |came back, /.test(words));
    expect(said.length).toBeGreaterThan(numRuns / 2);
    for (const { words, holdsZero } of said) expect(holdsZero, words).toBe(false);
  });
});
