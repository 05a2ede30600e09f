/** The tokens that end answers: of `config.json`, and of `generation_config.json`, which goes before it. */
import { isObject, UsageError } from "../../../base/core/index.ts";
import { FieldError, type Fields, readFields, shorten } from "./fields.ts";
import type { ModelConfig } from "./model-config.ts";

type EndTokens = Pick<ModelConfig, "endToken" | "otherEndTokens">;

/** `eos_token_id`: one token, several, or none; the fallback where it is missing. Throws `FieldError`. */
export function readEndTokens(fields: Fields, fallback?: number): readonly number[] {
  const value = fields.raw("eos_token_id");
  if (value === undefined) return fallback === undefined ? [] : [fallback];
  const tokens: readonly unknown[] = [value ?? []].flat();
  const isToken = (token: unknown): token is number => Number.isInteger(token) && Number(token) >= 0;
  if (!tokens.every(isToken))
    throw new FieldError(
      `"eos_token_id" is ${shorten(value)}, and must be a token id, a list of them, or null`,
    );
  return tokens;
}

/** The first as the token that ends training examples, and the others. */
export function applyEndTokens([first, ...others]: readonly number[]): EndTokens {
  return {
    ...(first !== undefined && { endToken: first }),
    ...(others.length > 0 && { otherEndTokens: others }),
  };
}

/** All tokens that end an answer. */
export function listEndTokens({ endToken, otherEndTokens = [] }: EndTokens): readonly number[] {
  return endToken === undefined ? otherEndTokens : [endToken, ...otherEndTokens];
}

/** Throws `FieldError` for a token outside the vocabulary. */
export function checkTokens(config: ModelConfig): void {
  const { padToken, vocabularySize } = config;
  if (Math.max(padToken, ...listEndTokens(config)) >= vocabularySize)
    throw new FieldError(`"eos_token_id" or "pad_token_id" lies outside the vocabulary of ${vocabularySize}`);
}

/**
 * The config with the end tokens of a `generation_config.json`, which go before those of `config.json` as in Hugging Face's
 * `generate`; one that names none changes nothing. Training examples go on ending as before, where that still ends an
 * answer. Throws `UsageError` naming `source` where they are malformed.
 */
export function applyGenerationConfig(config: ModelConfig, value: unknown, source: string): ModelConfig {
  try {
    if (!isObject(value)) throw new FieldError("it is not an object");
    const named = readEndTokens(readFields(value));
    if (named.length === 0) return config;
    const isKept = config.endToken !== undefined && named.includes(config.endToken);
    const ends = isKept ? [config.endToken, ...named.filter((token) => token !== config.endToken)] : named;
    const { endToken: _, otherEndTokens: __, ...others } = config;
    const changed = { ...others, ...applyEndTokens(ends) };
    checkTokens(changed);
    return changed;
  } catch (error) {
    if (!(error instanceof FieldError)) throw error;
    throw new UsageError(`Cannot read ${source}: ${error.message}; correct or remove the file`);
  }
}
