/** Adapters at `untwist serve`: loaded, unloaded, refused. */
import { once } from "node:events";
import { cpSync, mkdirSync, writeFileSync } from "node:fs";
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
import { readReport } from "./support/surgery.ts";
import { createWorkplace, parseJson, removeFolder } from "./support/untwist.ts";

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

const post = (route: string, body: object): Promise<Reply> => postTo(server, route, body);

const prompt = "rule J = 10 , Q = 10 , K = 10 ; c: 5 J 3 A ; show";
const question = { model: "served", prompt, max_tokens: 12, temperature: 0 };

describe("adapters at untwist serve", () => {
  beforeAll(async () => {
    cpSync(at("base"), at("other"), { recursive: true });
    for (const name of ["one", "two"])
      await readReport(
        [
          "restore",
          "--into",
          "base",
          "--from",
          name === "one" ? "base" : "other",
          "--top",
          "2",
          "--as",
          "lora",
          "--matrices",
          "*_proj",
          "--out",
          name,
        ],
        folder,
      );
  });

  it("are loaded once a name, whoever asks first", async () => {
    const replies = await Promise.all(
      Array.from({ length: 12 }, (_, index) =>
        post("load_lora_adapter", { lora_name: "crowded", lora_path: at(index % 2 === 0 ? "one" : "two") }),
      ),
    );
    const statuses = replies.map(({ status }) => status);
    expect(statuses.filter((status) => status === 200)).toHaveLength(1);
    for (const { status, body } of replies)
      if (status !== 200) expect(body.error.message).toMatch(/is being loaded|already/);
    const { data } = parseJson(await (await fetch(`${server.address}v1/models`)).text());
    const winner = statuses.indexOf(200) % 2 === 0 ? at("one") : at("two");
    expect(data[1]).toMatchObject({ id: "crowded", root: winner, parent: "served" });
    expect((await post("completions", { ...question, model: "crowded" })).status).toBe(200);
    expect((await post("unload_lora_adapter", { lora_name: "crowded" })).status).toBe(200);
    expect((await post("completions", { ...question, model: "crowded" })).status).toBe(404);
  });

  it("that are unloaded before an answer begins keep nobody waiting", async () => {
    const loaded = await post("load_lora_adapter", { lora_name: "brief", lora_path: at("one") });
    expect(loaded.status).toBe(200);
    const reading = await keepReading(server, "served");
    const sent = await send(server.address, { ...question, model: "brief" });
    const answered = once(sent, "response");
    await fetch(`${server.address}health`);
    expect((await post("unload_lora_adapter", { lora_name: "brief" })).status).toBe(200);
    const [{ statusCode }] = await answered;
    // On a machine that is busy with others, it may have been answered before, or read after.
    expect([200, 400, 404]).toContain(statusCode);
    await reading.end;
  });

  it("that cannot be loaded tell the server's owner why, and nobody else", async () => {
    writeFileSync(at("secret.txt"), "");
    mkdirSync(at("private"));
    writeFileSync(at("private/adapter_config.json"), "password=hunter2");
    const paths = [at("nowhere"), at("private"), at("base")];
    const replies: Reply[] = [];
    for (const path of paths)
      replies.push(await post("load_lora_adapter", { lora_name: "a", lora_path: path }));
    for (const [index, { status, body }] of replies.entries()) {
      expect(status).toBe(400);
      expect(body.error.message.replace(paths[index] ?? "", "PATH")).toBe(
        'Cannot load "a": "PATH" is not an adapter to served that this server can use; its own output says why',
      );
    }
    await server.untilSaid(`from "${at("private")}"`);
    expect(server.readErrors()).toContain(`Cannot load "a" from "${at("nowhere")}"`);
  });
});
