/** Trainings as they are in truth, drawn anew: items of their own difficulty, checkpoints that agree on most of them. */
import type { Random } from "../../src/base/core/index.ts";
import { normalQuantile } from "../../src/base/statistics/index.ts";
import type { CheckpointOutcome } from "../../src/tasks/trajectory/checkpoint-outcome.ts";

/** How much of whether an item is solved is the item's, and not the checkpoint's: 0.6 lets two equally good ones differ on 15 to 20 % of items. */
export const itemShare = 0.6;

/** Which of so many items checkpoints of these accuracies solve (a Gaussian copula with one factor, the item). */
export function drawTables(
  random: Random,
  accuracies: readonly number[],
  numItems: number,
): readonly (readonly boolean[])[] {
  const bars = accuracies.map((accuracy) => normalQuantile(accuracy));
  const [own, rest] = [Math.sqrt(itemShare), Math.sqrt(1 - itemShare)];
  const items = Array.from({ length: numItems }, () => random.normal());
  return bars.map((bar) => items.map((ease) => own * ease + rest * random.normal() < bar));
}

/** The SFT checkpoints of a training with these OOD accuracies. */
export function drawTraining(
  random: Random,
  accuracies: readonly number[],
  numItems: number,
  draw: typeof drawTables = drawTables,
): readonly CheckpointOutcome[] {
  return draw(random, accuracies, numItems).map((ood, index) => ({
    id: `sft-${index + 1}`,
    stage: "sft",
    step: index + 1,
    solved: { id: [true], ood },
  }));
}

/** Accuracies that rise to a top and then fall by a loss until the last of them. */
export function riseAndFall({
  numCheckpoints,
  top,
  loss,
}: {
  readonly numCheckpoints: number;
  readonly top: number;
  readonly loss: number;
}): readonly number[] {
  const peakAt = 3;
  return Array.from({ length: numCheckpoints }, (_, index) =>
    index <= peakAt
      ? top - 0.02 * (peakAt - index)
      : top - (loss * (index - peakAt)) / (numCheckpoints - 1 - peakAt),
  );
}

/** Differences of items between two checkpoints: +1 with one probability, −1 with another, else 0. */
export function drawDifferences(
  random: Random,
  [up, down]: readonly [number, number],
  {
    numGroups,
    size,
    agreement,
  }: { readonly numGroups: number; readonly size: number; readonly agreement: number },
): {
  readonly first: readonly boolean[];
  readonly second: readonly boolean[];
  readonly keys: readonly string[];
} {
  const draw = (): number => {
    const value = random.uniform();
    return value < up ? 1 : value < up + down ? -1 : 0;
  };
  const differences = Array.from({ length: numGroups }, () => {
    const common = draw();
    // Two members share a draw with the probability `agreement`.
    return Array.from({ length: size }, () => (random.uniform() < Math.sqrt(agreement) ? common : draw()));
  }).flat();
  return {
    first: differences.map((difference) => difference > 0),
    second: differences.map((difference) => difference < 0),
    keys: differences.map((_, item) => String(Math.floor(item / size))),
  };
}

/** Of the items, how many a checkpoint of `drawFlips` solves or not by chance alone. */
export const flipShare = 0.1;

/** Tables as `drawTables`, of another noise: whoever is better solves all that the other does, but for a tenth of the items, which are solved or not by chance. */
export function drawFlips(
  random: Random,
  accuracies: readonly number[],
  numItems: number,
): readonly (readonly boolean[])[] {
  const difficulties = Array.from({ length: numItems }, () => random.uniform());
  return accuracies.map((accuracy) =>
    difficulties.map((difficulty) =>
      random.uniform() < flipShare ? random.uniform() < accuracy : difficulty < accuracy,
    ),
  );
}
