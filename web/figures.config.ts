import { defineConfig } from "vite";

/** The charts as one module for Node, with all that they need in it. */
export default defineConfig({
  root: import.meta.dirname,
  logLevel: "warn",
  ssr: { noExternal: true },
  build: {
    ssr: "src/figures.ts",
    outDir: "../dist/figures",
    emptyOutDir: true,
    rolldownOptions: { output: { entryFileNames: "figures.js", codeSplitting: false } },
  },
});
