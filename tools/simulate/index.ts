/**
 * How often intervals hold what is true, how often tests find what is not there, and what they see of what is: by simulation, with
 * fixed seeds. Prints the tables of docs/statistics.md. Takes some minutes.
 *
 * npm run simulate [SCALE=1] [PART]    a tenth of the trials with 0.1; all parts or one, such as watch
 */
import { createRandom } from "../../src/base/core/index.ts";
import { mcnemarExact } from "../../src/base/statistics/index.ts";
import {
  type CheckpointOutcome,
  findPeak,
  halfAnswers,
} from "../../src/tasks/trajectory/checkpoint-outcome.ts";
import { computeContrast, computeFamily } from "../../src/tasks/trajectory/contrast.ts";
import { watchDecline } from "../../src/tasks/trajectory/decline.ts";
import { computeTrajectory } from "../../src/tasks/trajectory/trajectory.ts";
import { drawDifferences, drawFlips, drawTables, drawTraining, riseAndFall } from "./models.ts";

const scale = Number(process.argv[2] ?? 1);
const numDraws = 999;
const trials = (count: number): number => Math.max(20, Math.round(count * scale));

/** The share of trials in which something holds, as `0.951`. */
function share(count: number, holds: (trial: number) => boolean): string {
  const numTrials = trials(count);
  let numHolds = 0;
  for (let trial = 0; trial < numTrials; trial++) if (holds(trial)) numHolds++;
  return (numHolds / numTrials).toFixed(3);
}

function print(title: string, head: readonly string[], rows: readonly (readonly string[])[]): void {
  console.log(`\n${title}\n`);
  console.log(`| ${head.join(" | ")} |\n|${head.map(() => "---|").join("")}`);
  for (const row of rows) console.log(`| ${row.join(" | ")} |`);
}

const covers = ({ low, high }: { readonly low: number; readonly high: number }, truth: number): boolean =>
  low <= truth + 1e-12 && high >= truth - 1e-12;

const cells = [
  [0.005, 0],
  [0.02, 0.005],
  [0.02, 0],
  [0.1, 0.02],
  [0.71, 0.015],
] as const;
const asPercent = (value: number): string => `${Number((100 * value).toFixed(1))} %`;
const cellHead = cells.map(([up, down]) => `${asPercent(up)} / ${asPercent(down)}`);

const alone = (numItems: number): Parameters<typeof drawDifferences>[2] => ({
  numGroups: numItems,
  size: 1,
  agreement: 0,
});
const grouped = (agreement: number): Parameters<typeof drawDifferences>[2] => ({
  numGroups: 20,
  size: 10,
  agreement,
});
const layouts = [
  ...[20, 50, 200, 1000].map((numItems) => [`${numItems} items`, alone(numItems)] as const),
  ...[0, 0.2, 0.5].map(
    (agreement) => [`20 groups of 10, agreement ${agreement}`, grouped(agreement)] as const,
  ),
];

function coverContrasts(): void {
  const rows = layouts.map(([name, layout]) => [
    name,
    ...cells.map((cell) =>
      share(4000, (trial) => {
        const pair = drawDifferences(createRandom(trial, name, ...cell), cell, layout);
        return covers(computeContrast(pair), cell[0] - cell[1]);
      }),
    ),
  ]);
  print(
    "Contrast: how often the 95 % interval holds the true difference, by P(only first) / P(only second)",
    ["", ...cellHead],
    rows,
  );
}

function sizeContrasts(): void {
  const nulls = [0.005, 0.02, 0.1, 0.3] as const;
  const rows = layouts.map(([name, layout]) => [
    name,
    ...nulls.map((share_) =>
      share(4000, (trial) => {
        const pair = drawDifferences(createRandom(trial, "null", name, share_), [share_, share_], layout);
        return computeContrast(pair).pValue < 0.05;
      }),
    ),
  ]);
  print(
    "Contrast: how often p < 0.05 where there is no difference, by P(only one of the two) on either side",
    ["", ...nulls.map(asPercent)],
    rows,
  );
}

