/** A disk of a few pages, to see what happens when it is full. Mounting one needs root. */
import { spawnSync } from "node:child_process";
import { mkdirSync } from "node:fs";

/** A small disk, or why there is none. */
export interface SmallDisk {
  /** Empty where the disk is there. */
  readonly problem: string;
  unmount(): void;
}

/** Mounts a disk of so many KiB at a new folder. Throws where it has to be there and the machine would allow it. */
export function mountSmallDisk(folder: string, kibibytes: number): SmallDisk {
  mkdirSync(folder);
  const args = ["-t", "tmpfs", "-o", `size=${kibibytes}k`, "none", folder];
  const { status, stderr, error } = spawnSync("mount", args, { encoding: "utf8" });
  const problem = status === 0 ? "" : (error?.message ?? stderr.trim());
  const isForbidden = /permission denied|must be superuser|not permitted/i.test(problem);
  if (problem !== "" && process.env.UNTWIST_REQUIRE_SYSTEM_PACKAGES === "1" && !isForbidden)
    throw new Error(`Cannot mount a small disk, and it is required: ${problem}`);
  return {
    problem,
    unmount: () => {
      // At once, though a process that is about to end may still stand in it.
      if (problem === "") spawnSync("umount", ["--lazy", folder]);
    },
  };
}
