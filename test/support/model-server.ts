/** `untwist serve` as a process of its own, as others use it. */
import { once } from "node:events";
import { type ClientRequest, request } from "node:http";
import { type Json, parseJson, type Running, startUntwist } from "./untwist.ts";

/** A model that is being served. */
export interface ModelServer {
  /** With a final slash. */
  readonly address: string;
  readonly running: Running;
  /** What it printed on stderr so far. */
  readErrors(): string;
  /** Resolves once its stderr holds these words. */
  untilSaid(words: string): Promise<void>;
  close(): Promise<void>;
}

/** Serves a checkpoint under a name, at a free port. */
export async function serveModel(checkpoint: string, name: string): Promise<ModelServer> {
  const running = startUntwist(["serve", checkpoint, "--name", name, "--port", "0"]);
  const { child, outcome } = running;
  const said = { stdout: "", stderr: "" };
  for (const stream of ["stdout", "stderr"] as const)
    child[stream]?.on("data", (part: string) => {
      said[stream] += part;
    });
  const find = (): string | undefined => / at (http:\S+\/)v1/.exec(said.stdout)?.[1];
  while (find() === undefined) {
    const ended = await Promise.race([outcome, once(child.stdout ?? child, "data")]);
    if ("code" in ended) throw new Error(`Cannot serve ${checkpoint}: ${ended.stderr}`);
  }
  return {
    address: find() ?? "",
    running,
    readErrors: () => said.stderr,
    untilSaid: async (words) => {
      while (!said.stderr.includes(words)) await once(child.stderr ?? child, "data");
    },
    close: async () => {
      child.kill("SIGTERM");
      await outcome;
    },
  };
}

/** What it answered. */
export interface Reply {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Json;
}

/** Posts to one of its routes below /v1/, as JSON unless the headers say otherwise. */
export async function postTo(
  { address }: ModelServer,
  ...[route, body, headers = {}]: readonly [string, object | string, Readonly<Record<string, string>>?]
): Promise<Reply> {
  const response = await fetch(`${address}v1/${route}`, {
    method: "POST",
    body: typeof body === "string" ? body : JSON.stringify(body),
    headers: { "content-type": "application/json", ...headers },
  });
  const text = await response.text();
  const isJson = response.headers.get("content-type")?.startsWith("application/json") === true;
  return { status: response.status, headers: response.headers, body: isJson ? parseJson(text) : text };
}

/** A question, once it is sent. */
export function send(address: string, body: object): Promise<ClientRequest> {
  return new Promise((resolve) => {
    const headers = { "content-type": "application/json" };
    const sent = request(`${address}v1/completions`, { method: "POST", headers });
    sent.on("error", () => undefined);
    sent.end(JSON.stringify(body), () => resolve(sent));
  });
}

/** Has a server read a prompt that keeps its model from reading others for a while. */
export async function keepReading(
  { address }: ModelServer,
  model: string,
): Promise<{ readonly end: Promise<unknown> }> {
  const sent = await send(address, { model, prompt: "show ".repeat(200_000) });
  const end = once(sent, "response");
  // Awaited by the caller, some time later.
  end.catch(() => undefined);
  await fetch(`${address}health`);
  return { end };
}
