/** Evaluation through a server: tasks asked, answers kept as they come, so that a stopped evaluation goes on where it was. */
import { createHash } from "node:crypto";
import { rename } from "node:fs/promises";
import { isAbsolute, join } from "node:path";
import { action, quoteForShell, setting, UsageError } from "../../../base/core/index.ts";
import { type Effects, StoppedError } from "../../../base/progress/index.ts";
import {
  type AskingOptions,
  createEndpoint,
  type Endpoint,
  type EndpointOptions,
  findDifference,
  identifiesWeights,
  isLoopback,
  type ModelIdentity,
  openAnswerStore,
} from "../../../bridge/endpoint/index.ts";
import {
  checkCount,
  openEnvironment,
  type PromptFormat,
  type Split,
} from "../../../tasks/environment/index.ts";
import { askTasks, type EvaluatedItem, type Respond } from "../../../tasks/evaluation/index.ts";
import { stampCheckpoint } from "../../machine/index.ts";
import type { RequestOptions } from "../answer-source.ts";
import type { Usage } from "../answerer.ts";
import { findModelKey } from "./api-keys.ts";
import { describeJudgeEndpoint, identifyJudge, type JudgeRecord, requireSameJudge } from "./judge.ts";

/** Where a model is, and how it is asked. */
export interface EndpointChoice extends RequestOptions {
  readonly url: string;
  readonly model: string;
  /** Longest answer in tokens. */
  readonly maxNewTokens: number;
}

/** What is asked. */
export interface EndpointTasks {
  readonly environment: string;
  readonly promptFormat: PromptFormat;
  readonly splits: readonly Split[];
  readonly numTasks: number;
  readonly seed: number;
  /** Absent means as many as the environment allows. */
  readonly numAttempts?: number | undefined;
}

/** Answers of a model behind a server. */
export interface EndpointEvaluation {
  readonly identity: ModelIdentity;
  /** Who graded what only a model can grade. */
  readonly judge?: ModelIdentity | undefined;
  readonly items: readonly EvaluatedItem[];
  readonly usage: Usage;
}

/** Weights that a server is known to have: a place here, and what tells whether they were written again. */
export interface KnownWeights {
  readonly path: string;
  readonly stamp: string;
}

/** Surroundings of an evaluation. */
export interface AskContext {
  /** The file that keeps the answers; absent means one in the cache, named after model and settings. */
  readonly answers?: string | undefined;
  /** What the server was started for or given to load: that, and not its name or address, is what answers belong to. */
  readonly weights?: KnownWeights | undefined;
  /** The judge that graded before: no other may grade now. */
  readonly judge?: JudgeRecord | undefined;
  readonly effects: Effects;
}

/**
 * Asks a model behind a server. Throws `UsageError` where the server is down, refuses, or serves another model than the one
 * whose answers are kept, and `StoppedError`; answers given by then are kept.
 */
export async function askEndpoint(
  choice: EndpointChoice,
  tasks: EndpointTasks,
  place: AskContext,
): Promise<EndpointEvaluation> {
  const environment = await openEnvironment(tasks.environment);
  checkCount(environment, tasks);
  const graded = await orStopped(identifyJudge(environment, choice, place.effects), place);
  if (place.judge !== undefined) requireSameJudge(tasks.environment, place.judge, graded);
  const { variables } = place.effects.machine;
  const asked = await openAsked({ ...choice, apiKey: findModelKey(choice, variables) }, place);
  try {
    const judge =
      graded === undefined ? undefined : await openJudge(choice, { file: asked.file, record: graded }, place);
    try {
      const numAttempts = tasks.numAttempts ?? environment.numAttempts[tasks.promptFormat];
      const onItem = createReporter(tasks.splits.length * tasks.numTasks, choice.model, place.effects);
      const options = { ...tasks, ...choice, environment, numAttempts, onItem, judge: judge?.respond };
      const goingOn = { effects: place.effects, continuation: asked.continuation };
      const items = await orStopped(askTasks(asked.respond, options), goingOn);
      for (const one of [asked, judge])
        if (one !== undefined) await orStopped(requireSameModel(one), goingOn);
      return {
        identity: asked.identity,
        ...(judge !== undefined && { judge: judge.identity }),
        items,
        usage: asked.readUsage(),
      };
    } finally {
      await judge?.close();
    }
  } finally {
    await asked.close();
  }
}

