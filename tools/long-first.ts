/** Vitest's order of test files: those that take longest first, so that none is left to run alone at the end. */
import { BaseSequencer, type TestSpecification } from "vitest/node";

/** The files that took half a minute to three on two cores in November 2026, as far as their size does not say it. */
const long = [
  "jobs",
  "studio-page",
  "golden",
  "job-trouble",
  "resume",
  "logs",
  "servers",
  "package",
  "trainings",
  "serve",
].map((name) => `/${name}.test.ts`);

/** The long ones, then those of the whole system, then those beside the sources; each by size. */
export class LongFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const bySize = await super.sort(files);
    const rank = ({ moduleId }: TestSpecification): number => {
      if (long.some((name) => moduleId.endsWith(name) && !moduleId.includes("/src/"))) return 0;
      return moduleId.includes("/src/") ? 2 : 1;
    };
    return [...bySize].sort((a, b) => rank(a) - rank(b));
  }
}
