/** One running server at which adapters come and go: checkpoints and repairs as LoRAs, each verified before it is asked. */
import { createHash } from "node:crypto";
import { basename, join, resolve } from "node:path";
import { setting, UsageError } from "../../../base/core/index.ts";
import type { Effects } from "../../../base/progress/index.ts";
import { createAdapterHost, createEndpoint, type ModelIdentity } from "../../../bridge/endpoint/index.ts";
import { openSafetensors } from "../../../weights/checkpoint/index.ts";
import type { AdapterSource } from "../answer-source.ts";
import { findModelKey } from "./api-keys.ts";
import { describeServed, findServed } from "./served-models.ts";

/** The server with its base model known. */
export interface AdapterServer {
  /** The base model's name at the server. */
  readonly base: string;
  /** The folder that it was connected for. */
  readonly baseFolder: string;
  /**
   * Loads an adapter, does `work` with the name that it has there, and unloads it. Throws `UsageError` where the server does not
   * list it afterwards, or answers just as without it; an answer within the server's own noise is told.
   */
  withAdapter<Result>(path: string, work: (model: string) => Promise<Result>): Promise<Result>;
}

/** Connects to a server whose base model lies in a folder. Throws `UsageError` where it is down or serves another one. */
export async function connectAdapters(
  { url, model, requests }: AdapterSource,
  baseFolder: string,
  effects: Effects,
): Promise<AdapterServer> {
  const connection = {
    ...requests,
    url,
    apiKey: findModelKey({ url, apiKeyEnv: requests.apiKeyEnv }, effects.machine.variables),
  };
  const host = createAdapterHost({ ...connection, signal: effects.signal });
  const farewell = createAdapterHost({ ...connection, maxTries: 2, signal: new AbortController().signal });
  const base = await findBase(await host.list(), { url, model, baseFolder });
  const probe = (name: string): Promise<readonly number[] | undefined> =>
    createEndpoint({ ...connection, maxNewTokens: 1, model: name, signal: effects.signal }).probe();
  // Twice: how much answers differ that should not.
  const [ofBase, again] = [await probe(base), await probe(base)];
  const tell = (text: string): void => effects.report({ kind: "notice", text });
  const isSilent = ofBase === undefined || again === undefined;
  if (isSilent)
    tell(
      `The server at ${url} gives no log-probabilities: whether adapters are really applied cannot be verified`,
    );
  const verify = async (path: string, name: string): Promise<void> => {
    if (isSilent || (await isZero(path))) return;
    const ofAdapter = await probe(name);
    const noise = measureChange(ofBase, again);
    if (!isSeen(path, ofAdapter && measureChange(ofBase, ofAdapter), noise))
      tell(
        `With the adapter "${path}" the server at ${url} ${ofAdapter === undefined ? "gives no log-probabilities" : "answers no more differently than twice without it"}: whether it is really applied cannot be verified`,
      );
  };
  return {
    base,
    baseFolder,
    withAdapter: async (path, work) => {
      const name = nameAdapter(path);
      // One of that name may be left from a process that was killed, with other weights.
      if ((await host.list()).some((one) => one.model === name)) await host.unload(name);
      try {
        await host.load(name, resolve(path));
        if (!(await host.list()).some((one) => one.model === name))
          throw new UsageError(
            `Cannot use the adapter "${path}": the server says that it loaded it, but does not list it; can it read that folder?`,
          );
        await verify(path, name);
        return await work(name);
      } finally {
        // Also after a stop, whose signal would end this request too.
        await farewell.unload(name).catch(() => undefined);
      }
    },
  };
}

/** How many times the difference of two equal questions an adapter has to make, to be seen. */
const noiseFactor = 3;

/**
 * Whether the change that an adapter makes stands out from the noise, both in nats; not where it was not measured. Throws
 * `UsageError` where there is none at all.
 */
function isSeen(path: string, change: number | undefined, noise: number): boolean {
  if (change === 0)
    throw new UsageError(
      `Cannot use the adapter "${path}": with it the server answers just as without it; is its rank above the server's limit?`,
    );
  return change !== undefined && change > noiseFactor * noise;
}

/** Mean difference of two probes in nats. */
function measureChange(before: readonly number[], now: readonly number[]): number {
  const changes = now.map((value, index) => Math.abs(value - (before[index] ?? value)));
  return changes.reduce((sum, change) => sum + change, 0) / Math.max(1, changes.length);
}

/** A name that no other adapter has, whatever run it belongs to. */
function nameAdapter(path: string): string {
  const place = resolve(path);
  const hash = createHash("sha256").update(place).digest("hex").slice(0, 8);
  return `untwist-${basename(place)}-${hash}`;
}

/** Whether an adapter adds nothing, as before its first step. */
async function isZero(path: string): Promise<boolean> {
  const file = await openSafetensors(join(path, "adapter_model.safetensors"));
  try {
    for (const name of file.header.tensors.keys()) {
      if (!/lora_(?:embedding_)?B/.test(name)) continue;
      if ((await file.readTensor(name)).data.some((value) => value !== 0)) return false;
    }
    return true;
  } finally {
    await file.close();
  }
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
  const found =
    model === undefined
      ? await findServed(models, baseFolder)
      : models.find((one) => one.model === model)?.model;
  if (found !== undefined) return found;
  throw new UsageError(
    model === undefined
      ? `Cannot use the server at ${url}: it does not serve the base model "${baseFolder}", but ${describeServed(models)}; if it is the same model under another path, name it by ${setting("model")}`
      : `Cannot use the server at ${url}: it serves no model "${model}", but ${describeServed(models)}`,
  );
}
