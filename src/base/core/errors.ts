/** The one error the command line prints as a sentence, without a stack. */
import { renderMessage } from "./wording.ts";

/**
 * A mistake in what the user asked for or in a file they gave. The message says what is wrong, where,
 * and what to do; the command line prints it and exits with `exitCode`.
 */
export class UsageError extends Error {
  readonly exitCode: number;
  /** The message with its references to settings and actions, for whoever has words of their own for these. */
  readonly template: string;
  constructor(template: string, options: { readonly exitCode?: number; readonly cause?: unknown } = {}) {
    super(renderMessage(template), options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "UsageError";
    this.template = template;
    this.exitCode = options.exitCode ?? 2;
  }
}

/** What an error says, with the references in it, where it has some; of what is not an error, its text. */
export function describeError(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return "template" in error && typeof error.template === "string" ? error.template : error.message;
}

/** What the command line exits with because of an error that a user can fix; `undefined` for any other. */
export function findExitCode(error: unknown): number | undefined {
  const isFixable = error instanceof Error && "exitCode" in error && typeof error.exitCode === "number";
  return isFixable ? Number(error.exitCode) : undefined;
}
