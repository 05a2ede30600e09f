/** The decoder's config, read from a Hugging Face `config.json` of any family that the engine runs. */
import { isObject, setting, UsageError } from "../../../base/core/index.ts";
import { families } from "../family/families.ts";
import { type FamilyName, familyNames } from "../family/family-name.ts";
import { applyEndTokens, checkTokens, readEndTokens } from "./end-tokens.ts";
import { FieldError, type Fields, readFields, shorten } from "./fields.ts";
import { findForeignField } from "./foreign-fields.ts";
import type { LayerConfig, ModelConfig, ModelParts } from "./model-config.ts";

/**
 * Reads the JSON value of a `config.json`. Throws `UsageError` naming `source` where the model is none that the
 * embedded engine runs (another family, a field that would change what is computed or that is not known) or a
 * field is malformed.
 */
export function parseModelConfig(value: unknown, source: string): ModelConfig {
  try {
    if (!isObject(value)) throw new FieldError("it is not an object");
    const fields = readFields(value);
    const config = readConfig(fields, value);
    const foreign = findForeignField(fields, config);
    if (foreign !== undefined) throw new FieldError(foreign);
    checkDimensions(config);
    return config;
  } catch (error) {
    if (!(error instanceof FieldError)) throw error;
    throw new UsageError(
      `Cannot read the model config ${source}: ${error.message} ` +
        `(what the embedded engine does not run, a server such as vLLM may: ${setting("serve")})`,
    );
  }
}

function readConfig(fields: Fields, value: Readonly<Record<string, unknown>>): ModelConfig {
  const name = readFamily(fields, value);
  const family = families[name];
  const parts = family.read(fields);
  const ends = readEndTokens(fields, family.endToken);
  const padToken = fields.has("pad_token_id") ? fields.number("pad_token_id") : -1;
  if (!Number.isInteger(padToken))
    throw new FieldError(`"pad_token_id" is ${padToken}, and must be a whole number`);
  return {
    family: name,
    vocabularySize: fields.count("vocab_size"),
    ...parts,
    maxPositions: Math.max(parts.maxPositions, ...parts.layers.map((layer) => scaledPositions(layer, parts))),
    isTied: fields.flag("tie_word_embeddings", family.isTied ?? false),
    ...applyEndTokens(ends),
    // Older files write −1 for "none".
    padToken: padToken < 0 ? (ends[0] ?? 0) : padToken,
    initializerRange: fields.number("initializer_range", 0.02),
  };
}

/** Positions that a layer's scaling makes room for; 0 where it says nothing of them. */
function scaledPositions({ rope }: LayerConfig, { maxPositions }: ModelParts): number {
  const scaling = rope?.scaling;
  if (scaling?.type === "yarn") return Math.floor(scaling.factor * scaling.numPositions);
  return scaling?.type === "linear" || scaling?.type === "dynamic"
    ? Math.floor(scaling.factor * maxPositions)
    : 0;
}

function readFamily(fields: Fields, value: Readonly<Record<string, unknown>>): FamilyName {
  const name = fields.word("model_type", familyNames);
  checkArchitecture(fields, name);
  // As transformers does, even where it is null.
  return name === "mistral" && Object.hasOwn(value, "layer_types") ? "ministral" : name;
}

/** Throws `FieldError` for models that do something else than continue texts, such as classify them. */
function checkArchitecture(fields: Fields, name: FamilyName): void {
  const named = fields.words("architectures");
  const isOther = named !== undefined && !named.some((one) => /(ForCausalLM|LMHeadModel|Model)$/.test(one));
  if (isOther)
    throw new FieldError(
      `"architectures" is ${shorten(named)}, none of which continues texts as ${name} does`,
    );
}

function checkDimensions(config: ModelConfig): void {
  const { numHeads, numKeyValueHeads, headSize, experts } = config;
  if (numHeads % numKeyValueHeads !== 0)
    throw new FieldError(
      `"num_attention_heads" is ${numHeads}, which is not a multiple of num_key_value_heads ${numKeyValueHeads}`,
    );
  if (headSize % 2 !== 0 && config.layers.some(({ rope }) => rope !== undefined))
    throw new FieldError(`"head_dim" is ${headSize}, which is odd, and rotary positions need pairs`);
  if (experts !== undefined && experts.numChosen > experts.numExperts)
    throw new FieldError(`"num_experts_per_tok" is ${experts.numChosen} of ${experts.numExperts} experts`);
  checkTokens(config);
}