/** A model with the file of its answers. */
interface AskedModel {
  readonly endpoint: Endpoint;
  readonly identity: ModelIdentity;
  /** Whose answers they are in the file. */
  readonly owner: ModelIdentity;
  readonly file: string;
  /** What goes on with that file after a stop. */
  readonly continuation: string;
  readonly respond: Respond;
  readonly readUsage: () => Usage;
  readonly close: () => Promise<void>;
}

/** `known` is who answers there, where that was asked just now. */
async function openAsked(
  choice: Omit<EndpointOptions, "signal">,
  place: AskContext,
  known?: ModelIdentity,
): Promise<AskedModel> {
  const { effects } = place;
  const endpoint = createEndpoint({ ...choice, signal: effects.signal });
  const identity = known ?? (await orStopped(endpoint.identify(), place));
  const owner = await describeOwner(identity, choice, place.weights);
  const { file, isFresh } = chooseFile(owner, choice, place);
  const store = await openAnswerStore(file, owner, choice);
  const usage = { numAsked: 0, numKnown: 0, numPromptTokens: 0, numNewTokens: 0 };
  const tellFresh = createNotice(effects, describeFresh(file, choice));
  const tellUnsaid = createNotice(effects, describeUnsaid(choice));
  return {
    endpoint,
    identity,
    owner,
    file,
    continuation: isFresh ? `${action("again")} ${setting("answers", quoteForShell(file))}` : action("again"),
    respond: async (messages, seed) => {
      const question = { messages, seed };
      const kept = store.find(question);
      const answer = kept ?? (await endpoint.ask(messages, seed));
      if (kept === undefined) await store.keep(question, answer);
      if (isFresh) tellFresh();
      if (answer.finish === "") tellUnsaid();
      usage[kept === undefined ? "numAsked" : "numKnown"] += 1;
      usage.numPromptTokens += answer.numPromptTokens;
      usage.numNewTokens += answer.numNewTokens;
      return answer;
    },
    readUsage: () => ({ ...usage, numRetries: endpoint.numRetries() }),
    close: () => store.close(),
  };
}

/** Whose answers they are, the same in every process: known weights whatever the server calls them and wherever it listens. */
async function describeOwner(
  identity: ModelIdentity,
  { url: address }: Pick<EndpointOptions, "url">,
  weights: KnownWeights | undefined,
): Promise<ModelIdentity> {
  const { fingerprint, root, url } = identity;
  if (weights !== undefined)
    return { model: weights.path, stamp: weights.stamp, ...(fingerprint !== undefined && { fingerprint }) };
  if (identifiesWeights(identity) || root === undefined || url !== undefined) return identity;
  // A path and no more: its files say whether they were written again, where they are the server's and not namesakes of ours.
  if (!isAbsolute(root) || !isLoopback(address)) return identity;
  const stamp = await stampCheckpoint(root).catch(() => "");
  return stamp === "" ? identity : { ...identity, stamp };
}

/** The file that keeps the answers: as it was said, else one in the cache, a fresh one where nothing tells whose they are. */
function chooseFile(
  owner: ModelIdentity,
  choice: AskingOptions,
  { answers, effects }: Pick<AskContext, "answers" | "effects">,
): { readonly file: string; readonly isFresh: boolean } {
  if (answers !== undefined) return { file: answers, isFresh: false };
  const file = join(effects.machine.cacheFolder, "answers", nameAnswers(owner, choice));
  if (identifiesWeights(owner)) return { file, isFresh: false };
  return { file: file.replace(/\.jsonl$/, `-${nameProcess()}.jsonl`), isFresh: true };
}

