/** What the embedded engine was asked before: found by all that it depends on, and by nothing less. */

import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeEach, describe, expect, it } from "vitest";
import { createMachine } from "../../../test/support/effects.ts";
import { createTemporaryFolder, listFilesBelow, removeFolder } from "../../../test/support/untwist.ts";
import { createRandom } from "../../base/core/index.ts";
import { type Effects, type LabEvent, StoppedError } from "../../base/progress/effects.ts";
import { type GenerationRequest, greedy, loadModel } from "../../engine/model/index.ts";
import { evaluateModel } from "../evaluation/evaluate-model.ts";
import { locateModel } from "../machine/builtin.ts";
import { memoryFolder, rememberAnswers } from "./answer-memory.ts";

const folder = createTemporaryFolder();
afterAll(() => removeFolder(folder));
const { config } = await loadModel(await locateModel("general-points-base"));
const place = join(folder, "cache");

beforeEach(() => {
  removeFolder(place);
});

const weights: readonly number[] = [1, 2, 3];
const askFor = (...prompts: readonly (readonly number[])[]): readonly GenerationRequest[] =>
  prompts.map((prompt) => ({ prompt, random: createRandom(1, "answer"), reference: [3, 7] }));
const options = { maxNewTokens: 4, sampling: greedy };

/** An engine whose answers tell the weights and the prompt, and what it was asked. `change` makes its numbers others. */
function createFake(
  change: Partial<{
    numThreads: number;
    value: number;
    weights: readonly number[];
    backend: "ONNX Runtime";
  }> = {},
) {
  const calls: string[] = [];
  const told: string[] = [];
  const { weights: parameters = weights } = change;
  const policy = rememberAnswers(
    {
      maxPositions: 64,
      backend: change.backend ?? "kernels",
      fingerprint: () => parameters.join(),
      generate: (requests) => {
        calls.push("generate");
        return Promise.resolve(
          requests.map(({ prompt, reference }) => ({
            tokens: [...parameters, ...prompt],
            logProbs: [change.value ?? -1 / 3],
            isFinished: true,
            ...(reference !== undefined && { referenceLogProbs: reference.map((token) => -1 / token) }),
          })),
        );
      },
    },
    {
      config,
      numThreads: change.numThreads ?? 2,
      effects: {
        report: (event) => void (event.kind === "notice" && told.push(event.text)),
        machine: createMachine(place),
      },
    },
  );
  return { policy, calls, told };
}

type Asked = readonly [
  fake: ReturnType<typeof createFake>,
  requests: readonly GenerationRequest[],
  how?: typeof options,
];

