import { relative } from "node:path";
import { defineConfig, type Plugin } from "vite";

/** Writes `sources.json`: which of our sources each built file holds code of. */
const listSources: Plugin = {
  name: "list-sources",
  generateBundle(_, bundle) {
    const held = Object.values(bundle).flatMap((file) => {
      if (file.type !== "chunk") return [];
      const modules = Object.entries(file.modules).filter(
        ([id, { renderedLength }]) =>
          id.includes("/src/") && !id.includes("/node_modules/") && renderedLength > 0,
      );
      return [[file.fileName, modules.map(([id]) => relative(import.meta.dirname, id)).sort()]];
    });
    const source = `${JSON.stringify(Object.fromEntries(held), null, 1)}\n`;
    this.emitFile({ type: "asset", fileName: "sources.json", source });
  },
};

/**
 * The command line and the entry files of its threads, for Node: few files, so that a command starts fast. Each command
 * is a part of its own, with all packages in it but those with native parts. `sources.json` says from which
 * sources each comes.
 */
export default defineConfig({
  root: import.meta.dirname,
  logLevel: "warn",
  plugins: [listSources],
  ssr: { noExternal: true, external: ["onnxruntime-node", "koffi"] },
  build: {
    ssr: true,
    target: "node20",
    outDir: "dist/node",
    emptyOutDir: true,
    rolldownOptions: {
      input: {
        cli: "src/face/cli/index.ts",
        library: "src/face/library/index.ts",
        "engine-worker": "src/engine/parallel/engine-worker.ts",
        "model-worker": "src/face/serving/model/model-worker.ts",
        "spectra-worker": "src/lab/factor/spectra-worker.ts",
        "parquet-worker": "src/bridge/interchange/parquet-worker.ts",
      },
      // Our own modules do nothing when they are loaded, so that what a command does not use is left out of its part.
      treeshake: { moduleSideEffects: (id) => id.includes("/node_modules/") },
      external: ["#figures"],
      output: { entryFileNames: "[name].js", chunkFileNames: "[name]-[hash].js" },
    },
  },
});
