/** What an adapter makes of each tensor of its base: every part of its file placed on a tensor, or refused by name. */
import { toObject } from "../../../../base/core/index.ts";
import { CheckpointError, quote } from "../../checkpoint-error.ts";
import { isFloatDtype } from "../../dtype.ts";
import type { Checkpoint, CheckpointTensor } from "../../open-checkpoint.ts";
import type { TensorData } from "../../safetensors/safetensors-read.ts";
import { findScaling } from "../adapter-config.ts";
import type { AdaptedTensor, AdapterContents, NamedChange, ReadFactors } from "../adapter-contents.ts";
import { mergeIt, UnusableAdapterError } from "../adapter-error.ts";
import type { FactorKeys } from "../adapter-parts.ts";
import type { Change } from "./merged-tensor.ts";
import { createUpdate, findOrientation } from "./place-factors.ts";
import { placeParameters } from "./place-parameters.ts";

/** Places everything that an adapter holds. Throws `UnusableAdapterError`, and `CheckpointError` where the base is another. */
export async function planChanges(contents: AdapterContents): Promise<ReadonlyMap<string, AdaptedTensor>> {
  const { parts } = contents;
  requireSaved(contents);
  const plan = new Map<string, AdaptedTensor>();
  for (const [name, key] of parts.held) plan.set(name, { source: { from: "adapter", key } });
  for (const pair of parts.factors) {
    const read = await readFactors(contents, pair);
    const changes = placeParameters(contents, pair, read) ?? placeModule(contents, pair, read);
    for (const [name, change] of changes) addChange(plan, { name, change });
  }
  for (const [module, key] of parts.tokens)
    addChange(plan, { name: `${module}.weight`, change: await placeTokens(contents, { module, key }) });
  for (const [name, { change }] of plan) {
    const stored = findStored(contents, plan, name);
    if (change !== undefined && stored !== undefined && !isFloatDtype(stored.dtype))
      throw new CheckpointError(
        `its ${stored.dtype} numbers are not floats that an adapter can be added to; use a base in BF16, F16 or F32`,
        { path: contents.base.folder, tensor: name },
      );
  }
  return plan;
}

/** Throws `UnusableAdapterError` where the file lacks a tensor of a module that it says to hold as a whole, which PEFT cannot load. */
function requireSaved({ base, file, parts, config: { fields } }: AdapterContents): void {
  const { modules_to_save: modules } = fields;
  const ends = Array.isArray(modules) ? modules.filter((one) => typeof one === "string" && one !== "") : [];
  // PEFT wraps every module whose name ends so, "input_layernorm" for "norm" as well.
  const isSaved = (name: string): boolean =>
    name.split(".").some((_, index, words) => {
      const module = words.slice(0, index).join(".");
      return ends.some((end) => module.endsWith(end));
    });
  const missing = [...base.tensors.keys()].find((name) => isSaved(name) && !parts.held.has(name));
  if (missing === undefined || parts.adapterNames.size > 0) return;
  throw new UnusableAdapterError(
    `by the modules_to_save of its adapter_config.json it holds ${quote(missing)}, and it does not; save the adapter again`,
    { path: file.path },
  );
}

/** The tensor that a change starts from: the adapter's own where it holds one, else the base's. */
export function findStored(
  { base, file }: Pick<AdapterContents, "base" | "file">,
  plan: ReadonlyMap<string, AdaptedTensor>,
  name: string,
): Pick<CheckpointTensor, "dtype" | "shape"> | undefined {
  const { source = { from: "base", key: name } } = plan.get(name) ?? {};
  return (source.from === "base" ? base : file).tensors.get(source.key);
}

function addChange(
  plan: Map<string, AdaptedTensor>,
  { name, change }: { readonly name: string; readonly change: Change },
): void {
  const { source = { from: "base", key: name }, change: known = {} } = plan.get(name) ?? {};
  plan.set(name, { source, change: { ...known, ...change } });
}

async function readFactors({ file }: AdapterContents, keys: FactorKeys): Promise<ReadFactors> {
  const readOwn = async (key: string | undefined): Promise<TensorData | undefined> =>
    key === undefined ? undefined : await file.readTensor(key);
  return {
    first: await file.readTensor(keys.first),
    second: await file.readTensor(keys.second),
    bias: await readOwn(keys.bias),
    magnitude: await readOwn(keys.magnitude),
  };
}

