/** Whether a model can take the tasks it is to be given, checked before anything is written. */
import { action, setting, UsageError } from "../../base/core/index.ts";
import type { Effects } from "../../base/progress/index.ts";
import type { ModelConfig, ModelDescription, TemplateUse } from "../../engine/model/index.ts";
import type { OpenPolicy } from "../../engine/parallel/index.ts";
import { type Environment, type PromptFormat, splits } from "../../tasks/environment/index.ts";
import { encodeTaskPrompt, writeTaskPrompt } from "../../tasks/rollout/index.ts";

/** Throws `UsageError` where it takes a judge to grade answers: only evaluation through a server has one. */
export function requireNoJudge({ name, judging }: Pick<Environment, "name" | "judging">): void {
  if (judging !== undefined)
    throw new UsageError(
      `Cannot grade ${name} on the embedded engine: some of its answers take a judge; evaluate through a server (${setting("serve")}, ${setting("endpoint")}) and name a judge (${setting("judgeEndpoint")})`,
    );
}

/** Throws `UsageError` where a model has no token to end answers with: each of them would be cut off at its limit. */
export function requireEndToken(config: ModelConfig, subject: string): void {
  if (config.endToken === undefined)
    throw new UsageError(
      `Cannot ask ${subject}: neither its config.json nor its generation_config.json names a token that ends answers ("eos_token_id"), so that each would be cut off; name it there`,
    );
}

/** What a model is to be asked. */
export interface Demand {
  readonly environment: Environment;
  readonly promptFormat: PromptFormat;
  readonly maxNewTokens: number;
  /** Default: none. */
  readonly template?: TemplateUse | undefined;
}

/**
 * Throws `UsageError` where the tokenizer lacks words of the tasks, or prompt and answer are longer than the model's
 * positions. Looks at the first tasks of both splits.
 */
export function checkDemand(model: ModelDescription, { maxNewTokens, ...place }: Demand): void {
  const { environment, promptFormat } = place;
  const tasks = splits.flatMap((split) =>
    Array.from({ length: 20 }, (_, index) => environment.createTask({ split, seed: 0, index, promptFormat })),
  );
  const longest = measurePrompts(model, tasks, place);
  const { maxPositions } = model.config;
  if (longest + maxNewTokens > maxPositions)
    throw new UsageError(
      `Cannot answer prompts of ${longest} tokens with up to ${maxNewTokens} more: the model has ${maxPositions} positions; lower maxNewTokens`,
    );
}

/** Thrown where a model's tokenizer lacks words of a prompt: another prompt format of the same task may do. */
export class MissingWordsError extends UsageError {
  override readonly name = "MissingWordsError";
}

/** Tokens of the longest of some tasks' prompts. Throws `MissingWordsError` where the tokenizer lacks words of one. */
export function measurePrompts(
  { tokenizer }: Pick<ModelDescription, "tokenizer">,
  tasks: readonly unknown[],
  { environment, promptFormat, template }: Omit<Demand, "maxNewTokens">,
): number {
  let longest = 0;
  for (const task of tasks) {
    const prompt = environment.prompt(task, promptFormat);
    const tokens = tokenizer.encode(prompt);
    if (withoutSpace(tokenizer.decode(tokens)) !== withoutSpace(prompt))
      throw new MissingWordsError(
        `Cannot give ${environment.name} tasks in the prompt format "${promptFormat}" to this model: its tokenizer lacks words of the prompt for ${environment.describeTask(task)}; choose another prompt format or model`,
      );
    const whole = writeTaskPrompt(task, [], { environment, promptFormat, tokenizer, template });
    longest = Math.max(longest, encodeTaskPrompt(whole, { promptFormat, tokenizer, template }).length);
  }
  return longest;
}

function withoutSpace(text: string): string {
  return text.replaceAll(/\s/g, "");
}

/** Says so where weights hold what is not a number: such a model is evaluated as any other, and what it answers means nothing. */
export function reportNotFinite(
  policy: Pick<OpenPolicy, "areFinite">,
  { checkpoint, report }: { readonly checkpoint: string; readonly report: Effects["report"] },
): void {
  if (policy.areFinite()) return;
  const text = `${checkpoint}: its weights hold NaN or infinite values, so that its answers mean nothing; ${action("compare")} names the tensors`;
  report({ kind: "notice", text });
}
