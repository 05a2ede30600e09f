/** The command that is carried out: as given to the process, or as a job recorded it when somebody attaches to it. */

/** Arguments without the program; and the job that they are to lead to. */
export interface GivenCommand {
  readonly args: readonly string[];
  readonly job?: string;
}

let given: GivenCommand | undefined;

/** What is carried out. */
export function readGivenCommand(): GivenCommand {
  return given ?? { args: process.argv.slice(2) };
}

/** Says that a recorded command is carried out from now on. */
export function setGivenCommand(command: GivenCommand): void {
  given = command;
}
