import { availableParallelism } from "node:os";
import { defineConfig, type ViteUserConfig } from "vitest/config";
import { LongFirst } from "./tools/long-first.ts";

const config: ViteUserConfig = defineConfig({
  test: {
    include: ["src/**/*.test.ts", "test/**/*.test.ts"],
    globalSetup: ["test/support/build-programs.ts"],
    reporters: ["default", "./tools/summary-line.ts"],
    // Limits that only a test that hangs can reach: no test is to depend on how busy the machine is.
    testTimeout: 600_000,
    hookTimeout: 600_000,
    // Where it is set, Python compiles the peers' libraries anew at each start: 25 s of processor time instead of 9.
    env: { PYTHONDONTWRITEBYTECODE: "" },
    pool: "forks",
    sequence: { sequencer: LongFirst },
    // The compiled command line is imported as Node imports it.
    server: { deps: { external: [/\/dist\/node\//] } },
    // One more than there are cores: some tests mostly wait, for servers, clusters and processes.
    maxWorkers: availableParallelism() + 1,
  },
});
export default config;
