/** A proxy that does to requests what networks and busy servers do to them. */
import { createServer, type IncomingMessage, request, type ServerResponse } from "node:http";
import { createRandom } from "../../src/base/core/index.ts";

/** What happens to a request that is picked. */
export const faults = ["429", "500", "cut", "slow", "truncated", "no-json"] as const;

/** A running proxy. */
export interface FlakyProxy {
  readonly address: string;
  /** Requests that were let through, and those that were harmed, by fault. */
  readonly counts: Record<(typeof faults)[number] | "passed", number>;
  close(): void;
}

/** Starts a proxy before `target` that harms a share of the requests for completions. */
export async function startFlakyProxy(
  target: string,
  { share, slowMs }: { readonly share: number; readonly slowMs: number },
): Promise<FlakyProxy> {
  const random = createRandom(1, "proxy");
  const counts = { passed: 0, "429": 0, "500": 0, cut: 0, slow: 0, truncated: 0, "no-json": 0 };
  const server = createServer((incoming, outgoing) => {
    const isHarmed = (incoming.url ?? "").includes("completions") && random.uniform() < share;
    const fault = isHarmed ? random.pick(faults) : undefined;
    counts[fault ?? "passed"] += 1;
    if (fault === "429") return void outgoing.writeHead(429, { "retry-after": "0.05" }).end("slow down");
    if (fault === "500") return void outgoing.writeHead(500).end('{"error":{"message":"out of luck"}}');
    if (fault === "no-json") return void outgoing.writeHead(200).end("<html>Bad gateway</html>");
    forward({ incoming, outgoing, target }, fault, slowMs);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  return {
    address: `http://127.0.0.1:${port}/`,
    counts,
    close: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}

function forward(
  {
    incoming,
    outgoing,
    target,
  }: { readonly incoming: IncomingMessage; readonly outgoing: ServerResponse; readonly target: string },
  fault: (typeof faults)[number] | undefined,
  slowMs: number,
): void {
  const { method, headers, url = "/" } = incoming;
  const asked = request(new URL(url, target), { method, headers }, (answer) => {
    const parts: Buffer[] = [];
    answer.on("data", (part: Buffer) => parts.push(part));
    answer.on("end", () => {
      const body = Buffer.concat(parts);
      const half = body.subarray(0, Math.floor(body.length / 2));
      const send = (): void =>
        void outgoing.writeHead(answer.statusCode ?? 500, { "content-type": "application/json" }).end(body);
      if (fault === "cut") {
        outgoing.writeHead(200, { "content-length": String(body.length) });
        outgoing.write(half, () => outgoing.destroy());
      } else if (fault === "truncated") outgoing.writeHead(200).end(half);
      else if (fault === "slow") setTimeout(send, slowMs);
      else send();
    });
  });
  asked.on("error", () => outgoing.destroy());
  outgoing.on("close", () => asked.destroy());
  incoming.pipe(asked);
}
