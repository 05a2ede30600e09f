/** Models of the embedded engine with a few thousand random parameters: what they are asked matters, not what they answer. */
import { createRandom } from "../../src/base/core/index.ts";
import {
  createWordTokenizer,
  initializeParameters,
  type Model,
  parseModelConfig,
} from "../../src/engine/model/index.ts";
import { findEnvironment } from "../../src/tasks/environment/index.ts";

/** What tells tiny models apart. */
export interface TinyOptions {
  /** Of its parameters. */
  readonly seed?: number;
  /** The words it knows. Default: those of general points. */
  readonly words?: readonly string[];
  readonly maxPositions?: number;
  /** Its own chat template. Default: none. */
  readonly template?: string;
}

/** Creates one. */
export function createTinyModel({
  seed = 1,
  words = findEnvironment("general-points").vocabulary,
  maxPositions = 64,
  template,
}: TinyOptions = {}): Model {
  const config = parseModelConfig(
    {
      model_type: "llama",
      vocab_size: words.length + 3,
      hidden_size: 8,
      intermediate_size: 12,
      num_hidden_layers: 1,
      num_attention_heads: 2,
      max_position_embeddings: maxPositions,
      eos_token_id: 1,
      pad_token_id: 0,
    },
    "",
  );
  const tokenizer = createWordTokenizer(words);
  const files = template === undefined ? {} : { "chat_template.jinja": template };
  return {
    config,
    parameters: initializeParameters(config, createRandom(seed, "tiny")),
    tokenizer: { ...tokenizer, files: { ...tokenizer.files, ...files } },
  };
}
