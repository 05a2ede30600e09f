import { describe, expect, it } from "vitest";
import { createRandom, resumeRandom } from "./random.ts";

describe("createRandom()", () => {
  it("repeats its draws for the same seed and path", () => {
    const draws = (): number[] => {
      const random = createRandom(7, "sft", 12);
      return Array.from({ length: 50 }, () => random.uniform());
    };
    expect(draws()).toEqual(draws());
  });

  it("goes on elsewhere from where a stream was", () => {
    const random = createRandom(7, "sft", 12);
    for (let draw = 0; draw < 9; draw++) random.normal();
    const resumed = resumeRandom(structuredClone(random.readState()));
    const draws = Array.from({ length: 50 }, () => random.integer(0, 1000));
    expect(Array.from({ length: 50 }, () => resumed.integer(0, 1000))).toEqual(draws);
    expect(new Set(draws).size).toBeGreaterThan(30);
  });

  it("gives unrelated streams to neighboring paths", () => {
    const first = createRandom(7, "sft", 12);
    const second = createRandom(7, "sft", 13);
    let product = 0;
    for (let draw = 0; draw < 10_000; draw++) product += (first.uniform() - 0.5) * (second.uniform() - 0.5);
    expect(Math.abs(product / 10_000)).toBeLessThan(4 / 12 / 100); // 4 standard errors of a zero covariance
  });

  it("draws integers from both ends of the range, evenly", () => {
    const random = createRandom(1, "integers");
    const counts = new Array<number>(13).fill(0);
    for (let draw = 0; draw < 13_000; draw++) {
      const index = random.integer(1, 13) - 1;
      counts[index] = (counts[index] ?? 0) + 1;
    }
    for (const count of counts) expect(Math.abs(count - 1000)).toBeLessThan(150);
  });

  it("shuffles without losing or inventing an element", () => {
    const values = Array.from({ length: 100 }, (_, index) => index);
    const shuffled = createRandom(3).shuffle(values);
    expect(shuffled).not.toEqual(values);
    expect([...shuffled].sort((a, b) => a - b)).toEqual(values);
  });

  it("draws normals of mean 0 and variance 1", () => {
    const random = createRandom(5, "normal");
    const draws = Array.from({ length: 20_000 }, () => random.normal());
    const mean = draws.reduce((sum, draw) => sum + draw, 0) / draws.length;
    const variance = draws.reduce((sum, draw) => sum + (draw - mean) ** 2, 0) / draws.length;
    expect(Math.abs(mean)).toBeLessThan(0.03);
    expect(Math.abs(variance - 1)).toBeLessThan(0.05);
  });
});
