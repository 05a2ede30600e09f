/** The tensors of an adapter's file sorted by what they are, by their names alone: the base model is not asked. */
import { quote } from "../checkpoint-error.ts";
import { mergeIt, UnusableAdapterError } from "./adapter-error.ts";

/** The factors of one module, by the keys of their tensors. */
export interface FactorKeys {
  /** The module's name in the base model. */
  readonly module: string;
  /** How many wrappers lie around it within: parameters of one module are adapted one inside the other. */
  readonly depth: number;
  readonly isEmbedding: boolean;
  /** lora_A [rank, inputs]. */
  readonly first: string;
  /** lora_B [outputs, rank]. */
  readonly second: string;
  /** The bias of lora_B [outputs]. */
  readonly bias?: string;
  /** DoRA's magnitudes [outputs]. */
  readonly magnitude?: string;
}

/** What an adapter's file holds. */
export interface AdapterParts {
  readonly factors: readonly FactorKeys[];
  /** Tensors that take the place of the base's, by the base's name. */
  readonly held: ReadonlyMap<string, string>;
  /** New rows of embeddings, by module. */
  readonly tokens: ReadonlyMap<string, string>;
  /** Tensors as they were, beside those that take their place, by the base's name. */
  readonly originals: ReadonlyMap<string, string>;
  /** Names of adapters that stand in keys, as they do where a whole model was saved. */
  readonly adapterNames: ReadonlySet<string>;
}

const prefix = "base_model.model.";

/** The last part of a key, with the name of the adapter in it where a whole model was saved. */
const factorEnd =
  /^(.+)\.lora_(embedding_)?(A|B|magnitude_vector)(?:\.(?!weight$|bias$)([^.]+))?(?:\.(weight|bias))?$/;

type Role = "first" | "second" | "bias" | "magnitude";

type Draft = Partial<Record<Role, string>> & Pick<FactorKeys, "module" | "depth" | "isEmbedding">;

interface FactorPart extends Pick<FactorKeys, "module" | "depth" | "isEmbedding"> {
  readonly role: Role;
  readonly adapterName: string | undefined;
}

/**
 * Sorts the keys of an adapter's tensors. Throws `UnusableAdapterError` naming a tensor that PEFT writes for nothing known here, that
 * lacks its partner, or that is there twice.
 */
export function sortKeys(keys: Iterable<string>, path: string): AdapterParts {
  const drafts = new Map<string, Draft>();
  const lists: { readonly [Kind in TensorKind]: Map<string, string> } = {
    held: new Map(),
    saved: new Map(),
    tokens: new Map(),
    originals: new Map(),
  };
  const adapterNames = new Set<string>();
  for (const key of keys) {
    const name = key.startsWith(prefix) ? key.slice(prefix.length) : key;
    const place = parsePart(name);
    if (place !== undefined) {
      addFactor(drafts, place, { key, path });
      if (place.adapterName !== undefined) adapterNames.add(place.adapterName);
      continue;
    }
    // What a backward pass remembered; the weights do not depend on it.
    if (/\.lora_velora_embed(?:\.|$)/.test(name)) continue;
    const { kind, ofBase } = parseTensor(name, { key, path });
    const other = lists[kind].get(ofBase);
    if (other !== undefined) refuseSecond(key, other, path);
    lists[kind].set(ofBase, key);
  }
  const { held, saved, tokens, originals } = lists;
  // With tables of another size PEFT writes what it saves anyway once more with its wrapper's name, which it does not load.
  for (const [name, key] of saved) if (!held.has(name)) held.set(name, key);
  const factors = [...drafts.values()].map((one) => completeFactor(one, path));
  return { factors, held, tokens, originals, adapterNames };
}

/** What a tensor that is not a factor is: in the base's place, so by its wrapper's name, rows of tokens, or as it was. */
type TensorKind = "held" | "saved" | "tokens" | "originals";

/** Its kind, and the name in the base that it belongs to: a tensor's, of rows a module's. */
function parseTensor(
  name: string,
  { key, path }: KeyLocation,
): { readonly kind: TensorKind; readonly ofBase: string } {
  const [, module] = /^(.+)\.token_adapter\.trainable_tokens_delta$/.exec(name) ?? [];
  if (module !== undefined) return { kind: "tokens", ofBase: module };
  if (/\.(?:lora_|token_adapter\.trainable_)/.test(name))
    throw new UnusableAdapterError(`it is a part of an adapter that Untwist does not know; ${mergeIt}`, {
      path,
      tensor: key,
    });
  const [, wrapper] = /\.(original_module|modules_to_save)\.(?:[^.]+\.)?[^.]+$/.exec(name) ?? [];
  const kind = wrapper === undefined ? "held" : wrapper === "original_module" ? "originals" : "saved";
  return { kind, ofBase: nameOfBase(name) };
}

interface KeyLocation {
  readonly key: string;
  readonly path: string;
}

/** The name in the base model of a tensor that the adapter holds as a whole. */
function nameOfBase(name: string): string {
  return name
    .replace(/\.(?:original_module|modules_to_save)\.(?:[^.]+\.)?(?=[^.]+$)/, ".")
    .replace(/\.token_adapter(?=\.base_layer\.)/, "")
    .replaceAll(".base_layer.", ".");
}

/** Where a factor belongs; `undefined` for what is none. */
function parsePart(name: string): FactorPart | undefined {
  const [, wrapped, embedding, kind, adapterName, end] = factorEnd.exec(name) ?? [];
  if (wrapped === undefined) return undefined;
  const [, module = wrapped, wrappers = ""] = /^(.+?)((?:\.base_layer)*)$/.exec(wrapped) ?? [];
  const role = kind === "A" ? "first" : kind === "B" ? (end === "bias" ? "bias" : "second") : "magnitude";
  if (end === "bias" && kind !== "B") return undefined;
  return {
    module: module.replaceAll(".base_layer.", "."),
    depth: wrappers.split(".base_layer").length - 1,
    isEmbedding: embedding !== undefined,
    role,
    adapterName,
  };
}

function addFactor(
  drafts: Map<string, Draft>,
  { role, adapterName, ...place }: FactorPart,
  { key, path }: KeyLocation,
): void {
  const id = `${place.module} ${place.depth} ${adapterName ?? ""}`;
  const known: Draft = drafts.get(id) ?? place;
  const other = known[role];
  if (other !== undefined) refuseSecond(key, other, path);
  drafts.set(id, { ...known, isEmbedding: place.isEmbedding || known.isEmbedding, [role]: key });
}

function completeFactor({ first, second, ...place }: Draft, path: string): FactorKeys {
  if (first !== undefined && second !== undefined) return { ...place, first, second };
  throw new UnusableAdapterError(
    `its partner lora_${first === undefined ? "A" : "B"} of ${quote(place.module)} is not in the file; save the adapter again`,
    { path, tensor: first ?? second ?? place.magnitude ?? place.bias },
  );
}

function refuseSecond(key: string, other: string, path: string): never {
  throw new UnusableAdapterError(
    `it says what tensor ${quote(other)} says under another name; keep one of them`,
    { path, tensor: key },
  );
}
