/** What code asks of memory for numbers, counted: the same on every machine, whatever else runs on it. */

/** Bytes asked for. */
export interface Allocation {
  /** By the largest request. */
  readonly largest: number;
  /** By all of them, given back or not. */
  readonly total: number;
}

const names = [
  ...(["Int8Array", "Uint8Array", "Uint8ClampedArray", "Int16Array", "Uint16Array", "Int32Array"] as const),
  ...(["Uint32Array", "Float32Array", "Float64Array", "BigInt64Array", "BigUint64Array"] as const),
  ...(["ArrayBuffer", "Array"] as const),
];

/** Elements that constructor arguments ask for; views of what is there already ask for none. */
function countAsked([first]: readonly unknown[]): number {
  if (typeof first === "number") return first;
  if (typeof first !== "object" || first === null || first instanceof ArrayBuffer) return 0;
  return "length" in first && typeof first.length === "number" ? first.length : 0;
}

/** Runs something and counts the typed arrays, buffers and sized lists that it makes meanwhile. */
export async function countAllocation(run: () => Promise<unknown>): Promise<Allocation> {
  const global: Record<string, unknown> = globalThis as never;
  const originals = new Map(names.map((name) => [name, global[name]]));
  let [largest, total] = [0, 0];
  const add = (numBytes: number): void => {
    largest = Math.max(largest, numBytes);
    total += numBytes;
  };
  for (const name of names) {
    const original = globalThis[name] as unknown as new (...args: readonly unknown[]) => object;
    const width = "BYTES_PER_ELEMENT" in original ? Number(original.BYTES_PER_ELEMENT) : 1;
    const counted: typeof original = new Proxy(original, {
      construct: (target, args: unknown[], newTarget): object => {
        add(countAsked(args) * (name === "Array" ? 8 : width));
        return Reflect.construct(target, args, newTarget === counted ? target : newTarget);
      },
    });
    global[name] = counted;
  }
  const { alloc, allocUnsafe } = Buffer;
  const count =
    <Make extends (size: number, ...others: never[]) => Buffer>(make: Make) =>
    (size: number, ...others: never[]): Buffer => {
      add(size);
      return make.call(Buffer, size, ...others);
    };
  Object.assign(Buffer, { alloc: count(alloc), allocUnsafe: count(allocUnsafe) });
  try {
    await run();
  } finally {
    for (const [name, original] of originals) global[name] = original;
    Object.assign(Buffer, { alloc, allocUnsafe });
  }
  return { largest, total };
}
