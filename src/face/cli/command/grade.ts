/** `untwist grade`: one answer, graded, with the reason. */
import { Command } from "commander";
import { UsageError } from "../../../base/core/index.ts";
import { openEnvironment } from "../../../tasks/environment/index.ts";
import { createOutput } from "../output.ts";

interface GradeFlags {
  readonly task: string;
  readonly answer: string;
  readonly compat?: boolean;
  readonly json?: boolean;
}

const examples = `
Examples:
  untwist grade general-points --task '{"cards":["A","5","J","10"],"rule":"ood"}' \\
    --answer '{"cards":["A","5","J","10"],"number":[1,5,11,10],"formula":"(10/5)*(11+1)"}'
  untwist grade general-points --task '{"cards":[3,3,8,8],"rule":"id"}' --answer '{"formula":"8/(3-8/3)"}' --compat`;

/** `untwist grade`: its arguments, flags and help, and the action that carries it out. */
export function createGradeCommand(): Command {
  return new Command()
    .argument("<environment>", "the task's environment")
    .requiredOption("--task <json>", "the task, as JSON")
    .requiredOption("--answer <text>", "the answer, as a chat model would write it")
    .option("--compat", "repeat the reference implementation's floating-point defect")
    .option("--json", "print the grade as JSON")
    .addHelpText("after", examples)
    .action(grade);
}

async function grade(name: string, flags: GradeFlags): Promise<void> {
  const environment = await openEnvironment(name);
  const task = environment.parseTask(parseJson(flags.task));
  const grade = environment.grade(task, flags.answer, {
    promptFormat: "chat",
    compat: flags.compat ?? false,
  });
  const { reward, outcome, feedback, parts } = grade;
  const output = createOutput(flags);
  const sign = reward > 0 ? "+" : "";
  const lines = [
    `task      ${environment.describeTask(task)}`,
    `reward    ${output.paint(parts.solved ? "good" : "bad", `${sign}${reward}`)}`,
    `outcome   ${outcome}`,
    `feedback  ${feedback}`,
  ];
  output.print(lines, grade);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new UsageError(
      `Cannot read --task: ${text} is not valid JSON; quote it for the shell, as in '{"cards":["A","5","J","10"],"rule":"ood"}'`,
      { cause },
    );
  }
}
