import { existsSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { createMachine, createTestEffects } from "../../../test/support/effects.ts";
import {
  countQuestions,
  describeCompletion,
  type JsonServer,
  plainRequests,
  readQuestion,
  startJsonServer,
} from "../../../test/support/json-server.ts";
import { addNumbers, writeSums } from "../../../test/support/questions.ts";
import { createTemporaryFolder, removeFolder } from "../../../test/support/untwist.ts";
import { UsageError } from "../../base/core/index.ts";
import { StoppedError } from "../../base/progress/index.ts";
import type { AskedTasks } from "../../run/index.ts";
import { type Split, splits } from "../../tasks/environment/index.ts";
import { evaluateServed, type ServedEvaluation } from "./evaluate-served.ts";

const place = createTemporaryFolder();
const servers: JsonServer[] = [];
afterAll(() => {
  for (const server of servers) server.close();
  removeFolder(place);
});

const numTasks = 4;
const tasks: AskedTasks = {
  environment: writeSums(join(place, "sums"), numTasks),
  promptFormat: "chat",
  evaluation: { numTasks, seed: 1, numAttempts: 1, maxNewTokens: 8, batchSize: 1 },
};
const requests = { ...plainRequests, maxTries: 2 };
const machine = createMachine(join(place, "cache"));

/** A server of a model with that fingerprint, which adds small numbers: of the sums of ID it is right up to 4, of OOD never. */
async function start(fingerprint: string, onQuestion = (): void => undefined): Promise<JsonServer> {
  const server = await startJsonServer(({ route, body }) => {
    if (route === "models") return { data: [{ id: "adder", fingerprint }] };
    if (route !== "chat/completions") return undefined;
    onQuestion();
    const sum = addNumbers(readQuestion(body));
    return describeCompletion(Number(sum) > 4 ? "many" : sum);
  });
  servers.push(server);
  return server;
}

/** What is asked otherwise than usual. */
interface Change {
  readonly asked?: readonly Split[];
  readonly answers?: string;
  readonly signal?: AbortSignal;
}

const evaluate = (
  { url }: JsonServer,
  { asked = splits, answers, signal = new AbortController().signal }: Change = {},
): Promise<ServedEvaluation> =>
  evaluateServed(
    { kind: "endpoint", url, model: "adder", requests },
    { tasks, splits: asked, answers },
    createTestEffects({ machine, signal }),
  );

describe("evaluateServed()", () => {
  it("counts each split, and says who answered and what it took", async () => {
    const { results, items, identity, usage } = await evaluate(await start("one"));
    // 1 + 0 and 2 + 1 are the sums up to 4.
    expect(results.id?.solved).toEqual({ correct: 2, total: numTasks });
    expect(results.ood?.solved).toEqual({ correct: 0, total: numTasks });
    expect(results.id?.loss).toBeNull();
    expect(items.length).toBe(2 * numTasks);
    expect(identity).toEqual({ model: "adder", fingerprint: "one" });
    const numAsked = 2 * numTasks;
    expect(usage).toEqual({
      numAsked,
      numKnown: 0,
      numRetries: 0,
      numPromptTokens: 2 * numAsked,
      numNewTokens: numAsked,
    });
  });

  it("asks a split alone, and no question that the same model answered before", async () => {
    const server = await start("two");
    const ood = await evaluate(server, { asked: ["ood"] });
    expect([Object.keys(ood.results), countQuestions(server)]).toEqual([["ood"], numTasks]);
    const both = await evaluate(server);
    expect(both.usage).toMatchObject({ numAsked: numTasks, numKnown: numTasks });
    expect(both.items.slice(numTasks)).toEqual(ood.items);
    // The same answers by the same weights, wherever they are served.
    const elsewhere = await start("two");
    expect((await evaluate(elsewhere)).items).toEqual(both.items);
    expect(countQuestions(elsewhere)).toBe(0);
  });

  it("keeps answers in the file that was named, and mixes those of two models in none", async () => {
    const answers = join(place, "named", "answers.jsonl");
    const server = await start("three");
    await evaluate(server, { answers });
    expect([existsSync(answers), (await evaluate(server, { answers })).usage.numAsked]).toEqual([true, 0]);
    const refusal = evaluate(await start("other"), { answers });
    await expect(refusal).rejects.toThrow(UsageError);
    await expect(refusal).rejects.toThrow(answers);
  });

  it("goes on after a stop with what was not answered", async () => {
    const stop = new AbortController();
    const server = await start("four", () => {
      if (countQuestions(server) === 3) stop.abort();
    });
    await expect(evaluate(server, { signal: stop.signal })).rejects.toThrow(StoppedError);
    const { items, usage } = await evaluate(server);
    expect([items.length, usage.numAsked + usage.numKnown]).toEqual([2 * numTasks, 2 * numTasks]);
    // Two were kept for sure; the third was on its way.
    expect(usage.numKnown).toBeGreaterThanOrEqual(2);
    expect(countQuestions(server)).toBeLessThanOrEqual(2 * numTasks + 1);
  });

  it("refuses a checkpoint that is not there before it starts a server for it", async () => {
    const source = { kind: "server", template: "exit 1 {path} {port}", startMs: 1, requests } as const;
    const options = { tasks, splits, checkpoint: join(place, "nowhere") };
    const refusal = evaluateServed(source, options, createTestEffects());
    await expect(refusal).rejects.toThrow(UsageError);
    await expect(refusal).rejects.toThrow(`"${join(place, "nowhere")}": there is nothing of that name`);
  });
});
