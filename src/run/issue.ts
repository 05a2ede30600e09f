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
  const message = issue.message.replace(/^Invalid input: /, "").replace(/^Too small: /, "is too small, ");
  return /^(must|names|is) /.test(message) ? `${where} ${message}` : `${where} is wrong: ${message}`;
}
