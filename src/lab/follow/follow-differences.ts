/** What the checkpoints of followed trainings say of themselves, beside what their base says. */
import { describeError } from "../../base/core/index.ts";
import { CheckpointError, compareConfigs } from "../../weights/checkpoint/index.ts";
import { nameFollowed } from "./follow-look.ts";
import type { FollowReport } from "./follow-run.ts";

/** What a checkpoint's folder says otherwise than the base's. */
export interface FollowedDifference {
  /** Id of the checkpoint. */
  readonly checkpoint: string;
  /** Sentences without their full stops, with both sides. */
  readonly texts: readonly string[];
}

/**
 * Compares the last checkpoint of each training with the base: configuration, tokenizer, chat template and generation. Empty where no
 * base is known. Where files can't be read, that is what is said.
 */
export async function compareWithBase({
  folder,
  lineage,
  trainings,
}: FollowReport): Promise<readonly FollowedDifference[]> {
  const base = lineage.find(({ stage }) => stage === "base");
  if (base === undefined) return [];
  const differences: FollowedDifference[] = [];
  for (const training of trainings) {
    const last = training.found.checkpoints.at(-1);
    const entry = last && lineage.find(({ id }) => id === nameFollowed(training, last));
    if (entry === undefined) continue;
    const texts = await compareFolders(folder.locate(base.path), folder.locate(entry.path));
    if (texts.length > 0) differences.push({ checkpoint: entry.id, texts });
  }
  return differences;
}

async function compareFolders(before: string, after: string): Promise<readonly string[]> {
  try {
    return (await compareConfigs(before, after)).map(({ text }) => text);
  } catch (error) {
    if (!(error instanceof CheckpointError)) throw error;
    return [`not compared: ${describeError(error)}`];
  }
}
