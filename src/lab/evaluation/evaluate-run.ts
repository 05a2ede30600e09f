/** The checkpoints of a run evaluated, those that are not yet: what `untwist eval RUN` does. */
import { resolve } from "node:path";
import { action, requireItem, setting, UsageError } from "../../base/core/index.ts";
import type { Effects } from "../../base/progress/index.ts";
import type { JobPlace } from "../../cluster/dispatch/index.ts";
import { carryOutJob, HandedOverError } from "../../cluster/dispatch/index.ts";
import { loadModel, type Model } from "../../engine/model/index.ts";
import {
  isFollowed,
  isPresent,
  type LineageEntry,
  openRunFolder,
  type RunFolder,
  type Summary,
  withLock,
} from "../../run/index.ts";
import { isAdapterFolder, readAdapterConfig } from "../../weights/checkpoint/index.ts";
import type { EndpointChoice, TaskChoice } from "../answer/index.ts";
import {
  type AdapterWay,
  askCheckpoint,
  checkTemplate,
  connectAdapters,
  createWorkshop,
  fitWorkshop,
  requireEndToken,
  restoreFirstModel,
  withServer,
} from "../answer/index.ts";
import { renewSummary } from "../outcome/index.ts";
import { planEvaluationJob, readPieceEvaluation, type StandaloneWay } from "./evaluation-job.ts";
import { evaluateCheckpoint, keepEvaluation } from "./keep-checkpoint.ts";
import { type EvaluationWay, settleTasks } from "./settle-tasks.ts";

export type { EvaluationWay, TaskChoice };

/** A run, and its summary once it is evaluated. */
export interface EvaluatedRun {
  readonly folder: RunFolder;
  readonly summary: Summary;
  /** Checkpoints that were evaluated now. */
  readonly evaluated: readonly string[];
}

/** Surroundings of an evaluation. */
export interface EvaluationPlace {
  readonly effects: Effects;
  readonly way: EvaluationWay;
  /** Who carries it out. Default: this process. */
  readonly job?: JobPlace | undefined;
  /** Called when a checkpoint's answers are kept. */
  readonly onEvaluated?: () => Promise<void>;
}

/**
 * Evaluates every checkpoint of a run that is not evaluated. Throws `UsageError` for a model that cannot be run that way or
 * for other tasks than the run's, and `StoppedError`; what is evaluated by then is kept.
 */
export async function evaluateRun(
  path: string,
  choice: TaskChoice,
  place: EvaluationPlace,
): Promise<EvaluatedRun> {
  const opened = await openRunFolder(path);
  if (place.job !== undefined && place.way.way === "adapters")
    throw new UsageError(
      `Cannot evaluate with both ${setting("executor")} and ${setting("loraEndpoint")}: one server answers for all checkpoints; leave one of them out`,
    );
  return await withLock(opened, async () => {
    const missing = await listMissing(opened, place.effects);
    const isEmbedded = place.way.way === "embedded" && missing.length > 0;
    const model = isEmbedded ? await restoreFirstModel(opened) : undefined;
    if (model !== undefined) requireEndToken(model.config, `the first checkpoint of "${path}"`);
    const isDry = place.job?.mode === "describe";
    if (isDry && missing.length === 0)
      throw new HandedOverError("All checkpoints are evaluated: nothing would be submitted", []);
    const folder = await settleTasks(opened, { ...place, choice, isDry, model, missing });
    place.effects.report({ kind: "planned", stages: [], numEvaluations: missing.length });
    if (missing.length > 0) await evaluateMissing(folder, missing, { ...place, model });
    if (isFollowed(folder.recipe)) await renewSummary(folder);
    const summary = await folder.readSummary();
    if (summary === undefined)
      throw new UsageError(
        `Cannot sum up "${path}": its training is not finished; continue it with: ${action("resume", path)}`,
      );
    return { folder, summary, evaluated: missing.map(({ id }) => id) };
  });
}

/** Checkpoints that are not evaluated; those whose trainer has deleted them are told and left out. */
async function listMissing(folder: RunFolder, { report }: Effects): Promise<readonly LineageEntry[]> {
  const missing: LineageEntry[] = [];
  for (const entry of await folder.readLineage()) {
    if (await folder.hasEvaluation(entry.id)) continue;
    if (isFollowed(folder.recipe) && !(await isPresent(folder.locate(entry.path))))
      report({ kind: "notice", text: `${entry.id} cannot be evaluated any more: ${entry.path} is gone` });
    else missing.push(entry);
  }
  return missing;
}

async function evaluateMissing(
  folder: RunFolder,
  missing: readonly LineageEntry[],
  place: EvaluationPlace & { readonly model: Model | undefined },
): Promise<void> {
  const { way, model, job } = place;
  if (way.way === "serve") checkTemplate(way.template);
  if (job !== undefined && way.way !== "adapters") await evaluateByJob(folder, { ...place, job, way });
  else if (way.way === "serve") {
    for (const entry of missing)
      await withServer(way, folder.locate(entry.path), place.effects, (server) =>
        evaluateServed(folder, entry, { ...place, choice: { ...way.asking, ...server } }),
      );
  } else if (way.way === "adapters") await evaluateAdapters(folder, missing, { ...place, way });
  else if (model !== undefined) await evaluateEmbedded(folder, missing, { ...place, model });
}

