/** Spectra in text: a table of what rotated most, and what it says in words; every number beside what chance would give. */

import { formatShare } from "../../../base/statistics/index.ts";
import type { SpectraRecord } from "../../../run/index.ts";
import {
  type CombinedSparsity,
  describePair,
  describeRotation,
  type Flag,
  flagMeanings,
  formatPercent,
  formatRanks,
  type MatrixSpectra,
  type PairHeadline,
  type PairSpectra,
  type Spread,
  totalSparsity,
} from "../../../weights/spectra/index.ts";
import type { ScreenOptions } from "./summary-screen.ts";
import { describeDropped, fitTable } from "./table.ts";
import { wrapSentence } from "./wrap.ts";

/** Rows shown of a table; the rest is in the files. */
const mostRows = 24;

const pairHead = [
  "matrix",
  "Δσ/σ",
  "chance",
  "|ΔW|/|W|",
  "left",
  "right",
  "chance",
  "× chance",
  "stretch",
  "inside",
  "chance",
  "same",
  "",
];

/** Columns of numbers, and columns that a narrow screen does without, the first of them first. */
const pairLayout = { right: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11], expendable: [11, 8, 10, 9, 3, 2, 5] };
const runLayout = { right: [3, 4, 6, 7, 8], expendable: [4, 8, 3] };

/** Lines about one pair of checkpoints. */
export function formatPairSpectra(pair: PairSpectra, options: ScreenOptions): readonly string[] {
  const { paint } = options;
  const headline = describePair(pair);
  const sentences = [
    headline.reading,
    ...pair.coverage.notes,
    ...describeSparsity(pair),
    ...describeCoverage(pair, headline.coverage.incomplete === undefined),
    ...describeFlags(pair),
    ...describeConfig(headline.config),
  ];
  const { incomplete } = headline.coverage;
  return [
    ...(incomplete === undefined
      ? []
      : wrapSentence(capitalize(incomplete), options.width).map((line) => paint("bad", line))),
    `${paint("bold", pair.before)} → ${paint("bold", pair.after)}`,
    "",
    ...(pair.matrices.length === 0 ? [] : formatMatrices(pair.matrices, options)),
    ...sentences.flatMap((sentence) => wrapSentence(`• ${capitalize(sentence)}`, options.width)),
  ];
}

function capitalize(sentence: string): string {
  return `${sentence.charAt(0).toUpperCase()}${sentence.slice(1)}`;
}

/** What the folders of two checkpoints say differently; that they agree is worth a sentence as well. */
function describeConfig(config: PairHeadline["config"]): readonly string[] {
  if (config.length === 0)
    return ["configuration, tokenizer, chat template and generation: no difference was found"];
  return config.map(({ text }) => text);
}

/** The table of matrices, and what its columns are. */
function formatMatrices(matrices: readonly MatrixSpectra[], options: ScreenOptions): readonly string[] {
  const { paint, width } = options;
  const rows = [
    pairHead.map((cell) => paint("bold", cell)),
    ...matrices.slice(0, mostRows).map((matrix) => describeRow(matrix, options)),
  ];
  const { lines, numDropped } = fitTable(rows, { ...pairLayout, width });
  const numMore = matrices.length - mostRows;
  const rotations = matrices.map(describeRotation).filter((rotation) => rotation !== undefined);
  const ranks = [...new Set(rotations.map(({ rank }) => rank))].sort((a, b) => a - b);
  return [
    ...lines,
    ...describeDropped(numDropped, paint),
    ...(numMore > 0 ? [paint("dim", `… and ${numMore} more; all of them with --json or --out`)] : []),
    "",
    ...legend(formatRanks(ranks))
      .flatMap((line) => wrapSentence(line, width))
      .map((line) => paint("dim", line)),
    "",
  ];
}

function legend(ranks: string): readonly string[] {
  return [
    `left, right: rotation of the leading ${ranks} singular directions, root mean square of their angles; chance: the same for a random update of the same size, expected by theory; the chance beside Δσ/σ is one such update tried`,
    "stretch: share of the update that only changes the leading singular values; inside: share in the span of the leading directions on both sides, beside a random update's; same: scalars equal to the last bit; sorted by rotation",
  ];
}

