/** Files of answers: only what we wrote is put right. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { openAnswerStore } from "./answer-store.ts";
import { findDifference } from "./payload.ts";

const folder = mkdtempSync(join(tmpdir(), "untwist-answers-"));
afterAll(() => rmSync(folder, { recursive: true }));

const identity = { model: "m", fingerprint: "f" };
const asking = { api: "chat", temperature: 0, maxNewTokens: 8, fields: {} } as const;
const answer = { text: "x", finish: "stop", numPromptTokens: 1, numNewTokens: 1 };
const question = { messages: [{ role: "user", content: "?" }], seed: 1 } as const;

describe("openAnswerStore()", () => {
  it("leaves a file of somebody's own as it is, with or without a line end", async () => {
    for (const [name, text] of Object.entries({
      note: "my notes",
      number: "42",
      json: '{"a":1}',
      torn: '{"mine": ',
    })) {
      const path = join(folder, name);
      writeFileSync(path, text);
      await expect(openAnswerStore(path, identity, asking)).rejects.toThrow(path);
      expect(readFileSync(path, "utf8")).toBe(text);
    }
  });

  it("puts right a first line of its own that was torn, at any place", async () => {
    const whole = `${JSON.stringify({ identity, asking })}\n`;
    const path = join(folder, "own");
    for (const length of [0, 1, 10, 30, whole.length - 2]) {
      writeFileSync(path, whole.slice(0, length));
      const store = await openAnswerStore(path, identity, asking);
      await store.keep(question, answer);
      await store.close();
      expect(readFileSync(path, "utf8").startsWith(whole)).toBe(true);
    }
  });

  it("goes on with a file of an older version, which took one probe", async () => {
    const path = join(folder, "older");
    writeFileSync(path, `${JSON.stringify({ identity: { model: "m", probe: -1 }, asking })}\n`);
    await (await openAnswerStore(path, { model: "m", probe: [-1.001, -2] }, asking)).close();
    await expect(openAnswerStore(path, { model: "m", probe: [-1.2, -2] }, asking)).rejects.toThrow("probe");
  });

  it("goes on with the same fields in whatever order, and not with others", async () => {
    const path = join(folder, "ordered");
    await (await openAnswerStore(path, identity, { ...asking, fields: { top_k: 5, top_p: 1 } })).close();
    await (await openAnswerStore(path, identity, { ...asking, fields: { top_p: 1, top_k: 5 } })).close();
    const other = { ...asking, fields: { top_k: 5, top_p: 0.9 } };
    await expect(openAnswerStore(path, identity, other)).rejects.toThrow("fields");
  });

  it("asks again what an older version kept of a server that failed at it", async () => {
    const path = join(folder, "failed");
    writeFileSync(path, `${JSON.stringify({ identity, asking })}\n`);
    const store = await openAnswerStore(path, identity, asking);
    await store.keep(question, { ...answer, finish: "abort" });
    await store.close();
    const again = await openAnswerStore(path, identity, asking);
    expect(again.find(question)).toBeUndefined();
    await again.keep(question, answer);
    await again.close();
    const last = await openAnswerStore(path, identity, asking);
    expect(last.find(question)).toEqual(answer);
    await last.close();
  });

  it("refuses a server that no longer says what told its weights from others", async () => {
    const path = join(folder, "vanished");
    await (await openAnswerStore(path, { model: "m", probe: [-1, -2] }, asking)).close();
    await expect(openAnswerStore(path, { model: "m" }, asking)).rejects.toThrow(/vanished".*gives none/);
  });
});

describe("findDifference()", () => {
  it("tells weights apart by any of their probes, and by many small changes", () => {
    const before = { model: "m", probe: [-1, -2, -3, -4] };
    expect(findDifference(before, { model: "m", probe: [-1.004, -2, -3.004, -4] })).toBeUndefined();
    expect(findDifference(before, { model: "m", probe: [-1, -2, -3, -4.05] })).toBe("probe");
    expect(findDifference(before, { model: "m", probe: [-1.015, -2.015, -3.015, -4.015] })).toBe("probe");
  });

  it("takes a probe that vanished for a difference where nothing else tells the weights", () => {
    const probe = [-1, -2];
    expect(findDifference({ model: "m", probe }, { model: "m" })).toBe("probe");
    const stamped = { model: "m", stamp: "s" };
    expect(findDifference({ ...stamped, probe }, stamped)).toBeUndefined();
    expect(findDifference({ model: "m" }, { model: "m", probe })).toBeUndefined();
  });
});
