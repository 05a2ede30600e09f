/** Answerers by the source that they stand for. A new source does not compile without its answerer. */
import type { Effects } from "../../base/progress/index.ts";
import type { AnswerSource, SourceTable } from "./answer-source.ts";
import type { Answerer, Assignment } from "./answerer.ts";
import { createEmbeddedAnswerer } from "./embedded-answerer.ts";
import { createAdapterAnswerer, createEndpointAnswerer, createServerAnswerer } from "./server-answerers.ts";

const answerers: {
  readonly [Kind in keyof SourceTable]: (
    source: AnswerSource<Kind>,
    assignment: Assignment,
    effects: Effects,
  ) => Answerer;
} = {
  embedded: (_, assignment, effects) => createEmbeddedAnswerer(assignment, effects),
  server: createServerAnswerer,
  adapters: createAdapterAnswerer,
  endpoint: createEndpointAnswerer,
};

/** The answerer for a source; whoever opens it closes it. Throws `UsageError` for a source that cannot be used. */
export function openAnswerer<Kind extends keyof SourceTable>(
  source: AnswerSource<Kind>,
  assignment: Assignment,
  effects: Effects,
): Answerer {
  return answerers[source.kind](source, assignment, effects);
}
