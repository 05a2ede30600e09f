/** A checkpoint, and adapters to it, in a thread of their own: texts that come together are continued together. */

import { totalmem } from "node:os";
import type { MessagePort } from "node:worker_threads";
import { createRandom, UsageError } from "../../../base/core/index.ts";
import {
  createTextEngine,
  type Model,
  type Text,
  type TextEngine,
  type TextGroup,
} from "../../../engine/model/index.ts";
import { readModel } from "../../../lab/machine/index.ts";
import { CheckpointError } from "../../../weights/checkpoint/index.ts";
import { loadAdapterWeights, type NamedWeights, NoRoomError, nameWeights } from "../adapter-weights.ts";
import type {
  Failure,
  HostAnswer,
  HostMessage,
  HostOptions,
  TextChange,
  TextOrder,
} from "./model-messages.ts";

/** Most bytes of the machine's memory that the caches of texts may take when all of them have reached their limits. */
const mostCacheBytes = totalmem() / 4;
/** Messages of changes that may wait to be handed out: a server that is behind gets no further behind. */
const mostUntaken = 2;
/** Tokens of prompts read between two steps of the texts that are read already. */
const tokensBetweenSteps = 256;

interface Hosted {
  readonly weights: NamedWeights;
  group: TextGroup;
}

interface Waiting {
  readonly order: TextOrder;
  readonly hosted: Hosted;
}

interface Running {
  readonly id: number;
  readonly text: Text;
  readonly hosted: Hosted;
  /** Bytes that its cache may grow to. */
  readonly numBytes: number;
  numScoredSent: number;
  numAddedSent: number;
}

interface State {
  readonly options: HostOptions;
  readonly model: Model;
  readonly engine: TextEngine;
  readonly models: Map<string, Hosted>;
  /** Unloaded models that texts may still wait for, or run on. */
  readonly leaving: Set<Hosted>;
  /** In the order in which they came. */
  readonly waiting: Map<number, Waiting>;
  readonly running: Map<number, Running>;
  readonly say: (answer: HostAnswer) => void;
  numUntaken: number;
  /** Settled when all adapters are loaded, or could not be. */
  loading: Promise<void>;
}

/** Serves a model to the other side of a port until it is told to close. */
export async function hostModel(port: MessagePort, options: HostOptions): Promise<void> {
  const say = (answer: HostAnswer): void => port.postMessage(answer);
  const inbox: HostMessage[] = [];
  let wake = (): void => undefined;
  port.on("message", (message: HostMessage) => {
    inbox.push(message);
    wake();
  });
  const state = await openModel(options, say);
  for (let isOpen = state !== undefined; state !== undefined && isOpen; ) {
    // Between steps only: a group must not change while it takes one.
    for (const message of inbox.splice(0)) {
      if (message.kind === "close") isOpen = false;
      else receive(state, message);
    }
    begin(state);
    closeUnused(state);
    if (state.running.size > 0 && state.numUntaken < mostUntaken) await advance(state);
    else if (isOpen && inbox.length === 0)
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
  }
  await state?.engine.release();
  port.close();
}

async function openModel(options: HostOptions, say: State["say"]): Promise<State | undefined> {
  const { checkpoint, name, numThreads } = options;
  try {
    const model = await readModel(checkpoint);
    const weights = nameWeights(model);
    const engine = createTextEngine(model.config, { numThreads });
    const models = new Map([[name, { weights, group: engine.open(weights.parameters) }]]);
    const { config, tokenizer } = model;
    say({
      kind: "ready",
      model: { config, tokenizerFiles: tokenizer.files, fingerprint: weights.fingerprint },
    });
    const texts = { waiting: new Map(), running: new Map() };
    const parts = { options, model, engine, models, leaving: new Set<Hosted>(), ...texts };
    return { ...parts, say, numUntaken: 0, loading: Promise.resolve() };
  } catch (error) {
    say({ kind: "unable", ...describe(error) });
    return undefined;
  }
}

function describe(error: unknown): Failure {
  return {
    message: error instanceof Error ? error.message : String(error),
    isExpected: error instanceof UsageError || error instanceof CheckpointError,
    isPublic: error instanceof NoRoomError,
  };
}

function describeGone({ model }: TextOrder): Failure {
  const message = `"${model}" was unloaded before its answer began; load it again`;
  return { message, isExpected: true, isPublic: true };
}

function receive(state: State, message: Exclude<HostMessage, { readonly kind: "close" }>): void {
  const { models, waiting, running, say } = state;
  switch (message.kind) {
    case "begin": {
      // The weights of this moment: an adapter may be unloaded while the text waits.
      const hosted = models.get(message.order.model);
      if (hosted !== undefined) waiting.set(message.id, { order: message.order, hosted });
      else say({ kind: "failed", id: message.id, ...describeGone(message.order) });
      return;
    }
    case "drop": {
      const found = running.get(message.id);
      found?.hosted.group.drop(found.text);
      running.delete(message.id);
      waiting.delete(message.id);
      return;
    }
    case "encode":
      encode(state, message);
      return;
    case "load":
      // One after the other: each counts the bytes of all before it, and takes a whole model's while it is read.
      state.loading = state.loading.then(() => load(state, message));
      return;
    case "unload": {
      const hosted = models.get(message.name);
      models.delete(message.name);
      if (hosted !== undefined) state.leaving.add(hosted);
      return;
    }
    case "taken":
      state.numUntaken -= 1;
  }
}

