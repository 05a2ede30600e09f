/**
 * Pickles read as plain data: what Python would call or build becomes a note of the name and its arguments, and only names from
 * a given list are let through. Nothing is ever run, imported or looked up. Knows the opcodes that Python 3 writes in binary.
 */

/** A list. */
export interface PickleList {
  readonly kind: "list";
  readonly items: PickleValue[];
}

/** A tuple. */
export interface PickleTuple {
  readonly kind: "tuple";
  readonly items: readonly PickleValue[];
}

/** A dictionary, in the order of the pickle. */
export interface PickleDict {
  readonly kind: "dict";
  readonly entries: (readonly [PickleValue, PickleValue])[];
}

/** A class or function, by name. */
export interface PickleGlobal {
  readonly kind: "global";
  readonly name: string;
}

/** What Python would get by calling a class or function: here only a note of it. */
export interface PickleCall {
  readonly kind: "call";
  readonly name: string;
  readonly args: readonly PickleValue[];
  /** What was set on it afterwards. */
  state: PickleValue | undefined;
  /** What was put into it as into a dictionary. */
  readonly entries: (readonly [PickleValue, PickleValue])[];
}

/** What stands for a thing outside of the pickle. */
export interface PickleReference {
  readonly kind: "reference";
  readonly value: PickleValue;
}

/** A value of a pickle. */
export type PickleValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | PickleList
  | PickleTuple
  | PickleDict
  | PickleGlobal
  | PickleCall
  | PickleReference;

/** What a pickle may name. */
export type IsKnown = (name: string) => boolean;

/** A pickle read from the start of bytes. */
export interface ReadPickle {
  readonly value: PickleValue;
  /** How many bytes it takes. */
  readonly length: number;
}

const mark = Symbol("mark");

interface Machine {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly isKnown: IsKnown;
  readonly stack: (PickleValue | typeof mark)[];
  readonly memo: Map<number, PickleValue>;
  position: number;
}

/**
 * The value of a pickle. Throws `SyntaxError`, whose message is a clause, where it is damaged, uses an opcode that is not known
 * or names what is not known.
 */
export function readPickle(bytes: Uint8Array, isKnown: IsKnown): ReadPickle {
  const machine: Machine = {
    bytes,
    view: new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength),
    isKnown,
    stack: [],
    memo: new Map(),
    position: 0,
  };
  for (;;) {
    const opcode = takeByte(machine);
    if (opcode === STOP) break;
    const operation = operations.get(opcode);
    if (operation === undefined)
      throw new SyntaxError(
        `its pickle has the opcode 0x${opcode.toString(16).padStart(2, "0")} at byte ${machine.position - 1}, which is never run or guessed at`,
      );
    operation(machine);
  }
  return { value: pop(machine), length: machine.position };
}

const STOP = 0x2e;

function damaged(): SyntaxError {
  return new SyntaxError("its pickle is damaged");
}

function push({ stack }: Machine, value: PickleValue): void {
  stack.push(value);
}

function pop({ stack }: Machine): PickleValue {
  const value = stack.pop();
  if (value === undefined || value === mark) throw damaged();
  return value;
}

function top({ stack }: Machine): PickleValue {
  const value = stack.at(-1);
  if (value === undefined || value === mark) throw damaged();
  return value;
}

/** The values since the last mark, which goes as well. */
function popMark({ stack }: Machine): readonly PickleValue[] {
  const start = stack.lastIndexOf(mark);
  if (start < 0) throw damaged();
  const values = stack.splice(start).slice(1);
  return values.map((value) => {
    if (value === mark) throw damaged();
    return value;
  });
}

/** Bytes of the pickle that come next. */
function take(machine: Machine, count: number): number {
  const start = machine.position;
  if (!Number.isSafeInteger(count) || count < 0 || start + count > machine.bytes.length) throw damaged();
  machine.position += count;
  return start;
}

function takeByte(machine: Machine): number {
  return machine.view.getUint8(take(machine, 1));
}

function takeShort(machine: Machine): number {
  return machine.view.getUint16(take(machine, 2), true);
}

