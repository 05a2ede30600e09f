/** The engine keeps to itself: no usage events are stored (to be sent) when it runs. */

import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";

it("the engine stores no usage events in the user's home", () => {
  const folder = mkdtempSync(join(tmpdir(), "untwist-home-"));
  const home = join(folder, "home");
  mkdirSync(home);
  try {
    const argv = [
      "bin/untwist.js",
      "eval",
      "general-points-base",
      "--environment",
      "general-points",
      "--count",
      "2",
    ];
    // No matter what the environment says beforehand.
    const env = {
      ...process.env,
      HOME: home,
      UNTWIST_CACHE: join(folder, "cache"),
      XDG_CACHE_HOME: join(home, ".cache"),
      ORT_DISABLE_TELEMETRY: "0",
    };
    const { status, stderr } = spawnSync(process.execPath, argv, { env, encoding: "utf8" });
    expect(stderr).toBe("");
    expect(status).toBe(0);
    expect(readdirSync(home, { recursive: true })).toEqual([]);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
