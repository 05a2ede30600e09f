/** Answers of one model kept in a file as they come: what was asked once is never asked, or paid for, again. */

import { createHash } from "node:crypto";
import { isDeepStrictEqual } from "node:util";
import { z } from "zod";
import { UsageError } from "../../base/core/index.ts";
import {
  fileExists,
  type Lock,
  openJsonLines,
  readJsonLines,
  readText,
  takeLock,
} from "../../base/file/index.ts";
import type { AskingOptions, Message } from "./endpoint.ts";
import {
  type EndpointAnswer,
  findDifference,
  identityShape,
  isFailure,
  type ModelIdentity,
} from "./payload.ts";

/** A question as far as its answer depends on it. */
export interface Question {
  readonly messages: readonly Message[];
  readonly seed: number;
}

/** Answers by question. Whoever opens it closes it. */
export interface AnswerStore {
  find(question: Question): EndpointAnswer | undefined;
  keep(question: Question, answer: EndpointAnswer): Promise<void>;
  close(): Promise<void>;
}

const headSchema = z.object({
  identity: z.object(identityShape),
  asking: z.object({
    api: z.string(),
    temperature: z.number(),
    maxNewTokens: z.number(),
    fields: z.record(z.string(), z.unknown()),
  }),
});

const lineSchema = z.object({
  key: z.string(),
  text: z.string(),
  finish: z.string(),
  numPromptTokens: z.number(),
  numNewTokens: z.number(),
});

/**
 * Opens the answers of a model that is asked in a certain way. Throws `UsageError` where the file holds answers of another
 * model or to other settings: they are never mixed; or where it is malformed.
 */
export async function openAnswerStore(
  path: string,
  identity: ModelIdentity,
  asking: AskingOptions,
): Promise<AnswerStore> {
  const lock = await takeLock(`${path}.lock`, `the answers in "${path}"`);
  try {
    return await openLocked(path, { identity, asking: pickAsking(asking) }, lock);
  } catch (error) {
    await lock.release();
    throw error;
  }
}

async function openLocked(path: string, head: Head, lock: Lock): Promise<AnswerStore> {
  const known = new Map<string, EndpointAnswer>();
  const isNew = !(await fileExists(path));
  const [first, ...lines] = isNew ? [] : await readLines(path);
  if (first !== undefined) requireSame(path, headSchema.safeParse(first).data, head);
  else if (!isNew) await requireOurs(path);
  for (const line of lines) {
    const { key, ...answer } = parseLine(path, line);
    // Older versions kept what a server failed at: that is asked again.
    if (!isFailure(answer)) known.set(key, answer);
  }
  const writer = await openJsonLines(path);
  if (first === undefined) await writer.append(head);
  return {
    find: (question) => known.get(keyOf(question)),
    keep: async (question, answer) => {
      const key = keyOf(question);
      if (known.has(key)) return;
      known.set(key, answer);
      await writer.append({ key, ...answer });
    },
    close: async () => {
      try {
        await writer.close();
      } finally {
        await lock.release();
      }
    },
  };
}

/** How the first line begins that we write. */
const headStart = '{"identity":{"model":';

/** Throws `UsageError` where a file without a whole line holds something that is not a torn first line of ours: it would be cut off. */
async function requireOurs(path: string): Promise<void> {
  const text = await readText(path);
  if (text.trim() === "" || text.startsWith(headStart) || headStart.startsWith(text)) return;
  throw new UsageError(
    `Cannot keep answers in "${path}": it holds something else, which is left as it is; name a new file`,
  );
}

function pickAsking({ api, temperature, maxNewTokens, fields }: AskingOptions): AskingOptions {
  return { api, temperature, maxNewTokens, fields };
}

async function readLines(path: string): Promise<readonly unknown[]> {
  try {
    return await readJsonLines(path);
  } catch (cause) {
    if (!(cause instanceof SyntaxError)) throw cause;
    throw new UsageError(cause.message, { cause });
  }
}

function parseLine(path: string, line: unknown): z.infer<typeof lineSchema> {
  const parsed = lineSchema.safeParse(line);
  if (parsed.success) return parsed.data;
  throw new UsageError(
    `Cannot use the answers in "${path}": a line holds no answer; delete the file to ask again`,
  );
}

interface Head {
  readonly identity: ModelIdentity;
  readonly asking: AskingOptions;
}

function requireSame(path: string, kept: z.infer<typeof headSchema> | undefined, head: Head): void {
  if (kept === undefined)
    throw new UsageError(
      `Cannot use the answers in "${path}": its first line says of no model; delete the file to ask again`,
    );
  const refuse = (key: string, before: unknown, now: unknown): never => {
    throw new UsageError(
      `Cannot add to the answers in "${path}": they were given with ${key} ${JSON.stringify(before)}, now it is ${JSON.stringify(now)}; answers of different models or settings are never mixed, so move that file away, or serve the model that gave them`,
    );
  };
  const difference = findDifference(kept.identity, head.identity);
  if (difference === "probe" && head.identity.probe === undefined)
    throw new UsageError(
      `Cannot add to the answers in "${path}": they were given by weights that log-probabilities of "${head.identity.model}" told from others, and now its server gives none; wait until it does, or move that file away to ask again`,
    );
  if (difference === "stamp" && kept.identity.stamp !== undefined)
    throw new UsageError(
      `Cannot add to the answers in "${path}": "${head.identity.model}" was written again since they were given; move that file away to ask again`,
    );
  if (difference !== undefined) refuse(difference, kept.identity[difference], head.identity[difference]);
  for (const key of ["api", "temperature", "maxNewTokens", "fields"] as const)
    if (!isDeepStrictEqual(kept.asking[key], head.asking[key]))
      refuse(key, kept.asking[key], head.asking[key]);
}

function keyOf({ messages, seed }: Question): string {
  return createHash("sha256")
    .update(JSON.stringify([messages, seed]))
    .digest("hex")
    .slice(0, 24);
}
