/** A real Slurm on this machine: a controller and two nodes as processes, in a temporary folder, on ports of their own. */
import { execFileSync, spawnSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";

/** Why there can be no Slurm here; `undefined` where there can. */
export function findSlurmObstacle(): string | undefined {
  const missing = ["sbatch", "slurmctld", "slurmd", "munged"].filter(
    (program) => spawnSync("sh", ["-c", `command -v ${program} || ls /usr/sbin/${program}`]).status !== 0,
  );
  if (missing.length > 0) return `needs the packages slurm-wlm and munge (${missing.join(", ")} missing)`;
  if (spawnSync("getent", ["hosts", hostname().replace(/\..*/, "")]).status !== 0)
    return "needs this machine's own name in /etc/hosts";
  return process.getuid?.() === 0 ? undefined : "needs root, to start the daemons of Slurm";
}

const obstacle = findSlurmObstacle();

/** Whether tests that need Slurm are left out here, and why, for their names. They are not where it is required. */
export const slurmAbsence = {
  isSkipped: obstacle !== undefined && process.env.UNTWIST_REQUIRE_SYSTEM_PACKAGES !== "1",
  because: obstacle === undefined ? "" : ` (${obstacle})`,
} as const;

/** Lets this process use a cluster; gives how to leave it again. */
export function enterCluster({ environment }: Cluster): () => void {
  const { PATH } = process.env;
  Object.assign(process.env, environment);
  return () => {
    process.env.PATH = PATH;
    delete process.env.SLURM_CONF;
  };
}

/** A cluster that runs. */
export interface Cluster {
  /** What programs need in their environment to use it: SLURM_CONF, and a PATH whose squeue is counted. */
  readonly environment: Readonly<Record<string, string>>;
  /** When squeue was called, in milliseconds since the epoch. */
  listQueueCalls(): readonly number[];
  /** Kills a node's daemon and all that runs on the node, as a power cut would. */
  killNode(node: string): void;
  startNode(node: string): void;
  /** Kills the controller; started again, it finds the state that it had saved. */
  killController(): Promise<void>;
  startController(): void;
  stop(): Promise<void>;
}

/** Brings a cluster up and waits until its nodes are idle. */
export async function startCluster({
  maxArraySize = 1001,
  cpus = 2,
  numNodes = 2,
}: {
  readonly maxArraySize?: number;
  readonly numNodes?: number;
  readonly cpus?: number;
} = {}): Promise<Cluster> {
  startMunge();
  const folder = mkdtempSync(join(tmpdir(), "untwist-slurm-"));
  const at = (name: string): string => join(folder, name);
  const nodes = Array.from({ length: numNodes }, (_, index) => `n${index + 1}`);
  for (const name of ["state", "bin", ...nodes.map((node) => `spool.${node}`)]) mkdirSync(at(name));
  const ports = await findPorts(1 + nodes.length);
  writeFileSync(at("slurm.conf"), describeCluster({ at, ports, maxArraySize, cpus }));
  const counter = at("squeue-calls");
  writeFileSync(counter, "");
  writeFileSync(at("bin/squeue"), `#!/bin/sh\ndate +%s%3N >> ${counter}\nexec /usr/bin/squeue "$@"\n`);
  chmodSync(at("bin/squeue"), 0o755);
  const environment = { SLURM_CONF: at("slurm.conf"), PATH: `${at("bin")}:${process.env.PATH}:/usr/sbin` };
  const run = (program: string, ...args: readonly string[]): void => {
    execFileSync(program, args, { env: { ...process.env, ...environment }, stdio: "ignore" });
  };
  const readPid = (name: string): number => Number(readFileSync(at(`${name}.pid`), "utf8"));
  const startNode = (node: string): void => run("slurmd", "-N", node);
  run("slurmctld", "-c");
  for (const node of nodes) startNode(node);
  const cluster: Cluster = {
    environment,
    listQueueCalls: () => readFileSync(counter, "utf8").trim().split("\n").filter(Boolean).map(Number),
    killNode: (node) => {
      kill(readPid(`slurmd.${node}`));
      for (const pid of listProcesses(environment.SLURM_CONF, node)) kill(pid);
    },
    startNode,
    killController: async () => {
      const pid = readPid("slurmctld");
      kill(pid);
      while (isAlive(pid)) await wait(20);
    },
    startController: () => run("slurmctld"),
    stop: async () => {
      for (const node of nodes) cluster.killNode(node);
      await cluster.killController();
      // Daemons that are killed may still hold a file for a moment.
      rmSync(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
    },
  };
  for (let turn = 0; turn < 200; turn++) {
    const { stdout } = spawnSync("sinfo", ["-h", "-N", "-o", "%T"], {
      env: { ...process.env, ...environment },
      encoding: "utf8",
    });
    if (stdout.split("\n").filter((state) => state === "idle").length === nodes.length) return cluster;
    await wait(50);
  }
  await cluster.stop();
  throw new Error("Cannot bring up Slurm: its nodes do not become idle");
}

function describeCluster({
  at,
  ports,
  maxArraySize,
  cpus,
}: {
  readonly at: (name: string) => string;
  readonly ports: readonly number[];
  readonly maxArraySize: number;
  readonly cpus: number;
}): string {
  const host = hostname().replace(/\..*/, "");
  const settings = {
    ClusterName: "untwist",
    SlurmctldHost: `${host}(127.0.0.1)`,
    SlurmctldPort: ports[0],
    SlurmUser: "root",
    AuthType: "auth/munge",
    // What is requeued may start again after so many seconds, and not after two minutes.
    AuthInfo: "cred_expire=5",
    ProctrackType: "proctrack/linuxproc",
    TaskPlugin: "task/none",
    SelectType: "select/cons_tres",
    SelectTypeParameters: "CR_Core_Memory",
    ReturnToService: 2,
    MpiDefault: "none",
    SlurmctldPidFile: at("slurmctld.pid"),
    SlurmdPidFile: at("slurmd.%n.pid"),
    StateSaveLocation: at("state"),
    SlurmdSpoolDir: at("spool.%n"),
    SlurmctldLogFile: at("slurmctld.log"),
    SlurmdLogFile: at("slurmd.%n.log"),
    JobCompType: "jobcomp/filetxt",
    JobCompLoc: at("jobcomp.log"),
    JobAcctGatherType: "jobacct_gather/linux",
    JobAcctGatherFrequency: 1,
    // Memory is enforced, without cgroups.
    JobAcctGatherParams: "OverMemoryKill",
    MaxArraySize: maxArraySize,
    // What has ended is soon forgotten, so that the file of finished jobs is needed.
    MinJobAge: 2,
    SlurmdTimeout: 5,
    SchedulerParameters: "batch_sched_delay=0,sched_interval=1,sched_min_interval=0",
    SlurmdParameters: "config_overrides",
  };
  const nodes = `NodeName=n[1-${ports.length - 1}] NodeHostname=${host} NodeAddr=127.0.0.1 Port=${ports.slice(1).join(",")} CPUs=${cpus} RealMemory=6000 State=UNKNOWN`;
  const lines = Object.entries(settings).map(([key, value]) => `${key}=${value}`);
  return [...lines, nodes, "PartitionName=main Nodes=ALL Default=YES MaxTime=60 State=UP", ""].join("\n");
}

/** What Slurm trusts messages by; one for the machine. */
function startMunge(): void {
  if (spawnSync("munge", ["-n"]).status === 0) return;
  const [user, group] = ["-u", "-g"].map((flag) =>
    Number(execFileSync("id", [flag, "munge"], { encoding: "utf8" })),
  );
  for (const folder of ["/run/munge", "/etc/munge", "/var/log/munge", "/var/lib/munge"]) {
    mkdirSync(folder, { recursive: true });
    chownSync(folder, user!, group!);
    chmodSync(folder, folder === "/run/munge" ? 0o755 : 0o700);
  }
  const key = "/etc/munge/munge.key";
  if (!existsSync(key)) {
    execFileSync("mungekey", ["--create", `--keyfile=${key}`]);
    chownSync(key, user!, group!);
    chmodSync(key, 0o400);
  }
  execFileSync("su", ["-s", "/bin/sh", "munge", "-c", "/usr/sbin/munged --force"], { stdio: "ignore" });
}

/** Processes of jobs on a node, and the daemons that look after them. */
function listProcesses(configuration: string, node: string): readonly number[] {
  const isOurs = (pid: string): boolean => {
    try {
      const variables = readFileSync(`/proc/${pid}/environ`, "utf8").split("\0");
      return (
        variables.includes(`SLURM_CONF=${configuration}`) && variables.includes(`SLURMD_NODENAME=${node}`)
      );
    } catch {
      return false;
    }
  };
  const parentOf = (pid: string): number => {
    try {
      const [, parent] = /\) \S (\d+)/.exec(readFileSync(`/proc/${pid}/stat`, "utf8")) ?? [];
      return Number(parent);
    } catch {
      return 0;
    }
  };
  const isKeeper = (pid: number): boolean => {
    try {
      return readFileSync(`/proc/${pid}/comm`, "utf8").startsWith("slurmstepd");
    } catch {
      return false;
    }
  };
  const pids = readdirSync("/proc").filter((name) => /^\d+$/.test(name) && isOurs(name));
  const keepers = new Set(pids.map(parentOf).filter(isKeeper));
  return [...keepers, ...pids.map(Number)];
}

/** A process that nobody has reaped yet is dead all the same. */
function isAlive(pid: number): boolean {
  try {
    return !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    return false;
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It has ended by itself.
  }
}

/** Ports that are free now. */
async function findPorts(count: number): Promise<readonly number[]> {
  const servers = Array.from({ length: count }, () => createServer());
  const ports: number[] = [];
  for (const server of servers) {
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const address = server.address();
    ports.push(typeof address === "object" && address !== null ? address.port : 0);
  }
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}
