/** `untwist doctor`: what was found on this machine, and what it is good for. */
import { spawnSync } from "node:child_process";
import { availableParallelism, totalmem } from "node:os";
import { Command } from "commander";
import { describeError, UsageError } from "../../../base/core/index.ts";
import { chooseNumThreads, listVersions } from "../../../base/machine/index.ts";
import { readEngineVersion } from "../../../engine/tensor/index.ts";
import { listBuiltinRecipes, openBackend } from "../../../lab/machine/index.ts";
import type { LinearAlgebra } from "../../../weights/linalg/index.ts";
import { createOutput } from "../output.ts";
import { formatTable } from "../screen/table.ts";
import { thisMachine } from "../this-machine.ts";

/** `untwist doctor`: its arguments, flags and help, and the action that carries it out. */
export function createDoctorCommand(): Command {
  return new Command()
    .option("--json", "print it as JSON")
    .addHelpText("after", "\nExamples:\n  untwist doctor\n  untwist doctor --json")
    .action(examine);
}

async function examine(flags: { readonly json?: boolean }): Promise<void> {
  const { untwist, node } = listVersions();
  const pytorch = findPythonModule("torch");
  const algebra = await findAlgebra();
  const findings = {
    untwist,
    node,
    engine: await describeEngine(),
    threads: { used: chooseNumThreads(), available: availableParallelism() },
    memoryBytes: totalmem(),
    recipes: await listBuiltinRecipes(),
    linearAlgebra: algebra,
    cache: thisMachine().cacheFolder,
    optional: { pytorch: pytorch ?? null },
  };
  const rows = [
    ["untwist", untwist ?? ""],
    ["node", `${node} on ${process.platform} ${process.arch}`],
    ["engine", findings.engine],
    ["linear algebra", describeAlgebra(algebra)],
    ["threads", `${findings.threads.used} of ${findings.threads.available}`],
    ["memory", `${(totalmem() / 2 ** 30).toFixed(1)} GiB`],
    ["cache", `${findings.cache} (untwist cache says what is in it)`],
    ["recipes", findings.recipes.join(", ")],
    [
      "PyTorch",
      pytorch ?? "not found; only `npm run bench` would use it, to compare (Debian: python3-torch)",
    ],
  ];
  createOutput(flags).print(formatTable(rows), findings);
}

/** The engine once it is loaded, or why it cannot be. */
async function describeEngine(): Promise<string> {
  try {
    return `onnxruntime ${await readEngineVersion()}, CPU`;
  } catch (error) {
    if (error instanceof UsageError) return describeError(error);
    throw error;
  }
}

interface FoundAlgebra {
  /** Absent where the library that the user named cannot be used. */
  readonly backend?: LinearAlgebra["name"];
  readonly description: string;
}

async function findAlgebra(): Promise<FoundAlgebra> {
  try {
    const { name, description } = await openBackend(thisMachine());
    return { backend: name, description };
  } catch (error) {
    if (error instanceof UsageError) return { description: describeError(error) };
    throw error;
  }
}

function describeAlgebra({ backend, description }: FoundAlgebra): string {
  if (backend === undefined) return description;
  if (backend === "lapack") return `LAPACK: ${description}`;
  return `${description}; OpenBLAS would be about twice as fast: install it (Debian: libopenblas0-pthread; macOS has Accelerate), or name a library by UNTWIST_LAPACK`;
}

/** The version of a Python module, or `undefined` where Python or the module is missing. */
function findPythonModule(name: string): string | undefined {
  const script = `import ${name}; print(${name}.__version__)`;
  for (const python of ["/usr/bin/python3", "python3"]) {
    const { status, stdout } = spawnSync(python, ["-c", script], { encoding: "utf8", timeout: 20_000 });
    if (status === 0) return stdout.trim();
  }
  return undefined;
}
