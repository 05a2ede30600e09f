/** Environments by what users call them. */
import type { Environment } from "./environment.ts";
import { findEnvironment } from "./registry.ts";

/** The environment of that name. Throws `UsageError` naming the known ones. */
export async function openEnvironment(name: string): Promise<Environment> {
  return findEnvironment(name);
}