function describeRow(matrix: MatrixSpectra, { paint }: ScreenOptions): readonly string[] {
  const rotation = describeRotation(matrix);
  const { energy, relative } = matrix.update;
  const beyond = rotation?.beyondChance;
  const isBeyond = beyond !== undefined && beyond > 1;
  return [
    shortenName(matrix.name),
    formatOptional(matrix.spectralShift, formatPercent),
    formatOptional(matrix.nulls.spectralShift, formatPercent),
    formatOptional(relative, formatPercent),
    formatOptional(rotation?.sides.left, formatAngle),
    formatOptional(rotation?.sides.right, formatAngle),
    formatOptional(rotation?.chance, formatAngle),
    paint(isBeyond ? "good" : "dim", formatOptional(beyond, formatRatio)),
    ...[energy?.stretch, energy && energy.stretch + energy.rotation, energy?.insideChance].map((share) =>
      formatOptional(share, (value) => formatShare(value, 0)),
    ),
    formatShare(matrix.sparsity.bitwise),
    matrix.flags.map((flag) => paint("bad", flag)).join(" "),
  ];
}

function formatOptional(value: number | undefined, format: (value: number) => string): string {
  return value === undefined ? "–" : format(value);
}

/** Names without the parts that all of them have; what a terminal would obey is written out. */
function shortenName(name: string): string {
  const short = name.replace(/^model\./, "").replace(/\.weight$/, "");
  return JSON.stringify(short).slice(1, -1);
}

function formatAngle(radians: number): string {
  const degrees = (180 / Math.PI) * radians;
  if (degrees === 0) return "0°";
  return `${degrees >= 0.1 ? degrees.toFixed(1) : degrees.toExponential(0)}°`;
}

function formatRatio(ratio: number): string {
  return `${ratio.toFixed(2)}×`;
}

function describeSparsity(pair: PairSpectra): readonly string[] {
  const totals = totalSparsity(pair);
  if (totals === undefined) return [];
  const show = ({ bitwise, byTolerance, relative }: CombinedSparsity["weighted"]): string =>
    `${formatShare(bitwise)} bitwise, ${formatShare(byTolerance["1e-5"])} within 1e-5, ${formatShare(relative)} within 0.1 % of the value`;
  const { weighted, unweighted, numElements, numTensors } = totals.model;
  return [
    `Unchanged of ${numElements.toLocaleString("en")} scalars: ${show(weighted)}; each of ${numTensors} tensors counting alike: ${show(unweighted)}`,
  ];
}

function describeCoverage({ coverage, matrices, vectors }: PairSpectra, isAll: boolean): readonly string[] {
  const { unmatched, numLeftOut } = coverage;
  const compared = `Compared ${count(matrices.length, "matrix", "matrices")} and ${count(vectors.length, "other tensor", "other tensors")}`;
  const leftOut = numLeftOut === 0 ? "" : `; ${numLeftOut} more were not asked for`;
  if (unmatched.length === 0)
    return [isAll ? `${compared}: all that both checkpoints hold` : `${compared}${leftOut}`];
  const shown = unmatched.slice(0, 5).map(({ name, reason }) => `${shortenName(name)} (${reason})`);
  const more = unmatched.length > shown.length ? ` and ${unmatched.length - shown.length} more` : "";
  return [`${compared}${leftOut}; not compared: ${shown.join(", ")}${more}`];
}

function count(number: number, singular: string, plural: string): string {
  return `${number} ${number === 1 ? singular : plural}`;
}

function describeFlags({ matrices, coverage }: PairSpectra): readonly string[] {
  const left = coverage.unmatched.flatMap(({ name, flag }) =>
    flag === undefined ? [] : [{ name, flags: [flag] }],
  );
  const flagged: readonly Pick<MatrixSpectra, "name" | "flags">[] = [...matrices, ...left];
  const raised = new Set(flagged.flatMap(({ flags }) => flags));
  return [...raised].map((flag) => {
    const names = flagged.filter(({ flags }) => flags.includes(flag)).map(({ name }) => shortenName(name));
    const shown =
      names.length > 3 ? `${names.slice(0, 3).join(", ")} and ${names.length - 3} more` : names.join(", ");
    return `${flag}: ${flagMeanings[flag]} (${shown})`;
  });
}

