/** How the command line puts settings and actions of messages into words: flags and commands, ready to be typed. */
import { quoteForShell, renderMessage, showAddress, type Wording } from "../../base/core/index.ts";

const settings: Wording["settings"] = {
  answers: "--answers",
  api: "--api",
  apiKeyEnv: "--api-key-env",
  base: "--base",
  endpoint: "--endpoint",
  environment: "--environment",
  executor: "--on",
  fields: "--body",
  filter: "--filter",
  group: "--group",
  form: "--as",
  items: "--items",
  judgeApiKeyEnv: "--judge-api-key-env",
  judgeEndpoint: "--judge-endpoint",
  judgeModel: "--judge-model",
  layers: "--layers",
  lineage: "--lineage",
  loraEndpoint: "--lora-endpoint",
  matrices: "--matrices",
  maxNewTokens: "--max-new-tokens",
  memory: "--memory",
  metric: "--metric",
  model: "--model",
  numAttempts: "--attempts",
  numTasks: "--count",
  out: "--out",
  profile: "--set",
  promptFormat: "--prompt-format",
  resume: "--resume",
  seed: "--seed",
  serve: "--serve",
  temperature: "--temperature",
  template: "--template",
  webhook: "--webhook",
};

const actions: Omit<Wording["actions"], "again"> = {
  attach: (job) => `untwist attach ${job}`,
  cancel: (job) => `untwist cancel ${job}`,
  compare: () => "untwist spectra",
  diagnose: () => "untwist doctor",
  evaluate: (run) => `untwist eval ${quoteForShell(run)} --environment NAME`,
  follow: (run) => `untwist follow --out ${quoteForShell(run)}`,
  "list jobs": () => "untwist jobs",
  "read about following": () => "untwist follow --help",
  resume: (run) => `untwist run --resume --out ${quoteForShell(run)}`,
  retry: (job) => `untwist retry ${job}`,
};

/** A message as it is shown at a terminal. `args` are those of the command that it is about, where it is known. */
export function showMessage(text: string, args?: readonly string[]): string {
  const again = (): string => (args === undefined ? "the same command" : describeGiven(args));
  return renderMessage(text, { settings, actions: { ...actions, again } });
}

/** A command as it was given, to be given again: quoted for a POSIX shell, without what addresses hold of secrets. */
function describeGiven(args: readonly string[]): string {
  const shown = args.map((word, index) => {
    const [, flag, value] = /^(--webhook=)(.*)$/s.exec(word) ?? [];
    if (flag !== undefined && value !== undefined) return flag + showAddress(value);
    return args[index - 1] === "--webhook" ? showAddress(word) : word;
  });
  return ["untwist", ...shown.map(quoteForShell)].join(" ");
}
