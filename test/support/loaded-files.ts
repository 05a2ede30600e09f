/** Which files a command loads, in its own process and in its threads: counted by the engine itself. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { root, startUntwist } from "./untwist.ts";

/** Paths of all files of code below the package's root that a command loads, with what each is built of. */
export async function listLoadedFiles(args: readonly string[], cwd: string): Promise<readonly string[]> {
  const folder = mkdtempSync(join(tmpdir(), "untwist-loaded-"));
  try {
    const { code, stderr } = await startUntwist(args, cwd, { NODE_V8_COVERAGE: folder }).outcome;
    if (code !== 0) throw new Error(`untwist ${args.join(" ")} ended with ${code}: ${stderr}`);
    const urls = readdirSync(folder).flatMap((name) => {
      const { result }: { readonly result: readonly { readonly url: string }[] } = JSON.parse(
        readFileSync(join(folder, name), "utf8"),
      );
      return result.map(({ url }) => url);
    });
    const paths = urls.filter((url) => url.startsWith("file:")).map((url) => fileURLToPath(url));
    return [...new Set(paths)].filter((path) => path.startsWith(root)).sort();
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
