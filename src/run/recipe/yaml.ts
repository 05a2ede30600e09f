/** YAML text read at the edge, with sentences about what is wrong with it. */
import { parseDocument } from "yaml";
import { UsageError } from "../../base/core/index.ts";

/** A parsed document, to be changed before it becomes a value. */
export type YamlDocument = ReturnType<typeof parseDocument>;

/**
 * The value of YAML text. `subject` names it, as in `the recipe my.yaml`. Throws `UsageError`, one sentence naming the
 * line, for malformed YAML.
 */
export function readYaml(
  text: string,
  subject: string,
  change: (document: YamlDocument) => void = () => undefined,
): unknown {
  const document = parseDocument(text, { prettyErrors: true });
  const [error] = document.errors;
  if (error !== undefined) {
    const line = error.linePos?.[0].line ?? 1;
    const [reason = "malformed"] = error.message.split(/ at line \d+/);
    throw new UsageError(`Cannot read ${subject}: line ${line} is malformed YAML: ${reason}`);
  }
  change(document);
  return toValue(document, text, subject);
}

/** The document's value. Throws `UsageError` naming the line of an alias that refers to nothing. */
function toValue(document: YamlDocument, text: string, subject: string): unknown {
  try {
    return document.toJS();
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    const alias = /: (\S+)$/.exec(reason)?.[1] ?? "";
    const line =
      1 +
      Math.max(
        0,
        text.split("\n").findIndex((row) => row.includes(`*${alias}`)),
      );
    throw new UsageError(`Cannot read ${subject}: line ${line} is malformed YAML: ${reason}`, {
      cause,
    });
  }
}
