/** Conversations as the text that a model continues, by its own chat template. */
import { Template } from "@huggingface/jinja";
import { toObject, UsageError } from "../base/index.ts";
import type { Tokenizer } from "./tokenizer.ts";

/** A turn of a conversation. */
export interface ChatTurn {
  readonly role: string;
  readonly content: string;
}

/**
 * The prompt of a conversation: by `chat_template.jinja` or the template in `tokenizer_config.json`, ready for the model's
 * turn. A model without a template takes the contents as they are, one after the other, a line between them. Throws
 * `UsageError` where the template cannot be carried out.
 */
export function writeChatPrompt({ files }: Pick<Tokenizer, "files">, turns: readonly ChatTurn[]): string {
  const config = parseObject(files["tokenizer_config.json"] ?? "{}");
  const source = files["chat_template.jinja"] ?? findTemplate(config.chat_template);
  if (source === undefined) return turns.map(({ content }) => content).join("\n");
  try {
    return new Template(source).render({
      messages: turns.map((turn) => ({ ...turn })),
      add_generation_prompt: true,
      bos_token: readToken(config.bos_token),
      eos_token: readToken(config.eos_token),
    });
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new UsageError(`Cannot write the conversation by the model's chat template: ${reason}`, { cause });
  }
}

/** The template of a configuration: a text, or the default of several by name. */
function findTemplate(value: unknown): string | undefined {
  if (typeof value === "string") return value;
  if (!Array.isArray(value)) return undefined;
  const templates = value.map((entry: unknown) => toObject(entry));
  const found = templates.find(({ name }) => name === "default") ?? templates[0];
  return typeof found?.template === "string" ? found.template : undefined;
}

/** A special token: its text, or an object that holds it. */
function readToken(value: unknown): string {
  if (typeof value === "string") return value;
  const { content } = toObject(value);
  return typeof content === "string" ? content : "";
}

function parseObject(text: string): Readonly<Record<string, unknown>> {
  try {
    return toObject(JSON.parse(text));
  } catch {
    return {};
  }
}
