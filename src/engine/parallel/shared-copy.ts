/** Copies on shared memory: what is sent to several threads is not copied on this one for each of them. */

/** A copy of numbers. */
export function shareFloats(values: Float32Array): Float32Array {
  const shared = new Float32Array(new SharedArrayBuffer(values.byteLength));
  shared.set(values);
  return shared;
}

/** A copy of bytes. */
export function shareBytes(values: Uint8Array): Uint8Array {
  const shared = new Uint8Array(new SharedArrayBuffer(values.byteLength));
  shared.set(values);
  return shared;
}
