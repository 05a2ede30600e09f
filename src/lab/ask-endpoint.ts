/** Evaluation through a server: tasks asked, answers kept as they come, so that a stopped evaluation goes on where it was. */
import { createHash } from "node:crypto";
import { rename } from "node:fs/promises";
import { join } from "node:path";
import { UsageError } from "../base/index.ts";
import {
  type AskingOptions,
  createEndpoint,
  type Endpoint,
  findDifference,
  type ModelIdentity,
  openAnswerStore,
} from "../endpoint/index.ts";
import { openEnvironment, type Rendering, type Split } from "../environment/index.ts";
import { aggregate, askTasks, type EvaluatedItem, type Respond } from "../evaluation/index.ts";
import { chooseCacheFolder } from "./cache-folder.ts";
import { checkCount } from "./check-model.ts";
import { type Effects, StoppedError } from "./effects.ts";

/** Where a model is, and how it is asked. */
export interface EndpointChoice extends AskingOptions {
  readonly url: string;
  readonly model: string;
  readonly apiKey?: string | undefined;
  readonly timeoutMs: number;
  readonly maxTries: number;
  /** Questions asked at once. */
  readonly concurrency: number;
  /** Another model, which grades what only a model can grade. */
  readonly judge?: { readonly url: string; readonly model: string } | undefined;
}

/** What is asked. */
export interface EndpointTasks {
  readonly environment: string;
  readonly rendering: Rendering;
  readonly splits: readonly Split[];
  readonly numTasks: number;
  readonly seed: number;
  /** Absent means as many as the environment allows. */
  readonly numAttempts?: number | undefined;
}

/** What asking took. */
export interface Usage {
  /** Answers that were given now, and that were there from before. */
  readonly numAsked: number;
  readonly numKnown: number;
  /** Requests that failed and were sent again. */
  readonly numRetries: number;
  /** Tokens of all answers that the result rests on, those from before included. */
  readonly numPromptTokens: number;
  readonly numNewTokens: number;
}

/** Answers of a model behind a server. */
export interface EndpointEvaluation {
  readonly identity: ModelIdentity;
  readonly items: readonly EvaluatedItem[];
  readonly usage: Usage;
}

/** Surroundings of an evaluation. */
export interface AskingPlace {
  /** The file that keeps the answers; absent means one in the cache, named after model and settings. */
  readonly answers?: string | undefined;
  /** The command that goes on after a stop. */
  readonly command: string;
  readonly effects: Effects;
}

/**
 * Asks a model behind a server. Throws `UsageError` where the server is down, refuses, or serves another model than the one
 * whose answers are kept, and `StoppedError`; answers given by then are kept.
 */
export async function askEndpoint(
  choice: EndpointChoice,
  tasks: EndpointTasks,
  { answers, command, effects }: AskingPlace,
): Promise<EndpointEvaluation> {
  const place = { command, effects };
  const asked = await openAsked(choice, { ...place, answers });
  const judge = choice.judge === undefined ? undefined : await openJudge(choice, place);
  try {
    const environment = await openEnvironment(tasks.environment);
    checkCount(environment, tasks);
    const numAttempts = tasks.numAttempts ?? environment.numAttempts[tasks.rendering];
    const onItem = createReporter(tasks.splits.length * tasks.numTasks, choice.model, effects);
    const options = { ...tasks, ...choice, environment, numAttempts, onItem };
    const items = await orStopped(askTasks(asked.respond, { ...options, judge: judge?.respond }), place);
    await orStopped(requireSameModel(asked), place);
    return { identity: asked.identity, items, usage: asked.readUsage() };
  } finally {
    await asked.close();
    await judge?.close();
  }
}

/** A model with the file of its answers. */
interface AskedModel {
  readonly endpoint: Endpoint;
  readonly identity: ModelIdentity;
  readonly file: string;
  readonly respond: Respond;
  readonly readUsage: () => Usage;
  readonly close: () => Promise<void>;
}

