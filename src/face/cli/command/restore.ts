/** `untwist restore`: singular vectors or values of one checkpoint put into another. */
import { Command } from "commander";
import { UsageError } from "../../../base/core/index.ts";
import { type Amount, type Restorable, restorables } from "../../../weights/surgery/index.ts";
import { carryOutPlan, type EditFlags } from "./edit.ts";

interface RestoreFlags extends EditFlags {
  readonly into: string;
  readonly from: string;
  readonly what: string;
  readonly top?: string;
  readonly tail?: string;
  readonly layers?: string;
  readonly matrices?: string;
  readonly strength: string;
}

const examples = `
Examples:
  untwist restore --into runs/general-points/checkpoints/sft-200 --from runs/general-points/checkpoints/sft-3 --top 0.6 --out repaired
  untwist restore --into END --from PEAK --what vectors --top 256 --layers 0-3,7 --matrices 'q_proj,k_proj' --out repaired
  untwist restore --into END --from PEAK --top 64 --as lora --out adapter       a PEFT adapter for END
  untwist restore --into END --from PEAK --top 0.6 --dry-run                    only say what would be done`;

/** `untwist restore`: its arguments, flags and help, and the action that carries it out. */
export function createRestoreCommand(): Command {
  return new Command()
    .requiredOption("--into <checkpoint>", "the target: the checkpoint folder to edit, which stays as it is")
    .requiredOption("--from <checkpoint>", "the source: the checkpoint folder to take from")
    .option("--what <part>", `what to take: ${restorables.join(", ")}`, "directions")
    .option("--top <amount>", "the first ranks: a count, a fraction such as 0.6 or 60%, or all")
    .option("--tail <amount>", "the last ranks, likewise")
    .option("--layers <ranges>", "only these layers, as in 0-5,7")
    .option(
      "--matrices <patterns>",
      "these kinds or names (default: all matrices of layers); * stands for any characters",
    )
    .option("--strength <share>", "from 0 (nothing) to 1 (wholly)", "1")
    .option("--out <folder>", "where the edited checkpoint goes")
    .option("--as <form>", "checkpoint, or lora for a PEFT adapter to the target")
    .option("--dry-run", "say what would be done, and write nothing")
    .option("--json", "print the result as JSON")
    .addHelpText("after", examples)
    .action(restore);
}

async function restore(flags: RestoreFlags): Promise<void> {
  const { into, from, layers, matrices } = flags;
  if (flags.top === undefined && flags.tail === undefined)
    throw new UsageError("Cannot restore without ranks; give --top, --tail or both, as in --top 0.6");
  const operation = {
    operation: "restore" as const,
    what: parseWhat(flags.what),
    top: parseAmount("--top", flags.top ?? "0"),
    tail: parseAmount("--tail", flags.tail ?? "0"),
    strength: parseStrength(flags.strength),
    ...(layers !== undefined && { layers }),
    ...(matrices !== undefined && { matrices }),
  };
  await carryOutPlan({ target: into, source: from, operations: [operation] }, flags);
}

function parseWhat(text: string): Restorable {
  const what = restorables.find((candidate) => candidate === text);
  if (what !== undefined) return what;
  throw new UsageError(`Cannot read --what "${text}": choose from ${restorables.join(", ")}`);
}

/** A count, a fraction below 1, a percentage, or all. */
function parseAmount(flag: string, text: string): Amount {
  if (text === "all") return "all";
  const [, digits, percent] = /^(\d+(?:\.\d+)?)(%?)$/.exec(text.trim()) ?? [];
  const value = Number(digits) / (percent === "%" ? 100 : 1);
  if (percent === "%" && value === 1) return "all";
  // "1.0" may be meant as all of them, "1" is one.
  const isUsable = value < 1 || (percent !== "%" && /^\d+$/.test(digits ?? ""));
  if (digits !== undefined && isUsable) return value;
  throw new UsageError(
    `Cannot read ${flag} "${text}": give a count such as 64, a fraction below 1 such as 0.6, a percentage, or all`,
  );
}

function parseStrength(text: string): number {
  const strength = Number(text);
  if (/^\d*\.?\d+$/.test(text) && strength <= 1) return strength;
  throw new UsageError(`Cannot read --strength "${text}": give a number from 0 to 1`);
}
