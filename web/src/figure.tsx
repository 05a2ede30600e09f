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
  useEffect(() => {
    const element = place.current;
    if (element === null) return;
    const observer = new ResizeObserver(([entry]) => setWidth(Math.round(entry?.contentRect.width ?? 0)));
    observer.observe(element);
    return () => observer.disconnect();
  }, []);
  useEffect(() => {
    if (width === 0) return;
    const chart = draw(width);
    for (const svg of findSvgs(chart)) {
      svg.setAttribute("role", "img");
      svg.setAttribute("aria-label", `${title}. ${description}`);
    }
    place.current?.replaceChildren(chart);
  }, [draw, width, title, description]);
  return (
    <figure className="figure">
      <figcaption>
        <h3>{title}</h3>
        <Downloads name={name} place={place} rows={rows} />
      </figcaption>
      {children}
      <div ref={place} className="chart" />
    </figure>
  );
}

function findSvgs(chart: Element): readonly SVGSVGElement[] {
  return chart instanceof SVGSVGElement ? [chart] : [...chart.querySelectorAll("svg")];
}

interface DownloadsProps {
  readonly name: string;
  readonly place: { readonly current: HTMLDivElement | null };
  readonly rows: readonly DataRow[];
}

function Downloads({ name, place, rows }: DownloadsProps): ReactNode {
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
      <button type="button" onClick={saveSvg} aria-label={`Save ${name} as SVG`}>
        SVG
      </button>
      <button type="button" onClick={() => void savePng()} aria-label={`Save ${name} as PNG`}>
        PNG
      </button>
      <button type="button" onClick={saveCsv} aria-label={`Save the data of ${name} as CSV`}>
        CSV
      </button>
    </span>
  );
}

function save(blob: Blob, name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

/** The chart as a file of its own: colours that the page's style sheet defines are written out. */
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