/** Checkpoints evaluated by an executor; each is kept as soon as its answers are there. */
async function evaluateByJob(
  folder: RunFolder,
  place: EvaluationPlace & {
    readonly model: Model | undefined;
    readonly job: JobPlace;
    readonly way: StandaloneWay;
  },
): Promise<void> {
  const { way, effects, onEvaluated } = place;
  const entries: LineageEntry[] = [];
  for (const entry of await folder.readLineage())
    if (await isPresent(folder.locate(entry.path))) entries.push(entry);
  const plan = await planEvaluationJob(folder, entries, { ...place, way });
  const { profile, executor } = place.job;
  // Servers on one machine would share its GPUs.
  const isShared = way.way === "serve" && executor === "local" && profile.atMost === undefined;
  const job = isShared ? { ...place.job, profile: { ...profile, atMost: 1 } } : place.job;
  await carryOutJob(plan, job, effects, {
    prepare: async (job) => {
      const results = await job.listResults();
      for (const [piece, { id }] of entries.entries())
        if (!results.has(piece) && (await folder.hasEvaluation(id)))
          await job.keepResult(piece, { ms: 0, items: await folder.readEvaluation(id) });
    },
    onResult: async (job, piece) => {
      const { id } = requireItem(entries, piece);
      if (await folder.hasEvaluation(id)) return;
      await keepEvaluation(folder, { checkpoint: id, ...(await readPieceEvaluation(job, piece)) }, effects);
      await onEvaluated?.();
    },
  });
}

/** Checkpoints that are adapters, one after the other at one server; the base itself under its own name. */
async function evaluateAdapters(
  folder: RunFolder,
  missing: readonly LineageEntry[],
  place: EvaluationPlace & { readonly way: AdapterWay },
): Promise<void> {
  const { way, effects } = place;
  const { base, adapters } = await findCommonBase(folder, missing);
  const server = await connectAdapters(way, base, effects);
  for (const entry of missing) {
    const ask = (model: string): Promise<void> =>
      evaluateServed(folder, entry, { ...place, choice: { ...way.asking, url: way.url, model } });
    if (adapters.has(entry.id)) await server.withAdapter(folder.locate(entry.path), ask);
    else await ask(server.base);
  }
}

/** The model that all adapters of a run belong to. Throws `UsageError` where one of the checkpoints is neither. */
async function findCommonBase(
  folder: RunFolder,
  missing: readonly LineageEntry[],
): Promise<{ readonly base: string; readonly adapters: ReadonlySet<string> }> {
  const bases = new Map<string, string>();
  for (const { id, path } of await folder.readLineage()) {
    const place = folder.locate(path);
    if (!(await isAdapterFolder(place))) continue;
    const { base: named } = await readAdapterConfig(place);
    if (named !== undefined) bases.set(id, resolve(place, named));
  }
  const [base] = bases.values();
  if (base === undefined)
    throw new UsageError(
      `Cannot evaluate ${missing[0]?.id} at one server: the run has no adapters; evaluate whole checkpoints with ${setting("serve")}`,
    );
  for (const { id, path } of missing)
    if ((bases.get(id) ?? resolve(folder.locate(path))) !== base)
      throw new UsageError(
        `Cannot evaluate ${id} at one server: it is no adapter to "${base}"; evaluate whole checkpoints with ${setting("serve")}`,
      );
  return { base, adapters: new Set(bases.keys()) };
}

/** Asks a server's model as a checkpoint of a run, and keeps the evaluation. */
async function evaluateServed(
  folder: RunFolder,
  { id, path }: LineageEntry,
  {
    choice,
    effects,
    onEvaluated,
  }: EvaluationPlace & { readonly choice: Omit<EndpointChoice, "maxNewTokens"> },
): Promise<void> {
  const startMs = effects.now();
  const items = await askCheckpoint(folder, id, { path: folder.locate(path), choice, effects });
  await keepEvaluation(folder, { checkpoint: id, items, ms: effects.now() - startMs }, effects);
  await onEvaluated?.();
}

async function evaluateEmbedded(
  folder: RunFolder,
  missing: readonly LineageEntry[],
  { model: first, effects, onEvaluated }: EvaluationPlace & { readonly model: Model },
): Promise<void> {
  let workshop = await createWorkshop(folder, first, effects);
  try {
    for (const { id, path } of missing) {
      const model = await loadModel(folder.locate(path));
      workshop = await fitWorkshop(workshop, { checkpoint: id, model });
      await evaluateCheckpoint(workshop, { checkpoint: id, parameters: model.parameters });
      await onEvaluated?.();
    }
  } finally {
    await workshop.release();
  }
}
