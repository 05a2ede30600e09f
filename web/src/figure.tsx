/** A chart with its title, what it says, and its data to take away: SVG, PNG and CSV. */

import { type ReactNode, useEffect, useRef, useState } from "react";
import { type DataRow, formatCsv } from "./csv.ts";

interface FigureProps {
  readonly title: string;
  /** File name of downloads, without extension. */
  readonly name: string;
  /** What a reader who cannot see it should know. */
  readonly description: string;
  readonly draw: (width: number) => Element;
  readonly rows: readonly DataRow[];
  readonly children?: ReactNode;
}

/** Draws anew when the data or the width changes. */
export function Figure({ title, name, description, draw, rows, children }: FigureProps): ReactNode {
  const place = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(0);
  const [isDrawn, setIsDrawn] = useState(false);
  useEffect(() => {
    const element = place.current;
    if (element === null) return;
    const observer = new ResizeObserver(([entry]) => setWidth(Math.round(entry?.contentRect.width ?? 0)));
    observer.observe(element);
    // Plot would pin its tip under the pointer, and the tip would take the click.
    const keepForLink = (event: Event): void => {
      if (event.target instanceof Element && event.target.closest("a") !== null) event.stopPropagation();
    };
    element.addEventListener("pointerdown", keepForLink, { capture: true });
    return () => {
      observer.disconnect();
      element.removeEventListener("pointerdown", keepForLink, { capture: true });
    };
  }, []);
  useEffect(() => {
    if (width === 0) return;
    const chart = draw(width);
    label(chart, `${title}. ${description}`);
    place.current?.replaceChildren(chart);
    setIsDrawn(true);
  }, [draw, width, title, description]);
  return (
    <figure className="figure">
      <figcaption>
        <h2>{title}</h2>
        <Downloads name={name} place={place} rows={rows} isDrawn={isDrawn} />
      </figcaption>
      {children}
      <div ref={place} className="chart" />
    </figure>
  );
}

/** Names a chart and the links in it; what only draws is kept from screen readers. */
function label(chart: Element, name: string): void {
  for (const svg of findSvgs(chart)) {
    const links = [...svg.querySelectorAll("a")];
    for (const link of links) {
      const text =
        link.querySelector("[aria-label]")?.getAttribute("aria-label") ??
        link.querySelector("title")?.textContent;
      link.setAttribute("aria-label", (text ?? "").replaceAll("\n", ", "));
    }
    for (const part of svg.querySelectorAll("[aria-label]:not(a)")) part.removeAttribute("aria-label");
    if (svg.closest("[class*=swatch]") !== null) {
      svg.setAttribute("aria-hidden", "true");
      continue;
    }
    svg.setAttribute("role", links.length > 0 ? "group" : "img");
    svg.setAttribute("aria-label", name);
    if (links.length > 0)
      for (const part of svg.children)
        if (part.querySelector("a") === null) part.setAttribute("aria-hidden", "true");
  }
}

function findSvgs(chart: Element): readonly SVGSVGElement[] {
  return chart instanceof SVGSVGElement ? [chart] : [...chart.querySelectorAll("svg")];
}

interface DownloadsProps {
  readonly name: string;
  readonly place: { readonly current: HTMLDivElement | null };
  readonly rows: readonly DataRow[];
  readonly isDrawn: boolean;
}

function Downloads({ name, place, rows, isDrawn }: DownloadsProps): ReactNode {
  const find = (): SVGSVGElement | undefined =>
    [...(place.current?.querySelectorAll("svg") ?? [])].sort((a, b) => b.clientWidth - a.clientWidth)[0];
  const saveSvg = (): void => {
    const svg = find();
    if (svg !== undefined) save(new Blob([serialize(svg)], { type: "image/svg+xml" }), `${name}.svg`);
  };
  const savePng = async (): Promise<void> => {
    const svg = find();
    if (svg !== undefined) save(await paint(svg), `${name}.png`);
  };
  const saveCsv = (): void => save(new Blob([formatCsv(rows)], { type: "text/csv" }), `${name}.csv`);
  return (
    <span className="downloads">
      <button type="button" disabled={!isDrawn} onClick={saveSvg} aria-label={`Save ${name} as SVG`}>
        SVG
      </button>
      <button
        type="button"
        disabled={!isDrawn}
        onClick={() => void savePng()}
        aria-label={`Save ${name} as PNG`}
      >
        PNG
      </button>
      <button
        type="button"
        disabled={!isDrawn}
        onClick={saveCsv}
        aria-label={`Save the data of ${name} as CSV`}
      >
        CSV
      </button>
    </span>
  );
}

/** Milliseconds that a download is kept for the browser to read. */
const keptMs = 60_000;

function save(blob: Blob, name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  // A busy browser may take its time to read it.
  setTimeout(() => URL.revokeObjectURL(link.href), keptMs);
}

/** The chart as a file of its own: colors that the page's style sheet defines are written out. */
function serialize(svg: SVGSVGElement): string {
  const copy = svg.cloneNode(true) as SVGSVGElement;
  copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  const style = getComputedStyle(document.documentElement);
  copy.style.background = style.getPropertyValue("--surface");
  copy.style.color = style.getPropertyValue("--text");
  copy.style.fontFamily = "system-ui, sans-serif";
  return new XMLSerializer()
    .serializeToString(copy)
    .replaceAll(/var\((--[\w-]+)\)/g, (_, name: string) => style.getPropertyValue(name).trim());
}

/** The chart as pixels, twice as dense as on the screen. */
async function paint(svg: SVGSVGElement): Promise<Blob> {
  const image = new Image();
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(serialize(svg))}`;
  await image.decode();
  const { width, height } = svg.getBoundingClientRect();
  const canvas = document.createElement("canvas");
  canvas.width = 2 * width;
  canvas.height = 2 * height;
  canvas.getContext("2d")?.drawImage(image, 0, 0, canvas.width, canvas.height);
  return await new Promise((resolve, reject) =>
    canvas.toBlob((blob) => (blob === null ? reject(new Error("Cannot draw the chart")) : resolve(blob))),
  );
}
