/** Several processes that want the same lock at once, on file systems with and without hard links. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";
import { builtProgram } from "./support/build-programs.ts";
import { forbidLinks } from "./support/no-links.ts";
import {
  createTemporaryFolder,
  type Environment,
  removeFolder,
  startUntwist,
  tinyRecipe,
} from "./support/untwist.ts";

const folder = createTemporaryFolder();
const withoutLinks = forbidLinks(folder);
afterAll(() => removeFolder(folder));

const numProcesses = 6;
const numRounds = 40;
const errors = { EPERM: "1", ENOSYS: "38", EOPNOTSUPP: "95" };

/** A process that takes and releases locks at command. */
interface Worker {
  readonly child: ChildProcess;
  order(line: string): Promise<string>;
}

async function startWorker(environment: Environment): Promise<Worker> {
  const child = spawn(process.execPath, [fileURLToPath(builtProgram("lock-worker"))], {
    env: { ...process.env, ...environment },
    stdio: ["pipe", "pipe", "inherit"],
  });
  const answers = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const hear = async (): Promise<string> => String((await answers.next()).value);
  expect(await hear()).toBe("ready");
  return {
    child,
    order: async (line) => {
      child.stdin.write(`${line}\n`);
      return await hear();
    },
  };
}

async function countHolders(environment: Environment, leave: (path: string) => void): Promise<Set<number>> {
  const place = join(folder, `locks-${readdirSync(folder).length}`);
  mkdirSync(place);
  const path = join(place, "run.lock");
  const workers = await Promise.all(Array.from({ length: numProcesses }, () => startWorker(environment)));
  const seen = new Set<number>();
  try {
    for (let round = 0; round < numRounds; round++) {
      leave(path);
      const said = await Promise.all(workers.map(({ order }) => order(`take ${path}`)));
      expect(said.every((one) => one === "held" || one === "busy")).toBe(true);
      seen.add(said.filter((one) => one === "held").length);
      await Promise.all(workers.map(({ order }) => order("release")));
      expect(existsSync(path)).toBe(false);
    }
  } finally {
    for (const { child } of workers) child.kill();
  }
  expect(readdirSync(place)).toEqual([]);
  return seen;
}

describe("a lock that several processes want at once", () => {
  const { pid: dead = 0 } = spawnSync("true");
  const starts: Readonly<Record<string, (path: string) => void>> = {
    "that nobody holds": () => undefined,
    "of a dead process": (path) => writeFileSync(path, `${dead} ${hostname()}`),
  };
  for (const [name, leave] of Object.entries(starts)) {
    it(`${name} is held by one of them`, async () => {
      expect([...(await countHolders({}, leave))]).toEqual([1]);
    });
    it.skipIf(withoutLinks === undefined)(`${name} is held by one of them without hard links`, async () => {
      for (const code of Object.values(errors))
        expect([...(await countHolders({ ...withoutLinks, NO_LINKS: code }, leave))]).toEqual([1]);
    });
  }
});

describe.skipIf(withoutLinks === undefined)("a file system without hard links", () => {
  for (const [name, code] of Object.entries(errors))
    it(`carries a run (${name})`, async () => {
      const recipe = join(folder, "tiny.yaml");
      writeFileSync(recipe, tinyRecipe);
      const changes = ["sft.numSteps=2", "sft.checkpoints=[1]", "rl=[]", "repairs=false", "spectra=false"];
      const out = join(folder, `run-${name}`);
      const args = ["run", recipe, "--out", out, ...changes.flatMap((change) => ["--set", change])];
      const { code: exit, stderr } = await startUntwist(args, folder, { ...withoutLinks, NO_LINKS: code })
        .outcome;
      expect(exit, stderr).toBe(0);
      expect(existsSync(join(out, "summary.json"))).toBe(true);
      expect(existsSync(join(out, "run.lock"))).toBe(false);
    });
});
