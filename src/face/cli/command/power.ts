/** `untwist power`: how many items it takes to notice a loss, or which loss so many items can show. */
import { Command } from "commander";
import { UsageError } from "../../../base/core/index.ts";
import { findDetectableLoss, findNumItems, formatPoints } from "../../../base/statistics/index.ts";
import { significanceLevel, statedPower } from "../../../tasks/trajectory/index.ts";
import { parseCount, parseNumber } from "../flag/parse-flags.ts";
import { createOutput } from "../output.ts";
import { formatTable } from "../screen/table.ts";

interface PowerFlags {
  readonly loss?: string;
  readonly items?: string;
  readonly changing: string;
  readonly checkpoints: string;
  readonly json?: boolean;
}

const examples = `
Examples:
  untwist power                          what 50 to 5,000 items can show
  untwist power --loss 3                 how many items for 3 points?
  untwist power --items 400 --checkpoints 13

The test is the one of a run: the same items by both checkpoints, mid-p McNemar, two-sided at 5 %. Over several
checkpoints that level is shared out evenly, which asks for a few items more than the run itself will need.`;

/** `untwist power`: its flags and help, and the action that carries it out. */
export function createPowerCommand(): Command {
  return new Command()
    .option("--loss <points>", "the loss of accuracy to notice, in percentage points")
    .option("--items <count>", "how many items there are")
    .option("--changing <percent>", "items that only one of two equally good checkpoints solves", "10")
    .option("--checkpoints <count>", "checkpoints that may be the peak, the last one included", "2")
    .option("--json", "print the numbers as JSON")
    .addHelpText("after", examples)
    .action(tellPower);
}

const tabled = [50, 100, 200, 400, 1000, 2000, 5000];
const mostItems = 100_000;

/** How one checkpoint is held against another. */
interface Comparison {
  readonly churn: number;
  readonly level: number;
  readonly power: number;
}

function tellPower(flags: PowerFlags): void {
  const comparison = readComparison(flags);
  const losses = readCounts(flags).map((numItems) => ({
    ...{ numItems, detectableLoss: findLoss(numItems, comparison) },
  }));
  const asked =
    flags.loss === undefined ? undefined : findItems(parsePercent("--loss", flags.loss), comparison);
  const rows = losses.map(({ numItems, detectableLoss }) => [
    String(numItems),
    detectableLoss === null ? "none" : `${formatPoints(detectableLoss)} points`,
  ]);
  const head = ["items", "smallest loss noticed in 80 % of cases"];
  const { churn, level } = comparison;
  createOutput(flags).print([...formatTable([head, ...rows], { right: [0] }), ...describeItems(asked)], {
    ...{ power: statedPower, level, changing: churn, losses },
    ...(asked !== undefined && { asked }),
  });
}

function readComparison({ changing, checkpoints }: PowerFlags): Comparison {
  const numCompared = parseCount("--checkpoints", checkpoints, 2) - 1;
  return {
    churn: parsePercent("--changing", changing),
    level: significanceLevel / numCompared,
    power: statedPower,
  };
}

function readCounts({ items }: PowerFlags): readonly number[] {
  if (items === undefined) return tabled;
  const count = parseCount("--items", items, 1);
  if (count > mostItems) throw new UsageError(`Cannot read --items "${items}": give at most ${mostItems}`);
  return [count];
}

/** Null where not even the loss of everything is noticed so. */
function findLoss(numItems: number, comparison: Comparison): number | null {
  const loss = findDetectableLoss({ ...comparison, numItems, numSolved: numItems });
  return loss === undefined ? null : loss / numItems;
}

/** A loss, and how many items it takes; null where they are more than `mostItems`. */
interface AskedLoss {
  readonly loss: number;
  readonly numItems: number | null;
}

function findItems(loss: number, comparison: Comparison): AskedLoss {
  if (loss === 0) throw new UsageError('Cannot read --loss "0": give points above 0');
  return { loss, numItems: findNumItems({ ...comparison, loss, mostItems }) ?? null };
}

function describeItems(asked: AskedLoss | undefined): readonly string[] {
  if (asked === undefined) return [];
  const { loss, numItems } = asked;
  const found = numItems === null ? `more than ${mostItems}` : String(numItems);
  return ["", `To notice a loss of ${formatPoints(loss)} points in 80 % of cases takes ${found} items.`];
}

/** A share, given as 0 to 100 %. */
function parsePercent(flag: string, text: string): number {
  const percent = parseNumber(flag, text);
  if (percent > 100) throw new UsageError(`Cannot read ${flag} "${text}": give a number from 0 to 100`);
  return percent / 100;
}
