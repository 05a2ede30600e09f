import { cpSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { locateModel } from "../src/lab/machine/index.ts";
import {
  keepReading,
  type ModelServer,
  postTo,
  type Reply,
  send,
  serveModel,
} from "./support/model-server.ts";
import { expectRefusal } from "./support/refusal.ts";
import { createWorkplace, type Json, parseJson, removeFolder } from "./support/untwist.ts";

const { folder, at } = createWorkplace();
let server: ModelServer;
beforeAll(async () => {
  cpSync(await locateModel("general-points-base"), at("base"), { recursive: true });
  server = await serveModel(at("base"), "served");
});
afterAll(async () => {
  await server.close();
  removeFolder(folder);
});

const post = (
  ...args: readonly [string, object | string, Readonly<Record<string, string>>?]
): Promise<Reply> => postTo(server, ...args);

/** The events of a stream, its end included. */
async function readEvents(route: string, body: object): Promise<readonly Json[]> {
  const { body: text } = await post(route, { ...body, stream: true });
  const events = String(text)
    .split("\n\n")
    .filter((event) => event !== "")
    .map((event) => event.slice("data: ".length));
  expect(events.at(-1)).toBe("[DONE]");
  return events.slice(0, -1).map(parseJson);
}

const prompt = "rule J = 10 , Q = 10 , K = 10 ; c: 5 J 3 A ; show";
const messages = [{ role: "user", content: prompt }];
const question = { model: "served", prompt, max_tokens: 12, temperature: 0 };
const conversation = { model: "served", messages, max_tokens: 12, temperature: 0 };

describe("untwist serve", () => {
  it("lists its models and gives each by name", async () => {
    const { data } = parseJson(await (await fetch(`${server.address}v1/models`)).text());
    expect(data).toEqual([expect.objectContaining({ id: "served", max_model_len: 128, root: at("base") })]);
    const one = await fetch(`${server.address}v1/models/served`);
    expect(parseJson(await one.text())).toEqual(data[0]);
    const none = await fetch(`${server.address}v1/models/some/other`);
    expect([none.status, parseJson(await none.text()).error]).toEqual([
      404,
      expect.objectContaining({ code: "model_not_found", message: expect.stringContaining("some/other") }),
    ]);
  });

  it("continues texts, several at once, as token ids too, and counts tokens", async () => {
    const { body } = await post("completions", { ...question, prompt: [prompt, `${prompt} c:`] });
    expect(body.choices).toHaveLength(2);
    expect(body.usage).toMatchObject({ prompt_tokens: 41, completion_tokens: 24, total_tokens: 65 });
    const { body: one } = await post("completions", question);
    expect(one.choices[0]).toMatchObject({
      text: body.choices[0].text,
      finish_reason: "length",
      logprobs: null,
    });
  });

  it("gives log-probabilities of prompt and answer that agree with its own choices", async () => {
    const { body } = await post("completions", { ...question, echo: true, logprobs: 3 });
    const {
      tokens,
      token_logprobs: logProbs,
      top_logprobs: best,
      text_offset: offsets,
    } = body.choices[0].logprobs;
    expect([tokens.length, logProbs.length, best.length, offsets.length]).toEqual([32, 32, 32, 32]);
    expect([logProbs[0], best[0]]).toEqual([null, null]);
    for (const [index, logProb] of logProbs.slice(1).entries()) {
      const likeliest: Readonly<Record<string, number>> = best[index + 1];
      expect(likeliest[tokens[index + 1]]).toBe(logProb);
      const highest = Math.max(...Object.values(likeliest));
      expect([3, 4]).toContain(Object.keys(likeliest).length);
      // Greedy: what it wrote is what it found likeliest.
      if (index + 1 >= 20) expect(logProb).toBe(highest);
    }
    const { body: alone } = await post("completions", {
      ...question,
      prompt: body.choices[0].text,
      max_tokens: 0,
      echo: true,
      logprobs: 1,
    });
    for (const [index, value] of alone.choices[0].logprobs.token_logprobs.entries())
      if (index > 0) expect(value).toBeCloseTo(logProbs[index], 4);
    expect(alone.choices[0].text).toBe(body.choices[0].text);
    const { body: chat } = await post("chat/completions", {
      ...conversation,
      logprobs: true,
      top_logprobs: 2,
    });
    for (const [index, { token, logprob, top_logprobs: top }] of chat.choices[0].logprobs.content.entries()) {
      expect([token, top[0]]).toEqual([
        tokens[20 + index],
        { token, logprob, bytes: [...Buffer.from(token)] },
      ]);
      expect(logprob).toBeCloseTo(logProbs[20 + index], 4);
      expect(top).toHaveLength(2);
    }
  });

  it("stops generating where it is told, and repeats by seed", async () => {
    const { body: whole } = await post("completions", { ...question, max_tokens: 30 });
    const words = whole.choices[0].text.split(" ");
    const stop = ` ${words[5]}`;
    const { body } = await post("completions", { ...question, max_tokens: 30, stop: ["absent", stop] });
    const [{ text, finish_reason: finish }] = body.choices;
    expect([text, finish]).toEqual([
      whole.choices[0].text.slice(0, whole.choices[0].text.indexOf(stop)),
      "stop",
    ]);
    expect(body.usage.completion_tokens).toBe(text.split(" ").length + 1);
    const drawn = { ...question, temperature: 1.5, seed: 7, n: 2 };
    const [first, second] = [await post("completions", drawn), await post("completions", drawn)];
    expect(first.body.choices).toEqual(second.body.choices);
    expect(first.body.choices[0].text).not.toBe(first.body.choices[1].text);
  });

  it("streams token by token what it would say at once, with log-probabilities and usage", async () => {
    const { body: whole } = await post("chat/completions", { ...conversation, n: 2, logprobs: true });
    const events = await readEvents("chat/completions", {
      ...{ ...conversation, n: 2, logprobs: true, stream_options: { include_usage: true } },
    });
    expect(events.at(-1)).toMatchObject({ choices: [], usage: whole.usage });
    for (const index of [0, 1]) {
      const parts = events.map(({ choices }) => choices[0]).filter((choice) => choice?.index === index);
      expect(parts[0].delta).toEqual({ role: "assistant", content: "" });
      expect(parts.at(-1)).toMatchObject({ delta: {}, finish_reason: whole.choices[index].finish_reason });
      expect(parts).toHaveLength(12 + 2);
      expect(parts.map(({ delta }) => delta.content ?? "").join("")).toBe(
        whole.choices[index].message.content,
      );
      const tokens = parts.flatMap(({ logprobs }) => logprobs?.content ?? []);
      // The last bits depend on which texts took their steps together.
      for (const [place, { token, logprob }] of whole.choices[index].logprobs.content.entries()) {
        expect(tokens[place].token).toBe(token);
        expect(tokens[place].logprob).toBeCloseTo(logprob, 5);
      }
    }
    expect(new Set(events.map(({ id }) => id)).size).toBe(1);
    const plain = await readEvents("completions", { ...question, stop: " n:" });
    const { body: stopped } = await post("completions", { ...question, stop: " n:" });
    expect(plain.map(({ choices }) => choices[0].text).join("")).toBe(stopped.choices[0].text);
    expect(plain.at(-1)).toMatchObject({ choices: [{ finish_reason: "stop" }] });
  });

  it("refuses what it cannot do in the shape that clients expect", async () => {
    const cases: readonly (readonly [string, object | string, number, string])[] = [
      ["completions", "{", 400, "JSON"],
      ["completions", { ...question, model: "other" }, 404, '"other"'],
      ["completions", { ...question, max_tokens: 1000 }, 400, "128 positions"],
      ["completions", { ...question, prompt: "" }, 400, "empty"],
      ["completions", { ...question, prompt: [] }, 400, "prompt"],
      ["completions", { ...question, prompt: [1, "show"] }, 400, "token ids"],
      ["completions", { ...question, prompt: "rule Jack = ten" }, 400, '"Jack", "ten"'],
      ["completions", { ...question, temperature: -1 }, 400, "temperature"],
      ["completions", { ...question, prompt: [1, 99_999] }, 400, "99999"],
      ["completions", { ...question, prompt: Array(300).fill("show"), n: 2 }, 400, "600 answers"],
      ["completions", { ...question, stop: Array(17).fill("x") }, 400, "stop"],
      ["completions", { ...question, logprobs: 6 }, 400, "logprobs"],
      ["completions", { ...question, stream_options: { include_usage: true } }, 400, "stream_options"],
      ["chat/completions", { model: "served", messages: [] }, 400, "messages"],
      [
        "chat/completions",
        { ...conversation, messages: [{ role: "tool", content: "" }] },
        400,
        "messages.0.role",
      ],
      [
        "chat/completions",
        { ...conversation, messages: [{ ...messages[0], name: "J" }] },
        400,
        "messages.0.name",
      ],
      ["chat/completions", { ...conversation, top_logprobs: 2 }, 400, "top_logprobs"],
      ["chat/completions", { ...conversation, messages: [{ role: "user", content: "Hi" }] }, 400, '"Hi"'],
      ["unload_lora_adapter", { lora_name: "b" }, 404, '"b"'],
      ["unload_lora_adapter", { lora_name: "served" }, 400, "not an adapter"],
      ["embeddings", {}, 404, "no such route"],
    ];
    for (const [route, body, status, words] of cases) {
      const { status: given, body: answer } = await post(route, body);
      expect([given, Object.keys(answer.error)], words).toEqual([
        status,
        ["message", "type", "param", "code"],
      ]);
      expect(answer.error.message).toContain(words);
    }
  });

  it("refuses fields that it does not carry out, unless they ask for nothing", async () => {
    const tools = [{ type: "function", function: { name: "f" } }];
    for (const [field, value, neutral] of [
      ["tools", tools, []],
      ["tool_choice", "required", "auto"],
      ["response_format", { type: "json_object" }, { type: "text" }],
      ["logit_bias", { "5": 100 }, {}],
      ["presence_penalty", 0.5, 0],
      ["frequency_penalty", 0.5, 0],
      ["repetition_penalty", 1.1, 1],
      ["min_p", 0.1, 0],
      ["ignore_eos", true, false],
      ["skip_special_tokens", false, true],
      ["reasoning_effort", "high", null],
      ["something_new", 1, null],
    ] as const) {
      const { status, body } = await post("chat/completions", { ...conversation, [field]: value });
      expect([status, body.error?.param, body.error?.code]).toEqual([400, field, "unsupported_parameter"]);
      expect(body.error.message).toContain(`"${field}"`);
      expect((await post("chat/completions", { ...conversation, [field]: neutral })).status, field).toBe(200);
    }
  });

  it("takes only JSON of a sane size, from its own pages and by its own name", async () => {
    const large = await post("completions", { ...question, prompt: "show ".repeat(300_000) });
    expect([large.status, large.body.error.message]).toEqual([413, expect.stringContaining("1048576 bytes")]);
    // Without a length given before, it is noticed while it is read.
    const pieces = new ReadableStream({
      pull: (controller) => controller.enqueue(new Uint8Array(2 ** 16)),
    }).pipeThrough(takeBytes(2 ** 21));
    const init = { method: "POST", headers: { "content-type": "application/json" }, duplex: "half" };
    const streamed = await fetch(`${server.address}v1/completions`, { ...init, body: pieces } as RequestInit);
    expect(streamed.status).toBe(413);
    for (const route of ["completions", "chat/completions", "load_lora_adapter", "unload_lora_adapter"]) {
      expect((await post(route, question, { "content-type": "text/plain" })).status, route).toBe(415);
      const { status, body } = await post(route, question, { origin: "https://else.where" });
      expect([status, body.error.message], route).toEqual([
        403,
        expect.stringContaining("https://else.where"),
      ]);
    }
    const own = await post("completions", question, { origin: new URL(server.address).origin });
    expect(own.status).toBe(200);
    for (const path of ["health", "v1/models"]) {
      const foreign = await fetch(`${server.address}${path}`, { headers: { origin: "null" } });
      expect(foreign.status, path).toBe(403);
    }
    expect(await askAs("else.where")).toBe(403);
  });

  it("says where it serves, and ends on Ctrl-C; refuses what it cannot load", async () => {
    await expectRefusal([["serve", "nonsense"], '"nonsense"'], folder);
    await expectRefusal([["serve", "base", "--port", "x"], "--port", '"x"'], folder);
    mkdirSync(at("damaged"));
    writeFileSync(at("damaged/config.json"), "{}");
    await expectRefusal([["serve", "damaged"], "damaged"], folder);
  });
});

/** Passes on so many bytes and ends there. */
function takeBytes(count: number): TransformStream<Uint8Array, Uint8Array> {
  let left = count;
  return new TransformStream({
    transform: (part, controller) => {
      controller.enqueue(part);
      left -= part.byteLength;
      if (left <= 0) controller.terminate();
    },
  });
}

/** The status of a request for the models that calls the server by a name. */
function askAs(host: string): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    request(`${server.address}v1/models`, { headers: { host } }, (response) => {
      response.resume();
      resolve(response.statusCode);
    })
      .on("error", reject)
      .end();
  });
}

