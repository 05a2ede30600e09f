/** Pages in a real browser, as a reader sees them, and what is wrong with them: complaints, requests, accessibility. */
import { cpSync, existsSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect } from "vitest";
import { type Environment, parseJson, runUntwist, startUntwist } from "./untwist.ts";

// What functions below find once they are inside a page: the types of this project know no DOM.
// biome-ignore lint/suspicious/noExplicitAny: there are no types for it here
declare const document: any;
// biome-ignore lint/suspicious/noExplicitAny: there are no types for it here
declare const getComputedStyle: (element: any) => any;
declare const innerHeight: number;
declare const innerWidth: number;

const places = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
const executable = places.find((path) => existsSync(path));
const isRequired = process.env.UNTWIST_REQUIRE_SYSTEM_PACKAGES === "1";

const args = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** A page, and what it did that a test may want to know. */
export interface OpenedPage {
  readonly page: Page;
  /** Errors and warnings on the console, and uncaught errors. */
  readonly complaints: readonly string[];
  /** Addresses that were asked for, without `data:` and `blob:`, which never leave the page. */
  readonly requests: readonly string[];
}

/** Opens an empty page; it is closed after the test. */
export type OpenPage = (options?: BrowserContextOptions) => Promise<OpenedPage>;

/** Describes what needs a browser; it is left out where there is none and none is required. */
export function describeInBrowser(title: string, body: (openPage: OpenPage) => void): void {
  if (executable === undefined) {
    if (isRequired) throw new Error("Cannot test in a browser: there is no chromium, and it is required");
    describe.skip(`${title} (no chromium on this machine)`, () => body(refuseToOpen));
    return;
  }
  describe(title, () => {
    let browser: Browser;
    beforeAll(async () => {
      browser = await chromium.launch({ executablePath: executable, args });
    });
    afterEach(async () => {
      await Promise.all(browser.contexts().map((context) => context.close()));
    });
    afterAll(() => browser.close());
    body((options) => openPage(browser, options));
  });
}

const refuseToOpen: OpenPage = () => Promise.reject(new Error("There is no browser on this machine"));

async function openPage(browser: Browser, options: BrowserContextOptions = {}): Promise<OpenedPage> {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(300_000);
  const [complaints, requests]: [string[], string[]] = [[], []];
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) complaints.push(message.text());
  });
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("request", (request) => {
    if (!/^(data|blob):/.test(request.url())) requests.push(request.url());
  });
  return { page, complaints, requests };
}

/** Goes to an address as if it were typed into a new tab, and waits until the view is there. */
export async function visit(page: Page, address: string): Promise<void> {
  // Another part after the # alone would not load the page anew.
  await page.goto("about:blank");
  await page.goto(address);
  await settle(page);
}

/** Waits until nothing is loading and every chart is drawn. */
export async function settle(page: Page): Promise<void> {
  await page.waitForFunction(() => {
    const main = document.querySelector("main");
    const charts = [...document.querySelectorAll(".chart")];
    const isLoading = [...(main?.querySelectorAll("[role=status]") ?? [])].some((one) =>
      one.textContent?.startsWith("Loading"),
    );
    return main?.textContent !== "" && !isLoading && charts.every((one) => one.querySelector("svg") !== null);
  });
}

/** All text in the view, once nothing more comes. */
export async function readView(page: Page): Promise<string> {
  for (let text = ""; ; ) {
    await settle(page);
    const next = await page.locator("main").innerText();
    if (next === text) return text;
    text = next;
    await page.waitForTimeout(300);
  }
}

/** Presses Tab until the focus is on what has this text; fails after `most` presses. */
export async function tabTo(page: Page, name: string, most = 60): Promise<void> {
  for (let presses = 0; presses < most; presses++) {
    await page.keyboard.press("Tab");
    if ((await page.evaluate(() => document.activeElement?.textContent)) === name) return;
  }
  throw new Error(`"${name}" is not reached by ${most} presses of Tab`);
}

/** A link inside a chart: what it says to a reader who points at it, and where it leads. */
export interface ChartLink {
  readonly text: string;
  readonly address: string;
}

/** The links in charts. */
export function listChartLinks(page: Page): Promise<readonly ChartLink[]> {
  return page.locator(".chart svg a").evaluateAll((links) =>
    links.map((link) => ({
      text: `${link.getAttribute("aria-label") ?? ""}\n${link.textContent}`,
      address: link.getAttribute("href") ?? link.getAttributeNS("http://www.w3.org/1999/xlink", "href") ?? "",
    })),
  );
}

/** Follows the first link of a chart whose address matches. */
export async function followChartLink(page: Page, address: RegExp): Promise<void> {
  const links = await listChartLinks(page);
  const index = links.findIndex((link) => address.test(link.address));
  if (index < 0) throw new Error(`No chart links to ${address}`);
  await page.locator(".chart svg a").nth(index).click();
  await settle(page);
}

/** Presses a button that saves something, and reads what came. */
export async function save(page: Page, button: string): Promise<Buffer> {
  await settle(page);
  const [coming] = await Promise.all([
    page.waitForEvent("download"),
    page.getByRole("button", { name: button, exact: true }).click(),
  ]);
  return readFileSync(await coming.path());
}

