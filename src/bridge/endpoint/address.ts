/** Addresses of servers, and which key goes to which: a key is shown to nobody but the server that it is meant for. */
import { setting, UsageError } from "../../base/core/index.ts";

/** The address below which the routes lie. Throws `UsageError` for none, or one that holds a password or a query. */
export function normalizeUrl(text: string): string {
  const url = parseUrl(text);
  const path = url.pathname.replace(/\/+$/, "").replace(/\/(?:chat\/completions|completions|models)$/, "");
  return `${url.origin}${/\/v\d+$/.test(path) ? path : `${path}/v1`}`;
}

function parseUrl(text: string): URL {
  let url: URL;
  try {
    url = new URL(text);
  } catch (cause) {
    throw new UsageError(
      `Cannot read the address "${text}": write it with its scheme and port, as in http://127.0.0.1:8000/v1`,
      { cause },
    );
  }
  if (!["http:", "https:"].includes(url.protocol))
    throw new UsageError(`Cannot read the address "${text}": it must begin with http:// or https://`);
  if (url.username !== "" || url.password !== "")
    throw new UsageError(
      `Cannot use an address of ${url.host} that holds a user or a password: leave them out, and give a key in an environment variable (${setting("apiKeyEnv", "NAME")})`,
    );
  if (url.search !== "" || url.hash !== "")
    throw new UsageError(
      `Cannot use an address of ${url.host} with a query ("?…" or "#…"): it would not be sent; leave it out`,
    );
  return url;
}

/** Which key a server is given. */
export interface KeyChoice {
  readonly url: string;
  /** The environment variable that was named for it; absent means the usual ones. */
  readonly named?: string | undefined;
  /** The variable that is looked at where none was named. */
  readonly usual: string;
  readonly variables: Readonly<Record<string, string | undefined>>;
}

/**
 * The key for a server: of the variable that was named for it, else of the usual one; OpenAI's own variable is for OpenAI's
 * own server alone. Throws `UsageError` where the named variable is empty, the value is not a key, or a key that nobody named
 * would cross a network in the clear.
 */
export function findApiKey({ url, named, usual, variables }: KeyChoice): string | undefined {
  const { protocol, hostname } = parseUrl(url);
  if (named !== undefined) {
    const key = cleanKey(named, variables[named]);
    if (key !== undefined) return key;
    throw new UsageError(`Cannot find a key in the environment variable ${named}: it is not set, or empty`);
  }
  const own = cleanKey(usual, variables[usual]);
  if (own === undefined)
    return protocol === "https:" && hostname === "api.openai.com"
      ? cleanKey("OPENAI_API_KEY", variables.OPENAI_API_KEY)
      : undefined;
  if (protocol === "https:" || isLoopback(url)) return own;
  const flag = usual.includes("JUDGE") ? "judgeApiKeyEnv" : "apiKeyEnv";
  throw new UsageError(
    `Cannot send the key in ${usual} to ${hostname}: over http:// everybody on the way could read it; use https://, or name it to send it all the same: ${setting(flag, usual)}`,
  );
}

/** Whether a server is on this machine, as far as its address says. Throws `UsageError` for no address. */
export function isLoopback(url: string): boolean {
  const { hostname } = parseUrl(url);
  return /^(?:localhost|.+\.localhost|127(?:\.\d+){3}|\[::1\])$/.test(hostname);
}

/** A key without the spaces and line ends around it, which files of variables leave there. */
function cleanKey(name: string, value: string | undefined): string | undefined {
  const key = value?.trim() ?? "";
  if (key === "") return undefined;
  if (/^[\u0021-\u007e]+$/.test(key)) return key;
  throw new UsageError(
    `Cannot use the key in the environment variable ${name}: it holds spaces or characters that no key has; set it again`,
  );
}
