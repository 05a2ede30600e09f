/** Names of commands in earlier versions. */

/** Commands by their earlier names: accepted, and told. */
const renamed: ReadonlyMap<string, string> = new Map([["sweep", "repair"]]);

/** Arguments with the command's name of today; that it has another one now is said on standard error. */
export function renameCommand(args: readonly string[]): readonly string[] {
  const [name = "", ...rest] = args;
  const now = renamed.get(name);
  if (now === undefined) return args;
  process.stderr.write(`untwist ${name} is called untwist ${now} now\n`);
  return [now, ...rest];
}
