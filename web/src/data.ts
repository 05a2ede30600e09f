/** Where pages get their data: from the server, or from what is packed into a report. */
import { useEffect, useState } from "react";

/** Whether this page is a report: a file without a server. */
export const isReport: boolean = document.getElementById("report-data") !== null;

let report: Promise<ReadonlyMap<string, unknown>> | undefined;

/** Unpacks a report: JSON, compressed by gzip, as base64 text. */
async function unpack(): Promise<ReadonlyMap<string, unknown>> {
  const text = document.getElementById("report-data")?.textContent?.trim() ?? "";
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Map(Object.entries(JSON.parse(await new Response(stream).text())));
}

async function fetchJson(path: string): Promise<unknown> {
  const response = await fetch(`api/${path}`, { headers: { accept: "application/json" } });
  const value: unknown = await response.json().catch(() => undefined);
  if (response.ok) return value;
  const message =
    typeof value === "object" && value !== null && "error" in value
      ? String(value.error)
      : response.statusText;
  throw new Error(message);
}

/** Data of a run by path (`curves`, `pair/sft-3/sft-200`), or the list of runs for `runs`. */
async function load(run: string, path: string): Promise<unknown> {
  if (!isReport)
    return await fetchJson(path === "runs" ? "runs" : `run/${path}?run=${encodeURIComponent(run)}`);
  report ??= unpack();
  const value = (await report).get(path);
  if (value === undefined)
    throw new Error("This is not part of the report; open the run in a studio (untwist studio) to see it.");
  return value;
}

/** What was loaded of runs that are finished: it does not change any more. */
const known = new Map<string, unknown>();

const keyOf = (run: string, path: string): string => `${run}\n${path}`;

/** Loads data before they are asked for, so that the next view is there at once. */
export async function prefetch(run: string, paths: readonly string[]): Promise<void> {
  for (const path of paths) {
    if (isReport || known.has(keyOf(run, path))) continue;
    // What cannot be had now is asked for again by the view that shows it, which says why.
    const value = await load(run, path).catch(() => undefined);
    if (value !== undefined && !isEmpty(value)) known.set(keyOf(run, path), value);
  }
}

/** Nothing there yet, such as weights before spectra are computed: it may come. */
function isEmpty(value: unknown): boolean {
  if (Array.isArray(value)) return value.length === 0;
  if (typeof value === "object" && value !== null && Object.keys(value).length === 0) return true;
  const pairs = typeof value === "object" && value !== null && "pairs" in value ? value.pairs : undefined;
  return Array.isArray(pairs) && pairs.length === 0;
}

/** What came of a request so far. */
export type Loaded<Value> =
  | { readonly state: "loading" }
  | { readonly state: "failed"; readonly message: string }
  | { readonly state: "ready"; readonly value: Value };

/** Milliseconds between two looks at a run that is still going on. */
const refreshMs = 2000;

function recall<Value>(run: string, path: string): Loaded<Value> {
  const value = known.get(keyOf(run, path));
  return value === undefined ? { state: "loading" } : { state: "ready", value: value as Value };
}

/** Asks for data, again every two seconds while `isLive`, until `isOver`. What was shown stays until something new has come. */
export function useData<Value>(
  run: string,
  path: string,
  isLive = false,
  isOver: (value: Value) => boolean = never,
): Loaded<Value> {
  const [loaded, setLoaded] = useState<Loaded<Value>>(() => recall(run, path));
  useEffect(() => {
    const recalled = recall<Value>(run, path);
    setLoaded(recalled);
    if (recalled.state === "ready" && !isLive) return;
    let isCurrent = true;
    let last = "";
    let timer: ReturnType<typeof setTimeout> | undefined;
    const refresh = async (): Promise<void> => {
      let goesOn = isLive && !isReport;
      try {
        const value = (await load(run, path)) as Value;
        const text = JSON.stringify(value);
        // The same once more must not draw every chart anew.
        if (isCurrent && text !== last) setLoaded({ state: "ready", value });
        last = text;
        goesOn &&= !isOver(value);
      } catch (error) {
        const message = error instanceof Error ? error.message : String(error);
        if (isCurrent)
          setLoaded((before) => (before.state === "ready" ? before : { state: "failed", message }));
      }
      // One after another: answers that take long must not overtake each other.
      if (isCurrent && goesOn) timer = setTimeout(refresh, refreshMs);
    };
    void refresh();
    return () => {
      isCurrent = false;
      clearTimeout(timer);
    };
  }, [run, path, isLive, isOver]);
  return loaded;
}

const never = (): boolean => false;

/** The same data of several runs; those that cannot be had are left out. */
export function useAll<Value>(runs: readonly string[], path: string): readonly Value[] {
  const [values, setValues] = useState<readonly Value[]>([]);
  const key = runs.join("\n");
  useEffect(() => {
    let isCurrent = true;
    const ids = key.split("\n");
    void Promise.allSettled(ids.map((run) => load(run, path))).then((results) => {
      const found = results.flatMap((result) =>
        result.status === "fulfilled" ? [result.value as Value] : [],
      );
      if (isCurrent) setValues(found);
    });
    return () => {
      isCurrent = false;
    };
  }, [key, path]);
  return values;
}
