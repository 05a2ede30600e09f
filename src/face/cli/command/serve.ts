/** `untwist serve`: a checkpoint answers through OpenAI's HTTP interface. */
import { basename, resolve } from "node:path";
import { setFlagsFromString } from "node:v8";
import { Command } from "commander";
import { chooseNumThreads } from "../../../base/machine/index.ts";
import { locateModel } from "../../../lab/machine/index.ts";
import { parsePort, untilStopped } from "../flag/serving.ts";

interface ServeFlags {
  readonly host: string;
  readonly port: string;
  readonly name?: string;
}

const examples = `
Examples:
  untwist serve general-points-base --port 8000
  untwist serve runs/general-points/checkpoints/sft-5 --name sft-5
  curl -s 127.0.0.1:8000/v1/models

Routes: /v1/models, /v1/completions (with logprobs and echo), /v1/chat/completions, both also streamed,
/v1/load_lora_adapter, /v1/unload_lora_adapter, /health. Requests for unsupported features are refused.`;

/** `untwist serve`: its arguments, flags and help, and the action that carries it out. */
export function createServeCommand(): Command {
  return new Command()
    .argument(
      "<checkpoint>",
      "a checkpoint folder that the engine can run, a LoRA adapter to one, or a shipped model",
    )
    .option("--host <name>", "the address to serve on", "127.0.0.1")
    .option("--port <number>", "the port to serve on; 0 for any that is free", "8000")
    .option("--name <name>", "what requests call the model (default: the folder's name)")
    .addHelpText("after", examples)
    .action(serve);
}

async function serve(checkpoint: string, { host, port, name }: ServeFlags): Promise<void> {
  const folder = resolve(await locateModel(checkpoint));
  const served = name ?? basename(folder);
  // Collecting garbage takes milliseconds, and waiting for threads that help with it a fifth of a second beside a busy model.
  setFlagsFromString("--no-parallel-scavenge");
  // What only one command needs is loaded by that one.
  const { startModelServer } = await import("../../serving/index.ts");
  const server = await startModelServer({
    checkpoint: folder,
    name: served,
    numThreads: chooseNumThreads(),
    mostTexts: 32,
    host,
    port: parsePort(port),
    log: (line) => process.stderr.write(`${line}\n`),
  });
  process.stdout.write(`Serving ${served} at ${server.address}v1   (stop with Ctrl-C)\n`);
  if (!server.endsAnswers)
    process.stderr.write(`${served} names no end token: its answers run to max_tokens or to a stop string\n`);
  const failure = await Promise.race([server.failure, untilStopped()]);
  await server.close();
  if (failure !== undefined) throw failure;
}
