import { describe, expect, it } from "vitest";
import { matchWithin } from "./match-within.ts";
import { runIsolated } from "./run-isolated.ts";

/** An entry file of a thread, written as its own address. */
const entry = (code: string): URL =>
  new URL(
    `data:text/javascript,${encodeURIComponent(`import { parentPort } from "node:worker_threads"; parentPort.on("message", ({ task }) => { ${code} });`)}`,
  );
const run = (code: string, limitMs = 60_000): Promise<unknown> =>
  runIsolated({ url: entry(code), task: 20, limitMs, limitMiB: 64 });

describe("runIsolated()", () => {
  it("gives the result", async () => {
    expect(await run(`parentPort.postMessage({ kind: "done", result: task + 1 })`)).toBe(21);
  });

  it("rejects with what goes wrong outside of every promise, and with threads that end", async () => {
    await expect(run(`void Promise.reject(new Error("astray"))`)).rejects.toThrow("astray");
    await expect(run(`setTimeout(() => { throw new Error("late") })`)).rejects.toThrow("late");
    await expect(run("process.exit(0)")).rejects.toThrow("its thread ended");
  });

  it("ends what never ends, and what fills the memory", async () => {
    await expect(run("for (;;);", 300)).rejects.toThrow("longer");
    await expect(run("const all = []; for (;;) all.push([task]);")).rejects.toThrow("memory");
  });
});

describe("matchWithin()", () => {
  it("tells found from not found, and from what is not known in time", () => {
    expect(matchWithin(/b+/, "abb", 60_000)).toBe(true);
    expect(matchWithin(/^b/, "abb", 60_000)).toBe(false);
    expect(matchWithin(/^(a+)+$/, `${"a".repeat(60)}b`, 50)).toBeUndefined();
  });
});
