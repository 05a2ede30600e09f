/** A disk that fills up while lines are appended: one sentence, nothing that was kept is lost, no lock stays. */
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { openJsonLines, readJsonLines } from "../src/base/file/index.ts";
import { openAnswerStore } from "../src/bridge/endpoint/index.ts";
import { mountSmallDisk, type SmallDisk } from "./support/small-disk.ts";
import { createTemporaryFolder, removeFolder, runUntwist, tinyRecipe } from "./support/untwist.ts";

const folder = createTemporaryFolder();
const disk = join(folder, "disk");
let small: SmallDisk;
beforeAll(() => {
  small = mountSmallDisk(disk, 1024);
});
afterAll(() => {
  small.unmount();
  removeFolder(folder);
});
beforeEach(({ skip }) => skip(small.problem !== "", `no small disk can be mounted: ${small.problem}`));
afterEach(() => {
  for (const name of readdirSync(disk)) rmSync(join(disk, name), { recursive: true });
});

/** Takes all of the disk but so many KiB. */
const fill = (left: number): void =>
  writeFileSync(join(disk, "filler"), new Uint8Array((1020 - left) * 1024));

/** Appends until it fails, and gives how many were taken and what was said. */
async function appendAll(append: (index: number) => Promise<void>): Promise<[number, string]> {
  for (let index = 0; ; index++)
    try {
      await append(index);
    } catch (error) {
      return [index, error instanceof Error ? `${error.name}: ${error.message}` : ""];
    }
}

describe("a full disk", () => {
  it("tears the last line at most, and later lines follow the whole ones", async () => {
    fill(8);
    const path = join(disk, "lines.jsonl");
    const writer = await openJsonLines(path);
    const [taken, said] = await appendAll((index) => writer.append({ index, text: "x".repeat(700) }));
    expect(said).toMatch(/^UsageError: Cannot write "[^"]*lines\.jsonl": no space is left/);
    await expect(writer.append({})).rejects.toThrow("no space is left");
    await writer.close();
    rmSync(join(disk, "filler"));
    const again = await openJsonLines(path);
    await again.append({ index: "new" });
    await again.close();
    const kept = (await readJsonLines(path)).map((line) => Object(line).index);
    expect(kept).toEqual([...Array.from({ length: taken }, (_, index) => index), "new"]);
  });

  it("stops answers with one sentence, keeps those that came, and lets the next ones in", async () => {
    fill(16);
    const path = join(disk, "answers.jsonl");
    const open = (): ReturnType<typeof openAnswerStore> =>
      openAnswerStore(path, { model: "m" }, { api: "chat", temperature: 0, maxNewTokens: 8, fields: {} });
    const question = (index: number): Parameters<Awaited<ReturnType<typeof open>>["find"]>[0] => ({
      messages: [{ role: "user", content: String(index) }],
      seed: index,
    });
    const answer = { text: "x".repeat(700), finish: "stop", numPromptTokens: 1, numNewTokens: 1 };
    const store = await open();
    const [taken, said] = await appendAll((index) => store.keep(question(index), answer));
    expect(said).toMatch(/^UsageError: .*no space is left/);
    await store.close();
    rmSync(join(disk, "filler"));
    const again = await open();
    const found = Array.from({ length: taken + 1 }, (_, index) => again.find(question(index)) !== undefined);
    expect(found).toEqual([...Array.from({ length: taken }, () => true), false]);
    await again.close();
    expect(readdirSync(disk)).toEqual(["answers.jsonl"]);
  });

  it("ends a run with one sentence, which then goes on", async () => {
    const recipe = join(folder, "tiny.yaml");
    writeFileSync(recipe, tinyRecipe);
    const changes = ["sft.numSteps=2", "sft.checkpoints=[1]", "rl=[]", "repairs=false", "spectra=false"];
    const args = ["run", recipe, "--out", "run", ...changes.flatMap((change) => ["--set", change])];
    // Enough for the base model, not for what comes after it.
    fill(100);
    const { code, stderr } = await runUntwist(args, disk);
    expect([code, stderr]).toEqual([2, expect.stringMatching(/no space is left/)]);
    expect(readdirSync(join(disk, "run"))).not.toContain("run.lock");
    expect(readFileSync(join(disk, "run/run.json"), "utf8")).toContain("tiny");
  });
});
