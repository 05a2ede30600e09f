/** Where one is: every view has an address, after the # so that it works in a file as well. */
import { useEffect, useState } from "react";

/** The views of a run, in the order of the tabs. */
export const views = ["trajectory", "repairs", "weights", "matrix", "answers", "training"] as const;

/** A view of a run, as its address names it. */
export type ViewName = (typeof views)[number];

/** A place: the list of runs, or a view of a run with its choices. */
export interface Route {
  /** Absent in the list of runs. */
  readonly run?: string;
  readonly view: ViewName;
  readonly choices: Readonly<Record<string, string>>;
}

/** `#/run/<run>/<view>?key=value`; anything else is the list of runs. */
export function parseRoute(hash: string): Route {
  const [path = "", query = ""] = hash.replace(/^#/, "").split("?");
  const [, kind, run, name] = path.split("/");
  const view = views.find((one) => one === name) ?? "trajectory";
  const choices = Object.fromEntries(new URLSearchParams(query));
  if (kind !== "run" || run === undefined || run === "") return { view, choices };
  return { run: decode(run), view, choices };
}

/** A part of an address; one that was cut or mistyped stands for itself. */
function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** The address of a place. */
export function formatRoute({ run, view, choices }: Route): string {
  if (run === undefined) return "#/";
  const query = new URLSearchParams(choices).toString();
  return `#/run/${encodeURIComponent(run)}/${view}${query === "" ? "" : `?${query}`}`;
}

/** The place one is at; follows links and the back button. */
export function useRoute(): Route {
  const [route, setRoute] = useState(() => parseRoute(window.location.hash));
  useEffect(() => {
    const follow = (): void => setRoute(parseRoute(window.location.hash));
    window.addEventListener("hashchange", follow);
    return () => window.removeEventListener("hashchange", follow);
  }, []);
  return route;
}

/** Goes to a place; choices of the same view replace each other without a step in the history. */
export function go(route: Route): void {
  const address = formatRoute(route);
  const isSameView = parseRoute(window.location.hash).view === route.view;
  if (isSameView) {
    window.history.replaceState(null, "", address);
    window.dispatchEvent(new HashChangeEvent("hashchange"));
  } else window.location.hash = address;
}
