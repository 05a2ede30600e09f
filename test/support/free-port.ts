/** A port that nobody listens on. */
import { once } from "node:events";
import { createServer } from "node:net";

/** Finds a port of the loopback address that is free right now. */
export async function findFreePort(): Promise<number> {
  const probe = createServer().listen(0, "127.0.0.1");
  await once(probe, "listening");
  const place = probe.address();
  probe.close();
  return typeof place === "object" && place !== null ? place.port : 0;
}