function takeInt(machine: Machine): number {
  return machine.view.getInt32(take(machine, 4), true);
}

function takeUint(machine: Machine): number {
  return machine.view.getUint32(take(machine, 4), true);
}

function takeLong(machine: Machine): number {
  return Number(machine.view.getBigUint64(take(machine, 8), true));
}

function takeBytes(machine: Machine, count: number): Uint8Array {
  const start = take(machine, count);
  return machine.bytes.subarray(start, start + count);
}

function takeText(machine: Machine, count: number): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(takeBytes(machine, count));
  } catch {
    throw damaged();
  }
}

/** Text up to the end of the line. */
function takeLine(machine: Machine): string {
  const end = machine.bytes.indexOf(0x0a, machine.position);
  if (end < 0) throw damaged();
  const text = takeText(machine, end - machine.position);
  machine.position++;
  return text;
}

/** Whole numbers of this many bytes are the largest that anything here has: hashes and magic numbers. */
const mostLongBytes = 64;

/** A whole number of any size, in two's complement. */
function takeInteger(machine: Machine, count: number): number | bigint {
  if (count > mostLongBytes) throw damaged();
  const digits = takeBytes(machine, count);
  let value = 0n;
  for (const [index, digit] of digits.entries()) value |= BigInt(digit) << BigInt(8 * index);
  value = BigInt.asIntN(8 * count, value);
  return Number.isSafeInteger(Number(value)) ? Number(value) : value;
}

function pushGlobal(machine: Machine, module: PickleValue, name: PickleValue): void {
  if (typeof module !== "string" || typeof name !== "string") throw damaged();
  const path = `${module}.${name}`;
  if (!machine.isKnown(path))
    throw new SyntaxError(
      `its pickle calls for ${JSON.stringify(path.slice(0, 200))}, which is not part of a tensor`,
    );
  push(machine, { kind: "global", name: path });
}

function pushCall(machine: Machine): void {
  const args = pop(machine);
  const callee = pop(machine);
  if (!isKind(callee, "global") || !isKind(args, "tuple")) throw damaged();
  push(machine, { kind: "call", name: callee.name, args: args.items, state: undefined, entries: [] });
}

function setState(machine: Machine): void {
  const state = pop(machine);
  const target = top(machine);
  if (!isKind(target, "call")) throw damaged();
  target.state = state;
}

function append(machine: Machine, values: readonly PickleValue[]): void {
  const target = top(machine);
  if (!isKind(target, "list")) throw damaged();
  for (const value of values) target.items.push(value);
}

function setItems(machine: Machine, values: readonly PickleValue[]): void {
  const target = top(machine);
  if ((!isKind(target, "dict") && !isKind(target, "call")) || values.length % 2 !== 0) throw damaged();
  for (let index = 0; index < values.length; index += 2)
    target.entries.push([values[index] ?? null, values[index + 1] ?? null]);
}

function pushTuple(machine: Machine, count: number): void {
  const items = Array.from({ length: count }, () => pop(machine)).reverse();
  push(machine, { kind: "tuple", items });
}

function remember(machine: Machine, index: number): void {
  machine.memo.set(index, top(machine));
}

function recall(machine: Machine, index: number): void {
  const value = machine.memo.get(index);
  if (value === undefined) throw damaged();
  push(machine, value);
}

/** Whether a value is of a kind. */
export function isKind<
  Kind extends Exclude<PickleValue, null | boolean | number | bigint | string | Uint8Array>["kind"],
>(value: PickleValue | undefined, kind: Kind): value is Extract<PickleValue, { readonly kind: Kind }> {
  return typeof value === "object" && value !== null && !(value instanceof Uint8Array) && value.kind === kind;
}

