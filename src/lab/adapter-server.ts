/** One running server at which adapters come and go: checkpoints and repairs as LoRAs, each verified before it is asked. */
import { realpath } from "node:fs/promises";
import { resolve } from "node:path";
import { UsageError } from "../base/index.ts";
import { createAdapterHost, createEndpoint, type ModelIdentity } from "../endpoint/index.ts";
import type { EndpointChoice } from "./ask-endpoint.ts";
import type { Effects } from "./effects.ts";

/** A server that takes adapters. */
export interface AdapterWay {
  readonly way: "adapters";
  readonly url: string;
  /** The base model's name at the server; absent means that it is found by its folder. */
  readonly model?: string | undefined;
  readonly asking: Omit<EndpointChoice, "url" | "model" | "maxNewTokens">;
}

/** The server with its base model known. */
export interface AdapterServer {
  /** The base model's name at the server. */
  readonly base: string;
  /** The folder that it was connected for. */
  readonly baseFolder: string;
  /**
   * Loads an adapter, does `work` with the name that it has there, and unloads it. Throws `UsageError` where the server does not
   * list it afterwards, or answers as without it.
   */
  withAdapter<Result>(path: string, work: (model: string) => Promise<Result>): Promise<Result>;
}

/** Connects to a server whose base model lies in a folder. Throws `UsageError` where it is down or serves another one. */
export async function connectAdapters(
  { url, model, asking }: AdapterWay,
  baseFolder: string,
  effects: Effects,
): Promise<AdapterServer> {
  const host = createAdapterHost({ ...asking, url, signal: effects.signal });
  const base = await findBase(await host.list(), { url, model, baseFolder });
  const probe = (name: string): Promise<number | undefined> =>
    createEndpoint({ ...asking, maxNewTokens: 1, url, model: name, signal: effects.signal }).probe();
  const ofBase = await probe(base);
  if (ofBase === undefined)
    effects.report({
      kind: "notice",
      text: `The server at ${url} gives no log-probabilities: whether adapters are really applied cannot be verified`,
    });
  return {
    base,
    baseFolder,
    withAdapter: async (path, work) => {
      const name = `untwist-${resolve(path).split("/").slice(-2).join("-")}`;
      // One of that name may be left from a process that was killed, with other weights.
      if ((await host.list()).some((one) => one.model === name)) await host.unload(name);
      await host.load(name, resolve(path));
      try {
        const listed = (await host.list()).find((one) => one.model === name);
        if (listed === undefined)
          throw new UsageError(
            `Cannot use the adapter "${path}": the server says that it loaded it, but does not list it; can it read that folder?`,
          );
        const ofAdapter = await probe(name);
        if (ofBase !== undefined && ofAdapter === ofBase)
          throw new UsageError(
            `Cannot use the adapter "${path}": with it the server answers just as without it; is its rank above the server's limit, or does it change nothing?`,
          );
        return await work(name);
      } finally {
        await host.unload(name).catch(() => undefined);
      }
    },
  };
}

/** The base model among those that are served. Throws `UsageError` where none is it. */
async function findBase(
  models: readonly ModelIdentity[],
  {
    url,
    model,
    baseFolder,
  }: { readonly url: string; readonly model: string | undefined; readonly baseFolder: string },
): Promise<string> {
  const place = await realpath(baseFolder);
  for (const one of models)
    if (model === undefined ? (await resolveRoot(one)) === place : one.model === model) return one.model;
  const found = models
    .map((one) => `"${one.model}"${one.root === undefined ? "" : ` from "${one.root}"`}`)
    .join(", ");
  throw new UsageError(
    model === undefined
      ? `Cannot use the server at ${url}: it does not serve the base model "${baseFolder}", but ${found === "" ? "nothing" : found}; if it is the same model under another path, name it by --model`
      : `Cannot use the server at ${url}: it serves no model "${model}", but ${found === "" ? "nothing" : found}`,
  );
}

async function resolveRoot({ model, root = model }: ModelIdentity): Promise<string> {
  return await realpath(root).catch(() => root);
}