/** Expects that the button saves a file of the kind that its name ends with, and whole. */
export async function expectDownload(page: Page, button: string): Promise<void> {
  const bytes = await save(page, button);
  if (button.endsWith("PNG")) {
    expect(bytes.subarray(0, 8).toString("hex")).toBe("89504e470d0a1a0a");
    // Larger than an icon.
    expect(bytes.readUInt32BE(16)).toBeGreaterThan(600);
  } else if (button.endsWith("SVG")) {
    expect(await checkSvg(page, bytes.toString()), button).toBe("");
    expect(bytes.toString()).not.toContain("var(--");
  } else {
    const lines = bytes.toString().trim().split("\n");
    const numCells = lines.map((line) => line.replaceAll(/"[^"]*"/g, "").split(",").length);
    expect(lines.length).toBeGreaterThan(1);
    expect(new Set(numCells).size).toBe(1);
  }
}

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** Accessibility violations and what is wider than the window, a line each; needs a page that was opened with `bypassCSP`. */
export async function listViolations(page: Page): Promise<readonly string[]> {
  await page.addScriptTag({ content: axe });
  return await page.evaluate(async () => {
    // biome-ignore lint/suspicious/noExplicitAny: the script above puts it there
    const { violations } = await (globalThis as any).axe.run();
    const excess = document.documentElement.scrollWidth - innerWidth;
    const overflow = excess > 0 ? [`${excess} px wider than the window`] : [];
    return overflow.concat(
      violations.map(
        // biome-ignore lint/suspicious/noExplicitAny: axe's own types would need its global
        ({ id, impact, nodes }: any) => `${id} (${impact}) × ${nodes.length}: ${nodes[0].html.slice(0, 90)}`,
      ),
    );
  });
}

/** A studio that runs, as a user starts it. */
export interface RunningStudio {
  readonly address: string;
  stop(): Promise<void>;
}

/** Starts `untwist studio FOLDER` in `cwd`, and waits until it says where it is. */
export async function startStudio(
  folder: string,
  cwd: string,
  environment: Environment = {},
): Promise<RunningStudio> {
  const { child, outcome } = startUntwist(["studio", folder], cwd, environment);
  const address = await new Promise<string>((resolve, reject) => {
    child.stdout?.on("data", (text: string) => {
      const found = /http:\/\/\S+/.exec(text)?.[0];
      if (found !== undefined) resolve(found);
    });
    void outcome.then(({ stderr }) => reject(new Error(stderr)), reject);
  });
  return {
    address,
    stop: async () => {
      child.kill("SIGTERM");
      await outcome;
    },
  };
}

/** The element in focus as a reader sees it. */
export interface Focus {
  readonly element: string;
  /** Pixels; 0 where there is none. */
  readonly outline: number;
  /** Whether the header lies over it, or it is out of the window. */
  readonly isHidden: boolean;
}

/** The element in focus; `undefined` where nothing is. */
export function readFocus(page: Page): Promise<Focus | undefined> {
  return page.evaluate(() => {
    const element = document.activeElement;
    if (element === null || element === document.body) return;
    const { outlineStyle, outlineWidth } = getComputedStyle(element);
    const header = document.querySelector("header")?.getBoundingClientRect().bottom ?? 0;
    const { top, bottom } = element.getBoundingClientRect();
    const isBelowHeader = element.closest("header, .skip") === null;
    return {
      element: element.outerHTML.slice(0, 100),
      outline: outlineStyle === "none" ? 0 : Number.parseFloat(outlineWidth),
      isHidden: (isBelowHeader && bottom <= header) || top >= innerHeight,
    };
  });
}

/** How many elements have a transition or an animation. */
export function countMoving(page: Page): Promise<number> {
  return page.evaluate(
    () =>
      [...document.querySelectorAll("*")].filter((element) => {
        const { transitionDuration, animationName } = getComputedStyle(element);
        return /[1-9]/.test(transitionDuration) || animationName !== "none";
      }).length,
  );
}

/** The grid of answers as its pixels have it, a text a checkpoint: ■ for solved tasks, · for all others. */
export function readGrid(page: Page, numTasks: number, numCheckpoints: number): Promise<readonly string[]> {
  return page.locator("canvas").evaluate(
    // biome-ignore lint/suspicious/noExplicitAny: there are no types for it here
    (canvas: any, [columns, rows]) => {
      const context = canvas.getContext("2d");
      context.fillStyle = getComputedStyle(document.documentElement).getPropertyValue("--good");
      const solved = String(context.fillStyle);
      return Array.from({ length: rows }, (_, row) =>
        Array.from({ length: columns }, (__, column) => {
          const [x, y] = [(canvas.width / columns) * (column + 0.4), (canvas.height / rows) * (row + 0.4)];
          const [red = 0, green = 0, blue = 0] = context.getImageData(x, y, 1, 1).data;
          const color = [red, green, blue].map((part) => part.toString(16).padStart(2, "0")).join("");
          return `#${color}` === solved ? "■" : "·";
        }).join(""),
      );
    },
    [numTasks, numCheckpoints] as const,
  );
}

/** What is wrong with the text of an SVG file as the browser reads it; empty for none. */
function checkSvg(page: Page, text: string): Promise<string> {
  return page.evaluate((source) => {
    // biome-ignore lint/suspicious/noExplicitAny: there are no types for it here
    const { DOMParser } = globalThis as any;
    const parsed = new DOMParser().parseFromString(source, "image/svg+xml");
    const error = parsed.querySelector("parsererror")?.textContent ?? "";
    return parsed.documentElement.localName === "svg" ? error : `${error} no svg`;
  }, text);
}

/** Rows of a table: the attribute that marks them, then their cells. */
export function readRows(page: Page, attribute: string): Promise<readonly (readonly string[])[]> {
  return page.locator(`[${attribute}]`).evaluateAll(
    // biome-ignore lint/suspicious/noExplicitAny: there are no types for it here
    (rows: any[], name) =>
      rows.map((row) => [
        row.getAttribute(name),
        // biome-ignore lint/suspicious/noExplicitAny: there are no types for it here
        ...[...row.querySelectorAll("td")].map((cell: any) => cell.textContent),
      ]),
    attribute,
  );
}

/** Expects that the address alone leads to what is shown. */
export async function expectReloadToShowTheSame(page: Page): Promise<void> {
  const [before, address] = [await readView(page), page.url()];
  await page.reload();
  expect(page.url()).toBe(address);
  expect(await readView(page)).toBe(before);
}

/** Makes `runs/run`, with forgetting, a repair grid and spectra, and `runs/bare`, without any of them. */
export async function makeRuns(folder: string, environment: Environment): Promise<void> {
  const runs = {
    run: ["evaluation.numTasks=60", "sft.numSteps=30", "sft.checkpoints=[1,2,3,5,12,20]"].concat(
      ...["rl.0.numUpdates=4", "rl.0.checkpoints=[2]"],
    ),
    bare: ["evaluation.numTasks=10", "sft.numSteps=3", "sft.checkpoints=[1]", "rl=[]"].concat(
      ...["spectra=false", "repairs=false"],
    ),
  };
  for (const [name, changes] of Object.entries(runs)) {
    const settings = changes.flatMap((change) => ["--set", change]);
    const command = ["run", "general-points-quick", "--out", `runs/${name}`, ...settings];
    const { code, stderr } = await runUntwist(command, folder, environment);
    expect(code, stderr).toBe(0);
  }
}

/** Which OOD tasks the evaluation of a checkpoint says were solved. */
export function readSolved(run: string, checkpoint: string): readonly boolean[] {
  const lines = readFileSync(join(run, `evaluations/${checkpoint}.jsonl`), "utf8")
    .trim()
    .split("\n");
  return lines
    .map(parseJson)
    .filter(({ split }) => split === "ood")
    .map(({ parts }) => parts.solved);
}

/** A run that goes on when it is told to. */
export interface GrowingRun {
  /** As it was after so many checkpoints. */
  cut(numCheckpoints: number): void;
  /** All that it ends with, in the order in which a run writes it. */
  finish(): void;
}

interface Watched {
  /** A finished run. */
  readonly run: string;
  readonly cwd: string;
  readonly environment: Environment;
  readonly view: string;
  readonly openPage: OpenPage;
}

/** Opens a view of a copy of the run that has four checkpoints so far; `body` lets it go on. */
export async function watchGrow(
  { run, cwd, environment, view, openPage }: Watched,
  body: (page: Page, live: GrowingRun) => Promise<void>,
): Promise<void> {
  const live = growRun(run, join(cwd, "growing/live"), 4);
  const studio = await startStudio("growing", cwd, environment);
  try {
    const { page } = await openPage();
    await visit(page, `${studio.address}#/run/live/${view}`);
    await page.evaluate(() => Object.assign(globalThis, { isSamePage: true }));
    await body(page, live);
    expect(await page.evaluate(() => "isSamePage" in globalThis)).toBe(true);
  } finally {
    await studio.stop();
  }
}

/** Copies a finished run to `path` as it was after so many checkpoints. */
function growRun(run: string, path: string, numCheckpoints: number): GrowingRun {
  const whole = (name: string): string => readFileSync(join(run, name), "utf8");
  const put = (name: string, text: string): void => {
    writeFileSync(join(path, `${name}.new`), text);
    renameSync(join(path, `${name}.new`), join(path, name));
  };
  const cut = (length: number): void => {
    const { schema, checkpoints } = parseJson(whole("lineage.json"));
    put("lineage.json", JSON.stringify({ schema, checkpoints: checkpoints.slice(0, length) }));
  };
  rmSync(path, { recursive: true, force: true });
  cpSync(run, path, { recursive: true });
  for (const name of ["summary.json", "spectra", "repairs"]) rmSync(join(path, name), { recursive: true });
  cut(numCheckpoints);
  return {
    cut,
    finish: () => {
      put("lineage.json", whole("lineage.json"));
      for (const name of ["repairs", "spectra"])
        cpSync(join(run, name), join(path, name), { recursive: true });
      put("summary.json", whole("summary.json"));
    },
  };
}
