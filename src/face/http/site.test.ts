import { Hono } from "hono";
import { describe, expect, it } from "vitest";
import { findIntruder } from "./site.ts";

/** What is said to a request with these headers by a server that was told to serve `host`. */
async function judge(host: string, headers: Readonly<Record<string, string>>): Promise<string> {
  const app = new Hono();
  app.all("*", (context) => context.text(findIntruder(context, host) ?? "welcome"));
  return await (await app.request("/v1/models", { headers })).text();
}

describe("findIntruder()", () => {
  it("lets in who calls the server by its name, and its own pages", async () => {
    for (const headers of [
      { host: "127.0.0.1:8000" },
      { host: "localhost" },
      { host: "127.0.0.1:8000", origin: "http://127.0.0.1:8000" },
      { host: "localhost:8000", origin: "https://localhost:8000" },
    ])
      expect(await judge("127.0.0.1", headers)).toBe("welcome");
    expect(await judge("0.0.0.0", { host: "10.0.0.7:8000" })).toBe("welcome");
    expect(await judge("node7", { host: "node7:8000", origin: "http://node7:8000" })).toBe("welcome");
  });

  it("refuses other names, and pages of other sites and ports", async () => {
    expect(await judge("127.0.0.1", { host: "evil.example" })).toContain('"evil.example"');
    expect(await judge("127.0.0.1", {})).toContain("not to");
    for (const origin of [
      "https://else.where",
      "null",
      "http://127.0.0.1:3000",
      "http://127.0.0.1:8000.evil.example",
    ])
      expect(await judge("127.0.0.1", { host: "127.0.0.1:8000", origin }), origin).toContain(`"${origin}"`);
  });
});
