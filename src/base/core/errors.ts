/** The one error the command line prints as a sentence, without a stack. */

/**
 * A mistake in what the user asked for or in a file they gave. The message says what is wrong, where,
 * and what to do; the command line prints it and exits with `exitCode`.
 */
export class UsageError extends Error {
  readonly exitCode: number;
  constructor(message: string, options: { readonly exitCode?: number; readonly cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "UsageError";
    this.exitCode = options.exitCode ?? 2;
  }
}
