/** The tensors of a model among all that a trainer saved: dictionaries within dictionaries, of which one holds the weights. */
import { isKind, type PickleValue } from "./pickle.ts";
import { parseTensor, type StoredTensor } from "./stored-tensor.ts";

/** Something found at a path of keys. */
export interface Found<Value> {
  readonly path: readonly string[];
  readonly value: Value;
}

/** No checkpoint is nested deeper. */
const mostDepth = 16;
/** The same dictionary can be in a pickle many times over; no checkpoint has more entries than this. */
const mostEntries = 2 ** 20;

/** All tensors in dictionaries. Throws `SyntaxError`, a clause, for a tensor that makes no sense, naming it. */
export function listTensors(root: PickleValue): readonly Found<StoredTensor>[] {
  const found: Found<StoredTensor>[] = [];
  let numEntries = 0;
  const visit = (value: PickleValue, path: readonly string[]): void => {
    numEntries++;
    if (path.length > mostDepth || numEntries > mostEntries)
      throw new SyntaxError("its dictionaries are nested without end");
    const tensor = parseNamed(value, path);
    if (tensor !== undefined) found.push({ path, value: tensor });
    else if (isDictionary(value))
      for (const [key, inner] of value.entries) visit(inner, [...path, toKey(key)]);
  };
  visit(root, []);
  return found;
}

function isDictionary(value: PickleValue): value is Extract<PickleValue, { readonly kind: "dict" | "call" }> {
  return isKind(value, "dict") || (isKind(value, "call") && value.name === "collections.OrderedDict");
}

function toKey(key: PickleValue): string {
  return typeof key === "string" || typeof key === "number" ? String(key) : "?";
}

function parseNamed(value: PickleValue, path: readonly string[]): StoredTensor | undefined {
  try {
    return parseTensor(value);
  } catch (cause) {
    if (!(cause instanceof SyntaxError) || isState(path)) return undefined;
    throw new SyntaxError(`its tensor ${JSON.stringify(path.join("."))} cannot be read: ${cause.message}`, {
      cause,
    });
  }
}

/** Words in the keys of what a trainer keeps beside the weights. */
const state = /optim|sched|(?:^|_)rng|dataloader|scaler|sampler/i;
/** The last key before the weights. */
const weights = /^(?:model|module|state_dict|model_state_dict|policy|network|weights)$/;

function isState(path: readonly string[]): boolean {
  return path.slice(0, -1).some((key) => state.test(key));
}

/**
 * The weights by their names: of all dictionaries with tensors the one that is not a trainer's state. Throws `SyntaxError`, a
 * clause, where there is none, or more than one, or one name stands twice in it.
 */
export function chooseWeights<Value>(found: readonly Found<Value>[]): ReadonlyMap<string, Value> {
  const groups = new Map<string, { readonly last: string; readonly entries: Map<string, Value> }>();
  for (const { path, value } of found) {
    const name = path.at(-1);
    if (name === undefined || isState(path)) continue;
    const key = JSON.stringify(path.slice(0, -1));
    const group = groups.get(key) ?? { last: path.at(-2) ?? "", entries: new Map<string, Value>() };
    if (group.entries.has(name)) throw new SyntaxError(`its tensor ${JSON.stringify(name)} is there twice`);
    group.entries.set(name, value);
    groups.set(key, group);
  }
  const named = [...groups.values()].filter(({ last }) => weights.test(last));
  const [only, ...more] = named.length === 1 ? named : groups.values();
  if (only === undefined) throw new SyntaxError("there is no model's tensor in it");
  if (more.length > 0)
    throw new SyntaxError(
      `its tensors lie in ${groups.size} dictionaries, ${[...groups.keys()].slice(0, 5).join(", ")}, of which none is named as the model`,
    );
  return only.entries;
}
