/**
 * LoRA adapters as PEFT saves them, read as what they make of their base model: W + s · B · A, tensor by tensor. The sum is made
 * range by range when it is read, so an adapter costs no more memory than its thin factors.
 * Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", 2021.
 */
import { resolve } from "node:path";
import { fileExists } from "../../../base/file/index.ts";
import { CheckpointError, type ProblemLocation, quote } from "../checkpoint-error.ts";
import { hasTokenRows, isTokenTable } from "../config/tied-head.ts";
import { createRangeDecoder, type Dtype, isFloatDtype, numBytesOf, type ReadableBytes } from "../dtype.ts";
import type { Checkpoint, CheckpointTensor, LowRankUpdate } from "../open-checkpoint.ts";
import { openSafetensors, type SafetensorsFile } from "../safetensors/safetensors-read.ts";
import { pickledName, readAdapterConfig, requireBaseFolder, weightsName } from "./adapter-config.ts";
import type { AdaptedTensor, AdapterContents } from "./adapter-contents.ts";
import { UnusableAdapterError } from "./adapter-error.ts";
import { type AdapterParts, sortKeys } from "./adapter-parts.ts";
import { checkParts } from "./check-parts.ts";
import { openMerged } from "./merge/merged-tensor.ts";
import { findStored, planChanges } from "./merge/plan-changes.ts";
import { countTokens, type Plan, settleTie } from "./tied-head.ts";

/** How the sum of base and adapter is stored: in 32-bit floats, or in the base's own format, as merging by PEFT does. */
export type MergedFormat = "exact" | "rounded";

/** Opens a checkpoint folder; given, as adapters and checkpoints know each other. */
type OpenFolder = (folder: string) => Promise<Checkpoint>;

/**
 * Opens an adapter as the checkpoint that it makes of its base. What makes it unusable by itself is said before the base is asked
 * for. Throws `UnusableAdapterError`, and `CheckpointError` where the base is missing or is another.
 */
export async function openAdapted(
  folder: string,
  {
    format,
    base: given,
    open,
  }: { readonly format: MergedFormat; readonly base?: string | undefined; readonly open: OpenFolder },
): Promise<Checkpoint> {
  const config = await readAdapterConfig(folder);
  const file = await openWeights(folder);
  const opened: { close(): Promise<void> }[] = [file];
  const close = async (): Promise<void> => {
    await Promise.all(opened.map((one) => one.close()));
  };
  try {
    const { path, header } = file;
    const parts = sortAdapter(file);
    checkParts({ folder, path, config, parts, tensors: header.tensors });
    const place = given ?? (await requireBaseFolder(folder, config));
    if (resolve(place) === resolve(folder))
      throw new CheckpointError(
        "it names itself as its base model; write the folder of its base model there",
        {
          path: folder,
        },
      );
    const base = await open(place);
    opened.push(base);
    const contents = { folder, config, parts, base, file: { ...file, tensors: header.tensors } };
    const plan = settleTie(contents, await planChanges(contents));
    return createAdapted(contents, plan, { format, close });
  } catch (error) {
    await close();
    throw error;
  }
}

/** The open file of an adapter's tensors. Throws `CheckpointError`, and `UnusableAdapterError` where it is a pickle. */
export async function openWeights(folder: string): Promise<SafetensorsFile> {
  const path = `${folder}/${weightsName}`;
  if (await fileExists(path)) return await openSafetensors(path);
  if (await fileExists(`${folder}/${pickledName}`))
    throw new UnusableAdapterError(
      `it holds ${pickledName}, and of adapters only ${weightsName} is read; load it with PEFT and save it again with save_pretrained`,
      { path: folder },
    );
  throw new CheckpointError(`there is no ${weightsName} in it; save the adapter as safetensors`, {
    path: folder,
  });
}

