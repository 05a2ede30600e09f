/**
 * Stands in for the servers of others: node stand-in-server.mjs PATH PORT FOLDER. Its model is named by its path, or as FOLDER/name
 * says, and gives no log-probabilities. It adds the numbers of a question; with FOLDER/limit it answers so many and then no more.
 */
import { appendFileSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";

const [path, port, folder] = process.argv.slice(2);
const read = (name) =>
  existsSync(join(folder, name)) ? readFileSync(join(folder, name), "utf8") : undefined;
const card = read("name") === "root absent" ? { id: path } : { id: path, root: path };
let numAnswers = 0;

const server = createServer(async (incoming, outgoing) => {
  const send = (status, body) =>
    outgoing.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
  if (incoming.url.endsWith("/models")) return send(200, { data: [card] });
  if (!incoming.url.endsWith("/chat/completions")) return send(500, { error: { message: "no" } });
  let text = "";
  for await (const part of incoming) text += part;
  const { messages } = JSON.parse(text);
  const question = messages.at(-1).content;
  if (numAnswers >= Number(read("limit") ?? "Infinity")) return;
  numAnswers += 1;
  appendFileSync(join(folder, "asked"), `${question}\n`);
  const sum = question.match(/\d+/g).reduce((total, number) => total + Number(number), 0);
  send(200, {
    choices: [{ message: { content: String(sum) }, finish_reason: read("finish") ?? "stop" }],
    usage: { prompt_tokens: 1, completion_tokens: 1 },
  });
});
server.listen(Number(port), "127.0.0.1", () => writeFileSync(join(folder, "running"), `${process.pid}`));
