/** Models that answer, from a thread of their own: this side asks, waits, and lets go. */

import { Worker } from "node:worker_threads";
import { UsageError } from "../../../base/core/index.ts";
import { locateThread } from "../../../base/machine/index.ts";
import { parseTokenizer, type ScoredToken, type Tokenizer } from "../../../engine/model/index.ts";
import type {
  EncodedText,
  Failure,
  HostAnswer,
  HostedModel,
  HostMessage,
  HostOptions,
  TextChange,
  TextOrder,
  WrittenPrompt,
} from "./model-messages.ts";

/** A request that cannot be carried out: its HTTP status, and what OpenAI's interface says beside the sentence. */
export class RequestError extends UsageError {
  override readonly name = "RequestError";
  readonly status: 400 | 403 | 404 | 413 | 415 | 429 | 503;
  /** The field that is wrong. */
  readonly param: string | undefined;
  readonly code: string | undefined;
  constructor(
    status: RequestError["status"],
    message: string,
    { param, code }: { readonly param?: string; readonly code?: string } = {},
  ) {
    super(message);
    this.status = status;
    this.param = param;
    this.code = code;
  }
}

/** A model by the name that requests call it. */
export interface ServedModel {
  readonly name: string;
  /** The folder it was loaded from. */
  readonly root: string;
  /** Of an adapter: the model it belongs to. */
  readonly parent?: string;
  /** SHA-256 of the parameters (hex, 16 digits): which weights answer. */
  readonly fingerprint: string;
}

/** How a text is followed while it is continued. */
export interface Following {
  /** Aborted where nobody waits for the answer any more. */
  readonly signal: AbortSignal;
  /** Called with tokens as they come; true where the text is to end. */
  onTokens(tokens: readonly ScoredToken[]): boolean;
}

/** A text that was continued. */
export interface Continuation {
  /** The prompt's tokens, where they were to be scored. */
  readonly scored: readonly ScoredToken[];
  readonly added: readonly ScoredToken[];
  readonly end: "stop" | "length";
}

/** Models that answer. Whoever opens it releases it. */
export interface ModelService {
  readonly tokenizer: Tokenizer;
  readonly maxPositions: number;
  readonly vocabularySize: number;
  /** Whether the model has a token that ends answers. */
  readonly endsAnswers: boolean;
  /** Resolves with the reason where the model's thread ended by itself. */
  readonly failure: Promise<Error>;
  list(): readonly ServedModel[];
  /** Throws `RequestError` for a name that is not served. */
  find(name: string): ServedModel;
  encode(prompt: WrittenPrompt): Promise<EncodedText>;
  /** Throws `RequestError` where so many more texts are more than may wait. */
  requireRoom(numTexts: number): void;
  /** Rejects with the signal's reason once it is aborted; the text is let go then. */
  continue(order: TextOrder, following: Following): Promise<Continuation>;
  /** Adds a LoRA adapter. Throws `RequestError` where it cannot be. */
  loadAdapter(name: string, path: string): Promise<void>;
  /** Throws `RequestError` where there is no adapter of that name. */
  unloadAdapter(name: string): void;
  release(): Promise<void>;
}

/** Texts that may wait or run at once. */
const mostPending = 1024;
/** Adapters that may be loaded at once. */
const mostAdapters = 64;

/** What waits for an answer of the thread. */
interface Pending {
  onChange?(change: TextChange): void;
  onAnswer?(answer: Extract<HostAnswer, { readonly kind: "encoded" | "loaded" }>): void;
  onFailure(error: Error): void;
}

interface Thread {
  readonly pending: Map<number, Pending>;
  readonly failure: Promise<Error>;
  readonly model: HostedModel;
  /** Asks under a new number, which is given back. */
  ask(message: (id: number) => HostMessage, pending: Pending): number;
  tell(message: HostMessage): void;
  close(): Promise<void>;
}

