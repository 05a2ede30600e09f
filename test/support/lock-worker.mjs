/** Takes a lock when told to and holds it until told otherwise: a line in is an order, a line out what came of it. */
import { createInterface } from "node:readline";
import { BusyError, takeLock } from "../../src/base/file/index.ts";

let lock;
const orders = {
  take: async (path) => {
    try {
      lock = await takeLock(path, "the test");
      return "held";
    } catch (error) {
      if (!(error instanceof BusyError)) throw error;
      return "busy";
    }
  },
  release: async () => {
    await lock?.release();
    lock = undefined;
    return "released";
  },
};
const lines = createInterface({ input: process.stdin });
process.stdout.write("ready\n");
for await (const line of lines) {
  const [order, path] = line.split(" ");
  process.stdout.write(`${await orders[order](path)}\n`);
}
