/** Folders in which step folders lie: found by the names of these, or by a user's pattern. */
import { join } from "node:path";
import {
  fileExists,
  folderExists,
  listFolders,
  listNames,
  pathExists,
  resolveLinks,
} from "../../base/file/index.ts";
import { readStepName, type StepName, type StepPattern } from "./step-name.ts";

/** A folder that is named like a step. */
export interface NamedStep extends StepName {
  /** Its path in the home. */
  readonly name: string;
  /** Whether it is a link to something that is not there. */
  readonly isLost?: boolean;
}

/** A folder with step folders in it. */
export interface StepHome {
  readonly folder: string;
  /** By step. */
  readonly steps: readonly NamedStep[];
}

/** Folders deeper than that are not looked at. */
const maxDepth = 4;

/** The homes below a folder, in the order of their paths; by a pattern, the folder itself. Links are followed, each place once. */
export async function findHomes(folder: string, pattern?: StepPattern): Promise<readonly StepHome[]> {
  const seen = new Set<string>();
  if (pattern === undefined) return await findBelow(folder, maxDepth, seen);
  return toHomes(folder, await findMatching({ folder, pattern }, [], seen));
}

/**
 * What `look` finds in a folder, or `undefined` where the folder disappeared under it: trainers rename the folders that they
 * write, and delete old ones.
 */
export async function unlessGone<Found>(
  folder: string,
  look: () => Promise<Found>,
): Promise<Found | undefined> {
  try {
    return await look();
  } catch (error) {
    if (await folderExists(folder)) throw error;
    return undefined;
  }
}

/** Names of the folders in a folder that are not hidden; those that another path has led to are left out. */
async function listNew(folder: string, seen: Set<string>): Promise<readonly string[]> {
  const listed = (await unlessGone(folder, () => listFolders(folder))) ?? [];
  const fresh: string[] = [];
  for (const name of listed.filter((one) => !one.startsWith("."))) {
    const path = join(folder, name);
    const place = await unlessGone(path, () => resolveLinks(path));
    if (place === undefined || seen.has(place)) continue;
    fresh.push(name);
    seen.add(place);
  }
  return fresh;
}

function toHomes(folder: string, steps: readonly NamedStep[]): readonly StepHome[] {
  return steps.length === 0 ? [] : [{ folder, steps: [...steps].sort((a, b) => a.step - b.step) }];
}

async function findBelow(folder: string, depth: number, seen: Set<string>): Promise<readonly StepHome[]> {
  seen.add(await resolveLinks(folder));
  const names = await listNew(folder, seen);
  const steps: NamedStep[] = [];
  for (const name of names) {
    const read = readStepName(name);
    if (read === undefined) continue;
    const inner = read.countsEpochs ? await findInEpoch(folder, { ...read, name }, seen) : [];
    steps.push(...(inner.length > 0 ? inner : [{ ...read, name }]));
  }
  steps.push(...(await findLost(folder)));
  const homes = [...toHomes(folder, steps)];
  if (depth === 0) return homes;
  // A critic is not a model that answers; a step folder's own folders belong to its step.
  for (const name of names)
    if (readStepName(name) === undefined && !/^_?critic(?:_|$)/.test(name))
      homes.push(...(await findBelow(join(folder, name), depth - 1, seen)));
  return homes;
}

/** Links that are named like steps and lead nowhere: to a disk that is not there, or to what was deleted. */
async function findLost(folder: string): Promise<readonly NamedStep[]> {
  const lost: NamedStep[] = [];
  for (const name of await listNames(folder)) {
    const read = readStepName(name);
    const path = join(folder, name);
    if (read === undefined || !(await pathExists(path)) || (await folderExists(path))) continue;
    if (!(await fileExists(path))) lost.push({ ...read, name, isLost: true });
  }
  return lost;
}

/** The steps in a folder of an epoch, as in `epoch_3/step_100`. */
async function findInEpoch(
  folder: string,
  epoch: NamedStep,
  seen: Set<string>,
): Promise<readonly NamedStep[]> {
  const names = await listNew(join(folder, epoch.name), seen);
  return names.flatMap((name) => {
    const read = readStepName(name);
    if (read === undefined || read.countsEpochs) return [];
    return [{ ...read, epoch: epoch.step, name: `${epoch.name}/${name}` }];
  });
}

async function findMatching(
  place: { readonly folder: string; readonly pattern: StepPattern },
  path: readonly string[],
  seen: Set<string>,
): Promise<readonly NamedStep[]> {
  const { folder, pattern } = place;
  const steps: NamedStep[] = [];
  for (const name of await listNew(join(folder, ...path), seen)) {
    const inner = [...path, name];
    const matched = pattern.match(inner);
    if (matched === undefined) continue;
    if (inner.length < pattern.depth) steps.push(...(await findMatching(place, inner, seen)));
    else if (matched.step !== undefined)
      steps.push({ name: inner.join("/"), step: matched.step, countsEpochs: false, isForm: false });
  }
  return steps;
}
