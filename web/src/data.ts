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

/** What came of a request so far. */
export type Loaded<Value> =
  | { readonly state: "loading" }
  | { readonly state: "failed"; readonly message: string }
  | { readonly state: "ready"; readonly value: Value };

/** Milliseconds between two looks at a run that is still going on. */
const refreshMs = 2000;

/** Asks for data, again every two seconds while `isLive`. What was shown stays until something new has come. */
export function useData<Value>(run: string, path: string, isLive = false): Loaded<Value> {
  const [loaded, setLoaded] = useState<Loaded<Value>>({ state: "loading" });
  useEffect(() => {
    let isCurrent = true;
    const refresh = async (): Promise<void> => {
      try {
        const value = (await load(run, path)) as Value;
        if (isCurrent) setLoaded({ state: "ready", value });
      } catch (error) {
        const message = error instanceof Error ? error.message : String(error);
        if (isCurrent)
          setLoaded((before) => (before.state === "ready" ? before : { state: "failed", message }));
      }
    };
    setLoaded({ state: "loading" });
    void refresh();
    const timer = isLive && !isReport ? setInterval(refresh, refreshMs) : undefined;
    return () => {
      isCurrent = false;
      clearInterval(timer);
    };
  }, [run, path, isLive]);
  return loaded;
}

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