/** Frees the memory of unloaded models that no text needs any more. */
function closeUnused({ leaving, waiting, running }: State): void {
  const needed = new Set([...waiting.values(), ...running.values()].map(({ hosted }) => hosted));
  for (const hosted of leaving) {
    if (needed.has(hosted)) continue;
    hosted.group.close();
    leaving.delete(hosted);
  }
}

function encode(
  { model: { tokenizer }, say }: State,
  { id, prompt: { text, isTemplated } }: Extract<HostMessage, { readonly kind: "encode" }>,
): void {
  try {
    const tokens = isTemplated ? tokenizer.encode(text) : tokenizer.encodePrompt(text);
    const encoded = { tokens, unknown: tokenizer.listUnknown(text) };
    say({ kind: "encoded", id, encoded });
  } catch (error) {
    say({ kind: "failed", id, ...describe(error) });
  }
}

/** Never rejects: what cannot be loaded is reported to who asked, and the next one has its turn. */
async function load(
  { options, model, engine, models, leaving, say }: State,
  { id, name, path }: Extract<HostMessage, { readonly kind: "load" }>,
): Promise<void> {
  try {
    const base = models.get(options.name);
    if (base === undefined) throw new Error("the base is gone");
    const numBytes = [...models.values()].reduce((sum, { weights }) => sum + weights.numBytes, 0);
    const weights = await loadAdapterWeights(
      path,
      { folder: options.checkpoint, model, weights: base.weights },
      numBytes,
    );
    const group = openAdapter(engine, weights);
    const replaced = models.get(name);
    if (replaced !== undefined) leaving.add(replaced);
    models.set(name, { weights, group });
    say({ kind: "loaded", id, fingerprint: weights.fingerprint });
  } catch (error) {
    say({ kind: "failed", id, ...describe(error) });
  }
}

function openAdapter(engine: TextEngine, { parameters, numBytes }: NamedWeights): TextGroup {
  try {
    return engine.open(parameters);
  } catch (cause) {
    if (!(cause instanceof UsageError)) throw cause;
    throw new NoRoomError(
      `the engine's memory of 4 GiB has no room for its ${numBytes} bytes beside the base, other adapters and the texts that are being answered; unload others first`,
      { cause },
    );
  }
}

/** Takes texts that wait, as long as there is room for one more and for what its cache may grow to. */
function begin({ options, engine, waiting, running, say }: State): void {
  let numBytes = [...running.values()].reduce((sum, one) => sum + one.numBytes, 0);
  const mostBytes = Math.min(mostCacheBytes, engine.measureRoom());
  for (const [id, { order, hosted }] of waiting) {
    const { prompt, maxNewTokens, seed } = order;
    const own = engine.measure(prompt.length + maxNewTokens);
    if (running.size >= options.mostTexts || (running.size > 0 && numBytes + own > mostBytes)) return;
    waiting.delete(id);
    try {
      const text = hosted.group.add({ ...order, random: createRandom(seed, "served") });
      running.set(id, { id, text, hosted, numBytes: own, numScoredSent: 0, numAddedSent: 0 });
      numBytes += own;
    } catch (error) {
      say({ kind: "failed", id, ...describe(error) });
    }
  }
}

/** One more token for every running text, or more of its prompt read. */
async function advance(state: State): Promise<void> {
  const { running, engine, say } = state;
  for (const hosted of new Set([...running.values()].map((one) => one.hosted))) {
    const own = [...running.values()].filter((one) => one.hosted === hosted);
    try {
      const changed = new Set(await hosted.group.advance(tokensBetweenSteps));
      state.numUntaken += 1;
      say({ kind: "changes", changes: own.filter(({ text }) => changed.has(text)).map(takeChange) });
      for (const { id, text } of own) if (text.end !== undefined) running.delete(id);
    } catch (error) {
      // What state its caches are in is unknown.
      hosted.group.close();
      hosted.group = engine.open(hosted.weights.parameters);
      for (const { id } of own) {
        running.delete(id);
        say({ kind: "failed", id, ...describe(error) });
      }
    }
  }
}

function takeChange(one: Running): TextChange {
  const { id, text } = one;
  const scored =
    text.end === undefined && text.added.length === 0 ? [] : text.scored.slice(one.numScoredSent);
  const added = text.added.slice(one.numAddedSent);
  one.numScoredSent += scored.length;
  one.numAddedSent += added.length;
  return { id, scored, added, ...(text.end !== undefined && { end: text.end }) };
}
