/** What `restore` and `apply` share: a plan carried out or shown, and what came of it. */
import { UsageError } from "../../../base/core/index.ts";
import { type EditForm, editCheckpoint, editForms, previewEdit } from "../../../lab/edit/index.ts";
import type { Plan } from "../../../weights/surgery/index.ts";
import { withEffects } from "../flag/effects.ts";
import { requireFree } from "../flag/out-folder.ts";
import { createOutput } from "../output.ts";
import { formatEdit, formatPreview } from "../screen/edit-screen.ts";

/** Flags of both commands. */
export interface EditFlags {
  readonly out?: string;
  readonly as?: string;
  readonly dryRun?: boolean;
  readonly json?: boolean;
}

/** Carries out a plan, or only shows it. */
export async function carryOutPlan(plan: Plan, flags: EditFlags): Promise<void> {
  const output = createOutput(flags);
  const form = parseForm(flags.as);
  if (flags.dryRun === true) {
    const preview = await withEffects((effects) => previewEdit({ plan, form }, effects));
    output.print(formatPreview(preview, output), preview);
    return;
  }
  const { out } = flags;
  if (out === undefined)
    throw new UsageError(
      "Cannot edit without a place for the result; give --out, or --dry-run to look first",
    );
  await requireFree(out);
  const report = await withEffects((effects) => editCheckpoint({ plan, out, form }, effects));
  output.print([...formatEdit(report, output), "", `Written to ${out}`], report);
}

function parseForm(text: string = "checkpoint"): EditForm {
  const form = editForms.find((candidate) => candidate === text);
  if (form !== undefined) return form;
  throw new UsageError(`Cannot read --as "${text}": choose from ${editForms.join(", ")}`);
}