/** Tells a text, the first time that it is called. */
function createNotice({ report }: Pick<Effects, "report">, text: string): () => void {
  let isTold = false;
  return () => {
    if (!isTold) report({ kind: "notice", text });
    isTold = true;
  };
}

function describeFresh(file: string, { url, model }: Pick<EndpointOptions, "url" | "model">): string {
  return `Nothing that the server at ${url} says tells the weights of ${model} from others: answers from before are not used again; those given now are kept for ${setting("answers", quoteForShell(file))}`;
}

function describeUnsaid({ url, model }: Pick<EndpointOptions, "url" | "model">): string {
  return `The server at ${url} does not say why answers of ${model} ended (no finish_reason): those that are not known to have reached the limit of tokens are taken for whole`;
}

/** A name that no other process has had. */
function nameProcess(): string {
  return `${Date.now().toString(36)}-${process.pid}`;
}

/** The judge of a choice; its answers are kept beside those that it grades, so that evaluations do not wait for each other. */
async function openJudge(
  choice: EndpointChoice,
  { file, record }: { readonly file: string; readonly record: JudgeRecord },
  place: AskContext,
): Promise<AskedModel> {
  const { judge } = choice;
  if (judge === undefined) throw new RangeError("Cannot open a judge: none was named");
  const { prompt: _, ...identity } = record;
  const name = file.replace(/\.jsonl$/, "");
  const isKept = place.answers !== undefined || identifiesWeights(identity);
  const answers = `${name}${isKept ? "" : `-${nameProcess()}`}.judge.jsonl`;
  const { weights: _weights, ...others } = place;
  return await openAsked(
    describeJudgeEndpoint(judge, choice, place.effects.machine.variables),
    { ...others, answers },
    identity,
  );
}

/** The value; a failure because of a stop becomes `StoppedError`. */
export async function orStopped<Value>(
  value: Promise<Value>,
  { effects, continuation }: Pick<AskContext, "effects"> & { readonly continuation?: string },
): Promise<Value> {
  try {
    return await value;
  } catch (error) {
    if (effects.signal.aborted && !(error instanceof StoppedError)) throw new StoppedError(continuation);
    throw error;
  }
}

/**
 * A server may have been restarted with other weights in the middle: then the answers belong to no one model. Throws
 * `UsageError`, also where what told the weights is not given any more.
 */
async function requireSameModel({
  endpoint,
  identity: before,
  owner,
  file,
  continuation,
}: AskedModel): Promise<void> {
  const now = await endpoint.identify();
  const difference = findDifference(before, now);
  if (difference === undefined) return;
  if (difference === "probe" && now.probe === undefined) {
    // Answers of known files are theirs, whatever else a server says.
    if (owner.stamp !== undefined) return;
    throw new UsageError(
      `Cannot tell whether the server of "${now.model}" kept its model while it was asked: it gives no log-probabilities any more; the answers are kept in "${file}"; once it gives them again, go on with: ${continuation}`,
    );
  }
  const aside = `${file}.mixed`;
  await rename(file, aside);
  throw new UsageError(
    `Cannot use the answers that were given: the server changed its model while it was asked, from ${JSON.stringify(before)} to ${JSON.stringify(now)}; they lie in "${aside}", and the same command asks again`,
  );
}

function nameAnswers(
  identity: ModelIdentity,
  { api, temperature, maxNewTokens, fields }: AskingOptions,
): string {
  // The probe is a measurement: it may differ in its last digits.
  const { probe: _, ...named } = identity;
  const text = JSON.stringify([named, api, temperature, maxNewTokens, fields]);
  const name = createHash("sha256").update(text).digest("hex").slice(0, 24);
  return `${name}.jsonl`;
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
