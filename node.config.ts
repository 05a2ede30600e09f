import { defineConfig } from "vite";

/**
 * The command line and the entry files of its threads, for Node: few files, so that a command starts fast. Each command
 * is a part of its own, with all packages in it but those with native parts. Sources and built files lie equally deep
 * below the package's root.
 */
export default defineConfig({
  root: import.meta.dirname,
  logLevel: "warn",
  ssr: { noExternal: true, external: ["onnxruntime-node", "koffi"] },
  build: {
    ssr: true,
    target: "node20",
    outDir: "dist/node",
    emptyOutDir: true,
    rolldownOptions: {
      input: {
        cli: "src/face/cli/index.ts",
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
