/** The environments that can be named; a new one is its folder and one line here. */
import { UsageError } from "../../base/core/index.ts";
import { countdown } from "./countdown.ts";
import type { Environment } from "./environment.ts";
import { generalPoints } from "./general-points/general-points.ts";
import { determinant } from "./matrix/determinant.ts";
import { rank } from "./matrix/rank.ts";
import { navigation } from "./navigation/navigation.ts";

/** Every environment, by name. */
export const environments: Readonly<Record<string, Environment>> = {
  [generalPoints.name]: generalPoints,
  [navigation.name]: navigation,
  [countdown.name]: countdown,
  [determinant.name]: determinant,
  [rank.name]: rank,
};

/** The environment of that name. Throws `UsageError` naming the known ones. */
export function findEnvironment(name: string): Environment {
  const environment = Object.hasOwn(environments, name) ? environments[name] : undefined;
  if (environment === undefined) {
    const known = Object.keys(environments).map((each) => `"${each}"`);
    throw new UsageError(
      `Cannot find an environment named "${name}": choose one of ${known.join(", ")}, or items:FOLDER for your own questions`,
    );
  }
  return environment;
}
