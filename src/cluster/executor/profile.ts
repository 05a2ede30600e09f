/** What a cluster is asked for: partition, account, time, memory, and lines before the command. From a file, or word by word. */
import { normalize } from "node:path";
import { parse } from "yaml";
import { z } from "zod";
import { setting, UsageError } from "../../base/core/index.ts";

const word = z.string().regex(/^[^\s]+$/);
const count = z.number().int().min(1);
const lines = z.preprocess((value) => (typeof value === "string" ? [value] : value), z.array(z.string()));

const profileSchema = z.strictObject({
  partition: word.optional(),
  account: word.optional(),
  qos: word.optional(),
  gpus: word.or(count).transform(String).optional(),
  time: z.string().or(z.number()).transform(toSeconds).optional(),
  memory: z.string().transform(toBytes).optional(),
  scratch: z.string().transform(toBytes).optional(),
  cpus: count.optional(),
  atMost: count.optional(),
  host: word.optional(),
  exec: z.string().min(1).optional(),
  image: word.optional(),
  namespace: z
    .string()
    .regex(/^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?$/)
    .optional(),
  volumes: lines.transform(toVolumes).default([]),
  sbatch: lines.default([]),
  before: lines.default([]),
});

/** A claim of persistent storage, and the folder as which processes see it. */
export interface Volume {
  readonly claim: string;
  readonly path: string;
}

/** What a cluster is asked for. */
export interface Profile {
  readonly partition?: string | undefined;
  readonly account?: string | undefined;
  readonly qos?: string | undefined;
  /** As `--gpus` of sbatch takes it: `1`, `a100:1`. */
  readonly gpus?: string | undefined;
  /** Longest time of a process, in seconds, in place of the estimate. */
  readonly time?: number | undefined;
  /** Memory of a process in bytes, in place of the estimate. */
  readonly memory?: number | undefined;
  /** Bytes that are to be free on the node's own disk. */
  readonly scratch?: number | undefined;
  /** Cores of a process. */
  readonly cpus?: number | undefined;
  /** Processes at a time. */
  readonly atMost?: number | undefined;
  /** The login node to which Slurm's programs are given, by ssh. */
  readonly host?: string | undefined;
  /** A line of shell that carries out a command elsewhere, as of `ExecOptions`. */
  readonly exec?: string | undefined;
  /** Of Kubernetes: the image of a container that has Node. */
  readonly image?: string | undefined;
  readonly namespace?: string | undefined;
  /** Of Kubernetes: volumes that all nodes share. */
  readonly volumes: readonly Volume[];
  /** Further arguments of sbatch. */
  readonly sbatch: readonly string[];
  /** Lines of shell before the command: modules, activations. */
  readonly before: readonly string[];
}

/** Keys of a profile, as its file and `--set` name them. */
export const profileKeys = Object.keys(profileSchema.shape).map(toDashed);

/**
 * A profile from the text of its file, if any, with `key=value` of a command line over it. `place` names the file in errors.
 * Throws `UsageError` that says which key is wrong.
 */
export function parseProfile(
  file: { readonly place: string; readonly text: string } | undefined,
  given: readonly string[],
): Profile {
  const fields = file === undefined ? {} : readFields(file);
  const own = Object.fromEntries(given.map(parsePair));
  const places = [
    ...(file === undefined ? [] : [`"${file.place}"`]),
    ...(given.length === 0 ? [] : [setting("profile")]),
  ];
  const place = places.join(" and ");
  const camel = Object.fromEntries(
    Object.entries({ ...fields, ...own }).map(([key, value]) => [toCamel(key), value]),
  );
  const parsed = profileSchema.safeParse(camel);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const unknown = issue?.code === "unrecognized_keys" ? issue.keys[0] : undefined;
  const key = toDashed(String(unknown ?? issue?.path[0] ?? ""));
  throw new UsageError(
    unknown === undefined
      ? `Cannot read ${key} in ${place}: ${examples[key] ?? "give another value"}`
      : `Cannot read ${place}: there is no "${key}"; choose from ${profileKeys.join(", ")}`,
  );
}

