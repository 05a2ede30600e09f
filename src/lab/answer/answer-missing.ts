/** Subjects answered, those that have no answers yet: here, one after the other, or by a job. The one loop of evaluations and repairs. */
import { requireItem, setting, UsageError } from "../../base/core/index.ts";
import { createPhases, type Effects } from "../../base/progress/index.ts";
import { carryOutJob, HandedOverError, type JobOptions } from "../../cluster/dispatch/index.ts";
import { planAnswerJob, readPieceAnswers } from "./answer-job.ts";
import type { AnswerSource, StandaloneSource } from "./answer-source.ts";
import type { AnswerWork } from "./answer-work.ts";
import type { Answerer, Subject } from "./answerer.ts";
import { describeAssignment } from "./assignment.ts";
import { openAnswerer } from "./open-answerer.ts";

/** Who answers, and where. */
export interface AnswerOptions {
  /** An answerer that is open, or where to get one. */
  readonly answerer: Answerer | AnswerSource;
  /** Who carries it out. Default: this process. */
  readonly job?: JobOptions | undefined;
  readonly effects: Effects;
}

/**
 * Answers all subjects that have no answers; each is kept as soon as it is answered. Throws as `Answerer.answer` and
 * `carryOutJob`; what is kept by then stays.
 */
export async function answerMissing<One extends Subject>(
  work: AnswerWork<One>,
  { answerer: given, job, effects }: AnswerOptions,
): Promise<void> {
  const missing: One[] = [];
  for (const subject of work.subjects) if (!(await work.isKept(subject))) missing.push(subject);
  if (missing.length === 0) {
    if (job?.mode === "describe") throw new HandedOverError(work.nothingMissing, []);
    return;
  }
  const isOpen = "answer" in given;
  const answerer = isOpen ? given : openAnswerer(given, describeAssignment(work.folder), effects);
  try {
    if (job === undefined) await answerHere(work, missing, { answerer, effects });
    else await answerByJob(work, missing, { source: requireStandalone(given), job, effects });
  } finally {
    if (!isOpen) await answerer.close();
  }
}

async function answerHere<One extends Subject>(
  { subjects, keep, kind }: AnswerWork<One>,
  missing: readonly One[],
  { answerer, effects }: { readonly answerer: Answerer; readonly effects: Effects },
): Promise<void> {
  const [preparing = effects, answering = effects] = createPhases(effects, [1, missing.length]);
  await answerer.prepare({ all: subjects, missing }, preparing);
  for (const [index, subject] of missing.entries()) {
    const startMs = effects.now();
    const answers = await answerer.answer(subject);
    await keep(subject, { ...answers, ms: effects.now() - startMs });
    const doneFraction = (index + 1) / missing.length;
    if (kind === "repair") answering.report({ kind: "progress", work: kind, what: subject.id, doneFraction });
  }
}

/** Throws `UsageError` where a job is to be made of what shares one server: processes elsewhere have none of their own. */
export function requireOwnServers(source: AnswerSource, job: JobOptions | undefined): void {
  if (job !== undefined && toStandalone(source) === undefined)
    throw new UsageError(
      `Cannot use both ${setting("executor")} and ${setting("loraEndpoint")}: one server answers for all; leave one of them out`,
    );
}

/** Prepares here, once, and not in each of the processes that begin together; nothing of it stays in memory while they work. */
async function prepareOnce<One extends Subject>(
  { folder, subjects }: AnswerWork<One>,
  missing: readonly One[],
  { source, effects }: { readonly source: StandaloneSource; readonly effects: Effects },
): Promise<void> {
  const answerer = openAnswerer(source, describeAssignment(folder), effects);
  try {
    await answerer.prepare({ all: subjects, missing }, effects);
  } finally {
    await answerer.close();
  }
}

/** What processes elsewhere are told of a source; `undefined` of one that is not theirs to use. A new kind is to be decided on here. */
function toStandalone(source: AnswerSource): StandaloneSource | undefined {
  switch (source.kind) {
    case "embedded":
      return { kind: "embedded" };
    case "server":
      return source;
    case "adapters":
    case "endpoint":
      return undefined;
  }
}

/** The same; an answerer that is open here is the embedded engine there. Throws `RangeError` where `requireOwnServers` would refuse. */
function requireStandalone(given: Answerer | AnswerSource): StandaloneSource {
  if ("answer" in given) return { kind: "embedded" };
  const source = toStandalone(given);
  if (source === undefined)
    throw new RangeError(`Cannot hand ${given.kind} over: processes elsewhere cannot use it`);
  return source;
}

async function answerByJob<One extends Subject>(
  work: AnswerWork<One>,
  missing: readonly One[],
  {
    source,
    job: place,
    effects,
  }: {
    readonly source: StandaloneSource;
    readonly job: JobOptions;
    readonly effects: Effects;
  },
): Promise<void> {
  const { subjects, isKept, readKept, keep } = work;
  const plan = await planAnswerJob(work, source);
  const { profile, executor } = place;
  // Servers on one machine would share its GPUs.
  const isShared = source.kind === "server" && executor === "local" && profile.atMost === undefined;
  const job = isShared ? { ...place, profile: { ...profile, atMost: 1 } } : place;
  await carryOutJob(plan, job, effects, {
    prepare: async (known) => {
      await prepareOnce(work, missing, { source, effects });
      const results = await known.listResults();
      for (const [piece, subject] of subjects.entries())
        if (!results.has(piece) && (await isKept(subject)))
          await known.keepResult(piece, await readKept(subject));
    },
    onResult: async (known, piece) => {
      const subject = requireItem(subjects, piece);
      if (!(await isKept(subject))) await keep(subject, await readPieceAnswers(known, piece));
    },
  });
}
