/** What a followed run is made of: which training is which stage, what grew from what, and how each of that is known. */
import { basename, resolve } from "node:path";
import { quoteForShell, UsageError } from "../base/index.ts";
import type { FoundTraining } from "../follow/index.ts";
import type { LineageFile } from "../run/index.ts";

/** A training with its place in the lineage. */
export interface FollowedTraining {
  readonly found: FoundTraining;
  readonly stage: "sft" | "rl";
  /** Of RL: the name of its branch. */
  readonly branch?: string;
  /** Of RL: the SFT step it started from, where one is known or assumed. */
  readonly from?: number;
  /** Why it is taken for this stage, and that start. */
  readonly because: string;
  /** Whether the start was neither said nor found in the files. */
  readonly isStartAssumed: boolean;
}

/** What was said of a training, in the lineage file or when it was followed before. */
export type SaidOfTraining = LineageFile["trainings"][number];

/** What a lineage file says, with its folders made absolute; they are relative to the file. */
export function resolveLineage({ base, trainings }: LineageFile, home: string): LineageFile {
  return {
    ...(base !== undefined && { base: resolve(home, base) }),
    trainings: trainings.map((training) => ({ ...training, folder: resolve(home, training.folder) })),
  };
}

/** Folder names that say nothing about the training in them. */
const commonNames =
  /^(?:checkpoints?|ckpts?|outputs?|out|runs?|models?|actor|_actor|weights|saves?|results?)$/i;

/** The stages of trainings, SFT first. Throws `UsageError` where they cannot all belong to one run. */
export function planFollowed(
  trainings: readonly FoundTraining[],
  said: readonly SaidOfTraining[],
  knownSteps: readonly number[] = [],
): readonly FollowedTraining[] {
  requireOnce(said);
  const staged = trainings.map((found) => {
    const own = said.find(({ folder }) => isWithin(found.folder, folder));
    const stage = own?.stage ?? found.guess.stage;
    return {
      found,
      own,
      stage,
      because: own?.stage === undefined ? found.guess.because : "that was said",
    };
  });
  const [sft, second] = staged.filter(({ stage }) => stage === "sft");
  if (sft !== undefined && second !== undefined)
    throw new UsageError(
      `Cannot follow "${sft.found.folder}" and "${second.found.folder}" as one run: both are taken for SFT (${second.because}); follow one of them, or say in a lineage file (--lineage) that one is rl`,
    );
  const branches = new Set<string>();
  const rl = staged
    .filter(({ stage }) => stage === "rl")
    .map(({ found, own, because }): FollowedTraining => {
      const branch = own?.branch ?? chooseName(found.folder, branches);
      if (own?.branch !== undefined && branches.has(branch))
        throw new UsageError(
          `Cannot follow "${found.folder}": another training is called ${branch} already; choose another branch`,
        );
      branches.add(branch);
      return { found, stage: "rl", branch, ...findStart({ found, own, knownSteps }, sft?.found), because };
    });
  if (sft === undefined) return rl;
  return [{ found: sft.found, stage: "sft", because: sft.because, isStartAssumed: false }, ...rl];
}

function requireOnce(said: readonly SaidOfTraining[]): void {
  const twice = said.find(({ folder }, index) =>
    said.some((other, at) => at < index && other.folder === folder),
  );
  if (twice !== undefined)
    throw new UsageError(
      `Cannot follow "${twice.folder}" twice: the lineage file names it in two entries; leave one of them out`,
    );
}

/** Whether a training lies in a folder, or is it. */
function isWithin(training: string, folder: string): boolean {
  return training === folder || training.startsWith(`${folder}/`);
}

/** A text as a name that recipes may have: lower-case words joined by hyphens; empty where nothing of it is left. */
export function slugify(text: string): string {
  return text
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, "-")
    .replaceAll(/^-+|-+$/g, "");
}

/** A branch's name after the folder of its training, made different from those that are taken. */
function chooseName(folder: string, taken: ReadonlySet<string>): string {
  const parts = folder.split("/").filter((part) => part !== "" && !commonNames.test(part));
  const slug = slugify(parts.at(-1) ?? "rl");
  // "sft" is what the SFT training is called.
  const name = slug === "" || slug === "sft" ? "rl" : slug;
  let number = 2;
  let free = name;
  while (taken.has(free)) free = `${name}-${number++}`;
  return free;
}

function findStart(
  {
    found,
    own,
    knownSteps,
  }: {
    readonly found: FoundTraining;
    readonly own: SaidOfTraining | undefined;
    readonly knownSteps: readonly number[];
  },
  sft: FoundTraining | undefined,
): Pick<FollowedTraining, "from" | "isStartAssumed"> {
  // Of steps that the trainer has deleted, what was measured is still there.
  const whole = sft?.checkpoints.map(({ step }) => step) ?? [];
  const steps = [...new Set([...whole, ...knownSteps])].sort((a, b) => a - b);
  if (own?.from !== undefined) {
    if (!steps.includes(own.from))
      throw new UsageError(
        `Cannot start ${basename(found.folder)} from SFT step ${own.from}: there is no such checkpoint; the steps are ${steps.length === 0 ? "none, as no training is taken for SFT" : steps.join(", ")}`,
      );
    return { from: own.from, isStartAssumed: false };
  }
  if (sft === undefined) return { isStartAssumed: false };
  const named = sft.checkpoints.find(({ folder }) => folder === found.base);
  if (named !== undefined) return { from: named.step, isStartAssumed: false };
  const last = steps.at(-1);
  return last === undefined ? { isStartAssumed: false } : { from: last, isStartAssumed: true };
}

/** How to say what was only assumed. */
export function describeLineageFile(trainings: readonly FollowedTraining[]): string {
  return [
    "trainings:",
    ...trainings.map(({ found, stage, branch, from }) => {
      const start = from === undefined ? "" : `, branch: ${branch}, from: ${from}`;
      return `  - { folder: ${quoteForShell(found.folder)}, stage: ${stage}${start} }`;
    }),
  ].join("\n");
}
