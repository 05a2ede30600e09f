/**
 * Peak memory and time of `untwist spectra` on two sharded checkpoints of 4 GB each, computed anew and then from the
 * cache. Needs twice the size on the disk of the temporary folder, and a Linux to read the peak from.
 *
 * npm run bench spectra-memory [GIGABYTES] [further arguments of untwist spectra, such as rank=128]
 */
import { join } from "node:path";
import { report, withLargePair } from "./large-pair.ts";

const [size, ...options] = process.argv.slice(2);
await withLargePair(size === undefined ? undefined : Number(size), async ({ before, after, folder }) => {
  const flags = options.map((option) => (option.startsWith("-") ? option : `--${option}`));
  const limits = { cache: join(folder, "cache"), mostGigabytes: 1.5 };
  for (const name of ["computed", "from cache"])
    await report(name, ["spectra", before, after, "--json", ...flags], limits);
});
