/** Where answers come from, as data: what users choose, and what a job is told. */
import { z } from "zod";
import { interfaces } from "../../bridge/endpoint/index.ts";
import { type TemplateUse, templateUses } from "../../engine/model/index.ts";
import type { JudgeChoice } from "./server/judge.ts";

const judgeSchema = z.object({ url: z.string(), model: z.string(), apiKeyEnv: z.string().optional() });

const requestsSchema = z.object({
  api: z.enum(interfaces),
  temperature: z.number(),
  fields: z.record(z.string(), z.unknown()),
  concurrency: z.number(),
  timeoutMs: z.number(),
  maxTries: z.number(),
  apiKeyEnv: z.string().optional(),
  judge: judgeSchema.optional(),
});

const embeddedSchema = z.object({
  kind: z.literal("embedded"),
  template: z.enum(templateUses).optional(),
});
const serverSchema = z.object({
  kind: z.literal("server"),
  template: z.string(),
  startMs: z.number(),
  requests: requestsSchema,
});

/** Sources that need nothing but the checkpoint: what a process elsewhere can be told. */
export const standaloneSourceSchema = z.discriminatedUnion("kind", [embeddedSchema, serverSchema]);

/** How servers are asked. */
export interface RequestOptions {
  readonly api: (typeof interfaces)[number];
  readonly temperature: number;
  /** Further fields of every request. */
  readonly fields: Readonly<Record<string, unknown>>;
  /** Questions asked at once. */
  readonly concurrency: number;
  readonly timeoutMs: number;
  readonly maxTries: number;
  /** The environment variable that holds the server's key, where one was named. */
  readonly apiKeyEnv?: string | undefined;
  /** Another model, which grades what only a model can grade. */
  readonly judge?: JudgeChoice | undefined;
}

/** The embedded engine. */
export interface EmbeddedSource {
  readonly kind: "embedded";
  /** How tasks in the chat prompt format are put. Default: as before, else by the model's own template where it has one. */
  readonly template?: TemplateUse | undefined;
}

/** A server that is started for each checkpoint. */
export interface ServerSource {
  readonly kind: "server";
  /** A shell command; `{path}` stands for the checkpoint's folder, `{port}` for a free port. */
  readonly template: string;
  /** Milliseconds until it must answer. */
  readonly startMs: number;
  readonly requests: RequestOptions;
}

/** A server that takes adapters. */
export interface AdapterSource {
  readonly kind: "adapters";
  readonly url: string;
  /** The base model's name at the server; absent means that it is found by its folder. */
  readonly model?: string | undefined;
  readonly requests: RequestOptions;
}

/** A server that runs already, with the model in it. */
export interface EndpointSource {
  readonly kind: "endpoint";
  readonly url: string;
  readonly model: string;
  readonly requests: RequestOptions;
}

/** All sources, by kind. */
export interface SourceTable {
  readonly embedded: EmbeddedSource;
  readonly server: ServerSource;
  readonly adapters: AdapterSource;
  readonly endpoint: EndpointSource;
}

/** A source, of one kind or any. */
export type AnswerSource<Kind extends keyof SourceTable = keyof SourceTable> = {
  readonly [One in Kind]: SourceTable[One] & { readonly kind: One };
}[Kind];

/** Sources that the checkpoints of a run can be asked from. */
export type RunSource = AnswerSource<"embedded" | "server" | "adapters">;

/** Sources that a process elsewhere can be told. */
export type StandaloneSource = AnswerSource<"embedded" | "server">;