/** What each opcode does (CPython's Lib/pickletools.py). Text opcodes of protocol 0 are not known, but for GLOBAL. */
const operations: ReadonlyMap<number, (machine: Machine) => void> = new Map([
  [
    0x80, // PROTO
    (machine) => {
      const version = takeByte(machine);
      if (version > 5) throw new SyntaxError(`its pickle is of protocol ${version}, which is not known`);
    },
  ],
  [0x95, (machine) => void take(machine, 8)], // FRAME
  [0x28, ({ stack }) => void stack.push(mark)], // MARK
  [0x30, (machine) => void pop(machine)], // POP
  [0x4e, (machine) => push(machine, null)], // NONE
  [0x88, (machine) => push(machine, true)], // NEWTRUE
  [0x89, (machine) => push(machine, false)], // NEWFALSE
  [0x4b, (machine) => push(machine, takeByte(machine))], // BININT1
  [0x4d, (machine) => push(machine, takeShort(machine))], // BININT2
  [0x4a, (machine) => push(machine, takeInt(machine))], // BININT
  [0x8a, (machine) => push(machine, takeInteger(machine, takeByte(machine)))], // LONG1
  [0x47, (machine) => push(machine, machine.view.getFloat64(take(machine, 8)))], // BINFLOAT
  [0x8c, (machine) => push(machine, takeText(machine, takeByte(machine)))], // SHORT_BINUNICODE
  [0x58, (machine) => push(machine, takeText(machine, takeUint(machine)))], // BINUNICODE
  [0x8d, (machine) => push(machine, takeText(machine, takeLong(machine)))], // BINUNICODE8
  [0x43, (machine) => push(machine, takeBytes(machine, takeByte(machine)))], // SHORT_BINBYTES
  [0x42, (machine) => push(machine, takeBytes(machine, takeUint(machine)))], // BINBYTES
  [0x8e, (machine) => push(machine, takeBytes(machine, takeLong(machine)))], // BINBYTES8
  [0x7d, (machine) => push(machine, { kind: "dict", entries: [] })], // EMPTY_DICT
  [0x5d, (machine) => push(machine, { kind: "list", items: [] })], // EMPTY_LIST
  [0x29, (machine) => pushTuple(machine, 0)], // EMPTY_TUPLE
  [0x85, (machine) => pushTuple(machine, 1)], // TUPLE1
  [0x86, (machine) => pushTuple(machine, 2)], // TUPLE2
  [0x87, (machine) => pushTuple(machine, 3)], // TUPLE3
  [0x74, (machine) => push(machine, { kind: "tuple", items: popMark(machine) })], // TUPLE
  // A set is a list here: the tensors' own data has none, what lies beside them may.
  [0x8f, (machine) => push(machine, { kind: "list", items: [] })], // EMPTY_SET
  [0x90, (machine) => append(machine, popMark(machine).slice())], // ADDITEMS
  [0x91, (machine) => push(machine, { kind: "tuple", items: popMark(machine) })], // FROZENSET
  [0x61, (machine) => append(machine, [pop(machine)])], // APPEND
  [0x65, (machine) => append(machine, popMark(machine))], // APPENDS
  [
    0x73, // SETITEM
    (machine) => {
      const value = pop(machine);
      const key = pop(machine);
      setItems(machine, [key, value]);
    },
  ],
  [0x75, (machine) => setItems(machine, popMark(machine))], // SETITEMS
  [
    0x63, // GLOBAL
    (machine) => {
      const module = takeLine(machine);
      pushGlobal(machine, module, takeLine(machine));
    },
  ],
  [
    0x93, // STACK_GLOBAL
    (machine) => {
      const name = pop(machine);
      pushGlobal(machine, pop(machine), name);
    },
  ],
  [0x52, pushCall], // REDUCE
  [0x81, pushCall], // NEWOBJ
  [0x62, setState], // BUILD
  [0x51, (machine) => push(machine, { kind: "reference", value: pop(machine) })], // BINPERSID
  [0x71, (machine) => remember(machine, takeByte(machine))], // BINPUT
  [0x72, (machine) => remember(machine, takeUint(machine))], // LONG_BINPUT
  [0x94, (machine) => remember(machine, machine.memo.size)], // MEMOIZE
  [0x68, (machine) => recall(machine, takeByte(machine))], // BINGET
  [0x6a, (machine) => recall(machine, takeUint(machine))], // LONG_BINGET
]);
