/** Whose answers a server gives: what tells its weights, and what does not. */

import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { createMachine } from "../../../../test/support/effects.ts";
import { askEndpoint, type EndpointEvaluation } from "./ask-endpoint.ts";
import { findServed } from "./served-models.ts";

const folder = mkdtempSync(join(tmpdir(), "untwist-owners-"));
const before = { cwd: process.cwd() };
process.chdir(folder);
mkdirSync("items");
for (const split of ["id", "ood"])
  writeFileSync(
    `items/${split}.jsonl`,
    [1, 2].map((n) => JSON.stringify({ question: `${split} ${n}?`, answer: "2" })).join("\n"),
  );
mkdirSync("model");
writeFileSync("model/config.json", "{}");

const servers: Server[] = [];
afterAll(() => {
  for (const server of servers) server.close();
  process.chdir(before.cwd);
  rmSync(folder, { recursive: true });
});

interface Behavior {
  /** Where its model lies, as it says. */
  readonly root?: string;
  /** Why answers ended. */
  readonly finish?: string | null;
  /** How many log-probabilities it gives before it gives no more. */
  readonly numProbes?: number;
}

/** A server whose every answer is 2. */
async function serve({ root, finish = "stop", numProbes = 0 }: Behavior): Promise<string> {
  let numProbed = 0;
  const server = createServer((incoming, outgoing) => {
    const route = incoming.url ?? "";
    const answer = (): object => {
      if (route.endsWith("/models")) return { data: [{ id: "m", ...(root !== undefined && { root }) }] };
      if (route.endsWith("/chat/completions"))
        return { choices: [{ message: { content: "2" }, finish_reason: finish }] };
      const logprobs = numProbed++ < numProbes ? { token_logprobs: [-1] } : null;
      return { choices: [{ text: "", logprobs }] };
    };
    outgoing.end(JSON.stringify(answer()));
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`;
}

async function ask(
  url: string,
  answers?: string,
): Promise<{ readonly evaluation: EndpointEvaluation; readonly notices: readonly string[] }> {
  const notices: string[] = [];
  const asking = { api: "chat", temperature: 0, maxNewTokens: 8, fields: {} } as const;
  const evaluation = await askEndpoint(
    { ...asking, url, model: "m", timeoutMs: 600_000, maxTries: 2, concurrency: 2 },
    {
      environment: `items:${join(folder, "items")}`,
      promptFormat: "chat",
      splits: ["id", "ood"],
      numTasks: 2,
      seed: 1,
    },
    {
      answers,
      effects: {
        now: () => 0,
        report: (event) => {
          if (event.kind === "notice") notices.push(event.text);
        },
        signal: new AbortController().signal,
        machine: createMachine(join(folder, "cache")),
      },
    },
  );
  return { evaluation, notices };
}

describe("askEndpoint()", () => {
  it("knows weights again by a path that is absolute, and by none that is not", async () => {
    const known = await serve({ root: join(folder, "model") });
    expect((await ask(known)).notices).toEqual([]);
    expect((await ask(known)).evaluation.usage).toMatchObject({ numAsked: 0, numKnown: 4 });
    const unknown = await serve({ root: "model" });
    for (let time = 0; time < 2; time++) {
      const { evaluation, notices } = await ask(unknown);
      expect(evaluation.usage).toMatchObject({ numAsked: 4, numKnown: 0 });
      expect(notices).toEqual([expect.stringContaining("tells the weights of m from others")]);
    }
  });

  it("refuses to end where what told the weights is not given any more, and keeps the answers", async () => {
    // Six tell whose answers they are; at the end, when they are asked for again, there are none.
    const url = await serve({ root: "/models/m", numProbes: 6 });
    await expect(ask(url, "vanished.jsonl")).rejects.toThrow(/no log-probabilities any more.*the same call/);
    expect(readFileSync("vanished.jsonl", "utf8").trimEnd().split("\n")).toHaveLength(5);
    expect(existsSync("vanished.jsonl.mixed")).toBe(false);
  });

  it("says once that a server does not tell why answers end", async () => {
    const url = await serve({ finish: null });
    expect((await ask(url, "unsaid.jsonl")).notices).toEqual([expect.stringContaining("no finish_reason")]);
  });
});

describe("findServed()", () => {
  it("follows a path that is not absolute from the server's folder, and from no other", async () => {
    const models = [{ model: "m", root: "model" }];
    expect(await findServed(models, "model")).toBeUndefined();
    expect(await findServed(models, "model", folder)).toBe("m");
    expect(await findServed([{ model: join(folder, "model") }], "model")).toBe(join(folder, "model"));
  });
});
