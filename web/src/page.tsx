/** What all pages of a run share. */
import type { ReactNode } from "react";
import type { RunView } from "../../src/face/view/contract.ts";
import type { Loaded } from "./data.ts";
import type { Route } from "./route.ts";

/** What a page of a run is given. */
export interface PageProps {
  readonly run: RunView;
  readonly route: Route & { readonly run: string };
}

/** Shows data once they are there, and says what is the matter until then. */
export function Ready<Value>({
  loaded,
  children,
}: {
  readonly loaded: Loaded<Value>;
  readonly children: (value: Value) => ReactNode;
}): ReactNode {
  switch (loaded.state) {
    case "loading":
      return (
        <p className="state" role="status">
          Loading …
        </p>
      );
    case "failed":
      return (
        <p className="state" role="alert">
          {loaded.message}
        </p>
      );
    case "ready":
      return children(loaded.value);
  }
}

/** Says why there is nothing of the weights to show. */
export function NoSpectra({ run }: { readonly run: RunView }): ReactNode {
  return (
    <p className="state">
      {run.isFinished
        ? `This run has no spectra; compute them with: untwist spectra ${run.path}`
        : "Spectra come at the end of a run."}
    </p>
  );
}

/** A part of a page that scrolls by itself where it is too wide, by keys as well. */
export function Scroll({
  label,
  children,
}: {
  readonly label: string;
  readonly children: ReactNode;
}): ReactNode {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: without it keys could not scroll the table (axe asks for it)
    <section className="scroll" aria-label={label} tabIndex={0}>
      {children}
    </section>
  );
}
