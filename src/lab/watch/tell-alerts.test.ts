import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { createTestEffects } from "../../../test/support/effects.ts";
import { createMemoryAnswerer } from "../../../test/support/memory-answerer.ts";
import { createFallenRun, fallenTasks, solvesFallen } from "../../../test/support/run-folder.ts";
import { createTemporaryFolder, removeFolder } from "../../../test/support/untwist.ts";
import { UsageError } from "../../base/core/index.ts";
import { openHooks } from "./alert-hooks.ts";
import { createTeller } from "./tell-alerts.ts";

const place = createTemporaryFolder();
const bodies: unknown[] = [];
let status = 200;
const server = createServer((request, response) => {
  const chunks: Buffer[] = [];
  request
    .on("data", (chunk: Buffer) => chunks.push(chunk))
    .on("end", () => {
      bodies.push(JSON.parse(Buffer.concat(chunks).toString("utf8")));
      response.writeHead(status).end();
    });
});
let webhook = "";

beforeAll(async () => {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  webhook = `http://127.0.0.1:${(server.address() as AddressInfo).port}/told`;
});
beforeEach(() => {
  bodies.length = 0;
  status = 200;
});
afterAll(() => {
  server.close();
  removeFolder(place);
});

const answerer = createMemoryAnswerer(fallenTasks, {
  solves: ({ id }, split, index) => solvesFallen(id, split, index),
});
const rule = { falseAlarmRate: 0.05 };

describe("createTeller()", () => {
  it("tells of an alert once, on the terminal and to the webhook, however often it looks", async () => {
    const { folder } = await createFallenRun(join(place, "once"), answerer);
    const effects = createTestEffects();
    for (const tell of [
      createTeller({ ...rule, webhook }, effects),
      createTeller({ ...rule, webhook }, effects),
    ]) {
      await tell(folder);
      await tell(folder);
    }
    expect(effects.notices().map((text) => text.slice(0, 30))).toEqual(["ALERT: OOD accuracy of sft has"]);
    expect(bodies).toEqual([
      expect.objectContaining({
        run: folder.path,
        training: "sft",
        checkpoint: "sft-2",
        step: 2,
        keep: "sft-1",
      }),
    ]);
    expect(await folder.readExtra("watch.json")).toMatchObject({
      falseAlarmRate: 0.05,
      told: ["terminal sft sft-2", "webhook sft sft-2"],
    });
  });

  it("calls a webhook again that has failed, after a pause, and does not repeat what the terminal said", async () => {
    const { folder } = await createFallenRun(join(place, "again"), answerer);
    let nowMs = 0;
    // Who stops is not kept waiting for the tries of one call.
    const effects = createTestEffects({ now: () => nowMs, signal: AbortSignal.abort() });
    const tell = createTeller({ ...rule, webhook }, effects);
    status = 500;
    await tell(folder);
    nowMs = 59_999;
    await tell(folder);
    expect(bodies.length).toBe(1);
    nowMs = 60_000;
    await tell(folder);
    expect(bodies.length).toBe(2);
    // The pause has doubled.
    nowMs = 60_000 + 119_999;
    await tell(folder);
    expect(bodies.length).toBe(2);
    status = 200;
    nowMs = 60_000 + 120_000;
    await tell(folder);
    await tell(folder);
    expect(bodies.length).toBe(3);
    const [alert, ...failures] = effects.notices();
    expect(alert).toMatch(/^ALERT: /);
    expect(failures.length).toBe(2);
    for (const text of failures) expect(text).toContain("it answered with status 500");
  });
});

describe("openHooks()", () => {
  it("refuses an address that cannot be called, and shows none of its secrets", () => {
    const open = (address: string): string => {
      try {
        openHooks({ webhook: address }, {});
        return "opened";
      } catch (error) {
        expect(error).toBeInstanceOf(UsageError);
        return error instanceof Error ? error.message : "";
      }
    };
    for (const address of ["nowhere", "ftp://host/x", "file:///etc/passwd", "https://me:secret@host/x"]) {
      expect(open(address), address).toMatch(/^Cannot call the .*; give an address as https:\/\/host\/path/);
      expect(open(address)).not.toContain("secret");
    }
    expect(open("https://host/x")).toBe("opened");
    const [hook] = openHooks({ webhook: "https://host/hooks/T0/secret?key=secret" }, {});
    expect(hook?.place).not.toContain("secret");
    expect(openHooks({}, {})).toEqual([]);
  });
});
