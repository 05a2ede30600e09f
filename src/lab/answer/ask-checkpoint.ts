/** A server's model asked as a checkpoint of a run: the run's tasks, and answers kept in the run as they come. */
import { realpath } from "node:fs/promises";
import { UsageError } from "../../base/core/index.ts";
import { pathExists } from "../../base/file/index.ts";
import type { Effects } from "../../base/progress/index.ts";
import { isFollowed, type RunFolder, requireTasks } from "../../run/index.ts";
import { splits } from "../../tasks/environment/index.ts";
import type { EvaluatedItem } from "../../tasks/evaluation/index.ts";
import { stampCheckpoint } from "../machine/index.ts";
import {
  type AskingPlace,
  askEndpoint,
  type EndpointChoice,
  type EndpointEvaluation,
  type EndpointTasks,
  type KnownWeights,
} from "./ask-endpoint.ts";
import { checkTemplate, type ServeWay, withServer } from "./serve-checkpoint.ts";

/** Asks all of the run's tasks. Throws as `askEndpoint`. */
export async function askCheckpoint(
  folder: RunFolder,
  checkpoint: string,
  {
    choice,
    path,
    effects,
  }: {
    /** The checkpoint's folder, which the server has its weights from. */
    readonly path: string;
    readonly choice: Omit<EndpointChoice, "maxNewTokens">;
    readonly effects: Effects;
  },
): Promise<readonly EvaluatedItem[]> {
  const { environment, rendering, evaluation } = requireTasks(folder);
  const tasks = { environment, rendering, splits, ...evaluation };
  const answers = folder.locate(`answers/${checkpoint}.jsonl`);
  const judge = isFollowed(folder.recipe) ? folder.recipe.asking?.judge : undefined;
  const { items } = await askEndpoint({ ...choice, maxNewTokens: evaluation.maxNewTokens }, tasks, {
    answers,
    weights: await describeWeights(path),
    judge,
    effects,
  });
  return items;
}

/** Asks a checkpoint folder by a server that is started for it. Throws as `withServer` and `askEndpoint`. */
export async function askServed(
  path: string,
  way: Omit<ServeWay, "asking"> & { readonly asking: Omit<EndpointChoice, "url" | "model"> },
  tasks: EndpointTasks,
  place: Omit<AskingPlace, "weights" | "judge">,
): Promise<EndpointEvaluation> {
  checkTemplate(way.template);
  if (!(await pathExists(path)))
    throw new UsageError(
      `Cannot evaluate "${path}": there is nothing of that name; name a checkpoint folder`,
    );
  const weights = await describeWeights(path);
  return await withServer(way, weights.path, place.effects, (server) =>
    askEndpoint({ ...way.asking, ...server }, tasks, { ...place, weights }),
  );
}

/** A checkpoint as what a server has: its place, and what tells whether it was written again. */
async function describeWeights(path: string): Promise<KnownWeights> {
  return { path: await realpath(path), stamp: await stampCheckpoint(path) };
}
