/**
 * What Slurm brings and costs: spectra of matrices that take about a minute each, on one node of one core, on two, and by hand, one
 * command after the other on one core. Needs slurm-wlm, munge and root, as the tests do.
 *
 * npm run bench cluster [MATRICES] [ROWS] [COLUMNS]
 */
import { availableParallelism, cpus, loadavg } from "node:os";
import { join } from "node:path";
import { findSlurmObstacle, startCluster } from "../test/support/slurm.ts";
import { runChild, withTemporaryFolder } from "./child.ts";
import { writePair } from "./large-pair.ts";

const [numMatrices = 4, rows = 4096, columns = 22_000] = process.argv.slice(2).map(Number);
const [leastSpeedup, mostOverhead] = [1.7, 0.05];

const obstacle = findSlurmObstacle();
if (obstacle !== undefined) {
  console.error(`Cannot measure a cluster: ${obstacle}`);
  process.exit(2);
}
const load = loadavg().map((one) => one.toFixed(2));
console.log(
  `Machine     ${cpus()[0]?.model}, ${availableParallelism()} threads, load average ${load.join(" ")}, Node.js ${process.version}`,
);

/** Seconds of a command with a cache of its own; fails loudly, as half a measurement is none. */
async function time(args: readonly string[], environment: Readonly<Record<string, string>>): Promise<number> {
  const start = performance.now();
  const { code, stderr } = await runChild("taskset", args, {
    env: { ...process.env, ...environment },
    stdio: ["ignore", "ignore", "pipe"],
  });
  if (code !== 0) throw new Error(`Cannot measure: ${stderr}`);
  return (performance.now() - start) / 1000;
}

await withTemporaryFolder(async (folder) => {
  const tensors = Array.from({ length: numMatrices }, (_, layer) => ({
    name: `model.layers.${layer}.mlp.up_proj.weight`,
    shape: [rows, columns],
  }));
  const { before, after } = await writePair(folder, tensors);
  const spectra = ["bin/untwist.js", "spectra", before, after, "--json"];
  let byHand = 0;
  for (const { name } of tensors) {
    const seconds = await time(["-c", "0", process.execPath, ...spectra, "--matrices", name], {
      UNTWIST_CACHE: join(folder, "cache-hand"),
    });
    console.log(`by hand     ${name} ${seconds.toFixed(1)} s`);
    byHand += seconds;
  }
  // A node has a core of its own, as by hand: elsewhere Slurm binds processes to cores.
  const bind = "before=taskset -cp $(( $(echo $SLURMD_NODENAME | tr -d n) - 1 )) $$ >/dev/null";
  const onNodes = async (numNodes: number): Promise<number> => {
    const cluster = await startCluster({ numNodes, cpus: 1 });
    try {
      return await time(
        [
          "-c",
          `0-${availableParallelism() - 1}`,
          process.execPath,
          ...spectra,
          "--on",
          "slurm",
          "--set",
          bind,
        ],
        {
          ...cluster.environment,
          UNTWIST_CACHE: join(folder, `cache-${numNodes}`),
        },
      );
    } finally {
      await cluster.stop();
    }
  };
  const [one, two] = [await onNodes(1), await onNodes(2)];
  const [overhead, speedup] = [one / byHand - 1, one / two];
  const say = (isHeld: boolean): string => (isHeld ? "held" : "missed");
  console.log(`by hand     ${byHand.toFixed(1)} s, one after the other on one core`);
  console.log(
    `one node    ${one.toFixed(1)} s, ${(100 * overhead).toFixed(1)} % more, bar 5 %: ${say(overhead <= mostOverhead)}`,
  );
  console.log(
    `two nodes   ${two.toFixed(1)} s, ${speedup.toFixed(2)} times as fast as one, bar ${leastSpeedup}: ${say(speedup >= leastSpeedup)}`,
  );
});
