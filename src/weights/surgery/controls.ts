/** Controls: repairs that ought to do nothing, or everything, or as much as chance, beside a restoration. */
import { createRandom } from "../../base/core/index.ts";
import type { Choice, Operation, Restore } from "./plan.ts";
import type { PlannedEdit } from "./resolve.ts";

/**
 * A kind of control. `identity`: decomposed and rebuilt, which changes nothing but rounding; `rollback`: the same matrices taken
 * whole from the source; `random`: an update of the same size in random directions; `elsewhere`: the same ranks in as many
 * other matrices; `values`: the values of the same ranks alone.
 */
export type ControlKind = "identity" | "rollback" | "random" | "elsewhere" | "values";

/** A control: what it is, and the operation it carries out. */
export interface Control {
  readonly kind: ControlKind;
  readonly operation: Operation;
}

/**
 * The controls of a restoration. `chosen` are the tensors that it edits, `candidates` all that it might have edited;
 * where those are the same, there is no elsewhere, and that control is left out.
 */
export function createControls(
  restore: Restore,
  {
    chosen,
    candidates,
    seed,
  }: {
    readonly chosen: readonly Pick<PlannedEdit, "name">[];
    readonly candidates: readonly Pick<PlannedEdit, "name">[];
    readonly seed: number;
  },
): readonly Control[] {
  const { layers, matrices, strength, top, tail, what } = restore;
  const choice: Choice = {
    ...(layers !== undefined && { layers }),
    ...(matrices !== undefined && { matrices }),
  };
  const controls: Control[] = [
    { kind: "identity", operation: { operation: "rebuild", ...choice } },
    { kind: "rollback", operation: { operation: "rollback", strength, ...choice } },
    {
      kind: "random",
      operation: { operation: "scramble", what, top, tail, strength, seed, ...choice },
    },
  ];
  if (what !== "values") controls.push({ kind: "values", operation: { ...restore, what: "values" } });
  const names = new Set(chosen.map(({ name }) => name));
  const others = candidates.filter(({ name }) => !names.has(name));
  if (others.length > 0) {
    const random = createRandom(seed, "elsewhere", layers ?? "", matrices ?? "");
    const drawn = new Set(random.shuffle(others).slice(0, names.size));
    const drawnNames = others
      .filter((other) => drawn.has(other))
      .map(({ name }) => name)
      .join(",");
    controls.push({
      kind: "elsewhere",
      operation: { operation: "restore", what, top, tail, strength, matrices: drawnNames },
    });
  }
  return controls;
}