describe("clients that hang up", () => {
  let endless: ModelServer;
  beforeAll(async () => {
    // A model whose answers take thousands of steps.
    cpSync(at("base"), at("endless"), { recursive: true });
    const config = parseJson(readFileSync(at("base/config.json"), "utf8"));
    const changed = { ...config, max_position_embeddings: 16_384, eos_token_id: null };
    writeFileSync(at("endless/config.json"), JSON.stringify(changed));
    endless = await serveModel(at("endless"), "endless");
    await endless.untilSaid("names no end token");
  });
  afterAll(() => endless.close());

  const long = { model: "endless", prompt, max_tokens: 16_000, temperature: 0 };
  const ask = (more: object, signal: AbortSignal | null = null): Promise<Response> =>
    fetch(`${endless.address}v1/completions`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      signal,
      body: JSON.stringify({ ...long, ...more }),
    });
  /** Asks for a few tokens, which are only answered when nobody keeps the places. */
  const askShort = async (): Promise<void> => {
    const answer = parseJson(await (await ask({ max_tokens: 3 })).text());
    expect(answer.usage.completion_tokens).toBe(3);
  };

  it("let their answers go, streamed or not: more than run at once keep no place", async () => {
    for (const stream of [true, false]) {
      const leave = new AbortController();
      const asked = Array.from({ length: 40 }, () => ask({ stream }, leave.signal));
      // The last one to be asked is heard of, or all of those that run.
      if (stream) await Promise.all(asked);
      else await (await ask({ stream: true }, leave.signal)).body?.cancel();
      leave.abort();
      await Promise.allSettled(asked);
      await askShort();
    }
  });

  it("before their prompts are read keep no place either", async () => {
    const reading = await keepReading(endless, "endless");
    const asked = await Promise.all(
      Array.from({ length: 64 }, (_, index) => send(endless.address, { ...long, stream: index % 2 === 0 })),
    );
    await fetch(`${endless.address}health`);
    for (const sent of asked) sent.destroy();
    await reading.end;
    await askShort();
  });

  it("make room for others: as many texts as may wait, and no more, are taken", async () => {
    const leave = new AbortController();
    const crowd = { stream: true, prompt: Array(512).fill(prompt) };
    const first = [await ask(crowd, leave.signal), await ask(crowd, leave.signal)];
    expect(first.map(({ status }) => status)).toEqual([200, 200]);
    const refused = await ask({ max_tokens: 1 });
    expect([refused.status, refused.headers.get("retry-after")]).toEqual([429, "1"]);
    expect(parseJson(await refused.text()).error).toMatchObject({ code: "queue_full" });
    leave.abort();
    // It hears of it soon.
    while ((await ask({ max_tokens: 1 })).status === 429);
    await askShort();
  });
});
