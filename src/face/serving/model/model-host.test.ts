/** The thread of a served model, from the other side of its port. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MessageChannel } from "node:worker_threads";
import { afterAll, describe, expect, it } from "vitest";
import { writeAdapterFolder } from "../../../../test/support/adapter-folder.ts";
import { loadModel } from "../../../engine/model/index.ts";
import { locateModel } from "../../../lab/machine/index.ts";
import { hostModel } from "./model-host.ts";
import type { HostAnswer, HostMessage } from "./model-messages.ts";

const folder = mkdtempSync(join(tmpdir(), "untwist-host-"));
afterAll(() => rmSync(folder, { recursive: true }));

describe("hostModel()", async () => {
  const checkpoint = await locateModel("general-points-base");
  const { hiddenSize } = (await loadModel(checkpoint)).config;
  const module = "model.layers.0.self_attn.o_proj";
  await writeAdapterFolder(join(folder, "adapter"), {
    base: checkpoint,
    modules: { [module]: [hiddenSize, hiddenSize, 4] },
  });

  it("loads adapters one after the other, and goes on where one cannot be loaded", async () => {
    const { port1: ours, port2: theirs } = new MessageChannel();
    const said: HostAnswer[] = [];
    const ended = new Promise<void>((resolve) => {
      ours.on("close", resolve);
    });
    const tell = (message: HostMessage): void => ours.postMessage(message);
    ours.on("message", (answer: HostAnswer) => {
      said.push(answer);
      if (answer.kind === "ready")
        for (const [id, name] of ["adapter", "none", "adapter"].entries())
          tell({ kind: "load", id, name: `${name} ${id}`, path: join(folder, name) });
      if (said.length === 4) tell({ kind: "close" });
    });
    await hostModel(theirs, { checkpoint, name: "base", numThreads: 1, mostTexts: 1 });
    await ended;
    const outcomes = said.map((answer) => [answer.kind, "id" in answer ? answer.id : "none"]);
    // A folder that is not there is found out at once: it waits for its turn all the same.
    expect(outcomes).toEqual([
      ["ready", "none"],
      ["loaded", 0],
      ["failed", 1],
      ["loaded", 2],
    ]);
  });
});
