/** Work that is shared out among cores: the answers, the sums and the errors of one. */
import { afterAll, describe, expect, it } from "vitest";
import { readGoldenModel } from "../../../test/golden-model.ts";
import { createRandom } from "../../base/core/index.ts";
import { type Generation, initializeParameters, type ModelConfig, type Sequence } from "../model/index.ts";
import { op } from "../tensor/index.ts";
import { createAsker } from "./asker.ts";
import { type Cores, openCores } from "./cores.ts";
import { choosePartRows, createSummedProgram } from "./summed-program.ts";

const config: ModelConfig = { ...readGoldenModel("gqa-untied").config, maxPositions: 64 };
const parameters = initializeParameters({ ...config, initializerRange: 0.4 }, createRandom(4, "cores"));
const counts = [1, 2, 3] as const;
const opened = counts.map((count): Cores => openCores(count));
afterAll(async () => {
  for (const cores of opened) await cores.close();
});

const limitMs = 120_000;

/** 70 texts of 1 … 9 tokens, of which every fifth is the same. */
const prompts: readonly (readonly number[])[] = Array.from({ length: 70 }, (_, index) => {
  const random = createRandom(index % 5 === 0 ? 0 : index, "prompt");
  const length = index % 5 === 0 ? 6 : 1 + (index % 9);
  return Array.from({ length }, () => random.integer(3, config.vocabularySize - 1));
});

describe("openCores()", () => {
  it(
    "gives the same answers on any number of cores: texts, drawn and scored",
    async () => {
      const requests = prompts.map((prompt, index) => ({
        prompt,
        random: createRandom(7, index),
        reference: index % 3 === 0 ? [3, 5, 4] : undefined,
      }));
      const sequences = prompts.map(
        (prompt): Sequence => ({ tokens: [...prompt, 5, 4, 6], numPromptTokens: prompt.length }),
      );
      const answers: { readonly drawn: readonly Generation[]; readonly scores: readonly Float32Array[] }[] =
        [];
      for (const cores of opened) {
        const asker = createAsker(cores, { config, parameters, batchSize: 24 });
        const options = { maxNewTokens: 8, sampling: { temperature: 0.9 } };
        answers.push({
          drawn: await asker.generate(requests, options),
          scores: await asker.score(sequences, 0.9),
        });
      }
      const [first, ...others] = answers;
      expect(first?.drawn.length).toBe(70);
      expect(new Set(first?.drawn.map(({ tokens }) => tokens.join())).size).toBeGreaterThan(40);
      for (const other of others) {
        expect(other.drawn.map(({ tokens }) => tokens)).toEqual(first?.drawn.map(({ tokens }) => tokens));
        expectClose(
          other.drawn.flatMap(({ logProbs }) => logProbs),
          first!.drawn.flatMap(({ logProbs }) => logProbs),
        );
        expectClose(
          other.drawn.flatMap(({ referenceLogProbs = [] }) => referenceLogProbs),
          first!.drawn.flatMap(({ referenceLogProbs = [] }) => referenceLogProbs),
        );
        expectClose(
          other.scores.flatMap((scores) => [...scores]),
          first!.scores.flatMap((scores) => [...scores]),
        );
      }
    },
    limitMs,
  );

  it(
    "throws what went wrong on any of them, and goes on afterwards",
    async () => {
      for (const cores of opened) {
        const asker = createAsker(cores, { config, parameters, batchSize: 24 });
        const ask = (last: readonly number[]): Promise<readonly Generation[]> =>
          asker.generate(
            [...prompts, last].map((prompt) => ({ prompt, random: createRandom(1) })),
            { maxNewTokens: 2, sampling: { temperature: 0 } },
          );
        await expect(ask(new Array(64).fill(5))).rejects.toThrow(
          new RangeError("Cannot generate 2 tokens after 64: the model has 64 positions"),
        );
        await expect(ask([])).rejects.toThrow("prompts of 0 or more: both must be at least 1");
        expect((await ask([4, 5])).length).toBe(71);
      }
    },
    limitMs,
  );

  it("answers nothing where nothing is asked", async () => {
    for (const cores of opened) {
      const asker = createAsker(cores, { config, parameters, batchSize: 24 });
      expect(await asker.generate([], { maxNewTokens: 2, sampling: { temperature: 0 } })).toEqual([]);
      expect(await cores.carryOut([])).toEqual([]);
    }
  });
});

