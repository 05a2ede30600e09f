import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { UsageError } from "../core/index.ts";
import { fileExists } from "./folder.ts";
import { BusyError, findHolder, takeLock } from "./lock.ts";
import { identifyProcess } from "./process-identity.ts";

let folder = "";
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "untwist-lock-"));
});
afterEach(() => rm(folder, { recursive: true }));

describe("takeLock()", () => {
  it("names this process until it is released", async () => {
    const path = join(folder, "run.lock");
    const lock = await takeLock(path, "the run");
    expect(await readFile(path, "utf8")).toMatch(`${process.pid} ${hostname()} `);
    await lock.release();
    expect(await fileExists(path)).toBe(false);
  });

  it("is refused to the process that holds it, too", async () => {
    const path = join(folder, "run.lock");
    const lock = await takeLock(path, "the run");
    await expect(takeLock(path, "the run")).rejects.toThrow(BusyError);
    await lock.release();
    await (await takeLock(path, "the run")).release();
  });

  it("is refused while another living process holds it", async () => {
    const path = join(folder, "run.lock");
    const other = spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)"]);
    try {
      await writeFile(path, `${other.pid} ${hostname()}`);
      await expect(takeLock(path, "the run")).rejects.toThrow(UsageError);
      await expect(takeLock(path, "the run")).rejects.toThrow(`process ${other.pid} is at it`);
    } finally {
      other.kill();
    }
  });

  it("is refused while a process on another machine holds it, and given back once", async () => {
    const path = join(folder, "run.lock");
    const lock = await takeLock(path, "the run");
    await writeFile(path, "1 other");
    expect(await findHolder(path)).toBe("process 1 on other");
    await expect(takeLock(path, "the run")).rejects.toThrow("process 1 on other is at it");
    // Whoever deleted our lock by hand has let the other in.
    await lock.release();
    expect(await findHolder(path)).toBe("process 1 on other");
    await rm(path);
    await lock.release();
    expect(await findHolder(path)).toBeUndefined();
  });

  it("is refused while a process in another container of this machine holds it", async () => {
    const path = join(folder, "run.lock");
    const { boot, namespace } = identifyProcess();
    await writeFile(path, `999999999 ${hostname()} ${boot || "-"} ${namespace}1 0123456789ab\n`);
    if (namespace === "") return;
    await expect(takeLock(path, "the run")).rejects.toThrow(
      `process 999999999 in another container of ${hostname()} is at it`,
    );
  });

  it("is taken over from a process of before the machine was started", async () => {
    const path = join(folder, "run.lock");
    const { boot, namespace } = identifyProcess();
    // The number is that of a living process by now.
    await writeFile(path, `${process.ppid} ${hostname()} ${boot}x ${namespace || "-"} 0123456789ab\n`);
    if (boot !== "") await (await takeLock(path, "the run")).release();
  });

  it("is taken over from a process that died, and from a torn file", async () => {
    const path = join(folder, "run.lock");
    for (const left of [`999999999 ${hostname()}`, ""]) {
      await writeFile(path, left);
      const lock = await takeLock(path, "the run");
      await lock.release();
    }
  });
});
