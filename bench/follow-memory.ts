/**
 * Peak memory and time of `untwist follow`, of the spectra of the run that it makes, and of a repair, for a training whose base
 * and checkpoint are sharded and of 4 GB each. Needs three times the size on the disk of the temporary folder.
 *
 * npm run bench follow-memory [GIGABYTES]
 */
import { mkdir, rename } from "node:fs/promises";
import { join } from "node:path";
import { report, withLargePair } from "./large-pair.ts";

const [size] = process.argv.slice(2);
await withLargePair(size === undefined ? undefined : Number(size), async ({ before, after, folder }) => {
  const [training, run] = [join(folder, "training"), join(folder, "run")];
  const limits = { cache: join(folder, "cache"), mostGigabytes: 2 };
  const checkpoint = join(training, "checkpoint-100");
  await mkdir(training);
  await rename(after, checkpoint);
  await report("follow", ["follow", training, "--base", before, "--out", run, "--json"], limits);
  await report("spectra", ["spectra", run, "--json"], limits);
  const edit = ["restore", "--into", checkpoint, "--from", before, "--top", "256", "--layers", "0"];
  await report("restore", [...edit, "--out", join(folder, "edited"), "--json"], limits);
});
