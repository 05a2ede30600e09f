/** The way back. */
import type { Plan } from "./plan.ts";
import type { PlannedEdit } from "./resolve.ts";

/**
 * The plan that undoes an applied one: it rolls the edited tensors of the result back to the target as it was, byte for
 * byte.
 */
export function invertPlan(plan: Plan, edits: readonly Pick<PlannedEdit, "name">[], result: string): Plan {
  return {
    target: result,
    source: plan.target,
    operations: [{ operation: "rollback", strength: 1, matrices: edits.map(({ name }) => name).join(",") }],
  };
}
