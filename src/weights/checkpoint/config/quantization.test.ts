import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { CheckpointError } from "../checkpoint-error.ts";
import type { Dtype } from "../dtype.ts";
import type { Checkpoint, CheckpointTensor } from "../open-checkpoint.ts";
import { requireUnquantized } from "./quantization.ts";

const folder = mkdtempSync(join(tmpdir(), "untwist-test-"));
afterAll(() => rmSync(folder, { recursive: true }));

type Layout = Readonly<Record<string, readonly [dtype: Dtype, ...shape: number[]]>>;

/** A checkpoint of which only names, formats and shapes are known. */
function describeCheckpoint(tensors: Layout, config: Readonly<Record<string, unknown>> = {}): Checkpoint {
  const listed = Object.entries(tensors).map(([name, [dtype, ...shape]]): [string, CheckpointTensor] => [
    name,
    { dtype, shape, file: "model.safetensors" },
  ]);
  const refuse = (): never => {
    throw new Error("No weight is read");
  };
  const read = { readTensor: refuse, readBytes: refuse, openBytes: refuse, close: async () => undefined };
  return { folder, config, tensors: new Map(listed), ...read };
}

const q = "model.layers.0.self_attn.q_proj";
/** The tensors of one linear layer as each library stores them, and the method that its configuration names. */
const layouts: Readonly<Record<string, { readonly tensors: Layout; readonly method: string }>> = {
  "bitsandbytes, 4 bits": {
    method: "bitsandbytes",
    tensors: {
      [`${q}.weight`]: ["U8", 1152, 1],
      [`${q}.weight.absmax`]: ["U8", 36],
      [`${q}.weight.quant_map`]: ["F32", 16],
      [`${q}.weight.quant_state.bitsandbytes__nf4`]: ["U8", 120],
    },
  },
  "bitsandbytes, 8 bits": {
    method: "bitsandbytes",
    tensors: { [`${q}.weight`]: ["I8", 48, 48], [`${q}.SCB`]: ["F32", 48], [`${q}.weight_format`]: ["U8"] },
  },
  GPTQ: {
    method: "gptq",
    tensors: {
      [`${q}.qweight`]: ["I32", 6, 48],
      [`${q}.qzeros`]: ["I32", 1, 6],
      [`${q}.scales`]: ["F16", 1, 48],
      [`${q}.g_idx`]: ["I32", 48],
    },
  },
  AWQ: {
    method: "awq",
    tensors: {
      [`${q}.qweight`]: ["I32", 48, 6],
      [`${q}.qzeros`]: ["I32", 1, 6],
      [`${q}.scales`]: ["F16", 1, 48],
    },
  },
  "8-bit floats with block scales": {
    method: "fp8",
    tensors: { [`${q}.weight`]: ["F8_E4M3", 256, 256], [`${q}.weight_scale_inv`]: ["F32", 2, 2] },
  },
  "8-bit floats in compressed-tensors": {
    method: "compressed-tensors",
    tensors: { [`${q}.weight`]: ["F8_E4M3", 48, 48], [`${q}.weight_scale`]: ["BF16", 48, 1] },
  },
  "compressed-tensors, packed": {
    method: "compressed-tensors",
    tensors: {
      [`${q}.weight_packed`]: ["I32", 48, 6],
      [`${q}.weight_scale`]: ["BF16", 48, 1],
      [`${q}.weight_shape`]: ["I64", 2],
    },
  },
  MXFP4: {
    method: "mxfp4",
    tensors: {
      "model.layers.0.mlp.experts.gate_up_proj_blocks": ["U8", 4, 64, 2, 16],
      "model.layers.0.mlp.experts.gate_up_proj_scales": ["U8", 4, 64, 2],
    },
  },
  HQQ: {
    method: "hqq",
    tensors: {
      [`${q}.W_q`]: ["U8", 24, 48],
      [`${q}.scale`]: ["BF16", 36, 1],
      [`${q}.zero`]: ["BF16", 36, 1],
    },
  },
  quanto: {
    method: "quanto",
    tensors: { [`${q}.weight._data`]: ["I8", 48, 48], [`${q}.weight._scale`]: ["F32", 48, 1] },
  },
};

describe("requireUnquantized()", () => {
  for (const [name, { tensors, method }] of Object.entries(layouts)) {
    it(`refuses ${name} by its tensors alone`, async () => {
      const norm = { "model.norm.weight": ["BF16", 48] } as const;
      await expect(requireUnquantized(describeCheckpoint({ ...norm, ...tensors }))).rejects.toThrow(
        /quantized/,
      );
    });
    it(`calls ${name} as its configuration does`, async () => {
      const config = { quantization_config: { quant_method: method, bits: 4 } };
      await expect(requireUnquantized(describeCheckpoint(tensors, config))).rejects.toThrow(
        `quantized (${method}, 4 bits; `,
      );
    });
  }

  it("refuses integers of unknown layout where a file beside them names a method", async () => {
    const tensors: Layout = { [`${q}.codes_of_a_new_kind`]: ["I16", 48, 6] };
    await expect(requireUnquantized(describeCheckpoint(tensors))).resolves.toBeUndefined();
    writeFileSync(join(folder, "hf_quant_config.json"), '{"quantization": {"quant_algo": "NEW"}}');
    await expect(requireUnquantized(describeCheckpoint(tensors))).rejects.toThrow(/quantized \(NEW; /);
    rmSync(join(folder, "hf_quant_config.json"));
  });

  it("refuses a file beside the weights that is not valid JSON, in a sentence that names it", async () => {
    writeFileSync(join(folder, "quantize_config.json"), "{");
    const asked = requireUnquantized(describeCheckpoint({ [`${q}.weight`]: ["BF16", 48, 48] }));
    await expect(asked).rejects.toThrow(CheckpointError);
    await expect(asked).rejects.toThrow("quantize_config.json");
    rmSync(join(folder, "quantize_config.json"));
  });

  it("accepts plain floats, buffers of integers, and dequantized weights whose configuration still names a method", async () => {
    mkdirSync(folder, { recursive: true });
    const tensors: Layout = {
      [`${q}.weight`]: ["BF16", 48, 48],
      "model.layer_scale": ["F32", 48],
      "transformer.h.0.attn.bias": ["BOOL", 1, 1, 8, 8],
      "embeddings.position_ids": ["I64", 1, 8],
    };
    await expect(requireUnquantized(describeCheckpoint(tensors))).resolves.toBeUndefined();
    const config = { quantization_config: { quant_method: "mxfp4" } };
    await expect(requireUnquantized(describeCheckpoint(tensors, config))).resolves.toBeUndefined();
  });
});
