/** The engine keeps to itself: no usage events are stored (to be sent) when it runs. */
import { mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { createTemporaryFolder, removeFolder, startUntwist } from "./support/untwist.ts";

const folder = createTemporaryFolder();
afterAll(() => removeFolder(folder));

it("the engine stores no usage events in the user's home", async () => {
  const home = join(folder, "home");
  mkdirSync(home);
  const args = ["eval", "general-points-base", "--environment", "general-points", "--count", "2"];
  // No matter what the environment says beforehand.
  const place = { HOME: home, XDG_CACHE_HOME: join(home, ".cache"), ORT_DISABLE_TELEMETRY: "0" };
  expect(await startUntwist(args, folder, place).outcome).toMatchObject({ code: 0, stderr: "" });
  expect(readdirSync(home, { recursive: true })).toEqual([]);
});
