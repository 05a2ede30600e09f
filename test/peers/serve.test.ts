/**
 * `untwist serve` as real clients use it: OpenAI's Python client, lm-eval's `local-completions` against its own `hf` on the same
 * folder, and Inspect.
 */
import { cpSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { locateModel } from "../../src/lab/machine/index.ts";
import { type ModelServer, serveModel } from "../support/model-server.ts";
import { findAbsence, type Peer, runPeer } from "../support/peers.ts";
import { createTemporaryFolder, type Json, parseJson, removeFolder } from "../support/untwist.ts";

const absence = { main: findAbsence(), inspect: findAbsence("inspect") };
const folder = createTemporaryFolder();
let server: ModelServer;

/** What a client got, by the script beside this file. */
async function use(kind: "openai" | "lm-eval" | "inspect", peer: Peer): Promise<Json> {
  const args = [kind, `${server.address}v1`, folder];
  const stdout = await runPeer("serve.py", args, { peer, cwd: folder });
  return parseJson(stdout.trimEnd().split("\n").at(-1) ?? "");
}

const wantsAny = !(absence.main.isSkipped && absence.inspect.isSkipped);
beforeAll(async () => {
  if (!wantsAny) return;
  cpSync(await locateModel("general-points-base"), join(folder, "model"), { recursive: true });
  server = await serveModel(join(folder, "model"), "served");
});
afterAll(async () => {
  if (wantsAny) await server.close();
  removeFolder(folder);
});

const text = "c: 5 J 3 A n: 5 10 3 1 s: 10";

describe.skipIf(absence.main.isSkipped)(`untwist serve${absence.main.because}`, () => {
  it("does for OpenAI's client what it asks, and refuses the rest as it expects", async () => {
    const found = await use("openai", "main");
    expect(found).toMatchObject({
      ...{ models: ["served"], retrieved: "served", text, streamed: text, flowing: text, afterwards: text },
      ...{ usage: 32, streamedUsage: 32, numParts: 15, limited: 3, stopped: ["c: 5 J 3 A", "stop"] },
      timeout: ["APITimeoutError", null, null],
      errors: {
        "unknown model": ["NotFoundError", 404, "model"],
        "unknown model, retrieved": ["NotFoundError", 404, "model"],
        tools: ["BadRequestError", 400, "tools"],
        format: ["BadRequestError", 400, "response_format"],
        "too long": ["BadRequestError", 400, "max_tokens"],
        "unknown words": ["BadRequestError", 400, "prompt"],
      },
    });
    expect(found.several.map(([index]: Json) => index)).toEqual([0, 1, 2, 3]);
    expect(found.drawn[0]).toBe(found.drawn[1]);
    for (const [token, logProb, best] of found.logprobs) expect([token, logProb < 0]).toEqual([best, true]);
  });

  it("gives lm-eval the log-likelihoods and texts of its own hf on the same folder", async () => {
    const { hf, ...others } = await use("lm-eval", "main");
    expect([hf.likely.length, hf.written.length]).toEqual([6, 6]);
    for (const found of Object.values<Json>(others)) {
      expect(found.written).toEqual(hf.written);
      for (const [index, answers] of hf.likely.entries())
        for (const [choice, [[logProb, isGreedy]]] of answers.entries()) {
          const [served, servedGreedy] = found.likely[index][choice][0];
          expect([Math.abs(served - logProb) < 1e-4, servedGreedy], `${served} ${logProb}`).toEqual([
            true,
            isGreedy,
          ]);
        }
    }
  });
});

describe.skipIf(absence.inspect.isSkipped)(
  `untwist serve, asked by Inspect${absence.inspect.because}`,
  () => {
    it("answers Inspect's provider of OpenAI-like servers, with log-probabilities", async () => {
      expect(await use("inspect", "inspect")).toEqual({
        ...{ status: "success", error: null, texts: [text, text], scores: ["C", "I"], usage: [32, 32] },
        stops: ["max_tokens", "max_tokens"],
        tokens: [text.split(" "), text.split(" ")],
      });
    });
  },
);