/** The parts of an adapter's file. Throws `UnusableAdapterError` where PEFT would leave some of them out. */
export function sortAdapter({ path, header }: SafetensorsFile): AdapterParts {
  const parts = sortKeys(header.tensors.keys(), path);
  const [named] = parts.adapterNames;
  if (named === undefined) return parts;
  throw new UnusableAdapterError(
    `its tensors carry the name of an adapter, ${quote(named)}, and PEFT loads none that do; save it with save_pretrained`,
    { path },
  );
}

/** An adapted model, before it is known whether it is an adapter's or a folder's that holds base and adapter. */
export interface AdaptedModel
  extends Pick<Checkpoint, "config" | "tensors" | "openBytes" | "readTensor" | "readBytes"> {
  readonly computed: ReadonlySet<string>;
  readonly updates: ReadonlyMap<string, LowRankUpdate>;
  readonly replaced: ReadonlySet<string>;
}

function createAdapted(
  contents: AdapterContents,
  plan: Plan,
  { format, close }: { readonly format: MergedFormat; readonly close: () => Promise<void> },
): Checkpoint {
  const { updates, replaced, ...model } = adaptModel(contents, plan, format);
  const { folder, base } = contents;
  const adapter = { base: base.folder, model: base.adapter?.model ?? base.folder, updates, replaced };
  const { isConverted } = base;
  return { ...model, folder, ...(isConverted && { isConverted }), adapter, close };
}

/** The tensors of a planned model. Throws `UnusableAdapterError` for tensors of another shape than the base's. */
export function adaptModel(contents: AdapterContents, plan: Plan, format: MergedFormat): AdaptedModel {
  const { base, file } = contents;
  const tensors = new Map(base.tensors);
  for (const [name, one] of plan.tensors)
    tensors.set(
      name,
      describeAdapted(contents, { name, plan: plan.tensors, isComputed: one.change !== undefined }, format),
    );
  const openBytes = (name: string): ReadableBytes => {
    const one = plan.tensors.get(name);
    return one === undefined ? base.openBytes(name) : openAdaptedTensor(contents, { name, one }, tensors);
  };
  return {
    config: countTokens(base, tensors, { config: plan.config, path: file.path }),
    tensors,
    ...listThin(plan.tensors, base),
    computed: listComputed(plan.tensors, base),
    openBytes,
    readBytes: async (name) => {
      const bytes = openBytes(name);
      return bytes.subarray(0, bytes.length);
    },
    readTensor: async (name) => {
      const one = plan.tensors.get(name);
      const { dtype, shape } = tensors.get(name) ?? { dtype: "U8" as const, shape: [] };
      if (one === undefined) return await base.readTensor(name);
      if (one.change === undefined || !isFloatDtype(dtype))
        return await (one.source.from === "base" ? base : file).readTensor(one.source.key);
      const bytes = openBytes(name);
      const count = bytes.length / numBytesOf(dtype, 1);
      return { dtype, shape, data: createRangeDecoder(bytes, dtype)(0, count).slice() };
    },
  };
}

/** Which tensors are computed, by the adapter or by its base. */
function listComputed(plan: Plan["tensors"], { computed = new Set() }: Checkpoint): ReadonlySet<string> {
  const isComputed = ([, { source, change }]: readonly [string, AdaptedTensor]): boolean =>
    change !== undefined || (source.from === "base" && computed.has(source.key));
  const kept = [...computed].filter((name) => !plan.has(name));
  return new Set([...kept, ...[...plan].filter(isComputed).map(([name]) => name)]);
}

/** Which tensors are the base's with a product added, and which are more than that. */
function listThin(
  plan: Plan["tensors"],
  { tensors }: Checkpoint,
): Pick<AdaptedModel, "updates" | "replaced"> {
  const updates = new Map<string, LowRankUpdate>();
  const replaced = new Set<string>();
  for (const [name, { source, change = {} }] of plan) {
    const { update, ...others } = change;
    const isOwn = source.from === "base" && source.key === name && tensors.get(name)?.shape.length === 2;
    if (update !== undefined && isOwn && Object.keys(others).length === 0) updates.set(name, update);
    else replaced.add(name);
  }
  return { updates, replaced };
}

