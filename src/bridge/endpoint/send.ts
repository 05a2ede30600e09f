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

/** Bytes of the largest answer that is read: far beyond any completion. */
const mostAnswerBytes = 64 * 2 ** 20;

/** Thrown when an answer is larger than any that could be one. */
export class AnswerTooLargeError extends Error {
  override readonly name = "AnswerTooLargeError";
}

const agents = { http: new HttpAgent({ keepAlive: true }), https: new HttpsAgent({ keepAlive: true }) };

/**
 * Sends a request. Rejects with the system's error, with the signal's reason, where the answer is cut off, or with
 * `AnswerTooLargeError`.
 */
export function sendRequest({ url, body, headers, signal }: HttpQuestion): Promise<HttpAnswer> {
  const isSecure = url.startsWith("https:");
  const method = body === undefined ? "GET" : "POST";
  const options = { method, headers, signal, agent: isSecure ? agents.https : agents.http };
  return new Promise((resolve, reject) => {
    const fail = (error: unknown): void => reject(signal.aborted ? signal.reason : error);
    const asked = (isSecure ? requestHttps : requestHttp)(url, options, (answer) => {
      readWhole(answer).then(resolve, (error: unknown) => {
        answer.destroy();
        fail(error);
      });
    });
    asked.on("error", fail);
    asked.end(body);
  });
}

function readWhole(answer: IncomingMessage): Promise<HttpAnswer> {
  return new Promise((resolve, reject) => {
    const parts: Buffer[] = [];
    let numBytes = 0;
    answer.on("data", (part: Buffer) => {
      numBytes += part.length;
      if (numBytes <= mostAnswerBytes) parts.push(part);
      else reject(new AnswerTooLargeError(`its answer is larger than ${mostAnswerBytes / 2 ** 20} MiB`));
    });
    answer.on("error", reject);
    answer.on("aborted", () => reject(new Error("the answer is cut off")));
    answer.on("end", () => {
      if (!answer.complete) return reject(new Error("the answer is cut off"));
      const text = Buffer.concat(parts).toString("utf8");
      resolve({ status: answer.statusCode ?? 0, headers: answer.headers, text });
    });
  });
}