function expectClose(values: readonly number[], expected: readonly number[]): void {
  expect(values.length).toBe(expected.length);
  for (const [index, value] of values.entries())
    expect(Math.abs(value - expected[index]!)).toBeLessThan(1e-5);
}

describe("createSummedProgram()", () => {
  const x = op.input("x", [3, 2]);
  const outputs = { squares: op.sum(op.multiply(x, x), [0]), products: op.matmul(x, op.input("w", [2, 2])) };
  const random = createRandom(2, "parts");
  const draw = (length: number): Float32Array => Float32Array.from({ length }, () => random.normal());
  const parts = Array.from({ length: 5 }, () => ({ x: draw(6) }));
  const shared = { w: draw(4) };

  it.each([
    ["small", 100],
    ["large", 2 ** 24],
  ])(
    "adds the parts up in their order: the same bits on any number of cores, of a %s model",
    async (_, numParameters) => {
      const sums: Readonly<Record<string, Float32Array>>[] = [];
      for (const cores of opened) {
        const program = await createSummedProgram(outputs, { cores, numParameters });
        for (const all of [parts.slice(0, 1), parts]) {
          const squares = new Float32Array(2).fill(9);
          const results = await program.run(all, shared, { squares });
          expect(results.squares).toBe(squares);
          sums.push(
            Object.fromEntries(Object.entries(results).map(([name, values]) => [name, values.slice()])),
          );
        }
        await program.release();
      }
      const expected = (all: typeof parts): Float32Array => {
        const total = new Float32Array(6);
        for (const { x } of all)
          for (const index of total.keys()) {
            const [row, column] = [Math.floor(index / 2), index % 2];
            total[index]! += x[2 * row]! * shared.w[column]! + x[2 * row + 1]! * shared.w[2 + column]!;
          }
        return total;
      };
      const [one, five] = sums;
      expectClose([...one!.products!], [...expected(parts.slice(0, 1))]);
      expectClose([...five!.products!], [...expected(parts)]);
      for (const [index, each] of sums.entries()) expect(each).toEqual(index % 2 === 0 ? one : five);
    },
    limitMs,
  );

  it("says which program's answer is missing where a thread has died", async () => {
    const cores = openCores(2);
    const program = await createSummedProgram(outputs, { cores, numParameters: 100 });
    await cores.close();
    await expect(program.run(parts, shared, {})).rejects.toThrow("the workers are closed");
  });
});

describe("choosePartRows()", () => {
  it("cuts batches into 1, 2, 4, 8 … parts of few tokens that hold all rows", () => {
    for (const numParameters of [1000, 2 ** 24])
      for (let B = 1; B < 300; B += 7)
        for (const T of [8, 48, 56, 512, 4096]) {
          const rows = choosePartRows({ B, T }, numParameters);
          const numParts = Math.ceil(B / rows);
          expect(rows === 1 || rows * T <= 2048 + T).toBe(true);
          expect(numParts * rows).toBeGreaterThanOrEqual(B);
          if (numParameters === 1000 && B > 1) expect(numParts).toBeGreaterThan(1);
        }
    expect([choosePartRows({ B: 64, T: 48 }, 1000), choosePartRows({ B: 128, T: 48 }, 1000)]).toEqual([
      32, 32,
    ]);
    expect(choosePartRows({ B: 4, T: 256 }, 2 ** 27)).toBe(4);
  });
});
