import { defineConfig, type ViteUserConfig } from "vitest/config";

const config: ViteUserConfig = defineConfig({
  test: {
    include: ["src/**/*.test.ts", "test/**/*.test.ts"],
    reporters: ["default", "./tools/summary-line.ts"],
    testTimeout: 60_000,
    pool: "forks",
    // One core is left free by default: of two, half the machine.
    maxWorkers: "100%",
  },
});
export default config;
