/**
 * Peak memory and time of `untwist restore` on two sharded checkpoints of 4 GB each: rank 256 in the matrices of the first
 * layer, and again from the cache. Needs three times the size on the disk of the temporary folder.
 *
 * npm run bench surgery-memory [GIGABYTES] [further arguments of untwist restore, such as layers=0-1]
 */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { report, withLargePair } from "./large-pair.ts";

const [size, ...options] = process.argv.slice(2);
await withLargePair(size === undefined ? undefined : Number(size), async ({ before, after, folder }) => {
  const out = join(folder, "edited");
  const given = options.flatMap((option) => option.replace(/^-*/, "--").split("="));
  const flags = given.length === 0 ? ["--top", "256", "--layers", "0"] : given;
  const limits = { cache: join(folder, "cache"), mostGigabytes: 1.5 };
  for (const name of ["computed", "from cache"]) {
    await report(
      name,
      ["restore", "--into", after, "--from", before, "--out", out, "--json", ...flags],
      limits,
    );
    await rm(out, { recursive: true, force: true });
  }
});
