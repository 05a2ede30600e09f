import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

/** One script and one style sheet with fixed names: the server serves them, a report holds them. */
export default defineConfig({
  root: import.meta.dirname,
  base: "./",
  plugins: [react()],
  logLevel: "warn",
  build: {
    outDir: "../dist/web",
    emptyOutDir: true,
    cssCodeSplit: false,
    chunkSizeWarningLimit: 900,
    rolldownOptions: {
      output: {
        entryFileNames: "page.js",
        assetFileNames: "page[extname]",
        codeSplitting: false,
      },
    },
  },
});
