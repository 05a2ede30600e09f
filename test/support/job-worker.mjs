/** A process of an executor for tests: its pieces echo, wait, fail and take memory, by what their names say. */

import { appendFileSync, existsSync, readdirSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { carryOutPack, openJob } from "../../src/cluster/job/index.ts";

const [folder, submission, pack] = process.argv.slice(2);
process.on("disconnect", () => process.exit(1));
process.on("SIGTERM", () => process.exit(143));

/** Takes memory until something ends it: Slurm, or else this function, with the words that Node would use. */
async function takeMemory() {
  const held = [];
  for (let part = 0; part < 6; part++) held.push(Buffer.alloc(1e8, 1));
  if (process.env.SLURM_JOB_ID !== undefined) await wait(10_000);
  process.stderr.write("FATAL ERROR: JavaScript heap out of memory\n");
  process.exit(held.length === 0 ? 1 : 134);
}

const behaviors = {
  echo: async ([value]) => Number(value),
  wait: async ([ms, value]) => {
    await wait(Number(ms));
    return Number(value);
  },
  // Ends only once another one runs at the same time.
  meet: async ([value], mark) => {
    writeFileSync(mark, "");
    while (readdirSync(folder).filter((name) => /^meet .*\.mark$/.test(name)).length < 2) await wait(20);
    return Number(value);
  },
  // Longer than any limit, but only the first time.
  slow: async ([value], mark) => {
    if (!existsSync(mark)) {
      writeFileSync(mark, "");
      await wait(600_000);
    }
    return Number(value);
  },
  refuse: async () => {
    throw Object.assign(new Error("Cannot read this: repair it"), { name: "CheckpointError" });
  },
  fail: async () => {
    throw new Error("Cannot go on: odd");
  },
  once: async ([value], mark) => {
    if (existsSync(mark)) return Number(value);
    writeFileSync(mark, "");
    throw new Error("Cannot go on: bad luck");
  },
  hog: async ([value], _mark, { bytes }) => (bytes >= 1.2e8 ? Number(value) : await takeMemory()),
};

const handler = {
  carryOut: async ({ name }, share) => {
    appendFileSync(join(folder, "begun.log"), `${name}\n`);
    const [kind, ...words] = name.split(" ");
    return await behaviors[kind](words, join(folder, `${name}.mark`), share);
  },
  close: async () => undefined,
};
const numFailures = await carryOutPack(
  await openJob(folder),
  { submission: Number(submission), pack: Number(pack) },
  {
    open: async () => handler,
    log: (line) => process.stdout.write(`${line}\n`),
    node: process.env.SLURMD_NODENAME ?? hostname(),
  },
);
process.exit(numFailures === 0 ? 0 : 1);