/** Loads a checkpoint in a thread of its own. Throws as `loadModel`. */
export async function createModelService(
  options: HostOptions & { readonly log: (line: string) => void },
): Promise<ModelService> {
  const { log, ...host } = options;
  const thread = await startThread(host);
  const { config, tokenizerFiles, fingerprint } = thread.model;
  const { name, checkpoint: root } = options;
  const models = new Map<string, ServedModel>([[name, { name, root, fingerprint }]]);
  const find = (wanted: string): ServedModel => {
    const found = models.get(wanted);
    if (found !== undefined) return found;
    const names = [...models.keys()].join(", ");
    throw new RequestError(404, `There is no model "${wanted}" here; there are ${names}`, {
      param: "model",
      code: "model_not_found",
    });
  };
  return {
    tokenizer: parseTokenizer(tokenizerFiles, root),
    maxPositions: config.maxPositions,
    vocabularySize: config.vocabularySize,
    endsAnswers: config.endToken !== undefined,
    failure: thread.failure,
    list: () => [...models.values()],
    find,
    encode: (prompt) => encode(thread, prompt),
    requireRoom: (numTexts) => {
      if (thread.pending.size + numTexts > mostPending)
        throw new RequestError(
          429,
          `There are ${thread.pending.size} texts waiting or being answered, and ${numTexts} more are too many; try again later`,
          { code: "queue_full" },
        );
    },
    continue: (order, following) => continueText(thread, order, following),
    ...serveAdapters(thread, { models, find, base: name, log }),
    release: () => thread.close(),
  };
}

async function startThread(options: HostOptions): Promise<Thread> {
  const worker = new Worker(locateThread("model-worker"), { workerData: options });
  const exited = new Promise<void>((resolve) => {
    worker.once("exit", () => resolve());
  });
  const pending = new Map<number, Pending>();
  let isClosing = false;
  let ended: Error | undefined;
  const failure = new Promise<Error>((resolve) => {
    const end = (error: Error): void => {
      ended ??= error;
      fail(pending, ended);
      if (!isClosing) resolve(ended);
    };
    worker.on("error", (error) => end(error instanceof Error ? error : new Error(String(error))));
    worker.on("exit", () => end(new Error("The model's thread ended")));
  });
  const ready = await Promise.race([readFirst(worker), failure]);
  if (ready instanceof Error) throw ready;
  const tell = (message: HostMessage): void => worker.postMessage(message);
  worker.on("message", (answer: HostAnswer) => {
    handOut(pending, answer);
    if (answer.kind === "changes") tell({ kind: "taken" });
  });
  let lastId = 0;
  return {
    pending,
    failure,
    model: ready,
    ask: (message, waiting) => {
      const id = ++lastId;
      pending.set(id, waiting);
      if (ended === undefined) tell(message(id));
      // Nobody is left to answer; whoever asks hears of it once it has its number.
      else queueMicrotask(() => fail(pending, ended));
      return id;
    },
    tell,
    close: async () => {
      isClosing = true;
      tell({ kind: "close" });
      await exited;
    },
  };
}

/** Tells all who wait. */
function fail(pending: Map<number, Pending>, error: Error | undefined): void {
  for (const { onFailure } of pending.values()) onFailure(error ?? new Error("The model's thread ended"));
  pending.clear();
}

async function readFirst(worker: Worker): Promise<HostedModel> {
  const answer = await new Promise<HostAnswer>((resolve) => {
    worker.once("message", resolve);
  });
  if (answer.kind === "ready") return answer.model;
  const message = "message" in answer ? answer.message : "The model's thread said something else first";
  throw answer.kind === "unable" ? restore(answer) : new Error(message);
}

function handOut(pending: Map<number, Pending>, answer: HostAnswer): void {
  switch (answer.kind) {
    case "changes":
      for (const change of answer.changes) {
        const waiting = pending.get(change.id);
        if (change.end !== undefined) pending.delete(change.id);
        waiting?.onChange?.(change);
      }
      return;
    case "encoded":
    case "loaded":
    case "failed": {
      const waiting = pending.get(answer.id);
      pending.delete(answer.id);
      if (answer.kind !== "failed") waiting?.onAnswer?.(answer);
      else waiting?.onFailure(restore(answer));
    }
  }
}

