/** What a pickle of torch says of its tensors: which elements of which storage, and which part of a whole they are. */
import { type Dtype, numBytesOf } from "../dtype.ts";
import { isCount, numElementsOf } from "../safetensors/safetensors-header.ts";
import { isKind, type PickleCall, type PickleValue } from "./pickle.ts";

/** A tensor as a pickle describes it. */
export interface StoredTensor {
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  /** The name of its storage. */
  readonly storage: string;
  /** Its first element in the storage, counted in elements. */
  readonly start: number;
  /** In elements. */
  readonly strides: readonly number[];
  /** How many bytes of the storage it needs at least. */
  readonly needed: number;
  /** Where it belongs, when it is the part of a whole that one process held. */
  readonly shard?: Shard;
}

/** A part of a tensor that is spread over a mesh of processes. */
export interface Shard {
  readonly shape: readonly number[];
  /** For each axis of the mesh, the tensor's axis that it divides; `undefined` where it holds copies. */
  readonly placements: readonly (number | undefined)[];
  /** Where in the mesh the process is, where it says so. */
  readonly coordinate: readonly number[] | undefined;
}

const dtypes: Readonly<Record<string, Dtype>> = {
  float64: "F64",
  double: "F64",
  float32: "F32",
  float: "F32",
  float16: "F16",
  half: "F16",
  bfloat16: "BF16",
  complex64: "C64",
  uint8: "U8",
  int8: "I8",
  int16: "I16",
  uint16: "U16",
  int32: "I32",
  uint32: "U32",
  int64: "I64",
  uint64: "U64",
  bool: "BOOL",
  float8_e4m3fn: "F8_E4M3",
  float8_e5m2: "F8_E5M2",
  float8_e8m0fnu: "F8_E8M0",
  float8_e4m3fnuz: "F8_E4M3FNUZ",
  float8_e5m2fnuz: "F8_E5M2FNUZ",
};

const storages: Readonly<Record<string, Dtype>> = {
  DoubleStorage: "F64",
  FloatStorage: "F32",
  HalfStorage: "F16",
  BFloat16Storage: "BF16",
  ComplexFloatStorage: "C64",
  ByteStorage: "U8",
  CharStorage: "I8",
  ShortStorage: "I16",
  IntStorage: "I32",
  LongStorage: "I64",
  BoolStorage: "BOOL",
};

const untyped = "torch.storage.UntypedStorage";

const names = new Set([
  "collections.OrderedDict",
  "torch.Size",
  "torch.device",
  "torch.serialization._get_layout",
  "torch._utils._rebuild_tensor",
  "torch._utils._rebuild_tensor_v2",
  "torch._utils._rebuild_tensor_v3",
  "torch._utils._rebuild_parameter",
  "torch._utils._rebuild_parameter_with_state",
  "torch._utils._rebuild_wrapper_subclass",
  "torch._tensor._rebuild_from_type_v2",
  "torch.nn.parameter.Parameter",
  untyped,
  ...Object.keys(dtypes).map((name) => `torch.${name}`),
  ...Object.keys(storages).flatMap((name) => [`torch.${name}`, `torch.cuda.${name}`]),
]);

/** How torch describes tensors that are spread over processes; their classes change from version to version. */
const distributed = /^torch\.distributed\.(?:tensor|_tensor|device_mesh|_mesh_layout)(?:\.\w+)+$/;

/** Whether a pickle of tensors may have this name. */
export function isTensorName(name: string): boolean {
  return names.has(name) || distributed.test(name);
}

/** The number format that a name such as `torch.bfloat16` means. Throws `SyntaxError`, a clause, where it is another. */
export function parseDtype(value: PickleValue | undefined): Dtype {
  const name = isKind(value, "global") ? value.name : "something else";
  const dtype = dtypes[name.replace(/^torch\./, "")];
  if (dtype === undefined) throw new SyntaxError(`its number format is ${name}, which cannot be read`);
  return dtype;
}

/** Counts such as a shape. Throws `SyntaxError` where it is not a list of whole numbers. */
export function parseCounts(value: PickleValue | undefined): readonly number[] {
  const list = isKind(value, "call") && value.name === "torch.Size" ? value.args[0] : value;
  const items: readonly PickleValue[] | undefined =
    isKind(list, "tuple") || isKind(list, "list") ? list.items : undefined;
  if (items !== undefined && items.length <= mostAxes && items.every(isCount)) return items;
  throw new SyntaxError("it has a shape or place that is not a list of whole numbers");
}

const mostAxes = 32;

/** The value of a key of a dictionary, or of what has one for its state. */
export function findField(value: PickleValue | undefined, key: string): PickleValue | undefined {
  const holder = isKind(value, "call") ? value.state : value;
  // Classes with slots have a pair of dictionaries for their state.
  const candidates = isKind(holder, "tuple") ? holder.items : [holder];
  for (const candidate of candidates) {
    const found = isKind(candidate, "dict") ? candidate.entries.find(([name]) => name === key) : undefined;
    if (found !== undefined) return found[1];
  }
  return undefined;
}