async function openAsked(
  choice: EndpointChoice,
  { answers, command, effects }: AskingPlace,
): Promise<AskedModel> {
  const endpoint = createEndpoint({ ...choice, signal: effects.signal });
  const identity = await orStopped(endpoint.identify(), { command, effects });
  const file = answers ?? nameAnswers(identity, choice);
  const store = await openAnswerStore(file, identity, choice);
  const usage = { numAsked: 0, numKnown: 0, numPromptTokens: 0, numNewTokens: 0 };
  return {
    endpoint,
    identity,
    file,
    respond: async (messages, seed) => {
      const question = { messages, seed };
      const known = store.find(question);
      const answer = known ?? (await endpoint.ask(messages, seed));
      if (known === undefined) await store.keep(question, answer);
      usage[known === undefined ? "numAsked" : "numKnown"] += 1;
      usage.numPromptTokens += answer.numPromptTokens;
      usage.numNewTokens += answer.numNewTokens;
      return answer.text;
    },
    readUsage: () => ({ ...usage, numRetries: endpoint.numRetries() }),
    close: () => store.close(),
  };
}

/** Longest verdict of a judge, in tokens: it may think first. */
const judgeTokens = 2048;

/** The judge of a choice, asked for its likeliest words in a chat; its answers are kept in the cache. */
async function openJudge(
  choice: EndpointChoice,
  place: Pick<AskingPlace, "command" | "effects">,
): Promise<AskedModel> {
  const { url, model } = choice.judge ?? choice;
  const asking = { api: "chat", temperature: 0, maxNewTokens: judgeTokens, fields: {} } as const;
  return await openAsked({ ...choice, ...asking, url, model }, place);
}

/** The value; a failure because of a stop becomes `StoppedError`. */
async function orStopped<Value>(
  value: Promise<Value>,
  { command, effects }: Pick<AskingPlace, "command" | "effects">,
): Promise<Value> {
  try {
    return await value;
  } catch (error) {
    if (effects.signal.aborted) throw new StoppedError(command);
    throw error;
  }
}

/**
 * A server may have been restarted with other weights in the middle: then the answers belong to no one model. Throws
 * `UsageError`.
 */
async function requireSameModel({ endpoint, identity: before, file }: AskedModel): Promise<void> {
  const now = await endpoint.identify();
  if (findDifference(before, now) === undefined) return;
  const aside = `${file}.mixed`;
  await rename(file, aside);
  throw new UsageError(
    `Cannot use the answers that were given: the server changed its model while it was asked, from ${JSON.stringify(before)} to ${JSON.stringify(now)}; they lie in "${aside}", and the same command asks again`,
  );
}

function nameAnswers(
  identity: ModelIdentity,
  { api, temperature, maxNewTokens, fields }: EndpointChoice,
): string {
  // The probe is a measurement: it may differ in its last digits.
  const { probe: _, ...named } = identity;
  const text = JSON.stringify([named, api, temperature, maxNewTokens, fields]);
  const name = createHash("sha256").update(text).digest("hex").slice(0, 24);
  return join(chooseCacheFolder(), "answers", `${name}.jsonl`);
}

/** Tells how far it is, and how long it will take at the pace so far. */
function createReporter(
  numItems: number,
  model: string,
  { report, now }: Effects,
): (item: EvaluatedItem) => void {
  const startMs = now();
  let numDone = 0;
  let numSolved = 0;
  return ({ parts }) => {
    numDone += 1;
    numSolved += parts.solved ? 1 : 0;
    const remainingMs = ((now() - startMs) / numDone) * (numItems - numDone);
    const what = `${model}: ${numDone}/${numItems} tasks, ${numSolved} solved`;
    report({ kind: "progress", work: "evaluation", what, doneFraction: numDone / numItems, remainingMs });
  };
}

/** Counts by split. */
export function countSplits(
  { items }: Pick<EndpointEvaluation, "items">,
  splits: readonly Split[],
): Readonly<Partial<Record<Split, ReturnType<typeof aggregate>>>> {
  return Object.fromEntries(splits.map((split) => [split, aggregate(items, split)]));
}
