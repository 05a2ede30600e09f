import { once } from "node:events";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { UsageError } from "../../base/core/index.ts";
import { type AlertHook, openHooks } from "./alert-hooks.ts";

const heard: { readonly request: IncomingMessage; readonly body: string }[] = [];
/** What the server answers, one after the other; then 200. */
let statuses: number[] = [];
let onRequest: () => void = () => undefined;
const server = createServer((request, response) => {
  let body = "";
  request
    .on("data", (part: Buffer) => (body += part.toString("utf8")))
    .on("end", () => {
      heard.push({ request, body });
      onRequest();
      // A body that is longer than what a client keeps of it.
      response.writeHead(statuses.shift() ?? 200).end("x".repeat(100_000));
    });
});
let address = "";

beforeAll(async () => {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
beforeEach(() => {
  heard.length = 0;
  statuses = [];
  onRequest = () => undefined;
});
afterAll(() => {
  server.close();
});

const never = new AbortController().signal;
function openWebhook(path = "/hook"): AlertHook {
  const [hook] = openHooks({ webhook: `${address}${path}` }, {});
  if (hook === undefined) throw new Error("There is no hook");
  return hook;
}

describe("openHooks()", () => {
  it("opens what is given, the command first, and names each without what may be secret", () => {
    const hooks = openHooks({ alertCommand: "notify me", webhook: "https://host/T0/key?token=key" }, {});
    expect(hooks.map(({ name, place }) => [name, place])).toEqual([
      ["command", "the command 'notify me'"],
      ["webhook", "https://host/…"],
    ]);
    expect(openHooks({}, {})).toEqual([]);
  });

  it.each([
    ["nowhere", "it is not an address"],
    ["ftp://host/key", "it does not start with http:// or https://"],
    ["host:443/key", "it does not start with http:// or https://"],
    ["https://me:key@host/x", "there are a name or a password in it"],
    ["https://key@host/x", "there are a name or a password in it"],
  ])("refuses %s", (webhook, problem) => {
    const open = (): unknown => openHooks({ webhook }, {});
    expect(open).toThrow(UsageError);
    expect(open).toThrow(`Cannot call the webhook: ${problem}; give an address as https://host/path`);
    expect(open).not.toThrow("key");
  });
});

describe("a webhook", () => {
  it("is sent the message as JSON, once", async () => {
    const message = { text: "OOD „fell“", step: 20, pValue: 2 ** -12 };
    await openWebhook("/T0/key?token=1").call(message, never);
    expect(heard).toHaveLength(1);
    expect(heard[0]?.request).toMatchObject({
      method: "POST",
      url: "/T0/key?token=1",
      headers: { "content-type": "application/json" },
    });
    expect(JSON.parse(heard[0]?.body ?? "")).toEqual(message);
  });

  it("is called again a second after it failed, and not once it was heard", async () => {
    statuses = [503];
    const startMs = performance.now();
    await openWebhook().call({ text: "fell" }, never);
    expect(heard.map(({ body }) => body)).toEqual(['{"text":"fell"}', '{"text":"fell"}']);
    expect(performance.now() - startMs).toBeGreaterThan(900);
  });

  it("keeps nobody waiting who stops: while it is called, and while it waits to be called again", async () => {
    statuses = [500, 500];
    const during = new AbortController();
    onRequest = () => during.abort();
    await expect(openWebhook().call({ text: "fell" }, during.signal)).rejects.toThrow(
      "it answered with status 500",
    );
    expect(heard).toHaveLength(1);
    // Then a last time at once: here it is heard.
    statuses = [404];
    const between = new AbortController();
    onRequest = () => setTimeout(() => between.abort(), 50);
    const startMs = performance.now();
    await openWebhook().call({ text: "fell" }, between.signal);
    expect(performance.now() - startMs).toBeLessThan(900);
    expect(heard).toHaveLength(3);
  });

  it("says why it could not be called", async () => {
    const closed = createServer().listen(0, "127.0.0.1");
    await once(closed, "listening");
    const { port } = closed.address() as AddressInfo;
    await new Promise((resolve) => closed.close(resolve));
    const [hook] = openHooks({ webhook: `http://127.0.0.1:${port}/` }, {});
    await expect(hook?.call({ text: "fell" }, AbortSignal.abort())).rejects.toMatchObject({
      cause: { message: expect.stringContaining("ECONNREFUSED") },
    });
  });
});
