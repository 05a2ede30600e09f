/** What models are asked, where it was not said in full: the same defaults for one model, one server and all checkpoints of a run. */
import { resolve } from "node:path";
import { setting, UsageError } from "../../base/core/index.ts";
import { hasChatTemplate, type ModelDescription, type TemplateUse } from "../../engine/model/index.ts";
import { type AskedTasks, evaluationLimits } from "../../run/index.ts";
import {
  checkCount,
  type Environment,
  openEnvironment,
  type PromptFormat,
  type Split,
} from "../../tasks/environment/index.ts";
import { createTasks } from "../../tasks/evaluation/index.ts";
import { MissingWordsError, measurePrompts } from "./check-demand.ts";

/** What checkpoints are to be asked, as far as it was said. */
export interface TaskChoice {
  readonly environment?: string | undefined;
  readonly promptFormat?: PromptFormat | undefined;
  readonly numTasks?: number | undefined;
  readonly seed?: number | undefined;
  readonly numAttempts?: number | undefined;
  readonly maxNewTokens?: number | undefined;
}

/** Tasks per split where nobody says how many. */
const usualNumTasks = 200;

/** Tasks that the embedded engine answers and scores together. */
const batchSize = 128;

/** Longest answer in tokens where nobody says: words of a small vocabulary, or the sentences of a model that chats. */
const usualMaxNewTokens: Readonly<Record<PromptFormat, number>> = { compact: 64, chat: 512 };

/** Who is asked. */
export interface Asked {
  readonly splits: readonly Split[];
  /** Where the embedded engine answers. */
  readonly model?: ModelDescription | undefined;
  /** How the embedded engine is to be asked, where that was said. */
  readonly template?: TemplateUse | undefined;
}

/** The name of an environment wherever one is: a user's own questions by their absolute folder. */
export function resolveEnvironment(name: string): string {
  const [, folder] = /^items:(.+)$/.exec(name) ?? [];
  return folder === undefined ? name : `items:${resolve(folder)}`;
}

/**
 * How tasks are put to a model of the embedded engine: by its own template where it has one and they are chats. Throws `UsageError`
 * where its template was asked for and it has none.
 */
export function chooseTemplate(
  { tokenizer }: Pick<ModelDescription, "tokenizer">,
  {
    promptFormat,
    template,
  }: { readonly promptFormat: PromptFormat; readonly template?: TemplateUse | undefined },
): TemplateUse {
  if (promptFormat !== "chat") return "none";
  if (hasChatTemplate(tokenizer)) return template ?? "model";
  if (template === "model")
    throw new UsageError(
      `Cannot put chats by the model's own template: it has none; put a chat_template.jinja beside it, or leave ${setting("template")} out for plain text`,
    );
  return "none";
}

/** What is asked, in full. Throws `UsageError` for more tasks than there are, or more than the model can take. */
export async function chooseTasks(
  choice: TaskChoice & { readonly environment: string },
  asked: Asked,
): Promise<AskedTasks> {
  requireWithinRanges(choice);
  const environment = await openEnvironment(choice.environment);
  const {
    numTasks = Math.min(usualNumTasks, ...asked.splits.map((split) => countTasks(environment, split))),
  } = choice;
  checkCount(environment, { splits: asked.splits, numTasks });
  const ask = (promptFormat: PromptFormat): AskedTasks => {
    const {
      seed = 1,
      numAttempts = environment.numAttempts[promptFormat],
      maxNewTokens = usualMaxNewTokens[promptFormat],
    } = choice;
    const evaluation = { numTasks, seed, numAttempts, maxNewTokens, batchSize };
    const tasks = { environment: choice.environment, promptFormat, evaluation };
    const { model } = asked;
    return model === undefined
      ? tasks
      : fitAnswers(tasks, { ...asked, model, environment, wanted: choice.maxNewTokens });
  };
  if (choice.promptFormat !== undefined) {
    requirePromptFormat(environment, choice.promptFormat);
    return ask(choice.promptFormat);
  }
  const [only, ...others] = environment.promptFormats;
  if (only !== undefined && others.length === 0) return ask(only);
  // Servers have models that chat; our small ones know the words of the compact prompt format only.
  if (asked.model === undefined) return ask("chat");
  try {
    return ask("compact");
  } catch (error) {
    if (!(error instanceof MissingWordsError)) throw error;
    return ask("chat");
  }
}

