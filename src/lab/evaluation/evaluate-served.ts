/** Evaluating a model behind a server outside of any run: one that runs already, or one that is started for a checkpoint. */
import { realpath } from "node:fs/promises";
import { UsageError } from "../../base/core/index.ts";
import { pathExists } from "../../base/file/index.ts";
import type { Effects } from "../../base/progress/index.ts";
import type { AskedTasks } from "../../run/index.ts";
import type { Split } from "../../tasks/environment/index.ts";
import { aggregate, type SplitResult } from "../../tasks/evaluation/index.ts";
import { type AnswerSource, type Answers, describeStandalone, openAnswerer } from "../answer/index.ts";

/** What is asked of a model behind a server. */
export interface ServedOptions {
  readonly tasks: AskedTasks;
  readonly splits: readonly Split[];
  /** The checkpoint that a server is started for; absent where one runs already. */
  readonly checkpoint?: string;
  /** The file that keeps the answers; absent means one in the cache, named after model and settings. */
  readonly answers?: string | undefined;
}

/** Counts by split, whose answers they are, and what they took. */
export type ServedEvaluation = NonNullable<Answers["served"]> &
  Pick<Answers, "items"> & { readonly results: Readonly<Partial<Record<Split, SplitResult>>> };

/** Asks all tasks. Throws as `Answerer.answer`; answers given by then are kept, and not asked again. */
export async function evaluateServed(
  source: AnswerSource<"server" | "endpoint">,
  { tasks, splits, checkpoint, answers }: ServedOptions,
  effects: Effects,
): Promise<ServedEvaluation> {
  const assignment = {
    ...describeStandalone(tasks, { splits, owner: "the model" }),
    locateAnswers: () => answers,
  };
  const answerer = openAnswerer(source, assignment, effects);
  try {
    const path = checkpoint === undefined ? "" : await locate(checkpoint);
    const { items, served } = await answerer.answer({ kind: "checkpoint", id: checkpoint ?? "", path });
    if (served === undefined) throw new RangeError("Cannot evaluate a model behind a server: none answered");
    const results = Object.fromEntries(splits.map((split) => [split, aggregate(items, split)]));
    return { ...served, items, results };
  } finally {
    await answerer.close();
  }
}

async function locate(checkpoint: string): Promise<string> {
  if (await pathExists(checkpoint)) return await realpath(checkpoint);
  throw new UsageError(
    `Cannot evaluate "${checkpoint}": there is nothing of that name; name a checkpoint folder`,
  );
}
