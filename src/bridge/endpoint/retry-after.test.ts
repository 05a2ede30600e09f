import { expect, it } from "vitest";
import { readWaitMs } from "./retry-after.ts";

it("readWaitMs() reads seconds and dates, and never waits for more than a minute", () => {
  const nowMs = Date.parse("Thu, 01 Jan 2026 00:00:00 GMT");
  const cases: readonly (readonly [string | undefined, number | undefined])[] = [
    ["0.01", 10],
    ["30", 30_000],
    [" 2 ", 2000],
    ["Thu, 01 Jan 2026 00:00:07 GMT", 7000],
    ["3600", 60_000],
    ["Fri, 02 Jan 2026 00:00:00 GMT", 60_000],
    ["Infinity", 60_000],
    ["Wed, 31 Dec 2025 23:59:59 GMT", undefined],
    ["0", undefined],
    ["-5", undefined],
    ["", undefined],
    ["soon", undefined],
    [undefined, undefined],
  ];
  for (const [text, waitMs] of cases) expect(readWaitMs(text, nowMs), text).toBe(waitMs);
});