/** A tensor, a parameter or a part of one; `undefined` for any other value. Throws `SyntaxError` where it makes no sense. */
export function parseTensor(value: PickleValue): StoredTensor | undefined {
  const isParameter =
    isKind(value, "call") && /^torch\._utils\._rebuild_parameter(?:_with_state)?$/.test(value.name);
  const inner = isParameter ? value.args[0] : value;
  if (!isKind(inner, "call")) return undefined;
  return inner.name === "torch._tensor._rebuild_from_type_v2" ? parseTyped(inner) : parseView(inner);
}

/** Elements of a storage; `undefined` where the call is of nothing that makes a tensor of them. */
function parseView({ name, args }: Pick<PickleCall, "name" | "args">): StoredTensor | undefined {
  const [, version] = /^torch\._utils\._rebuild_tensor(|_v2|_v3)$/.exec(name) ?? [];
  if (version === undefined) return undefined;
  const { key, dtype: own, size } = parseStorage(args[0]);
  const dtype = version === "_v3" ? parseDtype(args[6]) : own;
  const start = args[1];
  const [shape, strides] = [parseCounts(args[2]), parseCounts(args[3])];
  if (!isCount(start) || shape.length !== strides.length)
    throw new SyntaxError("its place in its storage makes no sense");
  const numElements = numElementsOf(shape);
  const last = shape.reduce((sum, length, axis) => sum + (length - 1) * (strides[axis] ?? 0), start);
  const needed = numElements === 0 ? 0 : numBytesOf(dtype, last + 1);
  if (needed > size) throw new SyntaxError(`it ends at byte ${needed} of a storage of ${size}`);
  if (numBytesOf(dtype, numElements) > size)
    throw new SyntaxError(
      "it is an expanded view, with more elements than it has numbers; save it with contiguous()",
    );
  return { dtype, shape, storage: key, start, strides, needed };
}

/** What a reference to a storage says, in bytes. Throws `SyntaxError`. It is ("storage", class, key, device, number of elements). */
export function parseStorage(value: PickleValue | undefined): {
  readonly key: string;
  readonly dtype: Dtype;
  readonly size: number;
} {
  const items = isKind(value, "reference") && isKind(value.value, "tuple") ? value.value.items : [];
  const [kind, type, key, , count, view = null] = items;
  if (kind !== "storage" || !isKind(type, "global") || typeof key !== "string" || !isCount(count))
    throw new SyntaxError("it refers to no storage");
  if (view !== null)
    throw new SyntaxError("it is a view of a storage, as torch 0.1 wrote them; save it again");
  const dtype = type.name === untyped ? "U8" : storages[type.name.replace(/^torch\.(?:cuda\.)?/, "")];
  if (dtype === undefined) throw new SyntaxError(`its storage is of ${type.name}, which cannot be read`);
  return { key, dtype, size: numBytesOf(dtype, count) };
}

/** A tensor of a class of its own: parameters as they are, and parts of tensors that are spread over processes. */
function parseTyped({ args: [rebuild, type, args, state] }: PickleCall): StoredTensor | undefined {
  if (!isKind(rebuild, "global") || !isKind(type, "global") || !isKind(args, "tuple"))
    throw new SyntaxError("it is of a class that makes no sense");
  if (!type.name.endsWith(".DTensor")) {
    if (type.name !== "torch.nn.parameter.Parameter")
      throw new SyntaxError(`it is of the class ${type.name}, which cannot be read`);
    return parseView({ name: rebuild.name, args: args.items });
  }
  const local = findField(state, "_local_tensor");
  const spec = findField(state, "_spec");
  const placements = findField(spec, "placements");
  const part = isKind(local, "call") ? parseView(local) : undefined;
  if (part === undefined || !isKind(placements, "tuple"))
    throw new SyntaxError("it is a DTensor that does not say where its part belongs");
  const shape = parseCounts(args.items[2]);
  return {
    ...part,
    shard: {
      shape,
      placements: placements.items.map((placement) => parsePlacement(placement, shape.length)),
      coordinate: parseCoordinate(findField(findField(spec, "mesh"), "_coordinate_on_dim")),
    },
  };
}

function parsePlacement(value: PickleValue, numAxes: number): number | undefined {
  const name = isKind(value, "call") ? value.name : "something else";
  const [, kind] = /\.(Shard|Replicate)$/.exec(name) ?? [];
  if (kind === "Replicate") return undefined;
  const axis = findField(value, "dim");
  if (kind !== "Shard" || !isCount(axis) || axis >= numAxes)
    throw new SyntaxError(`it is spread by ${name}, which cannot be put together`);
  return axis;
}

function parseCoordinate(value: PickleValue | undefined): readonly number[] | undefined {
  return isKind(value, "tuple") || isKind(value, "list") ? parseCounts(value) : undefined;
}
