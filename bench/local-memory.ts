/**
 * Memory of `untwist spectra --on local` on two sharded checkpoints: all processes together, beside what --memory allows, and the
 * same in one process.
 *
 * npm run bench local-memory [GIGABYTES] [MEMORY in GB]
 */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { runChild } from "./child.ts";
import { withLargePair } from "./large-pair.ts";

const [gigabytes = 1, allowed = 3] = process.argv.slice(2).map(Number);

/** Resident memory of a process and all that it started, in GB; pages that several share are counted once each. */
async function measureTree(root: number): Promise<number> {
  const parents = new Map<number, number>();
  for (const name of await readdir("/proc")) {
    const stat = /^\d+$/.test(name) ? await readFile(`/proc/${name}/stat`, "utf8").catch(() => "") : "";
    const [, parent] = /\) \S (\d+)/.exec(stat) ?? [];
    if (parent !== undefined) parents.set(Number(name), Number(parent));
  }
  const isBelow = (pid: number): boolean => pid === root || (pid > 1 && isBelow(parents.get(pid) ?? 0));
  let kilobytes = 0;
  for (const pid of [...parents.keys()].filter(isBelow)) {
    const status = await readFile(`/proc/${pid}/status`, "utf8").catch(() => "");
    kilobytes += Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0);
  }
  return (kilobytes * 1024) / 1e9;
}

await withLargePair(gigabytes, async ({ before, after, folder }) => {
  const places = { "in this process": [], "--on local": ["--on", "local"] };
  for (const [name, place] of Object.entries(places)) {
    const flags = [...place, "--memory", `${allowed}GB`, "--json"];
    const start = performance.now();
    let [peak, isOver] = [0, false];
    const { code } = await runChild(
      process.execPath,
      ["bin/untwist.js", "spectra", before, after, ...flags],
      {
        env: { ...process.env, UNTWIST_CACHE: join(folder, `cache ${name}`) },
        stdio: ["ignore", "ignore", "inherit"],
        onStart: ({ pid = 0 }) => {
          const watch = async (): Promise<void> => {
            while (!isOver) {
              peak = Math.max(peak, await measureTree(pid));
              await new Promise((resolve) => setTimeout(resolve, 50));
            }
          };
          void watch();
        },
      },
    );
    isOver = true;
    const seconds = (performance.now() - start) / 1000;
    console.log(
      `${name.padEnd(16)} ${seconds.toFixed(1)} s, peak of all processes ${peak.toFixed(2)} GB of ${allowed} GB: ${peak <= allowed ? "held" : "missed"}${code === 0 ? "" : `, exit code ${code}`}`,
    );
  }
});
