/** What giving a command would submit, in words and as the executor is told it. */
import { join } from "node:path";
import { type Executor, isDetached } from "../executor/index.ts";
import {
  computeJobId,
  createSubmission,
  findJob,
  isOpen,
  type JobPlan,
  listHistory,
  type PlainRule,
  placeSubmission,
  planGroups,
} from "../job/index.ts";

/** What giving the command would submit: without what is done, runs or waits already. */
export async function describeJob(
  plan: JobPlan,
  { rule, executor, home }: { readonly rule: PlainRule; readonly executor: Executor; readonly home: string },
): Promise<string> {
  const known = await findJob(home, computeJobId(plan));
  const results = (await known?.listResults()) ?? new Set<number>();
  const before = (await known?.readSubmissions()) ?? [];
  // Whoever gives the command wants what failed to be tried again; what a dead process left open is not under way.
  const history = listHistory(
    before
      .filter((one) => isDetached(one.executor) || !isOpen(one))
      .map((one) => ({ ...one, isForgiven: true })),
  );
  const missing = plan.pieces
    .map((piece, index) => ({ index, piece }))
    .filter(({ index }) => !results.has(index));
  const wanted = missing.filter(({ index }) => history.get(index)?.isOpen !== true);
  const { groups } = await planGroups(wanted, { history, rule, executor });
  const texts = await Promise.all(
    groups.map(async (group, offset) => {
      const submission = createSubmission(group, { number: before.length + offset, executor: executor.name });
      return await executor.describe(
        known === undefined
          ? { ...submission, job: "JOB", made: "TIME", folder: join(home, "JOB") }
          : placeSubmission(known, submission),
      );
    }),
  );
  const numPacks = groups.reduce((sum, { packs }) => sum + packs.length, 0);
  const seconds = wanted.reduce((sum, { piece }) => sum + piece.seconds, 0);
  const others = [
    ...(results.size === 0 ? [] : [`${results.size} more are done`]),
    ...(missing.length === wanted.length ? [] : [`${missing.length - wanted.length} more are under way`]),
  ].join(", ");
  const head = `${countNoun(wanted.length, "piece")} of ${plan.kind}${others === "" ? "" : ` (${others})`} in ${countNoun(numPacks, "pack")}, about ${formatHours(seconds)} of one core`;
  return [head, ...texts].join("\n\n");
}

/** `1 piece`, `2 pieces`. */
export const countNoun = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? "" : "s"}`;

function formatHours(seconds: number): string {
  if (seconds < 120) return `${Math.ceil(seconds)} seconds`;
  return seconds < 7200 ? `${Math.ceil(seconds / 60)} minutes` : `${(seconds / 3600).toFixed(1)} hours`;
}