const examples: Readonly<Record<string, string>> = {
  time: "give minutes, or a time as Slurm writes it, as in 90, 2:00:00 or 1-12:00:00",
  memory: "give a size, as in 8GB",
  scratch: "give a size, as in 100GB",
  cpus: "give a whole number from 1",
  "at-most": "give a whole number from 1",
  partition: "give a name without spaces",
  account: "give a name without spaces",
  qos: "give a name without spaces",
  host: "give a name without spaces",
  image: "give a name without spaces, as in node:22",
  namespace: "give small letters, digits and hyphens, as in my-team",
  volumes:
    "give the name of a claim (small letters, digits, hyphens and dots) and where it is mounted, as in shared-claim:/shared",
  gpus: "give a number, or a kind and a number, as in 1 or a100:1",
  sbatch: "give a list of arguments, as in [--constraint=avx512]",
  before: "give lines of shell, as in module load node",
};

function readFields({ place, text }: { readonly place: string; readonly text: string }): object {
  let value: unknown;
  try {
    value = parse(text);
  } catch (error) {
    throw new UsageError(
      `Cannot read "${place}": it is not valid YAML; ${error instanceof Error ? error.message : String(error)}`,
      { cause: error },
    );
  }
  if (value === null) return {};
  if (typeof value === "object" && !Array.isArray(value)) return value;
  throw new UsageError(`Cannot read "${place}": give one key a line, as in partition: main`);
}

function parsePair(text: string): readonly [string, unknown] {
  const [, key = "", value = ""] = /^([a-z-]+)=(.+)$/s.exec(text) ?? [];
  if (!profileKeys.includes(key))
    throw new UsageError(
      `Cannot read ${setting("profile")} "${text}": give key=value, where the key is one of ${profileKeys.join(", ")}`,
    );
  return [key, ["cpus", "at-most"].includes(key) && /^\d+$/.test(value) ? Number(value) : value];
}

/** Seconds of `90` (minutes), `30:00`, `2:00:00` or `1-12:00:00`, as Slurm reads them. */
function toSeconds(value: string | number, context: z.RefinementCtx): number {
  const text = String(value);
  const [, days, clock = ""] = /^(?:(\d+)-)?(\d+(?::\d{1,2}){0,2})$/.exec(text) ?? [];
  const fields = clock.split(":").map(Number);
  // After days a clock starts with hours; otherwise what stands alone, or before one colon, is minutes.
  const [hours = 0, minutes = 0, seconds = 0] =
    days !== undefined || fields.length === 3 ? fields : [0, ...fields];
  const total = 86_400 * Number(days ?? 0) + 3600 * hours + 60 * minutes + seconds;
  if (total > 0) return total;
  context.addIssue("no time");
  return z.NEVER;
}

/** Bytes of `8GB`, `500 MB`, `2GiB`, given by a flag. Throws `UsageError`. */
export function parseSize(flag: string, text: string): number {
  const bytes = readBytes(text);
  if (bytes !== undefined) return bytes;
  throw new UsageError(`Cannot read ${flag} "${text}": give a size, as in 8GB`);
}

function readBytes(text: string): number | undefined {
  const [, number = "", unit = ""] = /^(\d+(?:\.\d+)?) ?([MGT]i?)B?$/i.exec(text.trim()) ?? [];
  const base = unit.length === 2 ? 1024 : 1000;
  const power = { m: 2, g: 3, t: 4 }[unit.charAt(0).toLowerCase()];
  return power === undefined || Number(number) === 0 ? undefined : Math.round(Number(number) * base ** power);
}

/** Volumes of `claim:/path`, whose path has to be absolute. */
function toVolumes(texts: readonly string[], context: z.RefinementCtx): readonly Volume[] {
  return texts.map((text) => {
    const [, claim, path] = /^([a-z0-9](?:[a-z0-9.-]*[a-z0-9])?):(\/.*[^/])\/*$/.exec(text) ?? [];
    if (claim !== undefined && path !== undefined) return { claim, path: normalize(path) };
    context.addIssue("no volume");
    return z.NEVER;
  });
}

function toBytes(text: string, context: z.RefinementCtx): number {
  const bytes = readBytes(text);
  if (bytes !== undefined) return bytes;
  context.addIssue("no size");
  return z.NEVER;
}

function toDashed(key: string): string {
  return key.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

function toCamel(key: string): string {
  return key.replaceAll(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());
}
