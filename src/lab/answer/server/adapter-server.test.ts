import { mkdirSync, symlinkSync } from "node:fs";
import { basename, join, relative } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { writeAdapterFolder } from "../../../../test/support/adapter-folder.ts";
import { createTestEffects } from "../../../../test/support/effects.ts";
import { type JsonServer, startJsonServer } from "../../../../test/support/json-server.ts";
import { createTemporaryFolder, removeFolder } from "../../../../test/support/untwist.ts";
import { UsageError } from "../../../base/core/index.ts";
import { StoppedError } from "../../../base/progress/index.ts";
import { writeSafetensors } from "../../../weights/checkpoint/index.ts";
import type { AdapterSource } from "../answer-source.ts";
import { type AdapterServer, connectAdapters } from "./adapter-server.ts";

const place = createTemporaryFolder();
const servers: JsonServer[] = [];
afterAll(() => {
  for (const server of servers) server.close();
  removeFolder(place);
});

const base = join(place, "base");
mkdirSync(base);
const modules = { "model.layers.0.self_attn.q_proj": [4, 4, 1] } as const;
const adapter = await writeAdapterFolder(join(place, "checkpoint-10"), { base, modules });

/** How a server behaves that is not as it should be. */
interface Behavior {
  /** Where its base model lies. */
  readonly root?: string;
  readonly listsAdapters?: boolean;
  readonly unloads?: boolean;
  /** The log-probabilities that it gives: of the base, of the base asked again, and of an adapter. Default: none. */
  readonly logProbs?: readonly [base: number, again: number, adapter: number | null];
  /** Names that are loaded when it starts. */
  readonly loaded?: readonly string[];
}

/** A server whose base model is called "served". */
async function start({
  root = base,
  listsAdapters = true,
  unloads = true,
  logProbs,
  loaded: before = [],
}: Behavior): Promise<JsonServer & { readonly loaded: Set<string> }> {
  const loaded = new Set(before);
  let numProbed = 0;
  /** Six texts make a probe. */
  const probe = (model: string | undefined): object => {
    const kind = model === "served" ? Math.min(1, Math.floor(numProbed++ / 6)) : 2;
    return { choices: [{ text: "", logprobs: logProbs && { token_logprobs: [logProbs[kind]] } }] };
  };
  const server = await startJsonServer(({ route, body }) => {
    const { model, lora_name: name = "" } = body;
    if (route === "completions") return probe(model);
    if (route === "load_lora_adapter") return { ok: loaded.add(name).size };
    if (route === "unload_lora_adapter") return unloads ? { ok: loaded.delete(name) } : undefined;
    const adapters = listsAdapters ? [...loaded].map((id) => ({ id })) : [];
    return { data: [{ id: "served", root }, ...adapters] };
  });
  servers.push(server);
  return { ...server, loaded };
}

const describeSource = ({ url }: JsonServer, model?: string): AdapterSource => ({
  kind: "adapters",
  url,
  model,
  requests: { api: "chat", temperature: 0, fields: {}, concurrency: 1, timeoutMs: 600_000, maxTries: 1 },
});

/** Connects to a server, and what is told then. */
async function connect(
  server: JsonServer,
): Promise<{ readonly host: AdapterServer; readonly notices: () => readonly string[] }> {
  const effects = createTestEffects();
  return { host: await connectAdapters(describeSource(server), base, effects), notices: effects.notices };
}

/** What was loaded and unloaded, in order. */
const listMoves = ({ requests }: JsonServer): readonly string[] =>
  requests.flatMap(({ route }) =>
    route.endsWith("_lora_adapter") ? [route.replace("_lora_adapter", "")] : [],
  );

describe("connectAdapters()", () => {
  it("finds the base model by its folder, whichever way leads there, or by the name that was given", async () => {
    const link = join(place, "link");
    symlinkSync(base, link);
    const server = await start({ root: link });
    expect((await connect(server)).host).toMatchObject({ base: "served", baseFolder: base });
    const elsewhere = await start({ root: "/models/base" });
    const named = await connectAdapters(describeSource(elsewhere, "served"), base, createTestEffects());
    expect(named.base).toBe("served");
  });

  it("refuses a server of another model, and says what it serves", async () => {
    const source = describeSource(await start({ root: "/models/other" }));
    const refusal = connectAdapters(source, base, createTestEffects());
    await expect(refusal).rejects.toThrow(UsageError);
    await expect(refusal).rejects.toThrow(`the base model "${base}", but "served" from "/models/other"`);
    const named = connectAdapters({ ...source, model: "mine" }, base, createTestEffects());
    await expect(named).rejects.toThrow('it serves no model "mine", but "served" from "/models/other"');
  });

  it("tells once that nothing can be verified where the server gives no log-probabilities", async () => {
    const { host, notices } = await connect(await start({}));
    for (const _ of [1, 2]) expect(await host.withAdapter(adapter, async () => "done")).toBe("done");
    expect(notices()).toEqual([expect.stringContaining("gives no log-probabilities")]);
  });
});

