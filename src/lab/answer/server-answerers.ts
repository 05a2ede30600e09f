/** Servers answer: one that is started for each checkpoint, one that takes adapters, or one that runs already. */
import { realpath, rm } from "node:fs/promises";
import { resolve } from "node:path";
import { setting, UsageError } from "../../base/core/index.ts";
import { folderExists } from "../../base/file/index.ts";
import type { Effects } from "../../base/progress/index.ts";
import {
  type Checkpoint,
  findBaseFolder,
  isAdapterFolder,
  openCheckpoint,
  readAdapterConfig,
} from "../../weights/checkpoint/index.ts";
import { checkAdaptable, resolveOperations } from "../../weights/surgery/index.ts";
import { editCheckpoint } from "../edit/index.ts";
import { stampCheckpoint } from "../machine/index.ts";
import type { AdapterSource, EndpointSource, RequestOptions, ServerSource } from "./answer-source.ts";
import type { Answerer, Answers, Assignment, RepairSubject, Subject } from "./answerer.ts";
import { requireCheckpoint } from "./embedded-answerer.ts";
import { type AdapterServer, connectAdapters } from "./server/adapter-server.ts";
import { askEndpoint, type KnownWeights, orStopped } from "./server/ask-endpoint.ts";
import { checkTemplate, withServer } from "./server/serve-checkpoint.ts";

/** A server for each checkpoint, started and stopped again. Throws `UsageError` for a command that lacks its places. */
export function createServerAnswerer(
  source: ServerSource,
  assignment: Assignment,
  effects: Effects,
): Answerer {
  checkTemplate(source.template);
  return {
    ...withoutPreparation,
    answer: async (subject) => {
      const { path } = requireCheckpoint(subject);
      const weights = await describeWeights(path);
      return await withServer(source, path, effects, (server) =>
        ask({ ...source.requests, ...server }, subject, { assignment, effects, weights }),
      );
    },
  };
}

/** A server that runs already, whatever it serves: its own model answers for every subject. */
export function createEndpointAnswerer(
  { url, model, requests }: EndpointSource,
  assignment: Assignment,
  effects: Effects,
): Answerer {
  return {
    ...withoutPreparation,
    answer: async (subject) =>
      await ask({ ...requests, url, model }, requireCheckpoint(subject), { assignment, effects }),
  };
}

/** One server at which adapters come and go: checkpoints that are adapters, and repairs that can be. */
export function createAdapterAnswerer(
  source: AdapterSource,
  assignment: Assignment,
  effects: Effects,
): Answerer {
  let server: AdapterServer | undefined;
  const connect = async (base: string): Promise<AdapterServer> => {
    if (server?.baseFolder !== base) server = await connectAdapters(source, base, effects);
    return server;
  };
  const askAs = (subject: Subject, weights: KnownWeights) => (model: string) =>
    ask({ ...source.requests, url: source.url, model }, subject, { assignment, effects, weights });
  const answerAs = async (subject: Subject): Promise<Answers> => {
    const { path } = subject.kind === "checkpoint" ? subject : subject.target;
    const base = (await findAdapterBase(path)) ?? resolve(path);
    const connected = await connect(base);
    if (subject.kind === "repair" && !subject.isIdentity)
      return await askRepair(subject, connected, { askAs, effects, assignment });
    const weights = subject.kind === "repair" ? await describeRepair(subject) : await describeWeights(path);
    const asked = askAs(subject, weights);
    const answers =
      base === resolve(path) ? await asked(connected.base) : await connected.withAdapter(path, asked);
    return subject.kind === "repair" ? { ...answers, moved: 0 } : answers;
  };
  return {
    choose: async (subjects) => {
      const kept: (typeof subjects)[number][] = [];
      const readHeader = createHeaderReader();
      for (const subject of subjects)
        if (subject.kind === "checkpoint" || subject.isIdentity || (await canBeAdapter(subject, readHeader)))
          kept.push(subject);
      return kept;
    },
    prepare: async ({ all, missing }) => await requireCommonBase(all, missing),
    answer: (subject) => orStopped(answerAs(subject), { effects }),
    close: async () => undefined,
  };
}

const withoutPreparation: Pick<Answerer, "choose" | "prepare" | "close"> = {
  choose: async (subjects) => subjects,
  prepare: async () => undefined,
  close: async () => undefined,
};

