import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { UsageError } from "../base/index.ts";
import { fileExists } from "./folder.ts";
import { takeLock } from "./lock.ts";

let folder = "";
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "untwist-lock-"));
});
afterEach(() => rm(folder, { recursive: true }));

describe("takeLock()", () => {
  it("names this process until it is released", async () => {
    const path = join(folder, "run.lock");
    const lock = await takeLock(path, "the run");
    expect(await readFile(path, "utf8")).toBe(String(process.pid));
    await lock.release();
    expect(await fileExists(path)).toBe(false);
  });

  it("is refused while another living process holds it", async () => {
    const path = join(folder, "run.lock");
    const other = spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)"]);
    try {
      await writeFile(path, String(other.pid));
      await expect(takeLock(path, "the run")).rejects.toThrow(UsageError);
      await expect(takeLock(path, "the run")).rejects.toThrow(`process ${other.pid} is at it`);
    } finally {
      other.kill();
    }
  });

  it("is taken over from a process that died, and from a torn file", async () => {
    const path = join(folder, "run.lock");
    for (const left of ["999999999", ""]) {
      await writeFile(path, left);
      const lock = await takeLock(path, "the run");
      await lock.release();
    }
  });
});
