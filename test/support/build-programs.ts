/** Before any test: builds the programs that tests start as processes or threads, with what they import of `src`, into `dist/test`. */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const folder = import.meta.dirname;

/** Where a built program lies, by the name of its source. */
export const builtProgram = (name: string): URL => new URL(`../../dist/test/${name}.js`, import.meta.url);

/** Called by Vitest once, before it starts its workers. */
export async function setup(): Promise<void> {
  // Not at the top: tests that only ask where a program lies need no Vite.
  const { build } = await import("vite");
  await build({
    configFile: false,
    logLevel: "warn",
    ssr: { noExternal: true, external: ["onnxruntime-node", "koffi"] },
    build: {
      ssr: true,
      outDir: fileURLToPath(new URL(".", builtProgram(""))),
      emptyOutDir: true,
      rolldownOptions: {
        input: readdirSync(folder)
          .filter((name) => name.endsWith(".mjs"))
          .map((name) => join(folder, name)),
        output: { entryFileNames: "[name].js" },
      },
    },
  });
}
