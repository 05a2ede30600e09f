/** The families that the engine runs: how each differs from Llama, with the defaults of transformers 5.24 for what a file leaves out. */
import type { Family } from "./family.ts";
import type { FamilyName } from "./family-name.ts";
import {
  gemma2Names,
  gemma3Names,
  gpt2Names,
  gptNeoxNames,
  llamaNames,
  mixtralNames,
  mixtralOtherNames,
  olmo2Names,
  phi3Names,
  qwen3MoeNames,
  qwen3Names,
} from "./names.ts";
import { readMixtral, readQwen3Moe } from "./reader/experts.ts";
import { readGemma2, readGemma3 } from "./reader/gemma.ts";
import { readGpt2, readGptNeox } from "./reader/gpt.ts";
import { readGranite, readLlama, readPhi3, readSmollm3 } from "./reader/llama.ts";
import { readOlmo, readOlmo2, readOlmo3 } from "./reader/olmo.ts";
import { readBiases } from "./reader/parts.ts";
import { readMinistral3, readMistral, readQwen } from "./reader/windows.ts";

const qwen2Biases = { biases: ["query", "key", "value"] } as const;

/** The total table of families, by their `model_type`. */
export const families: { readonly [Name in FamilyName]: Family } = {
  llama: { names: llamaNames, norm: "rms", endToken: 2, read: readLlama },
  smollm3: { names: llamaNames, norm: "rms", endToken: 128_001, isTied: true, read: readSmollm3 },
  mistral: { names: llamaNames, norm: "rms", endToken: 2, read: (fields) => readMistral(fields, false) },
  ministral: { names: llamaNames, norm: "rms", endToken: 2, read: (fields) => readMistral(fields, true) },
  ministral3: { names: llamaNames, norm: "rms", endToken: 2, read: readMinistral3 },
  qwen2: { names: llamaNames, norm: "rms", read: (fields) => ({ ...readQwen(fields, {}), ...qwen2Biases }) },
  qwen3: {
    names: qwen3Names,
    norm: "rms",
    headNorm: "head",
    read: (fields) => ({ ...readQwen(fields, { headSize: 128 }), ...readBiases(fields, ["attention_bias"]) }),
  },
  qwen3_moe: { names: qwen3MoeNames, norm: "rms", headNorm: "head", read: readQwen3Moe },
  mixtral: {
    names: mixtralNames,
    otherNames: mixtralOtherNames,
    norm: "rms",
    endToken: 2,
    read: readMixtral,
  },
  gemma2: { names: gemma2Names, norm: "shifted", endToken: 1, isTied: true, read: readGemma2 },
  gemma3_text: {
    names: gemma3Names,
    norm: "shifted",
    headNorm: "head",
    endToken: 1,
    isTied: true,
    read: readGemma3,
  },
  phi3: { names: phi3Names, norm: "rms", endToken: 32_000, read: readPhi3 },
  olmo: { names: llamaNames, norm: "plain", endToken: 50_279, read: readOlmo },
  olmo2: { names: olmo2Names, norm: "rms", headNorm: "projection", endToken: 50_279, read: readOlmo2 },
  olmo3: { names: olmo2Names, norm: "rms", headNorm: "projection", endToken: 50_279, read: readOlmo3 },
  granite: { names: llamaNames, norm: "rms", endToken: 2, read: readGranite },
  gpt_neox: { names: gptNeoxNames, norm: "layer", endToken: 2, read: readGptNeox },
  gpt2: {
    names: gpt2Names,
    norm: "layer",
    hasInputRows: true,
    endToken: 50_256,
    isTied: true,
    read: readGpt2,
  },
};
