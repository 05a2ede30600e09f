/** What is wrong with data that a schema refused, as one clause. */
import type { z } from "zod";

/** The first problem of a failed parse: `"sft.numSteps" is too small: expected number to be >0`. */
export function describeIssue(error: z.ZodError): string {
  const [issue] = error.issues;
  if (issue === undefined) return "it is malformed";
  const path = issue.path.join(".");
  if (issue.code === "unrecognized_keys") {
    const where = path === "" ? "" : ` in "${path}"`;
    return `unknown key "${issue.keys.join('", "')}"${where}; remove it or check its spelling`;
  }
  const where = path === "" ? "it" : `"${path}"`;
  if (issue.code === "invalid_union" && issue.message === "Invalid input")
    return `${where} fits none of the forms it may have: ${describeForms(issue.errors)}`;
  const message = issue.message.replace(/^Invalid input: /, "").replace(/^Too (small|big): /, "is too $1, ");
  return /^(must|names|is|needs) /.test(message) ? `${where} ${message}` : `${where} is wrong: ${message}`;
}

function describeForms(forms: readonly (readonly z.core.$ZodIssue[])[]): string {
  const problems = forms.map(([issue]) => {
    const path = issue?.path.join(".") ?? "";
    const message = (issue?.message ?? "").replace(/^Invalid input: /, "");
    return path === "" ? message : `"${path}": ${message}`;
  });
  return problems.filter((problem) => problem !== "").join("; or ");
}