/** Answers of several samples an item: differences of means. */
function sampleContrasts(): void {
  const rows = [1, 4, 16].map((numSamples) => [
    String(numSamples),
    ...[0, 0.05].map((loss) =>
      share(2000, (trial) => {
        const random = createRandom(trial, "samples", numSamples, loss);
        const rates = Array.from({ length: 200 }, () => (random.uniform() < 0.5 ? 0.1 : 0.9));
        const answer = (rate: number): number => {
          let numRight = 0;
          for (let sample = 0; sample < numSamples; sample++) if (random.uniform() < rate) numRight++;
          return numRight / numSamples;
        };
        const pair = {
          first: rates.map(answer),
          second: rates.map((rate) => answer(Math.max(0, rate - loss))),
        };
        return computeContrast(pair).pValue < 0.05;
      }),
    ),
  ]);
  print(
    "Several answers an item, 200 items: how often p < 0.05",
    ["answers", "no loss", "5 points lost"],
    rows,
  );
}

function families(): void {
  const rows = [50, 200].map((numItems) => {
    const study = (gains: readonly number[], seedName: string) => (trial: number) => {
      const random = createRandom(trial, "family", seedName, numItems);
      const [target = [], ...repairs] = drawTables(
        random,
        [0.5, ...gains.map((gain) => 0.5 + gain)],
        numItems,
      );
      return computeFamily(
        repairs.map((first) => ({ first, second: target })),
        { seed: trial, numDraws },
      );
    };
    const flat = Array.from({ length: 12 }, () => 0);
    const mixed = flat.map((_, index) => index * 0.02);
    const [noGain, someGain] = [study(flat, "flat"), study(mixed, "mixed")];
    return [
      String(numItems),
      share(1000, (trial) => noGain(trial).some(({ pValue }) => pValue < 0.05)),
      share(1000, (trial) => someGain(trial).every((contrast, index) => covers(contrast, mixed[index] ?? 0))),
    ];
  });
  print(
    "12 repairs as one family",
    ["items", "any found, none works", "all 12 intervals hold (gains of 0 to 22 points)"],
    rows,
  );
}

/** What was done before: the peak by one half, the exact test on the other. */
function findsOnHalf(checkpoints: readonly CheckpointOutcome[]): boolean {
  const held = (one: CheckpointOutcome): readonly (boolean | number)[] =>
    halfAnswers(one, "ood", "held-out").solved;
  const [first, second] = [
    held(findPeak(checkpoints)),
    held(checkpoints[checkpoints.length - 1] ?? findPeak(checkpoints)),
  ];
  const onlyFirst = first.filter((solved, item) => solved && !second[item]).length;
  const onlySecond = second.filter((solved, item) => solved && !first[item]).length;
  return onlyFirst > onlySecond && mcnemarExact({ onlyFirst, onlySecond }) < 0.05;
}

function forgetting(): void {
  const cases = [
    [50, 0],
    [200, 0],
    [400, 0],
    [50, 0.2],
    [200, 0.1],
    [400, 0.06],
    [2000, 0.06],
  ] as const;
  const rows = cases.map(([numItems, loss]) => {
    const accuracies =
      loss === 0
        ? Array.from({ length: 13 }, () => 0.85)
        : riseAndFall({ numCheckpoints: 13, top: 0.85, loss });
    const count = numItems > 1000 ? 200 : 1000;
    const draw = (trial: number): readonly CheckpointOutcome[] =>
      drawTraining(createRandom(trial, "forgetting", numItems, loss), accuracies, numItems);
    const measured = Array.from({ length: trials(count) }, (_, trial) =>
      computeTrajectory(draw(trial), { seed: trial, numDraws }),
    );
    const at = (trial: number): (typeof measured)[number]["forgetting"] => {
      const found = measured[trial];
      if (found === undefined) throw new RangeError("There are as many trials as were measured");
      return found.forgetting;
    };
    const bias =
      measured.reduce((sum, { forgetting: { estimate } }) => sum + estimate, 0) / measured.length - loss;
    return [
      String(numItems),
      asPercent(loss),
      share(count, (trial) => at(trial).estimate > 0 && at(trial).pValue < 0.05),
      share(count, (trial) => findsOnHalf(draw(trial))),
      share(count, (trial) => covers(at(trial), loss)),
      (100 * bias).toFixed(1),
      share(count, (trial) => {
        const { plateau } = measured[trial] ?? { plateau: [] };
        return plateau.some(({ step }) => accuracies[step - 1] === Math.max(...accuracies));
      }),
    ];
  });
  print(
    "Forgetting over 13 checkpoints (a one-sided finding at 2.5 %)",
    [
      "OOD items",
      "lost in truth",
      "found",
      "found by one half, exact test (before)",
      "interval holds the loss",
      "estimate − loss, points",
      "plateau holds the best",
    ],
    rows,
  );
}

