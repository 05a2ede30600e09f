import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { encodeEvents, maskedChecksum, parseEvents } from "./tensorboard-events.ts";

describe("maskedChecksum()", () => {
  it("is the rotated CRC-32C: of the check string 123456789 it is E3069283", () => {
    const checksum = 0xe3069283;
    const rotated = ((checksum >>> 15) | (checksum << 17)) >>> 0;
    expect(maskedChecksum(new TextEncoder().encode("123456789"))).toBe((rotated + 0xa282ead8) % 2 ** 32);
  });
});

const events = fc.array(
  fc.record({
    name: fc.string({ minLength: 1, maxLength: 30 }),
    step: fc.integer({ min: 0, max: 2 ** 40 }),
    value: fc.float({ noNaN: true }),
    wallTime: fc.double({ noNaN: true, min: 0, max: 2e9 }),
  }),
  { maxLength: 20 },
);

describe("parseEvents()", () => {
  it("gives what was written", () => {
    fc.assert(
      fc.property(events, (written) => {
        expect(parseEvents(encodeEvents(written))).toEqual(written);
      }),
    );
  });

  it("gives of a file that is cut off anywhere the events that are whole", () => {
    const written = [1, 2, 3].map((step) => ({ name: "loss", step, value: step / 2, wallTime: step }));
    const bytes = encodeEvents(written);
    for (let length = 0; length <= bytes.length; length++) {
      const read = parseEvents(bytes.subarray(0, length));
      expect(read).toEqual(written.slice(0, read.length));
    }
  });

  it("refuses a file whose checksum is wrong", () => {
    const bytes = Buffer.from(encodeEvents([{ name: "loss", step: 1, value: 1, wallTime: 1 }]));
    bytes[bytes.length - 8]! ^= 1;
    expect(() => parseEvents(bytes)).toThrow(SyntaxError);
  });

  it("reads scalars that are kept as tensors, and passes over all else", () => {
    // Event {step: 7, summary {value {tag: "a", tensor {dtype: DT_FLOAT, float_val: [0.5]}}, value {tag: "b"}}}
    const float = Buffer.from([0x0d, 0, 0, 0, 0]);
    float.writeFloatLE(0.5, 1);
    const tensor = Buffer.from([0x08, 1, 0x2d, ...float.subarray(1)]);
    const value = Buffer.from([0x0a, 1, 0x61, 0x42, tensor.length, ...tensor]);
    const summary = Buffer.from([0x0a, value.length, ...value, 0x0a, 3, 0x0a, 1, 0x62]);
    const message = Buffer.from([0x10, 7, 0x2a, summary.length, ...summary]);
    const frame = Buffer.alloc(12 + message.length + 4);
    frame.writeBigUInt64LE(BigInt(message.length), 0);
    frame.writeUInt32LE(maskedChecksum(frame.subarray(0, 8)), 8);
    message.copy(frame, 12);
    frame.writeUInt32LE(maskedChecksum(message), 12 + message.length);
    expect(parseEvents(frame)).toEqual([{ name: "a", step: 7, value: 0.5, wallTime: 0 }]);
  });
});
