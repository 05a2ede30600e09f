/** The studio and the report as a reader sees them: in a browser, on one small run with forgetting, repairs and spectra. */
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  countMoving,
  describeInBrowser,
  expectDownload,
  expectReloadToShowTheSame,
  followChartLink,
  type GrowingRun,
  listChartLinks,
  listViolations,
  makeRuns,
  type RunningStudio,
  readFocus,
  readGrid,
  readRows,
  readSolved,
  readView,
  save,
  settle,
  startStudio,
  tabTo,
  visit,
  watchGrow,
} from "./support/browser.ts";
import { readParquet } from "./support/spectra.ts";
import { createTemporaryFolder, parseJson, removeFolder, runUntwist } from "./support/untwist.ts";

/** Every view of a run, and a heading that only it has. */
const views = {
  Trajectory: /tasks solved by checkpoint/i,
  Repairs: /OOD gained in sft-30/i,
  Weights: /rotation beyond chance, sft-3 → sft-30/i,
  Matrix: /principal angles/i,
  Answers: /OOD task \d+/i,
  Training: /advantages over updates/i,
} as const;

const points = (share: number): string => {
  const text = (100 * share).toFixed(1).replace(/^-(0\.0$)?/, (_, zero = "−") => zero);
  return Number(text) > 0 ? `+${text}` : text;
};
/** An end of an interval: without a plus. */
const endpoint = (share: number): string => points(share).replace("+", "");

type Numbers = Readonly<Record<string, number>>;
type Count = { readonly correct: number; readonly total: number };
const percent = ({ correct, total }: Count): string => `${((100 * correct) / total).toFixed(1)} %`;

