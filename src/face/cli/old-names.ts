/** Names of commands and flags in earlier versions: accepted, and reported. */

const renamedCommands: ReadonlyMap<string, string> = new Map([["sweep", "repair"]]);

const renamedFlags: ReadonlyMap<string, string> = new Map([
  ["--randomised", "--randomized"],
  ["--rendering", "--prompt-format"],
]);

/** Arguments with the names of today; that one has another name now is said on standard error. */
export function renameArguments(args: readonly string[]): readonly string[] {
  // As in `untwist help sweep`.
  const position = args[0] === "help" ? 1 : 0;
  return args.map((argument, index) => {
    const [name = "", ...value] = argument.split("=");
    const now = index === position ? renamedCommands.get(argument) : renamedFlags.get(name);
    if (now === undefined) return argument;
    const command = index === position ? "untwist " : "";
    process.stderr.write(`${command}${name} is called ${command}${now} now\n`);
    return [now, ...value].join("=");
  });
}
