import type { Policy } from "../../src/engine/model/index.ts";
import { type OpenPolicy, openCores, type PolicyEngine } from "../../src/engine/parallel/index.ts";

/** Policies that answer as `generate` does, whatever their weights, of which they only know whether they are finite. */
export function createFakePolicies(generate: Policy["generate"], maxPositions = 64): PolicyEngine {
  return {
    cores: openCores(1),
    open: async (parameters): Promise<OpenPolicy> => {
      let areFinite = true;
      for await (const [, numbers] of parameters)
        areFinite &&= [...numbers].every((number) => Number.isFinite(number));
      return {
        maxPositions,
        backend: "kernels",
        generate,
        fingerprint: () => "fake",
        areFinite: () => areFinite,
        close: () => undefined,
      };
    },
    release: async () => undefined,
  };
}