/** Asks a model behind a server all tasks of an assignment. Throws as `askEndpoint`. */
async function ask(
  choice: RequestOptions & { readonly url: string; readonly model: string },
  subject: Subject,
  {
    assignment,
    effects,
    weights,
  }: { readonly assignment: Assignment; readonly effects: Effects; readonly weights?: KnownWeights },
): Promise<Answers> {
  const { tasks, splits, judge, locateAnswers } = assignment;
  const { environment, promptFormat, evaluation } = tasks;
  const { items, ...served } = await askEndpoint(
    { ...choice, maxNewTokens: evaluation.maxNewTokens },
    { environment, promptFormat, splits, ...evaluation },
    { answers: locateAnswers(subject), weights, judge, effects },
  );
  return { items, served };
}

/** A checkpoint as what a server has: its place, and what tells whether it was written again. */
async function describeWeights(path: string): Promise<KnownWeights> {
  return { path: await realpath(path), stamp: await stampCheckpoint(path) };
}

/** A repair as what a server has. Adapters are made anew each time: what they are made of says whose answers they give. */
async function describeRepair({ grid, key, target, source }: RepairSubject): Promise<KnownWeights> {
  const stamp = `${await stampCheckpoint(target.path)} ${await stampCheckpoint(source.path)}`;
  return { path: `${grid}/${key}`, stamp };
}

interface RepairTools {
  readonly askAs: (subject: Subject, weights: KnownWeights) => (model: string) => Promise<Answers>;
  readonly effects: Effects;
  readonly assignment: Assignment;
}

/** Loads a repair as a LoRA adapter, asks it, and takes it away again. */
async function askRepair(
  subject: RepairSubject,
  server: AdapterServer,
  { askAs, effects, assignment }: RepairTools,
): Promise<Answers> {
  const { target, source, operation } = subject;
  const out = assignment.locateAdapter(subject);
  if (await folderExists(out)) await rm(out, { recursive: true });
  const plan = { target: target.path, source: source.path, operations: [operation] };
  try {
    const quiet = { ...effects, report: () => undefined };
    const { moved } = await editCheckpoint({ plan, out, form: "lora" }, quiet);
    return { ...(await server.withAdapter(out, askAs(subject, await describeRepair(subject)))), moved };
  } finally {
    // Adapters of high rank are large, and made again in no time from the cached factors.
    await rm(out, { recursive: true, force: true });
  }
}

/** Whether a repair is a low-rank addition to its target, and so an adapter. */
async function canBeAdapter(
  { target, source, operation }: RepairSubject,
  readHeader: (path: string) => Promise<Checkpoint>,
): Promise<boolean> {
  const [own, other] = [await readHeader(target.path), await readHeader(source.path)];
  const edits = resolveOperations([operation], { target: own.tensors, source: other.tensors });
  try {
    checkAdaptable(edits, own.config.model_type);
    return true;
  } catch (error) {
    if (error instanceof UsageError) return false;
    throw error;
  }
}

/** Reads what checkpoints say of themselves, each once. */
function createHeaderReader(): (path: string) => Promise<Checkpoint> {
  const known = new Map<string, Promise<Checkpoint>>();
  const read = async (path: string): Promise<Checkpoint> => {
    const checkpoint = await openCheckpoint(path, { merged: "rounded" });
    await checkpoint.close();
    return checkpoint;
  };
  return (path) => {
    const header = known.get(path) ?? read(path);
    known.set(path, header);
    return header;
  };
}

/** The folder of the model that an adapter belongs to; `undefined` for what is not an adapter. */
async function findAdapterBase(path: string): Promise<string | undefined> {
  if (!(await isAdapterFolder(path))) return undefined;
  const config = await readAdapterConfig(path);
  const { base } = config;
  return base === undefined ? undefined : ((await findBaseFolder(path, config)) ?? resolve(path, base));
}

/** Throws `UsageError` where checkpoints are neither adapters of one model nor that model. */
async function requireCommonBase(all: readonly Subject[], missing: readonly Subject[]): Promise<void> {
  const bases = new Map<string, string>();
  for (const subject of all) {
    if (subject.kind !== "checkpoint") continue;
    const base = await findAdapterBase(subject.path);
    if (base !== undefined) bases.set(subject.id, base);
  }
  const [base] = bases.values();
  for (const subject of missing) {
    if (subject.kind !== "checkpoint") continue;
    const { id, path } = subject;
    if (base === undefined)
      throw new UsageError(
        `Cannot evaluate ${id} at one server: the run has no adapters; evaluate whole checkpoints with ${setting("serve")}`,
      );
    if ((bases.get(id) ?? resolve(path)) !== base)
      throw new UsageError(
        `Cannot evaluate ${id} at one server: it is not an adapter to "${base}"; evaluate whole checkpoints with ${setting("serve")}`,
      );
  }
}