describe("rememberAnswers()", () => {
  it("computes what is asked again by equal weights once, number for number, and says so", async () => {
    const first = createFake();
    const answers = await first.policy.generate(askFor([5], [6]), options);
    expect([first.calls, first.told]).toEqual([["generate"], []]);
    const second = createFake();
    for (const _ of [1, 2])
      expect(await second.policy.generate(askFor([5], [6]), options)).toStrictEqual(answers);
    expect(second.calls).toEqual([]);
    expect(second.told).toHaveLength(1);
    expect(second.told[0]).toMatch(/^Answers that the same weights gave before are taken from .*embedded-/);
  });

  it("computes anew what depends on anything else", async () => {
    await createFake().policy.generate(askFor([5], [6]), options);
    const other = [1, 2, 3.0000002];
    const others: readonly Asked[] = [
      [createFake({ weights: other }), askFor([5], [6])],
      [createFake(), askFor([6], [5])],
      [createFake(), askFor([5])],
      [createFake(), askFor([5], [6]).map((one) => ({ ...one, reference: [3, 8] }))],
      [createFake(), askFor([5], [6]).map((one) => ({ ...one, reference: undefined }))],
      [createFake(), askFor([5], [6]), { ...options, maxNewTokens: 5 }],
      [createFake({ numThreads: 1 }), askFor([5], [6])],
      [createFake({ backend: "ONNX Runtime" }), askFor([5], [6])],
    ];
    for (const [index, [fake, requests, how = options]] of others.entries()) {
      const answers = await fake.policy.generate(requests, how);
      const parameters = index === 0 ? other : weights;
      expect(fake.calls).toEqual(["generate"]);
      expect(answers.map(({ tokens }) => tokens)).toEqual(
        requests.map(({ prompt }) => [...parameters, ...prompt]),
      );
    }
  });

  it("keeps nothing that was drawn, and nothing that is not a number", async () => {
    const drawn = createFake();
    for (const _ of [1, 2])
      await drawn.policy.generate(askFor([5]), { maxNewTokens: 4, sampling: { temperature: 1 } });
    expect(drawn.calls).toEqual(["generate", "generate"]);
    const broken = createFake({ value: Number.NaN });
    for (const _ of [1, 2]) {
      const [answer] = await broken.policy.generate(askFor([5]), options);
      expect(answer?.logProbs).toEqual([Number.NaN]);
    }
    expect(broken.calls).toEqual(["generate", "generate"]);
  });

  it("makes a damaged entry again, and says so", async () => {
    await createFake().policy.generate(askFor([5]), options);
    const [entry = ""] = listFilesBelow(join(place, memoryFolder));
    const path = join(place, memoryFolder, entry);
    writeFileSync(path, readFileSync(path, "utf8").replace("[1,2,3,5]", "[1,2,3,6]"));
    const again = createFake();
    const [answer] = await again.policy.generate(askFor([5]), options);
    expect(answer?.tokens).toEqual([1, 2, 3, 5]);
    expect(again.told).toEqual([`Damaged cache entry made again: ${path}`]);
    expect(readFileSync(path, "utf8")).toContain("[1,2,3,5]");
  });

  it("gives answers where they cannot be kept, and says so once", async () => {
    mkdirSync(place);
    writeFileSync(join(place, memoryFolder), "no folder");
    const fake = createFake();
    for (const prompt of [5, 6]) {
      const [answer] = await fake.policy.generate(askFor([prompt]), options);
      expect(answer?.tokens).toEqual([1, 2, 3, prompt]);
    }
    expect(fake.told).toHaveLength(1);
    expect(fake.told[0]).toMatch(/^Answers are not kept for later: Cannot write .*UNTWIST_CACHE/);
  });
});

describe("evaluateModel()", () => {
  const tasks = { environment: "general-points", splits: ["id", "ood"], numTasks: 130 } as const;
  const evaluate = (signal: AbortSignal, report: Effects["report"] = () => undefined) =>
    evaluateModel("general-points-base", tasks, {
      report,
      now: () => 0,
      signal,
      machine: createMachine(place),
    });

  it("stops between batches, and goes on with the next one to the same items", async () => {
    // Looked at before each batch: at the third look a stop is wished.
    let numLooks = 0;
    const stopped = Object.create(new AbortController().signal, {
      aborted: { get: () => ++numLooks > 2 },
    });
    await expect(evaluate(stopped)).rejects.toThrow(new StoppedError());
    const numKept = listFilesBelow(place).length;
    expect(numKept).toBeGreaterThan(1);
    const events: LabEvent[] = [];
    const open = new AbortController().signal;
    const { items } = await evaluate(open, (event) => void events.push(event));
    expect(events.filter(({ kind }) => kind === "notice")).toEqual([
      { kind: "notice", text: expect.stringContaining("gave before") },
    ]);
    expect(events.flatMap((event) => (event.kind === "progress" ? [event.doneFraction] : []))).toEqual([
      0,
      128 / 260,
      130 / 260,
      258 / 260,
    ]);
    expect(listFilesBelow(place).length).toBeGreaterThan(numKept);
    removeFolder(place);
    expect((await evaluate(open)).items).toStrictEqual(items);
  });
});