/** Changes of a module's weight, and of its bias where the factors have one. */
function placeModule(
  contents: AdapterContents,
  keys: FactorKeys,
  { first, second, bias, magnitude }: ReadFactors,
): readonly NamedChange[] {
  const { base, file, folder, config } = contents;
  const name = `${keys.module}.weight`;
  const place = { path: file.path, tensor: keys.first };
  const isHeld = contents.parts.held.get(name);
  const stored = isHeld === undefined ? base.tensors.get(name) : file.tensors.get(isHeld);
  if (stored === undefined || keys.depth > 0) return refuseMissing(base, name, place);
  const { scale } = findScaling(config.fields, keys.module, folder);
  const orientation = findOrientation(
    { first, second },
    {
      ...keys,
      shape: stored.shape,
      modelType: base.config.model_type,
      saysTransposed: config.fields.fan_in_fan_out === true,
    },
  );
  if (orientation === undefined)
    throw new CheckpointError(
      `with its partner it makes [${[second.shape[0], first.shape[1]].join(", ")}], the base's tensor is [${stored.shape.join(", ")}]; give the base that the adapter was trained on`,
      place,
    );
  if (orientation === "unclear")
    throw new UnusableAdapterError(
      `its fan_in_fan_out is true, and nothing tells whether this square matrix is stored so; ${mergeIt}`,
      place,
    );
  const isTransposed = orientation === "transposed";
  const change: Change = {
    update: createUpdate({ first, second, scale }, isTransposed),
    ...(magnitude !== undefined && {
      magnitudes: {
        values: checkMagnitude(contents, keys, magnitude, second),
        of: isTransposed ? "columns" : "rows",
      },
    }),
  };
  return [[name, change], ...placeBias(contents, keys, { bias, scale })];
}

/** Throws what explains that the base lacks a tensor. */
export function refuseMissing(
  base: Checkpoint,
  name: string,
  place: { readonly path: string; readonly tensor: string },
): never {
  throw new CheckpointError(
    `its base model ${quote(base.folder)} has no tensor ${quote(name)}; give the base that the adapter was trained on`,
    place,
  );
}

/** DoRA's magnitudes, one for every output. */
function checkMagnitude(
  { file }: AdapterContents,
  { magnitude: key }: FactorKeys,
  { data, shape }: TensorData,
  { shape: [numOutputs] }: TensorData,
): Float32Array {
  if (data.length === numOutputs) return data;
  throw new UnusableAdapterError(
    `its shape is [${shape.join(", ")}], and the module has ${numOutputs} outputs; save the adapter again`,
    { path: file.path, tensor: key },
  );
}

function placeBias(
  { base, file, parts }: AdapterContents,
  { module, bias: key }: FactorKeys,
  { bias, scale }: { readonly bias: TensorData | undefined; readonly scale: number },
): readonly NamedChange[] {
  if (bias === undefined || key === undefined) return [];
  const name = `${module}.bias`;
  const place = { path: file.path, tensor: key };
  const held = parts.held.get(name);
  const stored = held === undefined ? base.tensors.get(name) : file.tensors.get(held);
  if (stored === undefined)
    throw new UnusableAdapterError(
      `it adds a bias to ${quote(module)}, which has none in the base, so that no merged model can hold it; use it in the library that trained it`,
      place,
    );
  if (stored.shape.join() !== bias.shape.join())
    throw new CheckpointError(
      `its shape is [${bias.shape.join(", ")}], the base's bias is [${stored.shape.join(", ")}]; give the base that the adapter was trained on`,
      place,
    );
  const left = Float64Array.from(bias.data, (value) => value * scale);
  return [[name, { update: { left, right: Float64Array.of(1), rank: 1 } }]];
}

/** The rows of `trainable_token_indices`. */
async function placeTokens(
  { base, file, parts, config: { fields } }: AdapterContents,
  { module, key }: { readonly module: string; readonly key: string },
): Promise<Change> {
  const place = { path: file.path, tensor: key };
  const name = `${module}.weight`;
  const held = parts.held.get(name);
  const stored = held === undefined ? base.tensors.get(name) : file.tensors.get(held);
  if (stored === undefined) return refuseMissing(base, name, place);
  const [numRows = 0, numColumns = 0] = stored.shape;
  const { shape, data } = await file.readTensor(key);
  const indices = findIndices(fields.trainable_token_indices, module);
  const isSound =
    indices !== undefined &&
    new Set(indices).size === indices.length &&
    indices.every((index) => Number.isSafeInteger(index) && index >= 0 && index < numRows);
  if (!isSound || shape.join() !== [indices.length, numColumns].join())
    throw new UnusableAdapterError(
      `its shape is [${shape.join(", ")}], and the trainable_token_indices of its adapter_config.json are not such rows of [${stored.shape.join(", ")}]; save the adapter again`,
      place,
    );
  return {
    rows: new Map(
      indices.map((row, index) => [row, data.subarray(index * numColumns, (index + 1) * numColumns)]),
    ),
  };
}

/** A list is that of the input embeddings; else lists by the end of a module's name. */
function findIndices(value: unknown, module: string): readonly number[] | undefined {
  const lists = toObject(value);
  const name = Object.keys(lists).find((end) => module === end || module.endsWith(`.${end}`));
  const found = Array.isArray(value) ? value : name === undefined ? undefined : lists[name];
  return Array.isArray(found) && found.every((one) => typeof one === "number") ? found : undefined;
}
