/** What the checkpoints of a run are asked, as their answerers need it. */
import { chooseNumThreads } from "../../base/machine/index.ts";
import type { TemplateUse } from "../../engine/model/index.ts";
import { type AskedTasks, isFollowed, type RunFolder, requireTasks } from "../../run/index.ts";
import { splits } from "../../tasks/environment/index.ts";
import type { Assignment, Subject } from "./answerer.ts";

/** The assignment of a run. Throws `UsageError` where it was not said what its checkpoints are asked. */
export function describeAssignment(folder: RunFolder): Assignment {
  const { recipe, record, path } = folder;
  return {
    tasks: requireTasks(folder),
    splits,
    template: findTemplateUse(folder),
    numThreads: record.numThreads,
    // Our own training asks each of its checkpoints once; those of others may be followed into several runs.
    isRemembered: isFollowed(recipe),
    judge: isFollowed(recipe) ? recipe.asking?.judge : undefined,
    locateAnswers: (subject) => folder.locate(`answers/${nameAnswers(subject)}.jsonl`),
    locateAdapter: ({ grid, key }) => folder.locate(`repairs/${grid}/adapters/${key}`),
    owner: `a checkpoint of "${path}"`,
  };
}

function nameAnswers(subject: Subject): string {
  return subject.kind === "repair" ? `${subject.grid}-${subject.key}` : subject.id;
}

/** The assignment of a model that belongs to no run: nothing but the cache keeps its answers. */
export function describeStandalone(
  tasks: AskedTasks,
  { splits: asked, template, owner }: Pick<Assignment, "splits" | "template" | "owner">,
): Assignment {
  return {
    tasks,
    splits: asked,
    template,
    numThreads: chooseNumThreads(),
    isRemembered: true,
    locateAnswers: () => undefined,
    locateAdapter: ({ id }) => {
      throw new RangeError(`Cannot make an adapter of "${id}": there is no run to keep it in`);
    },
    owner,
  };
}

/** How chats are put to the checkpoints of a run. Our own training learns from plain prompts, and is asked by the same. */
function findTemplateUse({ recipe }: Pick<RunFolder, "recipe">): TemplateUse | undefined {
  return isFollowed(recipe) ? recipe.asking?.template : undefined;
}