/** Throws `UsageError` where an environment has no such prompt format. */
function requirePromptFormat({ name, promptFormats }: Environment, promptFormat: PromptFormat): void {
  if (!promptFormats.includes(promptFormat))
    throw new UsageError(
      `Cannot use ${setting("promptFormat", promptFormat)}: ${name} has no prompt format "${promptFormat}"; choose from ${promptFormats.join(", ")}`,
    );
}

/** The least and the most that can be asked for. */
const ranges = {
  numTasks: [1, evaluationLimits.numTasks],
  numAttempts: [1, evaluationLimits.numAttempts],
  maxNewTokens: [1, evaluationLimits.maxNewTokens],
  seed: [0, Number.MAX_SAFE_INTEGER],
} as const;

/** Throws `UsageError` for what is not a whole number, too little, or more than memory may hold. */
function requireWithinRanges(choice: TaskChoice): void {
  for (const key of ["numTasks", "numAttempts", "maxNewTokens", "seed"] as const) {
    const [least, most] = ranges[key];
    const { [key]: wanted = least } = choice;
    if (Number.isInteger(wanted) && wanted >= least && wanted <= most) continue;
    const problem = wanted > most ? `${most} is the most; lower it` : `give a whole number from ${least}`;
    throw new UsageError(`Cannot ask with ${setting(key, String(wanted))}: ${problem}`);
  }
}

/** How many tasks of a split there are to ask, at most. */
function countTasks({ numTasks }: Environment, split: Split): number {
  return numTasks?.[split] ?? Number.POSITIVE_INFINITY;
}

/**
 * Tasks whose longest answer fits behind the longest prompt: the usual one is shortened to what the model has room for. Throws
 * `UsageError` where one was wanted that does not fit, or where the model's tokenizer lacks words of a prompt.
 */
function fitAnswers(
  tasks: AskedTasks,
  {
    model,
    environment,
    splits,
    template,
    wanted,
  }: Asked & {
    readonly model: ModelDescription;
    readonly environment: Environment;
    readonly wanted: number | undefined;
  },
): AskedTasks {
  const { evaluation } = tasks;
  const room = requireRoom(model, tasks, { environment, splits, template, numTokens: wanted ?? 1 });
  return { ...tasks, evaluation: { ...evaluation, maxNewTokens: Math.min(evaluation.maxNewTokens, room) } };
}

/**
 * Tokens that a model has room for behind the longest prompt of its tasks. Throws `UsageError` where they are fewer than `numTokens`, or where its
 * tokenizer lacks words of a prompt.
 */
export function requireRoom(
  model: ModelDescription,
  { promptFormat, evaluation: { seed, numTasks } }: AskedTasks,
  {
    environment,
    splits,
    template,
    numTokens,
    subject = "the model",
  }: Omit<Asked, "model"> & {
    readonly environment: Environment;
    readonly numTokens: number;
    readonly subject?: string;
  },
): number {
  const asked = splits.flatMap((split) =>
    createTasks({ environment, promptFormat, seed }, { split, first: 0, numTasks }),
  );
  const used = chooseTemplate(model, { promptFormat, template });
  const longest = measurePrompts(model, asked, { environment, promptFormat, template: used });
  const { maxPositions } = model.config;
  const room = maxPositions - longest;
  if (room < numTokens)
    throw new UsageError(
      `Cannot answer prompts of ${longest} tokens with up to ${numTokens} more: ${subject} has ${maxPositions} positions; lower ${setting("maxNewTokens")}`,
    );
  return room;
}