describe("withAdapter()", () => {
  it("loads the adapter by its absolute folder for as long as the work takes", async () => {
    const server = await start({ logProbs: [-1, -1, -2] });
    const { host, notices } = await connect(server);
    const seen: string[] = [];
    const result = await host.withAdapter(relative(process.cwd(), adapter), async (model) => {
      seen.push(model, ...server.loaded);
      return 42;
    });
    expect(result).toBe(42);
    expect(seen).toEqual([seen[0], seen[0]]);
    expect(seen[0]).toMatch(/^untwist-checkpoint-10-[0-9a-f]{8}$/);
    expect(server.requests.find(({ route }) => route === "load_lora_adapter")?.body.lora_path).toBe(adapter);
    expect([server.loaded.size, listMoves(server), notices()]).toEqual([0, ["load", "unload"], []]);
  });

  it("gives adapters of one name in two folders two names", async () => {
    const other = await writeAdapterFolder(join(place, "other", basename(adapter)), { base, modules });
    const { host } = await connect(await start({}));
    const names: string[] = [];
    for (const path of [adapter, other, adapter])
      names.push(await host.withAdapter(path, async (model) => model));
    const [first, second, again] = names;
    expect([first === second, first === again]).toEqual([false, true]);
  });

  it("takes away what a killed process left under the name before it loads its own", async () => {
    const { host } = await connect(await start({}));
    const name = await host.withAdapter(adapter, async (model) => model);
    const server = await start({ loaded: [name, "untwist-of-somebody-else"] });
    await (await connect(server)).host.withAdapter(adapter, async () => undefined);
    expect(listMoves(server)).toEqual(["unload", "load", "unload"]);
    expect([...server.loaded]).toEqual(["untwist-of-somebody-else"]);
  });

  it("takes the adapter away also after a failure and after a stop", async () => {
    const server = await start({});
    const stop = new AbortController();
    const effects = createTestEffects({ signal: stop.signal });
    const host = await connectAdapters(describeSource(server), base, effects);
    const failed = host.withAdapter(adapter, async () => {
      throw new RangeError("no answer");
    });
    await expect(failed).rejects.toThrow(new RangeError("no answer"));
    expect(server.loaded.size).toBe(0);
    const stopped = host.withAdapter(adapter, async () => {
      stop.abort();
      throw new StoppedError();
    });
    await expect(stopped).rejects.toThrow(StoppedError);
    expect([server.loaded.size, listMoves(server)]).toEqual([0, ["load", "unload", "load", "unload"]]);
  });

  it("keeps the result where the server does not take the adapter away", async () => {
    const { host } = await connect(await start({ unloads: false }));
    expect(await host.withAdapter(adapter, async () => "kept")).toBe("kept");
  });

  it.each([
    ["does not list what it loaded", { listsAdapters: false }, "does not list it"],
    ["answers just as without it", { logProbs: [-1, -1, -1] }, "just as without it"],
  ] as const)("refuses a server that %s, without any work", async (_, behavior, words) => {
    const server = await start(behavior);
    const { host } = await connect(server);
    let numWorked = 0;
    const refusal = host.withAdapter(adapter, async () => numWorked++);
    await expect(refusal).rejects.toThrow(UsageError);
    await expect(refusal).rejects.toThrow(words);
    expect([numWorked, server.loaded.size]).toEqual([0, 0]);
  });

  it("tells of an adapter that changes no more than three times what the server changes by itself", async () => {
    // Two equal questions differ by 0.01.
    for (const [change, isTold] of [
      [0.029, true],
      [0.031, false],
    ] as const) {
      const { host, notices } = await connect(await start({ logProbs: [-1, -1.01, -1 - change] }));
      expect(await host.withAdapter(adapter, async () => "done")).toBe("done");
      expect(notices()).toEqual(isTold ? [expect.stringContaining("no more differently than twice")] : []);
    }
  });

  it("tells of an adapter with which the server gives no log-probabilities, as it does without it", async () => {
    const { host, notices } = await connect(await start({ logProbs: [-1, -1, null] }));
    expect(await host.withAdapter(adapter, async () => "done")).toBe("done");
    expect(notices()).toEqual([
      expect.stringMatching(/With the adapter .* gives no log-probabilities.*cannot/),
    ]);
  });

  it("expects no other answers of an adapter before its first step, which adds nothing", async () => {
    const zero = await writeAdapterFolder(join(place, "checkpoint-0"), { base, modules });
    const name = (side: string): string =>
      `base_model.model.model.layers.0.self_attn.q_proj.lora_${side}.weight`;
    await writeSafetensors(join(zero, "adapter_model.safetensors"), [
      { name: name("A"), dtype: "F32", shape: [1, 4], data: () => Float32Array.of(1, 2, 3, 4) },
      { name: name("B"), dtype: "F32", shape: [4, 1], data: () => new Float32Array(4) },
    ]);
    const { host, notices } = await connect(await start({ logProbs: [-1, -1, -1] }));
    expect(await host.withAdapter(zero, async () => "done")).toBe("done");
    expect(notices()).toEqual([]);
  });
});
