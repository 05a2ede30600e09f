import { availableParallelism } from "node:os";
import { defineConfig, type TestUserConfig, type ViteUserConfig } from "vitest/config";
import { LongFirst } from "./tools/long-first.ts";

/** What holds for tests beside the sources and for those of the whole system. */
const shared: TestUserConfig = {
  // Limits that only a test that hangs can reach: no test is to depend on how busy the machine is.
  testTimeout: 600_000,
  hookTimeout: 600_000,
  // Where it is set, Python compiles the peers' libraries anew at each start: 25 s of processor time instead of 9.
  env: { PYTHONDONTWRITEBYTECODE: "" },
  pool: "forks",
  // The compiled command line is imported as Node imports it.
  server: { deps: { external: [/\/dist\/node\//] } },
};

const config: ViteUserConfig = defineConfig({
  test: {
    globalSetup: ["test/support/build-programs.ts"],
    reporters: ["default", "./tools/summary-line.ts"],
    sequence: { sequencer: LongFirst },
    // One more than there are cores: some tests mostly wait, for servers, clusters and processes.
    maxWorkers: availableParallelism() + 1,
    projects: [
      // In one process for many files: loading what they import again for each takes as long as they do.
      { test: { ...shared, name: "beside", include: ["src/**/*.test.ts"], isolate: false } },
      { test: { ...shared, name: "system", include: ["test/**/*.test.ts"] } },
    ],
  },
});
export default config;