function restore({ message, isExpected, isPublic }: Failure): Error {
  if (isPublic) return new RequestError(400, message);
  return isExpected ? new UsageError(message) : new Error(message);
}

function encode(thread: Thread, prompt: WrittenPrompt): Promise<EncodedText> {
  return new Promise((resolve, reject) => {
    thread.ask((id) => ({ kind: "encode", id, prompt }), {
      onAnswer: (answer) => {
        if (answer.kind === "encoded") resolve(answer.encoded);
      },
      onFailure: reject,
    });
  });
}

function continueText(
  thread: Thread,
  order: TextOrder,
  { signal, onTokens }: Following,
): Promise<Continuation> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) {
      reject(signal.reason);
      return;
    }
    const scored: ScoredToken[] = [];
    const added: ScoredToken[] = [];
    const letGo = (): void => {
      thread.pending.delete(id);
      thread.tell({ kind: "drop", id });
    };
    const onAbort = (): void => {
      letGo();
      reject(signal.reason);
    };
    const finish = (end: Continuation["end"]): void => {
      signal.removeEventListener("abort", onAbort);
      resolve({ scored, added, end });
    };
    const id = thread.ask((own) => ({ kind: "begin", id: own, order }), {
      onChange: (change) => {
        scored.push(...change.scored);
        added.push(...change.added);
        const isStopped = change.added.length > 0 && onTokens(change.added);
        if (isStopped && change.end === undefined) letGo();
        if (isStopped) finish("stop");
        else if (change.end !== undefined) finish(change.end);
      },
      onFailure: (error) => {
        signal.removeEventListener("abort", onAbort);
        reject(error);
      },
    });
    signal.addEventListener("abort", onAbort, { once: true });
  });
}

interface AdapterContext {
  readonly models: Map<string, ServedModel>;
  readonly find: ModelService["find"];
  readonly base: string;
  readonly log: (line: string) => void;
}

function serveAdapters(
  thread: Thread,
  { models, find, base, log }: AdapterContext,
): Pick<ModelService, "loadAdapter" | "unloadAdapter"> {
  const loading = new Set<string>();
  const load = (name: string, path: string): Promise<string> =>
    new Promise((resolve, reject) => {
      thread.ask((id) => ({ kind: "load", id, name, path }), {
        onAnswer: (answer) => {
          if (answer.kind === "loaded") resolve(answer.fingerprint);
        },
        onFailure: reject,
      });
    });
  return {
    loadAdapter: async (name, path) => {
      const refuse = (reason: string, status: 400 | 503 = 400): never => {
        throw new RequestError(status, `Cannot load "${name}": ${reason}`, { param: "lora_name" });
      };
      if (models.has(name)) refuse("there is a model of that name already; unload it first");
      if (loading.has(name)) refuse("an adapter of that name is being loaded; wait for it");
      if (models.size - 1 + loading.size >= mostAdapters)
        refuse(`there are ${mostAdapters} adapters, which is as many as there may be; unload others first`);
      loading.add(name);
      try {
        const fingerprint = await load(name, path);
        models.set(name, { name, root: path, parent: base, fingerprint });
      } catch (error) {
        if (error instanceof RequestError) refuse(error.message);
        // Whoever asks over the network need not learn what lies in this machine's folders.
        log(
          `Cannot load "${name}" from "${path}": ${error instanceof Error ? error.message : String(error)}`,
        );
        refuse(`"${path}" is not an adapter to ${base} that this server can use; its own output says why`);
      } finally {
        loading.delete(name);
      }
    },
    unloadAdapter: (name) => {
      if (find(name).parent === undefined)
        throw new RequestError(400, `Cannot unload "${name}": it is not an adapter`, { param: "lora_name" });
      models.delete(name);
      thread.tell({ kind: "unload", name });
    },
  };
}