function recovery(): void {
  const cases = [
    [0.85, 0.6, 0.75],
    [0.95, 0.2, 0.2],
    [0.9, 0.4, 0.9],
  ] as const;
  const rows = cases.map(([top, start, end]) => [
    `${asPercent(top)} → ${asPercent(start)} → ${asPercent(end)}`,
    ...[50, 200, 1000].map((numItems) => {
      let numGiven = 0;
      let numHeld = 0;
      for (let trial = 0; trial < trials(numItems > 500 ? 500 : 1000); trial++) {
        const random = createRandom(trial, "recovery", numItems, top, end);
        const sft = [top - 0.05, top, top - 0.05, start];
        const [rl = [], ...tables] = drawTables(random, [end, ...sft], numItems);
        const checkpoints = tables.map((ood, index) => ({
          id: `sft-${index}`,
          stage: "sft" as const,
          step: index,
          solved: { id: [true], ood },
        }));
        const branch = {
          id: "rl",
          stage: "rl" as const,
          step: 1,
          parent: "sft-3",
          solved: { id: [true], ood: rl },
        };
        const {
          recovery: found,
          peak,
          otherPeak,
        } = computeTrajectory([...checkpoints, branch], { seed: trial, numDraws });
        if (found === undefined) continue;
        numGiven++;
        const peaks = [peak, otherPeak ?? peak].map(({ step }) => sft[step] ?? top);
        const lost = ((peaks[0] ?? 0) + (peaks[1] ?? 0)) / 2 - start;
        if (covers(found, (end - start) / lost)) numHeld++;
      }
      return `${(numHeld / numGiven).toFixed(3)} of ${numGiven}`;
    }),
  ]);
  print(
    "Recovery: how often the interval holds the true share, where one is given",
    ["peak → start → end", "50 items", "200 items", "1000 items"],
    rows,
  );
}

/** Accuracies of so many checkpoints: flat, and then 10 points less from one of them on, at once or evenly until the end. */
function drop(
  numCheckpoints: number,
  { from, isSlow }: { from: number; isSlow: boolean },
): readonly number[] {
  return Array.from({ length: numCheckpoints }, (_, index) => {
    const share = isSlow ? (index - from + 1) / (numCheckpoints - from) : 1;
    return index < from ? 0.7 : 0.7 - 0.1 * share;
  });
}

function watch(): void {
  const noises = [
    ["a tenth of the answers by chance", drawFlips],
    ["equals differ on 15 to 20 %", drawTables],
  ] as const;
  const courses = [
    Array.from({ length: 40 }, () => 0.7),
    drop(30, { from: 10, isSlow: false }),
    drop(40, { from: 20, isSlow: false }),
    drop(40, { from: 20, isSlow: true }),
  ];
  const rows = noises.flatMap(([noise, drawNoise]) =>
    [100, 200, 400].map((numItems) => [
      noise,
      String(numItems),
      ...courses.map((accuracies) =>
        share(1000, (trial) => {
          const random = createRandom(trial, "watch", numItems);
          const checkpoints = drawTraining(random, accuracies, numItems, drawNoise);
          return watchDecline(checkpoints, { falseAlarmRate: 0.05 }).alert !== undefined;
        }),
      ),
    ]),
  );
  print(
    "Watch, rate of false alerts 5 %: how often there is an alert",
    [
      ...["noise", "OOD items", "none of 40 is worse", "10 points at once, at 11 of 30"],
      ...["10 points at once, at 21 of 40", "10 points evenly, from 21 to 40"],
    ],
    rows,
  );
}

const parts: Readonly<Record<string, () => void>> = {
  ...{ coverContrasts, sizeContrasts, sampleContrasts, families, forgetting, recovery, watch },
};
const startMs = performance.now();
for (const [name, simulate] of Object.entries(parts)) if ((process.argv[3] ?? name) === name) simulate();
console.log(`\n${((performance.now() - startMs) / 60_000).toFixed(1)} minutes`);
