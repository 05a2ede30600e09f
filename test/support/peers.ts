/** The Python environments of real peers, which `tools/make-peers.sh` makes: tests that need them skip where there are none. */
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { root } from "./untwist.ts";

/** The environments, by their list in test/peers/requirements. */
export type Peer = "main" | "inspect" | "lighteval" | "llama";

const folder = process.env.UNTWIST_PEERS;
const isRequired = process.env.UNTWIST_REQUIRE_SYSTEM_PACKAGES === "1";

/** The Python of an environment. */
export function locatePython(peer: Peer = "main"): string {
  return join(folder ?? "", peer, "bin/python");
}

/** Whether tests with a peer are left out here, and why, for their names. They are not where they are required. */
export function findAbsence(peer: Peer = "main"): { readonly isSkipped: boolean; readonly because: string } {
  if (folder !== undefined && existsSync(locatePython(peer))) return { isSkipped: false, because: "" };
  const because = ` (needs tools/make-peers.sh FOLDER, and UNTWIST_PEERS=FOLDER)`;
  return { isSkipped: !isRequired, because };
}

/** What peers find around them: nothing of the network, one thread each, and no words about themselves. */
const peerEnvironment: NodeJS.ProcessEnv = {
  ...process.env,
  HF_HUB_OFFLINE: "1",
  HF_HOME: join(folder ?? "", "hf"),
  TRANSFORMERS_VERBOSITY: "error",
  TOKENIZERS_PARALLELISM: "false",
  OMP_NUM_THREADS: "1",
  CUDA_VISIBLE_DEVICES: "",
};

/** Runs a script of test/peers and gives what it printed. Throws where it fails, with what it said. */
export async function runPeer(
  script: string,
  args: readonly string[],
  { peer = "main", cwd }: { readonly peer?: Peer; readonly cwd?: string } = {},
): Promise<string> {
  const { stdout } = await promisify(execFile)(
    locatePython(peer),
    [join(root, "test/peers", script), ...args],
    { env: peerEnvironment, maxBuffer: 1 << 28, ...(cwd !== undefined && { cwd }) },
  );
  return stdout;
}