/** Format and shape of a tensor of the adapted model. Throws `CheckpointError` where it can't take the place of the base's. */
function describeAdapted(
  contents: AdapterContents,
  {
    name,
    plan,
    isComputed,
  }: { readonly name: string; readonly plan: Plan["tensors"]; readonly isComputed: boolean },
  format: MergedFormat,
): CheckpointTensor {
  const { base, file } = contents;
  const own = base.tensors.get(name);
  const stored = findStored(contents, plan, name);
  const source = plan.get(name)?.source;
  const neighbor = own ?? findNeighbor(base, source);
  const place = { path: file.path, tensor: source?.key ?? name };
  // A head that the base has not, because it has it as its embeddings, is not a mistake.
  if (stored === undefined || neighbor === undefined || (own === undefined && !isTokenTable(name)))
    throw new CheckpointError(
      `its base model ${quote(base.folder)} has no tensor ${quote(name)}; give the base that the adapter was trained on`,
      place,
    );
  if (own !== undefined) requireShape(name, stored.shape, { own: own.shape, place });
  const { dtype, shape } = stored;
  if (dtype !== own?.dtype) requireFloats(dtype, neighbor.dtype, place);
  const computed = format === "exact" ? "F32" : (own?.dtype ?? dtype);
  return { ...neighbor, shape, dtype: isComputed ? computed : dtype };
}

/** The tensor of the base that one which it has not is most like: what that is made of, or else any. */
function findNeighbor(
  { tensors }: Checkpoint,
  source: AdaptedTensor["source"] | undefined,
): CheckpointTensor | undefined {
  return tensors.get(source?.from === "base" ? source.key : "") ?? [...tensors.values()][0];
}

/** Throws `CheckpointError` where a tensor has not the shape of the base's: it may have more rows of tokens, and nothing else. */
function requireShape(
  name: string,
  shape: readonly number[],
  { own, place }: { readonly own: readonly number[]; readonly place: ProblemLocation },
): void {
  const isAlike =
    own.join() === shape.join() || (hasTokenRows(name) && own.slice(1).join() === shape.slice(1).join());
  if (!isAlike)
    throw new CheckpointError(
      `its shape is [${shape.join(", ")}], the base's tensor is [${own.join(", ")}]; give the base that the adapter was trained on`,
      place,
    );
}

/** Throws `UnusableAdapterError` where a tensor's numbers, which are not the base's, are not floats. */
function requireFloats(dtype: Dtype, own: Dtype, place: ProblemLocation): void {
  if (!isFloatDtype(dtype))
    throw new UnusableAdapterError(
      `its numbers are ${dtype}, the base's ${own}: nothing says what they stand for; save the adapter in F32, F16 or BF16`,
      place,
    );
}

function openAdaptedTensor(
  { base, file }: AdapterContents,
  { name, one: { source, change } }: { readonly name: string; readonly one: AdaptedTensor },
  tensors: ReadonlyMap<string, CheckpointTensor>,
): ReadableBytes {
  const { dtype = "U8", shape = [] } = tensors.get(name) ?? {};
  const holder = source.from === "base" ? base : file;
  const bytes = holder.openBytes(source.key);
  const stored = holder.tensors.get(source.key)?.dtype ?? "U8";
  if (change === undefined || !isFloatDtype(stored) || !isFloatDtype(dtype)) return bytes;
  const columns = shape.at(-1) ?? 1;
  const count = shape.reduce((product, size) => product * size, 1);
  const matrix = shape.length === 1 ? { rows: count, columns: 1 } : { rows: count / columns, columns };
  return openMerged({ bytes, dtype: stored, ...matrix }, change, dtype);
}
