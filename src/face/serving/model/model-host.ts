/** A checkpoint, and adapters to it, in a thread of their own: texts that come together are continued together. */

import type { MessagePort } from "node:worker_threads";
import { createRandom, UsageError } from "../../../base/core/index.ts";
import {
  createTextEngine,
  readParameters,
  type StoredModel,
  type Text,
  type TextEngine,
  type TextGroup,
} from "../../../engine/model/index.ts";
import { describeStored, measureMemory } from "../../../lab/machine/index.ts";
import { CheckpointError } from "../../../weights/checkpoint/index.ts";
import { NoRoomError, openAdapter } from "../open-adapter.ts";
import type {
  Failure,
  HostAnswer,
  HostMessage,
  HostOptions,
  TextChange,
  TextOrder,
} from "./model-messages.ts";

/** Messages of changes that may wait to be handed out: a server that is behind gets no further behind. */
const mostUntaken = 2;
/** Tokens of prompts read between two steps of the texts that are read already. */
const tokensBetweenSteps = 256;

interface Waiting {
  readonly order: TextOrder;
  readonly group: TextGroup;
}

interface Running {
  readonly id: number;
  readonly text: Text;
  readonly group: TextGroup;
  /** Bytes that its cache may grow to. */
  readonly numBytes: number;
  numScoredSent: number;
  numAddedSent: number;
}

interface State {
  readonly options: HostOptions;
  readonly model: StoredModel;
  readonly engine: TextEngine;
  readonly models: Map<string, TextGroup>;
  /** Unloaded models that texts may still wait for, or run on. */
  readonly leaving: Set<TextGroup>;
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
    const model = await describeStored(checkpoint);
    const { config, tokenizer } = model;
    const engine = createTextEngine(config, { numThreads, memoryBytes: measureMemory() });
    const group = await engine.open(readParameters(checkpoint, config));
    const models = new Map([[name, group]]);
    say({
      kind: "ready",
      model: { config, tokenizerFiles: tokenizer.files, fingerprint: describeWeights(group) },
    });
    const texts = { waiting: new Map(), running: new Map() };
    const parts = { options, model, engine, models, leaving: new Set<TextGroup>(), ...texts };
    return { ...parts, say, numUntaken: 0, loading: Promise.resolve() };
  } catch (error) {
    say({ kind: "unable", ...describe(error) });
    return undefined;
  }
}

/** What tells weights from others (hex, 16 digits). */
function describeWeights({ weights }: TextGroup): string {
  return weights.fingerprint().slice(0, 16);
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
      const group = models.get(message.order.model);
      if (group !== undefined) waiting.set(message.id, { order: message.order, group });
      else say({ kind: "failed", id: message.id, ...describeGone(message.order) });
      return;
    }
    case "drop": {
      const found = running.get(message.id);
      found?.group.drop(found.text);
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
      const group = models.get(message.name);
      models.delete(message.name);
      if (group !== undefined) state.leaving.add(group);
      return;
    }
    case "taken":
      state.numUntaken -= 1;
  }
}

/** Frees the memory of unloaded models that no text needs any more. */
function closeUnused({ leaving, waiting, running }: State): void {
  const needed = new Set([...waiting.values(), ...running.values()].map(({ group }) => group));
  for (const group of leaving) {
    if (needed.has(group)) continue;
    group.close();
    leaving.delete(group);
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
    const numBytes = [...models.values()]
      .filter((group) => group !== base)
      .reduce((sum, { weights }) => sum + weights.numOwnBytes, 0);
    const group = await openAdapter(engine, path, {
      base: { folder: options.checkpoint, model, group: base },
      numBytes,
    });
    const replaced = models.get(name);
    if (replaced !== undefined) leaving.add(replaced);
    models.set(name, group);
    say({ kind: "loaded", id, fingerprint: describeWeights(group) });
  } catch (error) {
    say({ kind: "failed", id, ...describe(error) });
  }
}

/** Takes texts that wait, as long as there is room for one more and for what its cache may grow to. */
function begin({ options, engine, waiting, running, say }: State): void {
  let numBytes = [...running.values()].reduce((sum, one) => sum + one.numBytes, 0);
  const mostBytes = engine.measureRoom();
  for (const [id, { order, group }] of waiting) {
    const { prompt, maxNewTokens, seed } = order;
    const own = engine.measure(prompt.length + maxNewTokens);
    if (running.size >= options.mostTexts || (running.size > 0 && numBytes + own > mostBytes)) return;
    waiting.delete(id);
    try {
      const text = group.add({ ...order, random: createRandom(seed, "served") });
      running.set(id, { id, text, group, numBytes: own, numScoredSent: 0, numAddedSent: 0 });
      numBytes += own;
    } catch (error) {
      say({ kind: "failed", id, ...describe(error) });
    }
  }
}

/** One more token for every running text, or more of its prompt read. */
async function advance(state: State): Promise<void> {
  const { running, say } = state;
  for (const group of new Set([...running.values()].map((one) => one.group))) {
    const own = [...running.values()].filter((one) => one.group === group);
    try {
      const changed = new Set(await group.advance(tokensBetweenSteps));
      state.numUntaken += 1;
      say({ kind: "changes", changes: own.filter(({ text }) => changed.has(text)).map(takeChange) });
      for (const { id, text } of own) if (text.end !== undefined) running.delete(id);
    } catch (error) {
      // What state its caches are in is unknown.
      group.clear();
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
