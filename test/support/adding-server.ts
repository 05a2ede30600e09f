/** A server in this process whose models add the numbers of a question; it takes adapters, whose sums are one too large. */
import {
  describeCompletion,
  type JsonRequest,
  type JsonServer,
  readQuestion,
  startJsonServer,
} from "./json-server.ts";
import { addNumbers } from "./questions.ts";

/** A server that runs. */
export interface AddingServer extends JsonServer {
  /** Names of the adapters that were loaded, in order. */
  readonly loaded: string[];
  /** Those that are loaded now. */
  readonly adapters: Set<string>;
}

/** Starts one whose base model lies in a folder; `admits` hears of each request, and says whether it is carried out. */
export async function startAddingServer(
  base: string,
  admits: (request: JsonRequest) => boolean = () => true,
): Promise<AddingServer> {
  const adapters = new Set<string>();
  const loaded: string[] = [];
  const reply = (request: JsonRequest): object | undefined => {
    if (!admits(request)) return undefined;
    const { route, body } = request;
    const { model = "", lora_name: name = "" } = body;
    switch (route) {
      case "models":
        return { data: [{ id: base, root: base }, ...[...adapters].map((id) => ({ id, parent: base }))] };
      case "load_lora_adapter":
        loaded.push(name);
        return { ok: adapters.add(name).has(name) };
      case "unload_lora_adapter":
        return { ok: adapters.delete(name) };
      case "chat/completions":
        return describeCompletion(
          String(Number(addNumbers(readQuestion(body))) + Number(adapters.has(model))),
        );
      default:
        return { choices: [{ text: "", logprobs: null }] };
    }
  };
  return { ...(await startJsonServer(reply)), loaded, adapters };
}
