/** What the checkpoints of a run are asked and who answers, settled once: only what was asked in the same way can be compared. */
import { isDeepStrictEqual } from "node:util";
import { setting, UsageError } from "../../base/core/index.ts";
import type { Effects } from "../../base/progress/index.ts";
import { findChatTemplate, type Model, type TemplateUse } from "../../engine/model/index.ts";
import {
  type AskedTasks,
  type FollowRecipe,
  findTasks,
  isFollowed,
  type LineageEntry,
  openRunFolder,
  type RunFolder,
} from "../../run/index.ts";
import { openEnvironment, splits } from "../../tasks/environment/index.ts";
import {
  chooseTasks,
  chooseTemplate,
  identifyJudge,
  type RunSource,
  requireSameJudge,
  resolveEnvironment,
  type TaskChoice,
} from "../answer/index.ts";

/** What is wanted of a run. */
export interface Settling {
  readonly choice: TaskChoice;
  readonly source: RunSource;
  readonly effects: Effects;
  /** Whether nothing may be written. */
  readonly isDry: boolean;
  /** Where the embedded engine answers: any of the checkpoints. */
  readonly model: Model | undefined;
  /** Checkpoints that are to be asked now. */
  readonly missing: readonly Pick<LineageEntry, "id" | "path">[];
}

/**
 * The run, asked what is wanted. What a followed run is asked is settled once, so that all its checkpoints can be compared.
 * Throws `UsageError` where that was settled otherwise, or no environment was ever named.
 */
export async function settleTasks(folder: RunFolder, place: Settling): Promise<RunFolder> {
  const { choice, source, model } = place;
  const settled = findTasks(folder.recipe);
  // What was settled for an evaluation that failed binds nobody.
  if (settled !== undefined && (!isFollowed(folder.recipe) || (await hasEvaluations(folder)))) {
    requireSameTasks(folder, settled, choice);
    await requireSameAsking(folder, place);
    return folder;
  }
  const { recipe } = folder;
  if (!isFollowed(recipe)) throw new RangeError("Cannot settle the tasks of a run that trains itself");
  const named = choice.environment ?? settled?.environment;
  if (named === undefined)
    throw new UsageError(
      `Cannot evaluate "${folder.path}": no environment is chosen for its checkpoints yet; name one, as in ${setting("environment", "general-points")}`,
    );
  const template = source.kind === "embedded" ? source.template : undefined;
  const environment = resolveEnvironment(named);
  const tasks = await chooseTasks({ ...choice, environment }, { splits, model, template });
  requireTwo(tasks);
  if (source.kind === "embedded") await requireOneTemplate(folder, tasks, place);
  const asked = { ...recipe, ...tasks, asking: await describeAsking(tasks, { ...place, template }) };
  // Told again what it says already, the recipe stays as it is.
  if (isDeepStrictEqual(asked, recipe)) return folder;
  if (place.isDry) return { ...folder, recipe: asked };
  await folder.writeRecipe(asked);
  return await openRunFolder(folder.path);
}

/** Throws `UsageError` for a single task per split: it cannot be halved. */
function requireTwo({ environment, evaluation: { numTasks } }: AskedTasks): void {
  if (numTasks < 2)
    throw new UsageError(
      `Cannot ask ${numTasks} task of a kind: half of them find the peak and half measure what was forgotten, so that 2 are the least; raise ${setting("numTasks")}, or add questions to ${environment}`,
    );
}

/** Throws `UsageError` where chats would be put to some checkpoints by their template and to others by plain text. */
async function requireOneTemplate(
  { path, locate }: RunFolder,
  { promptFormat }: AskedTasks,
  { source, missing }: Settling,
): Promise<void> {
  if (promptFormat !== "chat" || source.kind !== "embedded" || source.template === "none") return;
  const found = new Map<boolean, string>();
  for (const { id, path: place } of missing) found.set(await findChatTemplate(locate(place)), id);
  const [templated, plain] = [found.get(true), found.get(false)];
  if (templated !== undefined && plain !== undefined)
    throw new UsageError(
      `Cannot ask the checkpoints of "${path}" alike: ${templated} has a chat template and ${plain} has none; put that chat_template.jinja beside ${plain}, or ask all by plain text with ${setting("template", "none")}`,
    );
}

