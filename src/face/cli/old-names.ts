/** Names of commands in earlier versions. */

/** Commands by their earlier names: accepted, and told. */
const renamed: ReadonlyMap<string, string> = new Map([["sweep", "repair"]]);

/** Arguments with the command's name of today; that it has another one now is said on standard error. */
export function renameCommand(args: readonly string[]): readonly string[] {
  // As in `untwist help sweep`.
  const position = args[0] === "help" ? 1 : 0;
  const { [position]: name = "" } = args;
  const now = renamed.get(name);
  if (now === undefined) return args;
  process.stderr.write(`untwist ${name} is called untwist ${now} now\n`);
  return args.with(position, now);
}