describeInBrowser("runs in a browser", (openPage) => {
  const folder = createTemporaryFolder();
  afterAll(() => removeFolder(folder));
  const place = { UNTWIST_CACHE: join(folder, "cache") };
  const run = join(folder, "runs/run");
  const report = pathToFileURL(join(folder, "report.html")).href;
  let studio: RunningStudio;

  beforeAll(async () => {
    await makeRuns(folder, place);
    const reported = await runUntwist(["report", "runs/run", "--out", "report.html"], folder, place);
    expect(reported.code, reported.stderr).toBe(0);
    studio = await startStudio("runs", folder, place);
  });
  afterAll(() => studio?.stop());

  const readSummary = (): ReturnType<typeof parseJson> =>
    parseJson(readFileSync(join(run, "summary.json"), "utf8"));
  const inRun = (view: string, query = "", id = "run"): string =>
    `${studio.address}#/run/${id}/${view.toLowerCase()}${query}`;

  describe("the report", () => {
    it("opens from a disk without a complaint or a request, and all its views are reached by keyboard", async () => {
      const { page, complaints, requests } = await openPage();
      await visit(page, report);
      for (const [name, heading] of Object.entries(views)) {
        await tabTo(page, name);
        await page.keyboard.press("Enter");
        await page.getByRole("heading", { name: heading }).first().waitFor();
        await settle(page);
        expect(await page.title()).toContain(name);
        expect(await page.locator("nav [aria-current=page]").allTextContents()).toEqual([name]);
      }
      expect(complaints).toEqual([]);
      expect([...new Set(requests.map((address) => address.replace(/#.*/, "")))]).toEqual([report]);
    });

    it("shows the numbers of the summary", async () => {
      const { trajectory, checkpoints, repairs } = readSummary();
      const { page } = await openPage();
      await visit(page, report);
      expect(await page.locator(".tiles b").allTextContents()).toEqual([
        percent(trajectory.peak.ood),
        percent(trajectory.sftEnd.ood),
        points(-trajectory.forgetting.estimate),
        points(repairs[0].best.gain.estimate),
      ]);
      const count = ({ correct, total }: Count): string => `${correct}/${total}`;
      expect((await readRows(page, "data-checkpoint")).map((cells) => cells.slice(0, 6))).toEqual(
        // biome-ignore lint/suspicious/noExplicitAny: as parseJson
        checkpoints.map(({ id, accuracy, values, loss }: any) => [
          id,
          ...[accuracy.id, accuracy.ood, values.ood].map(count),
          ...[loss.id, loss.ood].map((value) => value.toFixed(3)),
        ]),
      );
    });

    it("shows every repair and control of the grid, and marks only the best", async () => {
      const [{ repairs, best }] = readSummary().repairs;
      const { page } = await openPage();
      await visit(page, `${report}#/run/run/repairs`);
      const rows = (await readRows(page, "data-repair")).map((cells) => [cells[0], cells[3]]);
      // biome-ignore lint/suspicious/noExplicitAny: as parseJson
      const expected = repairs.map(({ name, gain: { estimate, low, high } }: any) => [
        name,
        `${points(estimate)} [${endpoint(low)}, ${endpoint(high)}]`,
      ]);
      expect([...rows].sort()).toEqual([...expected].sort());
      const marked = page.locator("tr.best");
      expect(await marked.count()).toBe(1);
      expect(await marked.getAttribute("data-repair")).toBe(best.name);
    });

    it.each([
      ["beyondChance", (row: Numbers) => row.rotation! / row.rotation_chance!, 0.006],
      ["relativeUpdate", (row: Numbers) => 100 * row.relative!, 0.06],
    ] as const)("shows %s of all matrices as the tables have it", async (measure, read, error) => {
      const { rows } = await readParquet(join(run, "spectra/updates.parquet"));
      const expected = rows.filter(({ before, after }) => before === "sft-3" && after === "sft-30");
      const { page } = await openPage();
      await visit(page, `${report}#/run/run/weights?measure=${measure}&before=sft-3&after=sft-30`);
      const links = await listChartLinks(page);
      expect(links).toHaveLength(expected.length);
      for (const row of expected) {
        const { text } = links.find(({ address }) => address.includes(`name=${row.name}`))!;
        const [shown] = /[\d.]+(?= ?[×%])/.exec(text.replace(String(row.name), "")) ?? [text];
        expect(Math.abs(Number(shown) - read(row as Numbers)), `${row.name}: ${text}`).toBeLessThan(error);
      }
    });

    it("colors the grid of answers as the evaluations say, and finds what was forgotten", async () => {
      const { trajectory, checkpoints } = readSummary();
      const { page } = await openPage();
      await visit(page, `${report}#/run/run/answers`);
      const [peak, end] = [trajectory.peak, trajectory.sftEnd].map((one) => readSolved(run, one.checkpoint));
      const forgotten = peak!.map((solved, task) => solved && !end![task]);
      for (const filter of ["all", "solved at the peak, failed at the end of SFT"]) {
        await page.getByLabel("show").selectOption({ label: filter });
        const tasks = [...peak!.keys()].filter((task) => filter === "all" || forgotten[task]);
        expect(tasks.length).toBeGreaterThan(10);
        await page.getByText(`${tasks.length} tasks`, { exact: true }).waitFor();
        expect(await readGrid(page, tasks.length, checkpoints.length)).toEqual(
          checkpoints.map(({ id }: { id: string }) => {
            const solved = readSolved(run, id);
            return tasks.map((task) => (solved[task] ? "■" : "·")).join("");
          }),
        );
      }
    });
  });

  describe("the studio", () => {
    it("leads from the list of runs to every view by clicks, and each address shows the same again", async () => {
      const { page, complaints, requests } = await openPage();
      await visit(page, studio.address);
      await page.getByRole("link", { name: "run", exact: true }).click();
      await page.getByRole("heading", { name: views.Trajectory }).waitFor();
      const trajectory = page.url();
      await expectReloadToShowTheSame(page);
      await followChartLink(page, /sft-20/);
      expect(page.url()).toContain("sft-20");
      expect(await readView(page)).toContain("sft-20");
      await expectReloadToShowTheSame(page);
      await page.goBack();
      await page.getByRole("heading", { name: views.Trajectory }).waitFor();
      expect(page.url()).toBe(trajectory);
      await page.locator("[data-checkpoint=sft-20]").getByRole("link", { name: "weights" }).click();
      await page.getByRole("heading", { name: /sft-3 → sft-20/ }).waitFor();
      await page.getByLabel("show").selectOption({ label: "size of the update" });
      await page.getByRole("heading", { name: /size of the update, sft-3 → sft-20/ }).waitFor();
      await expectReloadToShowTheSame(page);
      await followChartLink(page, /layers\.1\.mlp\.up_proj/);
      await page.getByRole("heading", { name: "model.layers.1.mlp.up_proj.weight" }).waitFor();
      await settle(page);
      await expectReloadToShowTheSame(page);
      const matrix = page.url();
      for (const name of ["Repairs", "Answers"] as const) {
        await page.getByRole("link", { name, exact: true }).click();
        await page.getByRole("heading", { name: views[name] }).waitFor();
        await settle(page);
      }
      await page.getByLabel("show").selectOption("forgotten");
      await page.locator("canvas").click({ position: { x: 55, y: 20 } });
      await expectReloadToShowTheSame(page);
      await page.goBack();
      await page.getByRole("heading", { name: views.Repairs }).waitFor();
      await page.goBack();
      await page.getByRole("heading", { name: "model.layers.1.mlp.up_proj.weight" }).waitFor();
      expect(page.url()).toBe(matrix);
      expect(complaints).toEqual([]);
      expect(requests.filter((address) => !address.startsWith(studio.address))).toEqual([]);
    });

    it("skips to the content without leaving the view", async () => {
      const { page } = await openPage();
      await visit(page, inRun("weights"));
      await tabTo(page, "Skip to content", 1);
      await page.keyboard.press("Enter");
      await page.locator("#content:focus").waitFor();
      expect(await page.getByRole("heading", { name: views.Weights }).count()).toBe(1);
      expect((await readFocus(page))?.element).toContain('id="content"');
    });
  });

  describe("a run that goes on", () => {
    const watch = (view: string, body: (page: Page, live: GrowingRun) => Promise<void>): Promise<void> =>
      watchGrow({ run, cwd: folder, environment: place, view, openPage }, body);

    it("keeps a chart as it is, and the focus in it, while nothing changes", async () => {
      await watch("trajectory", async (page) => {
        const link = await page.locator(".chart svg a").first().elementHandle();
        await link?.focus();
        // It asks for the run again and again, and finds it as it was.
        for (const _ of [1, 2, 3]) await page.waitForResponse(/\/api\/run\//);
        expect(await link?.evaluate((element) => element.isConnected && element.matches(":focus"))).toBe(
          true,
        );
      });
    });

    it("shows new checkpoints and its end without being asked", async () => {
      await watch("trajectory", async (page, live) => {
        const rows = page.locator("[data-checkpoint]");
        await page.getByText(/running/).waitFor();
        expect(await rows.count()).toBe(4);
        live.cut(1);
        await page.getByText("No SFT checkpoint is evaluated so far").waitFor();
        live.cut(7);
        await expect.poll(() => rows.count(), { timeout: 300_000 }).toBe(7);
        expect(await page.getByText(/running, 7 checkpoints/).count()).toBe(1);
        live.finish();
        await expect.poll(() => rows.count(), { timeout: 300_000 }).toBe(10);
        expect(await page.getByText(/running/).count()).toBe(0);
        expect(await page.locator(".tiles li").count()).toBe(4);
      });
    });

    it("shows new rows of answers", async () => {
      await watch("answers", async (page, live) => {
        live.cut(7);
        await expect.poll(() => page.locator(".grades li").count(), { timeout: 300_000 }).toBe(7);
      });
    });

    it.each(["weights", "matrix", "repairs"])("shows its %s as soon as it ends", async (view) => {
      await watch(view, async (page, live) => {
        expect(await readView(page)).toMatch(/at the end of a run/);
        live.finish();
        await expect.poll(() => page.locator(".chart svg").count(), { timeout: 300_000 }).toBeGreaterThan(0);
      });
    });
  });

  describe("states", () => {
    it("says how to begin in a folder without runs", async () => {
      mkdirSync(join(folder, "empty"), { recursive: true });
      const empty = await startStudio("empty", folder, place);
      const { page } = await openPage();
      await visit(page, empty.address);
      expect(await readView(page)).toMatch(/no run.*untwist run/is);
      await empty.stop();
    });

    it("names a run that does not exist, and leads back", async () => {
      const { page } = await openPage();
      await visit(page, inRun("weights", "", "none"));
      expect(await page.getByRole("alert").innerText()).toContain('"none"');
      await page.getByRole("link", { name: "Runs" }).click();
      await page.getByRole("link", { name: "bare", exact: true }).waitFor();
    });

    it("says that it is loading, and what went wrong", async () => {
      const { page } = await openPage();
      const isSeen = page.getByRole("status").filter({ hasText: "Loading" }).waitFor();
      await page.route("**/api/run/answers?*", async (route) => {
        await isSeen;
        await route.fulfill({ status: 500, json: { error: "The disk is gone" } });
      });
      await page.goto(inRun("answers"));
      await isSeen;
      await page.getByRole("alert").filter({ hasText: "The disk is gone" }).waitFor();
    });

    it.each([
      ["weights", "spectra"],
      ["matrix", "spectra"],
      ["repairs", "repair"],
    ])("says in %s how to add what was left out: untwist %s", async (view, command) => {
      const { page } = await openPage();
      await visit(page, inRun(view, "", "bare"));
      const text = await readView(page);
      const [found] = new RegExp(`untwist ${command} \\S+`).exec(text) ?? [];
      expect(found, text).toBeDefined();
      const help = await runUntwist(["show", found!.split(" ")[2]!], folder, place);
      expect(help.code, `${found}: ${help.stderr}`).toBe(0);
    });
  });

  describe("downloads", () => {
    it.each(["trajectory", "repairs", "weights", "matrix", "training"])(
      "of %s are whole: every chart as SVG, PNG and CSV",
      async (view) => {
        const { page } = await openPage();
        await visit(page, inRun(view));
        const labels = await page
          .getByRole("button", { name: /^Save .* as / })
          .evaluateAll((all) => all.map((button) => button.getAttribute("aria-label") ?? ""));
        expect(labels.length).toBeGreaterThanOrEqual(3);
        // Chromium asks its user before a page saves an eleventh file; here nobody answers.
        for (let first = 0; first < labels.length; first += 9) {
          const opened = await openPage();
          await visit(opened.page, inRun(view));
          for (const label of labels.slice(first, first + 9)) await expectDownload(opened.page, label);
          expect(opened.complaints).toEqual([]);
        }
      },
    );

    it("of the curve in the report hold a row for every point", async () => {
      const { checkpoints } = readSummary();
      const { page } = await openPage();
      await visit(page, report);
      const [head, ...rows] = String(await save(page, "Save the data of trajectory-accuracy as CSV"))
        .trim()
        .split("\n")
        .map((row) => row.split(","));
      const found = rows.map((row) => {
        const cell = (name: string): string => row[head!.indexOf(name)]!;
        return `${cell("checkpoint")} ${cell("split")} ${percent({ correct: Number(cell("value")), total: 1 })}`;
      });
      // The branch of RL begins with the checkpoint that it started from.
      const start = checkpoints.find(({ id }: { id: string }) => id === "sft-12");
      // biome-ignore lint/suspicious/noExplicitAny: as parseJson
      const expected = [...checkpoints, start].flatMap(({ id, accuracy }: any) => [
        `${id} ID ${percent(accuracy.id)}`,
        `${id} OOD ${percent(accuracy.ood)}`,
      ]);
      expect([...found].sort()).toEqual([...expected].sort());
      for (const kind of ["SVG", "PNG"]) await expectDownload(page, `Save trajectory-accuracy as ${kind}`);
    });
  });

  describe("accessibility", () => {
    // Colors and widths break different things: each is looked at once.
    const looks = [
      ["light", 390],
      ["dark", 1280],
    ] as const;

    it.each(looks)("is not violated in any view, %s, %i px wide", async (scheme, width) => {
      const { page } = await openPage({
        colorScheme: scheme,
        viewport: { width, height: 800 },
        bypassCSP: true,
      });
      const found: string[] = [];
      const addresses = [
        studio.address,
        ...Object.keys(views).map((view) => inRun(view)),
        ...["weights", "repairs", "matrix"].map((view) => inRun(view, "", "bare")),
        inRun("trajectory", "", "none"),
      ];
      for (const address of addresses) {
        await visit(page, address);
        const name = address.slice(studio.address.length);
        found.push(...(await listViolations(page)).map((violation) => `${name} ${violation}`));
      }
      expect(found).toEqual([]);
    });

    it("has a visible focus at every stop of Tab, not hidden by the header", async () => {
      const { page } = await openPage();
      await visit(page, inRun("trajectory"));
      const stops = new Set<string>();
      for (let press = 0; press < 90; press++) {
        await page.keyboard.press("Tab");
        const focus = await readFocus(page);
        if (focus === undefined) break;
        stops.add(focus.element);
        expect(focus).toMatchObject({ isHidden: false });
        expect(focus.outline, focus.element).toBeGreaterThanOrEqual(2);
      }
      expect(stops.size).toBeGreaterThan(15);
    });

    it("moves nothing for a reader who asked for less motion", async () => {
      for (const reducedMotion of ["no-preference", "reduce"] as const) {
        const { page } = await openPage({ reducedMotion });
        await visit(page, inRun("trajectory"));
        expect((await countMoving(page)) > 0).toBe(reducedMotion === "no-preference");
      }
    });
  });
});