/** Lines about every pair of a run. */
export function formatRunSpectra(
  { pairs, backend }: SpectraRecord,
  options: ScreenOptions,
): readonly string[] {
  const { paint } = options;
  const head = [
    "compared",
    "with",
    "Δσ/σ",
    "chance",
    "|ΔW|/|W|",
    "rotation",
    "chance",
    "× chance",
    "same",
    "",
  ];
  const rows = pairs.map((pair) => [
    pair.after,
    pair.before,
    formatSpread(pair.spectralShift, formatPercent),
    formatOptional(pair.spectralShiftChance?.median, formatPercent),
    formatOptional(pair.relativeUpdate?.median, formatPercent),
    formatSpread(pair.rotation, formatAngle),
    formatOptional(pair.chance?.median, formatAngle),
    formatOptional(pair.beyondChance?.median, formatRatio),
    formatOptional(pair.unchanged?.weighted, formatShare),
    Object.entries(pair.flags)
      .map(([flag, count]) => paint("bad", `${flag} ${count}`))
      .join(" "),
  ]);
  const ranks = formatRanks([...new Set(pairs.flatMap((pair) => pair.ranks))].sort((a, b) => a - b));
  const flags = new Set(pairs.flatMap((pair) => Object.keys(pair.flags)));
  const { lines, numDropped } = fitTable([head.map((cell) => paint("bold", cell)), ...rows], {
    ...runLayout,
    width: options.width,
  });
  return [
    ...describePartial(pairs, options),
    ...lines,
    ...describeDropped(numDropped, paint),
    "",
    ...wrapSentence(
      `medians over the matrices that changed, least and largest in brackets; rotation: root mean square angle of the leading ${ranks} singular directions; chance: a random update of the same size; same: scalars equal to the last bit; ${backend} backend`,
      options.width,
    ).map((line) => paint("dim", line)),
    ...[...flags].filter(isFlag).map((flag) => `• ${flag}: ${flagMeanings[flag]}`),
    ...describeConfigs(pairs, options),
  ];
}

/** Pairs that were compared in part. */
function describePartial(pairs: SpectraRecord["pairs"], { paint, width }: ScreenOptions): readonly string[] {
  const lines = groupPairs(pairs, ({ coverage: { incomplete } }) =>
    incomplete === undefined ? [] : [incomplete],
  );
  return lines.flatMap((line) => wrapSentence(line, width).map((part) => paint("bad", part)));
}

/** What folders say differently. */
function describeConfigs(pairs: SpectraRecord["pairs"], { width }: ScreenOptions): readonly string[] {
  const lines = groupPairs(pairs, ({ config = [] }) => config.map(({ text }) => text));
  return lines.flatMap((line) => wrapSentence(`• ${line}`, width));
}

/** Each sentence once, with the first pair that it is about and how many more there are. */
function groupPairs(
  pairs: SpectraRecord["pairs"],
  list: (pair: SpectraRecord["pairs"][number]) => readonly string[],
): readonly string[] {
  const told = new Map<string, string[]>();
  for (const pair of pairs)
    for (const text of list(pair)) {
      const about = told.get(text) ?? [];
      told.set(text, [...about, `${pair.before} → ${pair.after}`]);
    }
  const lines = [...told].map(([text, [first, ...others]]) => {
    const more =
      others.length === 0 ? "" : ` and ${others.length} more ${others.length === 1 ? "pair" : "pairs"}`;
    return `${first}${more}: ${text}`;
  });
  return shortenList(lines);
}

function shortenList(lines: readonly string[]): readonly string[] {
  const most = 8;
  return lines.length <= most
    ? lines
    : [...lines.slice(0, most), `… and ${lines.length - most} more; all of them with --json`];
}

function isFlag(text: string): text is Flag {
  return text in flagMeanings;
}

function formatSpread(spread: Spread | undefined, format: (value: number) => string): string {
  if (spread === undefined) return "–";
  const { least, median, largest } = spread;
  return `${format(median)} [${format(least)}, ${format(largest)}]`;
}
