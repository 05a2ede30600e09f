/**
 * The spectra of a model of full size: two checkpoints of 28 layers of 3584 × 18944 and kin in bf16, the second with an update of low rank.
 * The command is killed on the way and started again, which must go on where it was; then a third checkpoint of the same training. Needs
 * 56 GB of disk for 14 GB a checkpoint.
 *
 * npm run bench soak [GIGABYTES=14.2] [SECONDS=300 until it is killed]
 */
import { join } from "node:path";
import { report, withLargePair } from "./large-pair.ts";

const [size = "14.2", killAfter = "300"] = process.argv.slice(2);
await withLargePair(Number(size), async ({ before, after, folder, writeLater }) => {
  const limits = { cache: join(folder, "cache"), mostGigabytes: 2 };
  const compare = (other: string): readonly string[] => ["spectra", before, other, "--json"];
  const killed = await report("killed", compare(after), { ...limits, killAfter: Number(killAfter) });
  const resumed = await report("resumed", compare(after), limits);
  const later = await writeLater();
  const next = await report("later", compare(later), limits);
  const first = killed + resumed;
  console.log(`first pair  ${(first / 60).toFixed(1)} minutes, bar 30: ${first <= 1800 ? "held" : "missed"}`);
  console.log(
    `later pair  ${(next / first).toFixed(2)} of the first, bar 0.6: ${next <= 0.6 * first ? "held" : "missed"}`,
  );
});
