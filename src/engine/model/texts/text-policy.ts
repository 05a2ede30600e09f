/** A policy whose texts come and go. */
import type { Generation, GenerationOptions, GenerationRequest, Policy } from "../generation/policy.ts";
import { greedy } from "../generation/sampling.ts";
import type { Text, TextRequest } from "./text.ts";
import type { TextEngine, TextGroup } from "./text-engine.ts";

/** What a policy is made of. */
export interface TextPolicyOptions {
  readonly engine: Pick<TextEngine, "maxPositions" | "measure" | "measureRoom">;
  /** The weights. */
  readonly group: Pick<TextGroup, "add" | "advance" | "clear">;
  /** Texts that are continued together; where memory is short, fewer. */
  readonly batchSize: number;
}

/** The policy of the group, which nothing else may use meanwhile. */
export function createTextPolicy({ engine, group, batchSize }: TextPolicyOptions): Policy {
  const { maxPositions } = engine;
  return {
    maxPositions,
    generate: async (requests, options) => {
      const orders = requests.map((request) => ({
        answer: describeAnswer(request, options),
        reference: describeReference(request, maxPositions),
      }));
      try {
        const texts = await finishTexts({ engine, group, batchSize }, orders);
        return texts.map(describeGeneration);
      } finally {
        group.clear();
      }
    },
  };
}

/** What is asked of one request: its answer, and behind the same prompt its reference. */
interface Order {
  readonly answer: TextRequest;
  readonly reference: TextRequest | undefined;
}

/** The texts of an order. */
interface OrderTexts {
  readonly answer: Text;
  readonly reference: Text | undefined;
}

function describeAnswer({ prompt, random }: GenerationRequest, options: GenerationOptions): TextRequest {
  if (options.maxNewTokens < 1) throw new RangeError("Cannot generate 0 tokens: it takes 1 or more");
  const { maxNewTokens, sampling } = options;
  return { prompt, random, maxNewTokens, sampling };
}

function describeReference(
  { prompt, random, reference }: GenerationRequest,
  maxPositions: number,
): TextRequest | undefined {
  if (reference === undefined || prompt.length + reference.length > maxPositions) return undefined;
  return {
    prompt: [...prompt, ...reference],
    random,
    maxNewTokens: 0,
    sampling: greedy,
    scoresFrom: prompt.length,
  };
}

/** Continues all of them to their ends; as one ends, the next begins. */
async function finishTexts(
  { engine, group, batchSize }: TextPolicyOptions,
  orders: readonly Order[],
): Promise<readonly OrderTexts[]> {
  const texts: OrderTexts[] = [];
  const running = new Map<Text, number>();
  let numBytes = 0;
  while (texts.length < orders.length || running.size > 0) {
    for (const order of orders.slice(texts.length)) {
      const own = engine.measure(countMost(order));
      if (running.size > 0 && (running.size >= batchSize || numBytes + own > engine.measureRoom())) break;
      const answer = group.add(order.answer);
      // Next to the prompt that it shares.
      texts.push({ answer, reference: order.reference && group.add(order.reference) });
      running.set(answer, own);
      numBytes += own;
    }
    for (const text of await group.advance(Number.POSITIVE_INFINITY)) {
      if (text.end === undefined) continue;
      numBytes -= running.get(text) ?? 0;
      running.delete(text);
    }
  }
  return texts;
}

/** Most tokens that a text of the order will have. */
function countMost({ answer, reference }: Order): number {
  return Math.max(answer.prompt.length + answer.maxNewTokens, reference?.prompt.length ?? 0);
}

function describeGeneration({ answer, reference }: OrderTexts): Generation {
  return {
    tokens: answer.added.map(({ token }) => token),
    logProbs: answer.logProbs,
    isFinished: answer.end === "stop",
    ...(reference !== undefined && {
      referenceLogProbs: reference.scored.map(({ logProb = Number.NaN }) => logProb),
    }),
  };
}
