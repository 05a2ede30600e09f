/**
 * The golden models of `test/golden/model`: a float64 PyTorch decoder, its gradients and its training, made by
 * `tools/golden/make-model-golden.py`; and the measure by which the float32 engine is compared with them.
 */
import { readFileSync } from "node:fs";
import {
  createLayout,
  type ModelConfig,
  type ParameterLayout,
  parseModelConfig,
} from "../src/engine/model/index.ts";

/** A tensor of a golden file, row-major. */
interface GoldenTensor {
  readonly shape: readonly number[];
  readonly data: readonly number[];
}

type GoldenTensors = Readonly<Record<string, GoldenTensor>>;

/** What a golden file says of the gradient of one objective. */
interface GoldenGradient {
  readonly loss: number;
  readonly gradients: GoldenTensors;
  readonly gradNorm: number;
}

interface GoldenGrpo extends GoldenGradient {
  readonly clipEpsilon: number;
  readonly klCoefficient: number;
  readonly oldLogProbs_BT: GoldenTensor;
  readonly referenceLogProbs_BT: GoldenTensor;
  readonly advantages_B: GoldenTensor;
  readonly logProbs_BT: GoldenTensor;
  readonly kl: number;
  readonly clipShare: number;
  readonly entropy: number;
}

interface GoldenPpo extends GoldenGradient {
  readonly clipEpsilon: number;
  readonly valueClipEpsilon: number;
  readonly valueCoefficient: number;
  readonly entropyCoefficient: number;
  readonly valueHead: GoldenTensors;
  readonly lastPromptIndex_B: GoldenTensor;
  readonly oldSequenceLogProbs_B: GoldenTensor;
  readonly advantages_B: GoldenTensor;
  readonly oldValues_B: GoldenTensor;
  readonly returns_B: GoldenTensor;
  readonly values_B: GoldenTensor;
  readonly valueLoss: number;
  readonly clipShare: number;
  readonly entropy: number;
}

interface GoldenFile extends GoldenGradient {
  readonly config: Readonly<Record<string, unknown>>;
  readonly parameters: GoldenTensors;
  readonly tokens_BT: GoldenTensor;
  readonly targets_BT: GoldenTensor;
  readonly weights_BT: GoldenTensor;
  readonly logits_BTV: GoldenTensor;
  readonly training: {
    readonly optimizer: {
      readonly numSteps: number;
      readonly learningRate: number;
      readonly beta1: number;
      readonly beta2: number;
      readonly epsilon: number;
      readonly weightDecay: number;
      readonly maxGradNorm: number;
    };
    readonly losses: readonly number[];
    readonly gradNorms: readonly number[];
    readonly finalLoss: number;
    readonly finalParameters: GoldenTensors;
  };
  readonly reinforcement?: {
    readonly tokens_BT: GoldenTensor;
    readonly actions_BT: GoldenTensor;
    readonly mask_BT: GoldenTensor;
    readonly grpo: GoldenGrpo;
    readonly ppo: GoldenPpo;
  };
}

/** A golden file with the config and the flat parameters that the engine makes of it. */
export interface GoldenModel {
  readonly file: GoldenFile;
  readonly config: ModelConfig;
  readonly layout: ParameterLayout;
  readonly parameters: Float32Array;
}

/** Names of the golden models. */
export const goldenNames = ["gqa-untied", "mha-tied", "biased"] as const;

/** Reads a golden model. */
export function readGoldenModel(name: (typeof goldenNames)[number]): GoldenModel {
  const path = new URL(`golden/model/${name}.json`, import.meta.url);
  const file = JSON.parse(readFileSync(path, "utf8")) as GoldenFile;
  const config = parseModelConfig(file.config, `${name}.json`);
  const layout = createLayout(config);
  return { file, config, layout, parameters: flatten(layout, file.parameters) };
}

/** The tensors of a golden file as the flat vector of a layout. Throws where a name or a size differs. */
export function flatten(layout: ParameterLayout, tensors: GoldenTensors): Float32Array {
  const flat = new Float32Array(layout.size);
  for (const { name, shape, offset } of layout.entries) {
    const tensor = tensors[name];
    if (tensor === undefined || `${tensor.shape}` !== `${shape}`) throw new Error(`${name} does not fit`);
    flat.set(tensor.data, offset);
  }
  return flat;
}

/** max |a − b| / max |b| over the elements of a tensor: the error relative to its largest element. */
export function relativeError(actual: ArrayLike<number>, expected: readonly number[]): number {
  if (actual.length !== expected.length)
    throw new Error(`${actual.length} values are compared with ${expected.length}`);
  let [gap, scale] = [0, 0];
  for (const [index, value] of expected.entries()) {
    gap = Math.max(gap, Math.abs((actual[index] ?? Number.NaN) - value));
    scale = Math.max(scale, Math.abs(value));
  }
  return gap / scale;
}
