/** `untwist serve` as a process of its own, as others use it. */
import { once } from "node:events";
import { type Running, startUntwist } from "./untwist.ts";

/** A model that is being served. */
export interface ModelServer {
  /** With a final slash. */
  readonly address: string;
  readonly running: Running;
  /** What it printed on stderr so far. */
  readErrors(): string;
  /** Resolves once its stderr holds these words. */
  untilSaid(words: string): Promise<void>;
  close(): Promise<void>;
}

/** Serves a checkpoint under a name, at a free port. */
export async function serveModel(checkpoint: string, name: string): Promise<ModelServer> {
  const running = startUntwist(["serve", checkpoint, "--name", name, "--port", "0"]);
  const { child, outcome } = running;
  const said = { stdout: "", stderr: "" };
  for (const stream of ["stdout", "stderr"] as const)
    child[stream]?.on("data", (part: string) => {
      said[stream] += part;
    });
  const find = (): string | undefined => / at (http:\S+\/)v1/.exec(said.stdout)?.[1];
  while (find() === undefined) {
    const ended = await Promise.race([outcome, once(child.stdout ?? child, "data")]);
    if ("code" in ended) throw new Error(`Cannot serve ${checkpoint}: ${ended.stderr}`);
  }
  return {
    address: find() ?? "",
    running,
    readErrors: () => said.stderr,
    untilSaid: async (words) => {
      while (!said.stderr.includes(words)) await once(child.stderr ?? child, "data");
    },
    close: async () => {
      child.kill("SIGTERM");
      await outcome;
    },
  };
}
