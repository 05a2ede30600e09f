/**
 * TensorBoard's event files (`events.out.tfevents.*`), read and written: a length and a checksum, a protobuf message `Event`,
 * a checksum, again and again. Only scalars.
 */
import protobuf from "protobufjs/light.js";

/** A number that was logged. */
export interface ScalarEvent {
  readonly name: string;
  readonly step: number;
  readonly value: number;
  /** Seconds since 1970. */
  readonly wallTime: number;
}

/**
 * The scalars of an event file, in order. A last event that is not whole, as of a trainer that is writing or was killed, is
 * left out. Throws `SyntaxError` where a checksum is wrong.
 */
export function parseEvents(bytes: Uint8Array): readonly ScalarEvent[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const events: ScalarEvent[] = [];
  let position = 0;
  while (position + headBytes <= bytes.length) {
    const length = Number(view.getBigUint64(position, true));
    const start = position + headBytes;
    if (maskedChecksum(bytes.subarray(position, position + 8)) !== view.getUint32(position + 8, true))
      throw new SyntaxError(`the event at byte ${position} has a wrong checksum`);
    if (start + length + 4 > bytes.length) break;
    const message = bytes.subarray(start, start + length);
    if (maskedChecksum(message) !== view.getUint32(start + length, true))
      throw new SyntaxError(`the event at byte ${position} has a wrong checksum`);
    events.push(...readEvent(message));
    position = start + length + 4;
  }
  return events;
}

/** Bytes of a length and its checksum. */
const headBytes = 12;

/** An event file with these scalars. */
export function encodeEvents(events: readonly ScalarEvent[]): Uint8Array {
  const first = writeEvent(
    (writer) => writer.uint32(26).string("brain.Event:2"),
    events[0]?.wallTime ?? 0,
    0,
  );
  const others = events.map(({ name, step, value, wallTime }) =>
    writeEvent(
      (writer) =>
        writer
          .uint32(42)
          .fork()
          .uint32(10)
          .fork()
          .uint32(10)
          .string(name)
          .uint32(21)
          .float(value)
          .ldelim()
          .ldelim(),
      wallTime,
      step,
    ),
  );
  return Buffer.concat([first, ...others].map(frame));
}

function writeEvent(
  writeWhat: (writer: protobuf.Writer) => protobuf.Writer,
  wallTime: number,
  step: number,
): Uint8Array {
  return writeWhat(protobuf.Writer.create().uint32(9).double(wallTime).uint32(16).int64(step)).finish();
}

function frame(message: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(headBytes + message.length + 4);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, BigInt(message.length), true);
  view.setUint32(8, maskedChecksum(bytes.subarray(0, 8)), true);
  bytes.set(message, headBytes);
  view.setUint32(headBytes + message.length, maskedChecksum(message), true);
  return bytes;
}

/** Fields of the protobuf messages that are read, as tensorboard/compat/proto declares them. */
const fields = {
  event: { wallTime: 1, step: 2, summary: 5 },
  summary: { value: 1 },
  value: { tag: 1, simpleValue: 2, tensor: 8 },
  tensor: { dtype: 1, content: 4, floats: 5, doubles: 6 },
} as const;

function readEvent(bytes: Uint8Array): readonly ScalarEvent[] {
  let [wallTime, step] = [0, 0];
  const values: { readonly name: string; readonly value: number }[] = [];
  readFields(bytes, (field, reader) => {
    if (field === fields.event.wallTime) wallTime = reader.double();
    else if (field === fields.event.step) step = Number(reader.int64());
    else if (field === fields.event.summary) values.push(...readSummary(reader.bytes()));
    else return false;
    return true;
  });
  return values.map((value) => ({ ...value, step, wallTime }));
}

function readSummary(bytes: Uint8Array): readonly { readonly name: string; readonly value: number }[] {
  const values: { readonly name: string; readonly value: number }[] = [];
  readFields(bytes, (field, reader) => {
    if (field !== fields.summary.value) return false;
    let name = "";
    let value: number | undefined;
    readFields(reader.bytes(), (inner, part) => {
      if (inner === fields.value.tag) name = part.string();
      else if (inner === fields.value.simpleValue) value = part.float();
      else if (inner === fields.value.tensor) value = readTensor(part.bytes());
      else return false;
      return true;
    });
    if (value !== undefined) values.push({ name, value });
    return true;
  });
  return values;
}

/** The number in a tensor of one float or double; `undefined` for any other. */
function readTensor(bytes: Uint8Array): number | undefined {
  let [dtype, value]: [number, number | undefined] = [1, undefined];
  let content: Uint8Array = new Uint8Array();
  readFields(bytes, (field, reader, wireType) => {
    if (field === fields.tensor.dtype) dtype = reader.int32();
    else if (field === fields.tensor.content) content = reader.bytes();
    else if (field === fields.tensor.floats)
      value = wireType === 2 ? firstFloat(reader.bytes()) : reader.float();
    else if (field === fields.tensor.doubles)
      value = wireType === 2 ? firstDouble(reader.bytes()) : reader.double();
    else return false;
    return true;
  });
  if (content.length === 4 && dtype === 1) return firstFloat(content);
  if (content.length === 8 && dtype === 2) return firstDouble(content);
  return value;
}

function firstFloat(bytes: Uint8Array): number {
  return new DataView(bytes.buffer, bytes.byteOffset).getFloat32(0, true);
}

function firstDouble(bytes: Uint8Array): number {
  return new DataView(bytes.buffer, bytes.byteOffset).getFloat64(0, true);
}

/** Reads a message field by field; what `read` does not take is skipped. */
function readFields(
  bytes: Uint8Array,
  read: (field: number, reader: protobuf.Reader, wireType: number) => boolean,
): void {
  const reader = protobuf.Reader.create(bytes);
  while (reader.pos < reader.len) {
    const tag = reader.uint32();
    if (!read(tag >>> 3, reader, tag & 7)) reader.skipType(tag & 7);
  }
}

/** CRC-32C (Castagnoli), table of one byte. */
const checksums: Uint32Array = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0x82f63b78 : value >>> 1;
  return value;
});

/** The checksum as TensorFlow's records keep it: CRC-32C, rotated and moved. */
export function maskedChecksum(bytes: Uint8Array): number {
  let sum = 0xffffffff;
  for (const byte of bytes) sum = (checksums[(sum ^ byte) & 0xff] ?? 0) ^ (sum >>> 8);
  sum = ~sum >>> 0;
  return (((sum >>> 15) | (sum << 17)) + 0xa282ead8) >>> 0;
}
