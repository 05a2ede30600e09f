/** What a followed run is made of: which training is which stage, what grew from what, and how each of that is known. */
import { basename, resolve } from "node:path";
import { quoteForShell, setting, UsageError } from "../../base/core/index.ts";
import { type FoundTraining, mergeTrainings } from "../../bridge/trainer/index.ts";
import type { LineageFile } from "../../run/index.ts";

/** A training with its place in the lineage. */
export interface FollowedTraining {
  /** Of several folders all checkpoints together. */
  readonly found: FoundTraining;
  /** The folders that its checkpoints lie in, with what was said of each. */
  readonly parts: readonly FollowedPart[];
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

/** A folder of a training. */
export type FollowedPart = Pick<SaidOfTraining, "folder" | "steps" | "weights" | "after">;

/** What a lineage file says, with its folders made absolute; they are relative to the file. */
export function resolveLineage({ base, trainings }: LineageFile, home: string): LineageFile {
  return {
    ...(base !== undefined && { base: resolve(home, base) }),
    trainings: trainings.map((training) => ({ ...training, folder: resolve(home, training.folder) })),
  };
}

/** Folder names that say nothing about the training in them. */
const commonNames =
  /^(?:checkpoints?|ckpts?|outputs?|out|runs?|models?|actor|_actor|weights|saves?|results?|huggingface|hf)$/i;

/** A training as it was found, with what was said of its folder. */
interface StagedTraining {
  readonly found: FoundTraining;
  readonly own: SaidOfTraining | undefined;
  readonly stage: "sft" | "rl";
  readonly because: string;
}

/** The stages of trainings, SFT first. Throws `UsageError` where they cannot all belong to one run. */
export function planFollowed(
  trainings: readonly FoundTraining[],
  said: readonly SaidOfTraining[],
  knownSteps: readonly number[] = [],
): readonly FollowedTraining[] {
  requireOnce(said);
  const staged = trainings.map((found): StagedTraining => {
    const own = said.find(({ folder }) => isWithin(found.folder, folder));
    return {
      found,
      own,
      stage: own?.stage ?? found.guess.stage,
      because: own?.stage === undefined ? found.guess.because : "that was said",
    };
  });
  const sft = planSft(
    staged.filter(({ stage }) => stage === "sft"),
    said,
  );
  const branches = new Set<string>();
  const rl = groupBranches(
    staged.filter(({ stage }) => stage === "rl"),
    said,
  ).map((group): FollowedTraining => {
    const { found, parts } = merge(group);
    const [first] = group;
    const branch = first?.own?.branch ?? chooseName(found.folder, branches);
    if (branches.has(branch))
      throw new UsageError(
        `Cannot follow "${found.folder}": another training is called ${branch} already; choose another branch`,
      );
    branches.add(branch);
    const own = group.map((one) => one.own).find((one) => one?.from !== undefined);
    const start = findStart({ found, own, knownSteps }, sft?.found);
    return { found, parts, stage: "rl", branch, ...start, because: first?.because ?? "" };
  });
  return sft === undefined ? rl : [sft, ...rl];
}

/** The SFT training; of several folders only where each was said to be SFT. */
function planSft(
  staged: readonly StagedTraining[],
  said: readonly SaidOfTraining[],
): FollowedTraining | undefined {
  const [first, second] = staged;
  if (first === undefined) return undefined;
  const entries = new Set(staged.map(({ own }) => own));
  if (
    second !== undefined &&
    (entries.size < staged.length || staged.some(({ own }) => own?.stage !== "sft"))
  )
    throw new UsageError(
      `Cannot follow "${first.found.folder}" and "${second.found.folder}" as one run: both are taken for SFT (${second.because}); follow one of them, or say in a lineage file (${setting("lineage")}) that one is rl, or name each with stage: sft where the later goes on from the earlier`,
    );
  const { found, parts } = merge(inSaidOrder(staged, said));
  return { found, parts, stage: "sft", because: first.because, isStartAssumed: false };
}

/** RL trainings, those together that were said to be of one branch. */
function groupBranches(
  staged: readonly StagedTraining[],
  said: readonly SaidOfTraining[],
): readonly (readonly StagedTraining[])[] {
  const groups: StagedTraining[][] = [];
  for (const one of inSaidOrder(staged, said)) {
    const group = groups.find(
      ([first]) =>
        first?.own !== one.own && one.own?.branch !== undefined && first?.own?.branch === one.own.branch,
    );
    if (group === undefined) groups.push([one]);
    else group.push(one);
  }
  return groups;
}

function inSaidOrder(
  staged: readonly StagedTraining[],
  said: readonly SaidOfTraining[],
): readonly StagedTraining[] {
  const rank = ({ own }: StagedTraining): number => (own === undefined ? said.length : said.indexOf(own));
  return [...staged].sort((a, b) => rank(a) - rank(b));
}

function merge(group: readonly StagedTraining[]): Pick<FollowedTraining, "found" | "parts"> {
  return {
    found: mergeTrainings(group.map(({ found, own }) => ({ found, after: own?.after }))),
    parts: group.map(({ found, own }) => ({
      folder: found.folder,
      ...(own?.steps !== undefined && { steps: own.steps }),
      ...(own?.weights !== undefined && { weights: own.weights }),
      ...(own?.after !== undefined && { after: own.after }),
    })),
  };
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
    ...trainings.flatMap(({ parts, stage, branch, from }) =>
      parts.map(({ folder, ...said }) => {
        const start = from === undefined ? {} : { branch, from };
        const rest = Object.entries({ stage, ...start, ...said }).map(
          ([key, value]) => `, ${key}: ${/[{}*]/.test(String(value)) ? JSON.stringify(value) : value}`,
        );
        return `  - { folder: ${quoteForShell(folder)}${rest.join("")} }`;
      }),
    ),
  ].join("\n");
}
