/** A server in this process that answers every request as a test wants, and keeps what it was asked. */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { RequestOptions } from "../../src/lab/answer/index.ts";

/** The fields of requests that tests look at. */
export interface RequestBody {
  readonly model?: string;
  readonly prompt?: string;
  readonly messages?: readonly { readonly role: string; readonly content: string }[];
  readonly lora_name?: string;
  readonly lora_path?: string;
}

/** A request as it came. */
export interface JsonRequest {
  /** Without its `/v1/`. */
  readonly route: string;
  readonly body: RequestBody;
}

/** A server that runs. */
export interface JsonServer {
  readonly url: string;
  /** Everything that it was asked, in order. */
  readonly requests: JsonRequest[];
  close(): void;
}

async function readBody(incoming: IncomingMessage): Promise<RequestBody> {
  let text = "";
  for await (const part of incoming) text += part;
  return text === "" ? {} : JSON.parse(text);
}

/** Starts one; what has no reply is refused with status 404. */
export async function startJsonServer(
  reply: (request: JsonRequest) => object | undefined,
): Promise<JsonServer> {
  const requests: JsonRequest[] = [];
  const answer = async (incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> => {
    const route = (incoming.url ?? "").replace(/^\/v1\//, "");
    const request = { route, body: await readBody(incoming) };
    requests.push(request);
    const replied = reply(request);
    outgoing.statusCode = replied === undefined ? 404 : 200;
    outgoing.setHeader("content-type", "application/json");
    outgoing.end(JSON.stringify(replied ?? {}));
  };
  // A client that hangs up has its answer.
  const server = createServer((incoming, outgoing) => {
    answer(incoming, outgoing).catch(() => outgoing.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`,
    requests,
    close: () => server.close(),
  };
}

/** A chat completion that says a text and ends by itself. */
export function describeCompletion(content: string): object {
  return {
    choices: [{ message: { content }, finish_reason: "stop" }],
    usage: { prompt_tokens: 2, completion_tokens: 1 },
  };
}

/** The last thing that was said in a chat. */
export function readQuestion({ messages = [] }: RequestBody): string {
  return messages.at(-1)?.content ?? "";
}

/** How many questions a server was asked. */
export function countQuestions({ requests }: Pick<JsonServer, "requests">): number {
  return requests.filter(({ route }) => route === "chat/completions").length;
}

/** How such servers are asked where nothing else matters: one question at a time, none a second time. */
export const plainRequests: RequestOptions = {
  api: "chat",
  temperature: 0,
  fields: {},
  concurrency: 1,
  timeoutMs: 600_000,
  maxTries: 1,
};
