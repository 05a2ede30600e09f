/** One HTTP request and its whole answer. Node's own `fetch` gives up after five minutes without a header, however patient one is. */
import { Agent as HttpAgent, type IncomingMessage, request as requestHttp } from "node:http";
import { Agent as HttpsAgent, request as requestHttps } from "node:https";

/** An answer. */
export interface HttpAnswer {
  readonly status: number;
  readonly headers: IncomingMessage["headers"];
  readonly text: string;
}

/** What is sent; a body is sent by POST, nothing by GET. */
export interface HttpQuestion {
  readonly url: string;
  readonly body?: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
}

const agents = { http: new HttpAgent({ keepAlive: true }), https: new HttpsAgent({ keepAlive: true }) };

/** Sends a request. Rejects with the system's error, with the signal's reason, or where the answer is cut off. */
export function sendRequest({ url, body, headers, signal }: HttpQuestion): Promise<HttpAnswer> {
  const isSecure = url.startsWith("https:");
  const method = body === undefined ? "GET" : "POST";
  const options = { method, headers, signal, agent: isSecure ? agents.https : agents.http };
  return new Promise((resolve, reject) => {
    const fail = (error: unknown): void => reject(signal.aborted ? signal.reason : error);
    const asked = (isSecure ? requestHttps : requestHttp)(url, options, (answer) => {
      const parts: Buffer[] = [];
      answer.on("data", (part: Buffer) => parts.push(part));
      answer.on("error", fail);
      answer.on("aborted", () => fail(new Error("the answer is cut off")));
      answer.on("end", () => {
        if (answer.complete)
          resolve({
            status: answer.statusCode ?? 0,
            headers: answer.headers,
            text: Buffer.concat(parts).toString("utf8"),
          });
        else fail(new Error("the answer is cut off"));
      });
    });
    asked.on("error", fail);
    asked.end(body);
  });
}
