/** The client against servers on this machine that answer as real ones do on bad days. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, describe, expect, it } from "vitest";
import { createEndpoint, type Endpoint, type EndpointOptions } from "./endpoint.ts";

type Answer = readonly [status: number, body: unknown, headers?: Readonly<Record<string, string>>];

const servers: Server[] = [];
afterAll(() => {
  for (const server of servers) server.closeAllConnections();
  for (const server of servers) server.close();
});

/** A server that gives these answers, one after the other, the last one for ever; and how many it gave by route. */
async function serve(
  route: string,
  answers: readonly Answer[],
): Promise<{ readonly url: string; readonly numAsked: () => number }> {
  let numAsked = 0;
  const server = createServer((incoming: IncomingMessage, outgoing: ServerResponse) => {
    if (incoming.url?.endsWith("/models") === true)
      return void outgoing.end(JSON.stringify({ data: [{ id: "m" }] }));
    if (incoming.url?.endsWith(route) !== true) return void outgoing.writeHead(404).end();
    const [status, body, headers = {}] = answers[Math.min(numAsked, answers.length - 1)] ?? [500, ""];
    numAsked += 1;
    outgoing.writeHead(status, headers).end(typeof body === "string" ? body : JSON.stringify(body));
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, numAsked: () => numAsked };
}

const connect = (url: string, more: Partial<EndpointOptions> = {}): Endpoint =>
  createEndpoint({
    url,
    model: "m",
    api: "chat",
    temperature: 0,
    maxNewTokens: 8,
    fields: {},
    timeoutMs: 600_000,
    maxTries: 3,
    signal: new AbortController().signal,
    ...more,
  });

const ask = async (answers: readonly Answer[], more: Partial<EndpointOptions> = {}) => {
  const { url, numAsked } = await serve("/chat/completions", answers);
  const answer = await connect(url, more)
    .ask([{ role: "user", content: "?" }], 1)
    .catch((error: Error) => error.message);
  return { answer, numAsked: numAsked() };
};

const complete = (content: unknown, more: object = {}): object => ({
  choices: [{ message: { content }, ...more }],
});

describe("an answer", () => {
  it("is told by why it ended, and taken for cut off where that is not said and it is as long as allowed", async () => {
    const usage = { prompt_tokens: -5, completion_tokens: 8 };
    expect((await ask([[200, { ...complete("x"), usage }]])).answer).toEqual({
      text: "x",
      finish: "length",
      numPromptTokens: 0,
      numNewTokens: 8,
    });
    const ended = complete("x", { finish_reason: "stop" });
    expect((await ask([[200, { ...ended, usage }]])).answer).toMatchObject({ finish: "stop" });
    expect((await ask([[200, complete(null)]])).answer).toMatchObject({ text: "", finish: "" });
  });

  it("in parts is the text among them", async () => {
    const parts = [
      { type: "thinking", thinking: [] },
      { type: "text", text: "15" },
    ];
    expect((await ask([[200, complete(parts)]])).answer).toMatchObject({ text: "15" });
  });

  it("of status 200 that is an error is told as such, and asked for again", async () => {
    const { answer, numAsked } = await ask([[200, { error: { message: "engine is gone" } }]]);
    expect(answer).toContain("engine is gone");
    expect(numAsked).toBe(3);
  });

  it("that the server failed at is asked for again, and never taken for one", async () => {
    for (const finish_reason of [
      "abort",
      "error",
      "ABORTED",
      "network_error",
      "insufficient_system_resource",
    ]) {
      const failed = complete("15", { finish_reason });
      const whole = complete("14", { finish_reason: "stop" });
      expect(
        (
          await ask([
            [200, failed],
            [200, whole],
          ])
        ).answer,
      ).toMatchObject({ text: "14" });
      const { answer, numAsked } = await ask([[200, failed]], { maxTries: 2 });
      expect([answer, numAsked]).toEqual([
        expect.stringContaining(`broke its answer off ("${finish_reason}")`),
        2,
      ]);
    }
    const beside = { ...complete("15", { finish_reason: "stop" }), error: { message: "engine is gone" } };
    expect((await ask([[200, beside]], { maxTries: 1 })).answer).toContain("engine is gone");
  });

  it("larger than any completion is refused, in a sentence and at once", async () => {
    const { answer, numAsked } = await ask([[200, "x".repeat(65 * 2 ** 20)]]);
    expect(answer).toMatch(/^Cannot ask m .*64 MiB$/);
    expect(numAsked).toBe(1);
  });
});

describe("createEndpoint()", () => {
  it("takes no fields that ask another model or question, or for another kind of answer", () => {
    for (const fields of [
      { model: "other" },
      { messages: [] },
      { prompt: "?" },
      { stream: true },
      { n: 2 },
      { echo: true },
    ])
      expect(() => connect("http://127.0.0.1", { fields })).toThrow(`"${Object.keys(fields)[0]}"`);
    const fields = { stream: false, n: 1, echo: null, top_p: 0.9, max_tokens: 4 };
    expect(() => connect("http://127.0.0.1", { fields })).not.toThrow();
  });
});

describe("a refusal", () => {
  it("for want of money is not asked again", async () => {
    const error = {
      message: "You exceeded your quota",
      type: "insufficient_quota",
      code: "insufficient_quota",
    };
    expect(await ask([[429, { error }]])).toMatchObject({
      numAsked: 1,
      answer: expect.stringContaining("quota"),
    });
  });

  it("repeats no key, and sends nothing to the terminal but text", async () => {
    const message = "Incorrect key: Bearer sk-hush\u001b[31m\u001b]0;title\u0007 \u0000red\u009b1m";
    const { answer } = await ask([[401, { error: { message } }]], { apiKey: "sk-hush" });
    expect(answer).toContain("Bearer *** red1m");
    expect(answer).not.toMatch(/sk-hush|title|\p{Cc}/u);
  });
});

describe("Endpoint.identify()", () => {
  const logProb = (value: number): object => ({ choices: [{ logprobs: { token_logprobs: [value] } }] });

  it("asks for several log-probabilities, so that neighboring checkpoints are told apart", async () => {
    const { url } = await serve(
      "/v1/completions",
      [1, 2, 3, 4, 5, 6].map((value) => [200, logProb(-value)] as const),
    );
    expect(await connect(url).identify()).toEqual({
      model: "m",
      url: `${url}/v1`,
      probe: [-1, -2, -3, -4, -5, -6],
    });
  });

  it("gives up soon where a server has trouble with that", async () => {
    const { url, numAsked } = await serve("/v1/completions", [[500, "no"]]);
    expect(await connect(url, { maxTries: 10 }).identify()).toEqual({ model: "m", url: `${url}/v1` });
    expect(numAsked()).toBe(2);
  });
});
