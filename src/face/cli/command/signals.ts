/** `untwist signals`: which signal would have said when to stop. */
import { Command } from "commander";
import { rankRunSignals } from "../../../lab/outcome/index.ts";
import { createOutput } from "../output.ts";
import { formatLoss } from "../screen/format.ts";
import { formatTable } from "../screen/table.ts";

const rules = { lowest: "where it is lowest", highest: "where it is highest", knee: "at its knee" } as const;

/** `untwist signals`: its arguments, flags and help, and the action that carries it out. */
export function createSignalsCommand(): Command {
  return new Command()
    .argument("<run>", "the folder of a run; with spectra, the weights are ranked too")
    .option("--json", "print the ranking as JSON")
    .addHelpText("after", "\nExamples:\n  untwist signals runs/general-points")
    .action(run);
}

async function run(path: string, flags: { readonly json?: boolean }): Promise<void> {
  const ranking = await rankRunSignals(path);
  const output = createOutput(flags);
  const head = ["signal", "stop", "step", "OOD lost against the peak [95 %]"].map((cell) =>
    output.paint("bold", cell),
  );
  const rows = ranking.ranked.map(({ name, rule, step, regret }) => [
    name,
    output.paint("dim", rules[rule]),
    String(step),
    formatLoss(regret),
  ]);
  const lines = [
    `Of the SFT checkpoints, OOD accuracy is highest at step ${ranking.peak.step}, chosen on half of the OOD tasks; losses are measured on the other half`,
    "",
    ...formatTable([head, ...rows], { right: [2] }),
    ...(ranking.unmeasured.length === 0
      ? []
      : ["", `Not measured in this run: ${ranking.unmeasured.join(", ")}`]),
  ];
  output.print(lines, ranking);
}
