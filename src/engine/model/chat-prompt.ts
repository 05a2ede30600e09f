/** Conversations as the text that a model continues, by its own chat template. */
import { Template } from "@huggingface/jinja";
import { toObject, UsageError } from "../../base/core/index.ts";
import type { Tokenizer } from "./tokenizer.ts";

/** A turn of a conversation. */
export interface ChatTurn {
  readonly role: string;
  readonly content: string;
}

/** How conversations are put to a model: by its own template, or as plain text. */
export const templateUses = ["model", "none"] as const;
/** Whether tasks are put by the model's own chat template. */
export type TemplateUse = (typeof templateUses)[number];

/** Whether a model has a template for conversations. Throws `UsageError` where it has several and none is the default. */
export function hasChatTemplate({ files }: Pick<Tokenizer, "files">): boolean {
  return findSource(files) !== undefined;
}

/**
 * The prompt of a conversation: by `chat_template.jinja` or the template in `tokenizer_config.json`, ready for the model's
 * turn. A model without a template takes the contents as they are, one after the other, a line between them. Throws
 * `UsageError` where the template cannot be carried out.
 */
export function writeChatPrompt({ files }: Pick<Tokenizer, "files">, turns: readonly ChatTurn[]): string {
  const source = findSource(files);
  if (source === undefined) return turns.map(({ content }) => content).join("\n");
  try {
    return new Template(source).render({
      ...readTokens(parseObject(files["tokenizer_config.json"] ?? "{}")),
      messages: turns.map((turn) => ({ ...turn })),
      tools: null,
      documents: null,
      add_generation_prompt: true,
    });
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new UsageError(`Cannot write the conversation by the model's chat template: ${reason}`, { cause });
  }
}

function findSource(files: Tokenizer["files"]): string | undefined {
  return (
    files["chat_template.jinja"] ??
    findTemplate(parseObject(files["tokenizer_config.json"] ?? "{}").chat_template)
  );
}

/** The special tokens that templates know by name; the first and the last are empty where there are none. */
function readTokens(config: Readonly<Record<string, unknown>>): Readonly<Record<string, string>> {
  const names = ["bos_token", "eos_token", "unk_token", "pad_token", "sep_token", "cls_token", "mask_token"];
  return Object.fromEntries(
    names
      .map((name) => [name, readToken(config[name])] as const)
      .filter(([name, token]) => token !== "" || name === "bos_token" || name === "eos_token"),
  );
}

/** The template of a configuration: a text, or the default of several by name. Throws `UsageError` where none of several is it. */
function findTemplate(value: unknown): string | undefined {
  if (typeof value === "string") return value;
  if (!Array.isArray(value) || value.length === 0) return undefined;
  const templates = value.map((entry: unknown) => toObject(entry));
  const found = templates.find(({ name }) => name === "default");
  if (typeof found?.template === "string") return found.template;
  const names = templates.map(({ name }) => `"${String(name)}"`).join(", ");
  throw new UsageError(
    `Cannot choose among the model's chat templates ${names} in its tokenizer_config.json: none is named "default"; name one so, or put it into chat_template.jinja`,
  );
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
