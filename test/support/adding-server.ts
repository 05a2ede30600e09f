/** A server in this process whose models add the numbers of a question; it takes adapters, whose sums are one too large. */
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import type { Json } from "./untwist.ts";

/** A server that runs. */
export interface AddingServer {
  readonly url: string;
  /** Names of the adapters that were loaded, in order. */
  readonly loaded: string[];
  /** Those that are loaded now. */
  readonly adapters: Map<string, string>;
  close(): void;
}

async function readBody(incoming: IncomingMessage): Promise<Json> {
  let text = "";
  for await (const part of incoming) text += part;
  return text === "" ? {} : JSON.parse(text);
}

/** Starts one whose base model lies in a folder. */
export async function startAddingServer(base: string): Promise<AddingServer> {
  const adapters = new Map<string, string>();
  const loaded: string[] = [];
  const server = createServer(async (incoming, outgoing) => {
    const route = incoming.url ?? "";
    const { lora_name: name, lora_path: path, model, messages } = await readBody(incoming);
    const answer = (): object => {
      if (route.endsWith("/models"))
        return {
          data: [
            { id: base, root: base },
            ...[...adapters].map(([id, root]) => ({ id, root, parent: base })),
          ],
        };
      if (route.endsWith("/unload_lora_adapter")) return { ok: adapters.delete(name) };
      if (route.endsWith("/load_lora_adapter")) {
        adapters.set(name, path);
        loaded.push(name);
        return {};
      }
      if (!route.endsWith("/chat/completions")) return { choices: [{ text: "", logprobs: null }] };
      const question: string = messages.at(-1).content;
      const sum = (question.match(/\d+/g) ?? []).reduce((total, number) => total + Number(number), 0);
      const content = String(sum + (adapters.has(model) ? 1 : 0));
      return {
        choices: [{ message: { content }, finish_reason: "stop" }],
        usage: { prompt_tokens: 1, completion_tokens: 1 },
      };
    };
    outgoing.setHeader("content-type", "application/json");
    outgoing.end(JSON.stringify(answer()));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`,
    loaded,
    adapters,
    close: () => server.close(),
  };
}
