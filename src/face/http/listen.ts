/** Serving on an address of this machine. */
import type { AddressInfo } from "node:net";
import { serve } from "@hono/node-server";
import type { Hono } from "hono";
import { UsageError } from "../../base/core/index.ts";

/** Something that is being served. */
export interface Served {
  /** Where: an address with a final slash. */
  readonly address: string;
  close(): Promise<void>;
}

/** When the system asks whether a silent client is still there: one whose machine is gone never hangs up. */
const keepAliveInitialDelay = 30_000;

/** Serves until it is closed; port 0 is any that is free. Throws `UsageError` for a port or host that cannot be used. */
export async function listen(
  app: Hono,
  { host, port }: { readonly host: string; readonly port: number },
): Promise<Served> {
  if (host.trim() === "") throw new UsageError("Cannot serve without a --host: name one, or leave it out");
  return await new Promise<Served>((settle, fail) => {
    const serverOptions = { keepAlive: true, keepAliveInitialDelay };
    const server = serve({ fetch: app.fetch, hostname: host, port, serverOptions }, (info: AddressInfo) => {
      const name =
        host === "127.0.0.1" || host === "localhost"
          ? host
          : info.family === "IPv6"
            ? `[${info.address}]`
            : info.address;
      settle({
        address: `http://${name}:${info.port}/`,
        close: () =>
          new Promise((ended) => {
            server.close(() => ended());
            if ("closeAllConnections" in server) server.closeAllConnections();
          }),
      });
    });
    server.on("error", (cause: NodeJS.ErrnoException) =>
      fail(
        new UsageError(
          cause.code === "EADDRINUSE"
            ? `Cannot serve on port ${port}: it is taken; choose another --port, or leave it out`
            : `Cannot serve on ${host}:${port}: ${cause.message}; choose another --host or --port`,
          { cause },
        ),
      ),
    );
  });
}
