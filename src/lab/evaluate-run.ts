/** The checkpoints of a run evaluated, those that are not yet: what `untwist eval RUN` does. */
import { resolve } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { UsageError } from "../base/index.ts";
import { isAdapterFolder, readAdapterConfig } from "../checkpoint/index.ts";
import { openEnvironment, type Rendering, splits } from "../environment/index.ts";
import { loadModel, type Model } from "../model/index.ts";
import {
  type AskedTasks,
  evaluationSchema,
  type FollowRecipe,
  findTasks,
  isFollowed,
  type LineageEntry,
  openRunFolder,
  type RunFolder,
  type Summary,
} from "../run/index.ts";
import { type AdapterWay, connectAdapters } from "./adapter-server.ts";
import { askCheckpoint } from "./ask-checkpoint.ts";
import type { EndpointChoice } from "./ask-endpoint.ts";
import { carryOutJob, HandedOverError } from "./carry-out-job.ts";
import { checkCount, checkDemand } from "./check-model.ts";
import type { Effects } from "./effects.ts";
import { planEvaluationJob, readPieceEvaluation, type StandaloneWay } from "./evaluation-job.ts";
import { renewSummary } from "./follow-run.ts";
import { isPresent } from "./is-present.ts";
import type { JobPlace } from "./job-place.ts";
import { evaluateCheckpoint, keepEvaluation } from "./keep-checkpoint.ts";
import { withLock } from "./run-lock.ts";
import { checkTemplate, type ServeWay, withServer } from "./serve-checkpoint.ts";
import { createWorkshop, restoreFirstModel } from "./workshop.ts";

/** What checkpoints are to be asked, as far as it was said. */
export interface TaskChoice {
  readonly environment?: string | undefined;
  readonly rendering?: Rendering | undefined;
  readonly numTasks?: number | undefined;
  readonly seed?: number | undefined;
  readonly numAttempts?: number | undefined;
  readonly maxNewTokens?: number | undefined;
}

/** Who gives the answers: the embedded engine, a server started for each checkpoint, or one that takes adapters. */
export type EvaluationWay = { readonly way: "embedded" } | ServeWay | AdapterWay;

/** A run, and its summary once it is evaluated. */
export interface EvaluatedRun {
  readonly folder: RunFolder;
  readonly summary: Summary;
  /** Checkpoints that were evaluated now. */
  readonly evaluated: readonly string[];
}

