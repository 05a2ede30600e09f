import { availableParallelism } from "node:os";
import { defineConfig, type ViteUserConfig } from "vitest/config";

const config: ViteUserConfig = defineConfig({
  test: {
    include: ["src/**/*.test.ts", "test/**/*.test.ts"],
    reporters: ["default", "./tools/summary-line.ts"],
    testTimeout: 60_000,
    pool: "forks",
    // One more than there are cores: some tests mostly wait, for servers, clusters and processes.
    maxWorkers: availableParallelism() + 1,
  },
});
export default config;
