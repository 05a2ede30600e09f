/** Logs that the real lm-evaluation-harness and lighteval write, and ours read by its and TensorBoard's own code. */
import { cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { encodeEvents } from "../../src/base/file/index.ts";
import { chooseResults, describeResults, readResults } from "../../src/bridge/interchange/index.ts";
import { buildModel, writeCheckpointFolder } from "../support/checkpoint-folder.ts";
import { findAbsence, runPeer } from "../support/peers.ts";
import { readReport } from "../support/surgery.ts";
import { createTemporaryFolder, type Json, readOutput, removeFolder } from "../support/untwist.ts";

const { isSkipped, because } = findAbsence();
const folder = createTemporaryFolder();
afterAll(() => removeFolder(folder));
const run = async (command: string, path: string): Promise<string> =>
  await runPeer("logs.py", [command, path]);

describe.skipIf(isSkipped)(`logs of real peers${because}`, () => {
  it("are read: every task, the options of choices", async () => {
    await run("write", folder);
    const [model = ""] = readdirSync(join(folder, "lm"));
    const files = readdirSync(join(folder, "lm", model)).filter((name) => name.startsWith("samples_"));
    const chosen = await chooseResults(files.map((name) => join(folder, "lm", model, name)));
    expect(chosen.map(({ task }) => task)).toEqual(["peer_choice", "peer_text"]);
    const [choice, text] = await Promise.all(chosen.map(({ path }) => readResults(path, {})));
    expect([choice?.metric, text?.metric]).toEqual(["acc", "exact_match"]);
    expect(text?.items.map(({ prompt, target }) => [prompt, target])).toEqual(
      Array.from({ length: 8 }, (_, index) => [`${index}?`, String(index)]),
    );
    for (const { answer, target, samples } of choice?.items ?? []) {
      expect(["no", "yes"]).toContain(answer);
      expect(samples.solved).toBe(Number(answer === target));
    }
  });

  it("are written: lm-eval tabulates our results, TensorBoard reads our curves", async () => {
    const item = { prompt: "q", promptHash: "h", target: "1", answer: "1" };
    const items = [1, 1, 0, 1].map((solvedFraction, index) => ({ ...item, index, solvedFraction }));
    const results = describeResults({ "mine-id": items }, { model: "sft-1", date: "2026-01-01" });
    writeFileSync(join(folder, "results.json"), JSON.stringify(results));
    expect(await run("table", join(folder, "results.json"))).toMatch(/mine-id.*0\.75/);
    mkdirSync(join(folder, "curves"));
    const events = [0, 5].map((step) => ({ name: "eval/ood/mine/acc", step, value: 0.5, wallTime: 1 }));
    writeFileSync(join(folder, "curves/events.out.tfevents.1.untwist"), encodeEvents(events));
    expect(JSON.parse(await run("scalars", join(folder, "curves")))).toEqual({
      "eval/ood/mine/acc": [
        [0, 0.5],
        [5, 0.5],
      ],
    });
  });
});

const lighteval = findAbsence("lighteval");
describe.skipIf(lighteval.isSkipped)(`details of lighteval${lighteval.because}`, () => {
  it("become the answers of a run: choices with their chance, and texts", async () => {
    await runPeer("lighteval_details.py", ["lighteval"], { peer: "lighteval", cwd: folder });
    const details = join(folder, "lighteval/results/details/dummy");
    const [date = ""] = readdirSync(details);
    for (const name of ["base", "sft-1"]) {
      await writeCheckpointFolder(join(folder, "models", name), buildModel(name, "BF16"));
      cpSync(join(details, date), join(folder, "details", name), { recursive: true });
    }
    await readOutput(["follow", "models/sft-1", "--base", "models/base", "--out", "run"], folder);
    const patterns = ["choice", "text"].map((kind) => `details/{name}/details_peer_${kind}*.parquet`);
    const [id = "", ood = ""] = patterns;
    await readReport(["import", "run", "--id", id, "--ood", ood], folder);
    const lines = readFileSync(join(folder, "run/evaluations/sft-1.jsonl"), "utf8").trim().split("\n");
    const items: readonly Json[] = lines.map((line) => JSON.parse(line));
    const choices = items.filter(({ split }) => split === "id");
    expect(choices.map(({ chance }) => chance)).toEqual(new Array(8).fill(0.5));
    for (const { answer } of choices) expect(["no", "yes"]).toContain(answer);
    const texts = items.filter(({ split }) => split === "ood");
    expect(texts.map(({ parts, answer }) => [parts.solved, answer])).toEqual(
      texts.map(({ index }) => [index === 3, "random baseline"]),
    );
  });
});