async function hasEvaluations(folder: RunFolder): Promise<boolean> {
  for (const { id } of await folder.readLineage()) if (await folder.hasEvaluation(id)) return true;
  return false;
}

type Asking = NonNullable<FollowRecipe["asking"]>;

/** Who is to be asked, and whether anybody is. */
type AskedNow = Pick<Settling, "source" | "model" | "effects"> & { readonly missing: readonly unknown[] };

/** What answers depend on beside the tasks. */
async function describeAsking(
  { environment, promptFormat }: AskedTasks,
  {
    source,
    model,
    effects,
    missing,
    template,
  }: AskedNow & {
    readonly template: TemplateUse | undefined;
  },
): Promise<Asking> {
  if (source.kind === "embedded")
    return {
      engine: "embedded",
      template: model === undefined ? template : chooseTemplate(model, { promptFormat, template }),
    };
  const { api, temperature, fields } = source.requests;
  // Where nobody is asked any more, no judge need be there.
  const judge =
    missing.length === 0
      ? undefined
      : await identifyJudge(await openEnvironment(environment), source.requests, effects);
  return { engine: "server", api, temperature, fields, ...(judge !== undefined && { judge }) };
}

/**
 * Throws `UsageError` where the checkpoints of a followed run so far were asked in another way: their answers could not be
 * compared.
 */
export async function requireSameAsking({ path, recipe }: RunFolder, place: AskedNow): Promise<void> {
  const tasks = findTasks(recipe);
  if (!isFollowed(recipe) || tasks === undefined) return;
  const { source } = place;
  const before: Asking = recipe.asking ?? { engine: "embedded" };
  // Runs of older versions put plain prompts.
  const settled = before.template ?? "none";
  const template = source.kind === "embedded" ? (source.template ?? settled) : undefined;
  const now = await describeAsking(tasks, { ...place, template });
  if (before.engine !== now.engine)
    throw new UsageError(
      `Cannot evaluate "${path}" ${now.engine === "server" ? "through a server" : "on the embedded engine"}: its other checkpoints were asked ${before.engine === "server" ? `through a server (give ${setting("serve")} or ${setting("loraEndpoint")})` : "on the embedded engine"}`,
    );
  if (now.engine === "embedded") return requireSame(path, "template", [settled, now.template]);
  for (const key of ["api", "temperature", "fields"] as const)
    requireSame(path, key, [before[key], now[key]]);
  requireSameJudge(path, before.judge, now.judge);
}

/** What a followed run is told to do that would be asked otherwise. */
const otherRun = "leave it out, or follow the checkpoints into another run";

function requireSame(
  path: string,
  key: "template" | "api" | "temperature" | "fields",
  [before, now]: readonly [unknown, unknown],
): void {
  if (!isDeepStrictEqual(before, now))
    throw new UsageError(
      `Cannot evaluate "${path}" with ${setting(key, JSON.stringify(now))}: its checkpoints are asked with ${JSON.stringify(before)}; ${otherRun}`,
    );
}

function requireSameTasks(
  { path, recipe }: Pick<RunFolder, "path" | "recipe">,
  { environment, promptFormat, evaluation }: AskedTasks,
  { environment: named, ...choice }: TaskChoice,
): void {
  const settled: TaskChoice = { environment: resolveEnvironment(environment), promptFormat, ...evaluation };
  const wanted: TaskChoice = {
    ...choice,
    environment: named === undefined ? undefined : resolveEnvironment(named),
  };
  const remedy = isFollowed(recipe)
    ? otherRun
    : "leave it out: a run that trains is asked what its recipe says";
  for (const key of Object.keys(wanted) as (keyof TaskChoice)[])
    if (wanted[key] !== undefined && wanted[key] !== settled[key])
      throw new UsageError(
        `Cannot evaluate "${path}" with ${setting(key, String(wanted[key]))}: its checkpoints are asked with ${settled[key]}, and only the same tasks can be compared; ${remedy}`,
      );
}