/** Surroundings of an evaluation. */
export interface EvaluationPlace {
  /** The command that continues. */
  readonly command: string;
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
      "Cannot evaluate with both --on and --lora-endpoint: one server answers for all checkpoints; leave one of them out",
    );
  return await withLock(opened, async () => {
    const missing = await listMissing(opened, place.effects);
    const isEmbedded = place.way.way === "embedded" && missing.length > 0;
    const model = isEmbedded ? await restoreFirstModel(opened) : undefined;
    const isDry = place.job?.mode === "describe";
    if (isDry && missing.length === 0)
      throw new HandedOverError("All checkpoints are evaluated: nothing would be submitted", []);
    const folder = await settleTasks(opened, { choice, way: place.way, isDry }, model);
    place.effects.report({ kind: "planned", stages: [], numEvaluations: missing.length });
    if (missing.length > 0) await evaluateMissing(folder, missing, { ...place, model });
    if (isFollowed(folder.recipe)) await renewSummary(folder);
    const summary = await folder.readSummary();
    if (summary === undefined)
      throw new UsageError(
        `Cannot sum up "${path}": its training is not finished; continue it with: untwist run --resume --out ${path}`,
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
      await withServer(way, folder.locate(entry.path), place, (server) =>
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
      const { id } = entries[piece] ?? { id: "" };
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
      `Cannot evaluate ${missing[0]?.id} at one server: the run has no adapters; evaluate whole checkpoints with --serve`,
    );
  for (const { id, path } of missing)
    if ((bases.get(id) ?? resolve(folder.locate(path))) !== base)
      throw new UsageError(
        `Cannot evaluate ${id} at one server: it is no adapter to "${base}"; evaluate whole checkpoints with --serve`,
      );
  return { base, adapters: new Set(bases.keys()) };
}

/** Asks a server's model as a checkpoint of a run, and keeps the evaluation. */
async function evaluateServed(
  folder: RunFolder,
  { id }: LineageEntry,
  {
    choice,
    command,
    effects,
    onEvaluated,
  }: EvaluationPlace & { readonly choice: Omit<EndpointChoice, "maxNewTokens"> },
): Promise<void> {
  const startMs = effects.now();
  const items = await askCheckpoint(folder, id, { choice, command, effects });
  await keepEvaluation(folder, { checkpoint: id, items, ms: effects.now() - startMs }, effects);
  await onEvaluated?.();
}

async function evaluateEmbedded(
  folder: RunFolder,
  missing: readonly LineageEntry[],
  { model: first, command, effects, onEvaluated }: EvaluationPlace & { readonly model: Model },
): Promise<void> {
  const workshop = await createWorkshop(folder, first, effects);
  try {
    for (const { id, path } of missing) {
      const model = await loadModel(folder.locate(path));
      requireSameSizes(id, model, first);
      await evaluateCheckpoint(workshop, { checkpoint: id, parameters: model.parameters, command });
      await onEvaluated?.();
    }
  } finally {
    await workshop.release();
  }
}

function requireSameSizes(id: string, { config }: Model, first: Model): void {
  if (JSON.stringify(config) !== JSON.stringify(first.config))
    throw new UsageError(
      `Cannot evaluate ${id} beside the other checkpoints: its config.json describes another model; follow checkpoints of one model`,
    );
}

/**
 * The run, asked what is wanted. What a followed run is asked is settled once, so that all its checkpoints can be compared.
 * Throws `UsageError` where that was settled otherwise, or no environment was ever named.
 */
async function settleTasks(
  folder: RunFolder,
  {
    choice,
    way,
    isDry,
  }: { readonly choice: TaskChoice; readonly way: EvaluationWay; readonly isDry: boolean },
  model: Model | undefined,
): Promise<RunFolder> {
  const settled = findTasks(folder.recipe);
  // What was settled for an evaluation that failed binds nobody.
  if (settled !== undefined && (!isFollowed(folder.recipe) || (await hasEvaluations(folder)))) {
    requireSameTasks(folder.path, settled, choice);
    if (isFollowed(folder.recipe)) requireSameAsking(folder.path, folder.recipe.asking, describeAsking(way));
    return folder;
  }
  const { recipe } = folder;
  if (!isFollowed(recipe)) throw new RangeError("Cannot settle the tasks of a run that trains itself");
  const environment = choice.environment ?? settled?.environment;
  if (environment === undefined)
    throw new UsageError(
      `Cannot evaluate "${folder.path}": nobody said yet what its checkpoints are asked; name it, as in --environment general-points`,
    );
  const tasks = await chooseTasks({ ...choice, environment }, model);
  const asked = { ...recipe, ...tasks, asking: describeAsking(way) };
  // Told again what it says already, the recipe stays as it is.
  if (isDeepStrictEqual(asked, recipe)) return folder;
  if (isDry) return { ...folder, recipe: asked };
  await folder.writeRecipe(asked);
  return await openRunFolder(folder.path);
}

async function hasEvaluations(folder: RunFolder): Promise<boolean> {
  for (const { id } of await folder.readLineage()) if (await folder.hasEvaluation(id)) return true;
  return false;
}

type Asking = NonNullable<FollowRecipe["asking"]>;

/** What answers depend on beside the tasks. */
function describeAsking(way: EvaluationWay): Asking {
  if (way.way === "embedded") return { engine: "embedded" };
  const { api, temperature, fields } = way.asking;
  return { engine: "server", api, temperature, fields };
}

/** Throws `UsageError` where the checkpoints so far were asked in another way: their answers could not be compared. */
function requireSameAsking(path: string, settled: Asking | undefined, now: Asking): void {
  const before: Asking = settled ?? { engine: "embedded" };
  for (const key of ["engine", "api", "temperature", "fields"] as const)
    if (JSON.stringify(before[key]) !== JSON.stringify(now[key]))
      throw new UsageError(
        key === "engine"
          ? `Cannot evaluate "${path}" ${now.engine === "server" ? "through a server" : "on the embedded engine"}: its other checkpoints were asked ${before.engine === "server" ? "through a server (give --serve or --lora-endpoint)" : "on the embedded engine"}`
          : `Cannot evaluate "${path}" with ${key} ${JSON.stringify(now[key])}: its checkpoints are asked with ${JSON.stringify(before[key])}; leave it out, or follow the checkpoints into another run`,
      );
}

async function chooseTasks(
  choice: TaskChoice & { readonly environment: string },
  model: Model | undefined,
): Promise<AskedTasks> {
  const environment = await openEnvironment(choice.environment);
  const { seed, numAttempts, maxNewTokens = 64 } = choice;
  const { numTasks = Math.min(200, ...Object.values(environment.numTasks ?? {})) } = choice;
  if (numTasks < 2)
    throw new UsageError(
      `Cannot ask ${numTasks} task of a kind: half of them find the peak and half measure what was forgotten, so that 2 are the least; raise --count, or add questions to ${choice.environment}`,
    );
  checkCount(environment, { splits, numTasks });
  const ask = (rendering: Rendering): AskedTasks => {
    if (model !== undefined) checkDemand(model, { environment, rendering, maxNewTokens });
    return {
      environment: choice.environment,
      rendering,
      evaluation: evaluationSchema.parse({
        numTasks,
        maxNewTokens,
        numAttempts: numAttempts ?? environment.numAttempts[rendering],
        ...(seed !== undefined && { seed }),
      }),
    };
  };
  if (choice.rendering !== undefined) return ask(choice.rendering);
  const [only, ...others] = environment.renderings;
  if (only !== undefined && others.length === 0) return ask(only);
  // Servers have models that chat; our small ones know the words of the compact rendering only.
  if (model === undefined) return ask("chat");
  try {
    return ask("compact");
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    return ask("chat");
  }
}

function requireSameTasks(
  path: string,
  { environment, rendering, evaluation }: AskedTasks,
  choice: TaskChoice,
): void {
  const settled: TaskChoice = { environment, rendering, ...evaluation };
  for (const key of Object.keys(choice) as (keyof TaskChoice)[])
    if (choice[key] !== undefined && choice[key] !== settled[key])
      throw new UsageError(
        `Cannot evaluate "${path}" with ${key} ${choice[key]}: its checkpoints are asked with ${settled[key]}, and only the same tasks can be compared; leave it out, or follow the checkpoints into another run`,
      );
}
