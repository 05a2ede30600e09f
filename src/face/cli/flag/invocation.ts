/** The command that is carried out: as given to the process, or as a job recorded it when somebody attaches to it. */

/** Arguments without the program; and the job that they are to lead to. */
export interface Invocation {
  readonly args: readonly string[];
  readonly job?: string;
}
