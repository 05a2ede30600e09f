/** The built page: its parts from the package, and all of it with a run's data in one file. */

import { promisify } from "node:util";
import { gzip } from "node:zlib";
import { readText } from "../../base/file/index.ts";
import { locateInPackage } from "../../base/machine/index.ts";
import type { ReportData } from "./contract.ts";

/** Files of the page that a server gives out, with their media types. */
export const pageFiles = {
  "index.html": "text/html; charset=utf-8",
  "page.js": "text/javascript; charset=utf-8",
  "page.css": "text/css; charset=utf-8",
} as const;

/** The text of one of `pageFiles`. Throws `UsageError` where the package was not built. */
export function readPageFile(name: keyof typeof pageFiles): Promise<string> {
  return readText(locateInPackage("dist", "web", name));
}

/** What a report may do: run the script in it, and nothing over a network. */
const policy =
  "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:; base-uri 'none'; form-action 'none'";

/** One HTML file with the page and the data in it, which opens from a disk. */
export async function createReportPage(data: ReportData): Promise<string> {
  const [page, script, style] = await Promise.all([
    readPageFile("index.html"),
    readPageFile("page.js"),
    readPageFile("page.css"),
  ]);
  const packed = (await promisify(gzip)(JSON.stringify(data), { level: 9 })).toString("base64");
  const [head = "", rest = ""] = page
    .replace(/\s*<script type="module"[^>]*><\/script>/, "")
    .replace(/\s*<link rel="stylesheet"[^>]*>/, "")
    .split("<title>");
  const [, afterBody = ""] = rest.split("</body>");
  const body = rest.slice(0, rest.length - afterBody.length - "</body>".length);
  return [
    `${head}<meta http-equiv="Content-Security-Policy" content="${policy}" />\n    <title>`,
    body.replace("</head>", () => `<style>${style}</style>\n  </head>`),
    `<script type="text/plain" id="report-data">${packed}</script>\n`,
    `<script type="module">${script.replaceAll("</script", "<\\/script")}</script>\n  </body>${afterBody}`,
  ].join("");
}
