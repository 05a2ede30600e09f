/** Who may ask: only who calls the server by a name that it was told to serve, and no page of another site. */
import type { Context } from "hono";

/**
 * Why a request is refused, in one sentence; undefined where it is not. A foreign name that leads here is how a page would reach
 * what this machine serves (DNS rebinding); a foreign origin is a page that does so openly.
 */
export function findIntruder({ req }: Context, host: string): string | undefined {
  const name = req.header("host") ?? "";
  if (!isKnownHost(name, host)) return `This server answers to ${host} only, not to "${name.slice(0, 100)}"`;
  const origin = req.header("origin");
  if (origin === undefined || isOwnOrigin(origin, name)) return undefined;
  return `This server takes no requests from pages of "${origin.slice(0, 100)}"`;
}

function isKnownHost(header: string, host: string): boolean {
  const name = header.replace(/:\d+$/, "");
  const isEverywhere = host === "0.0.0.0" || host === "::";
  const isNumber = /^[\d.]+$|^\[[\da-f:.]+\]$/i.test(name);
  return ["127.0.0.1", "localhost", "[::1]", host, `[${host}]`].includes(name) || (isEverywhere && isNumber);
}

function isOwnOrigin(origin: string, name: string): boolean {
  return ["http:", "https:"].some((scheme) => origin === `${scheme}//${name}`);
}
