import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { z } from "zod";
import { adoptResults } from "./adopt-results.ts";
import { type JobFolder, obtainJob } from "./job-folder.ts";
import { computePieceKey } from "./job-plan.ts";

const home = mkdtempSync(join(tmpdir(), "untwist-adopt-"));
afterAll(() => rmSync(home, { recursive: true }));

const createJob = async (kind: string, keys: readonly (string | undefined)[]): Promise<JobFolder> => {
  const pieces = keys.map((key, index) => ({ name: `p${index}`, seconds: 1, bytes: 1, key }));
  const plan = { kind, input: keys, pieces };
  return await obtainJob(home, { plan, origin: { args: [], folder: home, at: "2026-01-01T00:00:00Z" } });
};

it("adoptResults() takes over what has the same key, in jobs of the same kind", async () => {
  const [one, two, three] = [1, 2, 3].map((step) => computePieceKey(["run", step]));
  const earlier = await createJob("evaluation", [one, two, undefined]);
  const other = await createJob("repair", [three]);
  for (const piece of [0, 1, 2]) await earlier.keepResult(piece, `earlier ${piece}`);
  await other.keepResult(0, "of another kind");
  const job = await createJob("evaluation", [two, three, one, undefined]);
  await job.keepResult(2, "its own");
  expect(await adoptResults(home, job)).toBe(1);
  expect([...(await job.listResults())].sort()).toEqual([0, 2]);
  expect([await job.readResult(0, z.string()), await job.readResult(2, z.string())]).toEqual([
    "earlier 1",
    "its own",
  ]);
  expect(await adoptResults(home, job)).toBe(0);
});

it("refuses a result that is not written as its kind writes them, and says what to do", async () => {
  const job = await createJob("kind", ["x"]);
  await job.keepResult(0, { count: "many" });
  const file = job.locate("results/0.json");
  await expect(job.readResult(0, z.object({ count: z.number() }))).rejects.toThrow(
    `Cannot read "${file}": it is not a file of a job as untwist writes it; delete it`,
  );
});
