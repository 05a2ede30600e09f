/** The one error of this room: a checkpoint that cannot be read as what it should be. */

import { renderMessage, UsageError } from "../../base/core/index.ts";

/** Which file, and which tensor of it, a problem is about. */
export interface ProblemLocation {
  /** The file or checkpoint folder. */
  readonly path: string;
  /** The tensor, when the problem is about one. */
  readonly tensor?: string | undefined;
  /** The error that revealed the problem. */
  readonly cause?: unknown;
}

/**
 * A malformed, incomplete or unfitting checkpoint. The message is one sentence for the user:
 * `Cannot read tensor "a" of "model.safetensors": <what is wrong>; <what to do>`.
 */
export class CheckpointError extends SyntaxError {
  /** The file or checkpoint folder at fault. */
  readonly path: string;
  /** The tensor at fault, when it is one. */
  readonly tensor?: string;
  /** What the command line exits with, as for a `UsageError`. */
  readonly exitCode = 2;
  /** The message with its references, as of a `UsageError`. */
  readonly template: string;
  constructor(problem: string, { path, tensor, cause }: ProblemLocation) {
    const subject = tensor === undefined ? "" : `tensor ${quote(tensor)} of `;
    const template = `Cannot read ${subject}${quote(path)}: ${problem}`;
    super(renderMessage(template), cause === undefined ? undefined : { cause });
    this.template = template;
    this.name = "CheckpointError";
    this.path = path;
    if (tensor !== undefined) this.tensor = tensor;
  }
}

const MAX_QUOTED_LENGTH = 300;

/** Text in quotes on one line, for messages: control characters escaped, very long names cut. */
export function quote(text: string): string {
  return JSON.stringify(text.length > MAX_QUOTED_LENGTH ? `${text.slice(0, MAX_QUOTED_LENGTH)}…` : text);
}

/** The answer of a read of `path`; a `UsageError` about it (missing, forbidden, no text) becomes a `CheckpointError`. */
export async function expectReadable<Value>(path: string, answer: Promise<Value>): Promise<Value> {
  try {
    return await answer;
  } catch (cause) {
    if (!(cause instanceof UsageError)) throw cause;
    const action = `Cannot read "${path}": `;
    const { template: message } = cause;
    throw new CheckpointError(message.startsWith(action) ? message.slice(action.length) : message, {
      path,
      cause,
    });
  }
}
