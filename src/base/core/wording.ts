/**
 * Settings and actions in messages. What is below the faces does not know how a user gives a setting or starts an action:
 * a message holds references, and whoever shows it puts in what its user types.
 */

/** What a user can set, by the name that functions give it, with the words for those who call functions. */
const settings = {
  answers: "answers",
  api: "api",
  apiKeyEnv: "apiKeyEnv",
  base: "base",
  endpoint: "endpoint",
  environment: "environment",
  executor: "executor",
  fields: "fields",
  filter: "filter",
  group: "group",
  form: "form",
  items: "items",
  judgeApiKeyEnv: "judge.apiKeyEnv",
  judgeEndpoint: "judge.url",
  judgeModel: "judge.model",
  layers: "layers",
  lineage: "lineage",
  loraEndpoint: "adapters",
  matrices: "matrices",
  maxNewTokens: "maxNewTokens",
  memory: "memory",
  metric: "metric",
  model: "model",
  numAttempts: "numAttempts",
  numTasks: "numTasks",
  out: "out",
  profile: "profile",
  promptFormat: "prompt format",
  resume: "resume",
  seed: "seed",
  serve: "serve",
  temperature: "temperature",
  template: "template",
  webhook: "webhook",
} as const;

/** A setting that messages speak of. */
export type Setting = keyof typeof settings;

/** What a user can do about something, with the words for those who call functions. */
const actions = {
  again: () => "the same call",
  attach: (job: string) => `attaching to job ${job}`,
  cancel: (job: string) => `canceling job ${job}`,
  compare: () => "comparing the checkpoint with another",
  diagnose: () => "looking for a LAPACK",
  evaluate: (run: string) => `evaluating "${run}"`,
  follow: (run: string) => `following into "${run}"`,
  "list jobs": () => "the list of jobs",
  "read about following": () => "the documentation of following",
  resume: (run: string) => `resuming "${run}"`,
  retry: (job: string) => `retrying job ${job}`,
} as const satisfies Readonly<Record<string, (subject: string) => string>>;

/** An action that messages speak of. */
export type Action = keyof typeof actions;

/** How references are put into words. Total: a new setting or action without its words does not compile. */
export interface Wording {
  readonly settings: { readonly [Name in Setting]: string };
  /** `subject` is a run's folder or a job's id; empty where an action has none. */
  readonly actions: { readonly [Name in Action]: (subject: string) => string };
}

/** For those who call functions: names of fields and plain words. */
export const plainWording: Wording = { settings, actions };

/** Brackets from the private use area, which none of our texts holds; what a model or a file says may, and stays as it is. */
const open = "\u{e000}";
const close = "\u{e001}";

/** A reference to a setting, such as `setting("out")`, or with a value to give it: `setting("profile", "time=MINUTES")`. */
export function setting(name: Setting, value: string = ""): string {
  return open + JSON.stringify(["setting", name, value]) + close;
}

/** A reference to an action, and what it is about. */
export function action(name: Action, subject: string = ""): string {
  return open + JSON.stringify(["action", name, subject]) + close;
}

/** A message with its references in words. */
export function renderMessage(text: string, wording: Wording = plainWording): string {
  return text.replaceAll(new RegExp(`${open}(.*?)${close}`, "gsu"), (whole, reference: string) => {
    const parts = parseReference(reference);
    if (parts === undefined) return whole;
    const [kind, name, rest] = parts;
    if (kind === "setting" && isKey(wording.settings, name))
      return `${wording.settings[name]}${rest === "" ? "" : ` ${rest}`}`;
    if (kind === "action" && isKey(wording.actions, name)) return wording.actions[name](rest ?? "");
    // As a job of another version may have kept one.
    return [name, rest].filter((word) => word !== undefined && word !== "").join(" ");
  });
}

/** The parts of a reference; `undefined` for what is none. */
function parseReference(text: string): readonly string[] | undefined {
  try {
    const parts: unknown = JSON.parse(text);
    return Array.isArray(parts) && parts.length === 3 && parts.every((part) => typeof part === "string")
      ? parts
      : undefined;
  } catch {
    return undefined;
  }
}

function isKey<Table extends object>(
  table: Table,
  name: string | undefined,
): name is Extract<keyof Table, string> {
  return name !== undefined && Object.hasOwn(table, name);
}
