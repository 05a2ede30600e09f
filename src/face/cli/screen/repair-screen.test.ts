import { describe, expect, it } from "vitest";
import type { RepairRecord } from "../../../run/index.ts";
import { colorPaint, plainPaint } from "./paint.ts";
import { formatRepairs, formatRepairsSummary } from "./repair-screen.ts";
import { visibleLength } from "./table.ts";

type Repair = RepairRecord["repairs"][number];

const count = (correct: number): Repair["id"] => ({ correct, total: 200 });
const ratio = (estimate: number): NonNullable<Repair["recovered"]> => ({
  estimate,
  low: 0,
  high: 1,
  numItems: 100,
});

/** A difference whose interval lies 10 points to both sides. */
function contrast(estimate: number, pValue = 0.01): Repair["gain"] {
  return {
    estimate,
    low: estimate - 0.1,
    high: estimate + 0.1,
    pValue,
    numItems: 100,
    onlyFirst: 50,
    onlySecond: 50,
  };
}

function repair(
  name: string,
  gain: number,
  { pValue = 0.5, ...rest }: Partial<Repair> & { readonly pValue?: number } = {},
): Repair {
  return {
    name,
    role: "edit",
    operation: { operation: "restore", what: "directions", top: 1, tail: 0, strength: 1 },
    id: count(150),
    ood: count(90),
    gain: contrast(gain, pValue),
    idGain: contrast(0),
    recovered: ratio(0.25),
    moved: 0.125,
    ...rest,
  };
}

const rollback = { role: "rollback", operation: { operation: "rollback", strength: 1 } } as const;
const identity = { role: "identity", operation: { operation: "rebuild" } } as const;

const record: RepairRecord = {
  schema: 1,
  name: "repair",
  target: "sft-100",
  source: "sft-5",
  ends: { target: { id: count(160), ood: count(40) }, source: { id: count(100), ood: count(124) } },
  repairs: [
    repair("whole", 0.42, { ...rollback, pValue: 0.0002, recovered: ratio(1) }),
    repair("directions, top 20 %", 0.03),
    repair("directions, top 60 %", 0.3, { pValue: 0.023, recovered: ratio(0.714) }),
    repair("rebuilt", 0, { ...identity, pValue: 1, recovered: null, moved: 0 }),
    repair("directions, tail 1", -0.2, { pValue: 0.001, recovered: ratio(-0.476) }),
  ],
  best: {
    name: "directions, top 60 %",
    selected: count(130),
    gain: contrast(0.3),
    idGain: contrast(0),
    recovered: ratio(0.714),
  },
  sentences: [
    "The first sentence tells of the best repair at such a length that it takes two lines or more of a screen of eighty.",
    "The second one is short.",
  ],
};

const plain = (change: Partial<RepairRecord> = {}, width?: number): readonly string[] =>
  formatRepairs({ ...record, ...change }, { paint: plainPaint, ...(width !== undefined && { width }) });

/** The lines between the first blank one and the next. */
function tableOf(lines: readonly string[]): readonly string[] {
  const [first, second] = lines.flatMap((line, index) => (line === "" ? [index] : []));
  return lines.slice(first! + 1, second);
}

const cellsOf = (line: string): string[] => line.trim().split(/ {2,}/);

describe("formatRepairs()", () => {
  it("says what was put into what, then shows the ends, the repairs, the controls, and what it says", () => {
    const lines = plain();
    expect(lines[0]).toBe("Repairs repair   sft-5 put into sft-100, tasks solved");
    expect(tableOf(lines).map(cellsOf)).toEqual([
      ["repair", "ID", "OOD", "OOD gained, held-out half", "p, of family", "recovered", "moved"],
      ["sft-5, the source", "50.0 %", "62.0 %"],
      ["sft-100, the target", "80.0 %", "20.0 %"],
      ["directions, top 20 %", "75.0 %", "45.0 %", "+3.0 points [−7.0, 13.0]", "p = 0.500", "25 %", "12.5 %"],
      [
        "directions, top 60 % ◀ best",
        "75.0 %",
        "45.0 %",
        "+30.0 points [20.0, 40.0]",
        "p = 0.023",
        "71 %",
        "12.5 %",
      ],
      [
        "directions, tail 1",
        "75.0 %",
        "45.0 %",
        "−20.0 points [−30.0, −10.0]",
        "p = 0.001",
        "−48 %",
        "12.5 %",
      ],
      ["controls"],
      ["whole", "75.0 %", "45.0 %", "+42.0 points [32.0, 52.0]", "p < 0.001", "100 %", "12.5 %"],
      ["rebuilt", "75.0 %", "45.0 %", "0.0 points [−10.0, 10.0]", "p = 1", "0.0 %"],
    ]);
    expect(lines.slice(-2)).toEqual(record.sentences.map((sentence) => `• ${sentence}`));
  });

  it("puts numbers below each other, the absent ones as blanks", () => {
    const lines = tableOf(plain());
    const end = lines[0]!.length;
    for (const line of lines.filter((each) => each.includes("points"))) expect(line).toHaveLength(end);
    const endOfRecovered = lines[0]!.indexOf("recovered") + "recovered".length;
    for (const share of ["25 %", "71 %", "−48 %", "100 %"])
      expect(lines.some((line) => line.slice(0, endOfRecovered).endsWith(` ${share}`))).toBe(true);
    for (const line of lines.filter((each) => each.includes(" %  ")))
      expect(line.slice(0, lines[0]!.indexOf("OOD gained")).trimEnd()).toMatch(/%$/);
  });

  it("indents controls below the repairs, and speaks of none where there are none", () => {
    const lines = tableOf(plain());
    const heading = lines.indexOf("controls");
    expect(lines.slice(heading + 1).every((line) => line.startsWith("  "))).toBe(true);
    expect(lines.slice(0, heading).some((line) => line.startsWith(" "))).toBe(false);
    const without = plain({ repairs: record.repairs.filter(({ role }) => role === "edit") });
    expect(without.join("\n")).not.toContain("controls");
  });

  it("marks the best alone, and none where there is none", () => {
    expect(plain().filter((line) => line.includes("best"))).toHaveLength(2); // the row, and the sentence
    expect(tableOf(plain({ best: null })).join("\n")).not.toContain("best");
  });

  it("shows no NaN where no tasks were there", () => {
    const none = { correct: 0, total: 0 };
    const ends = { target: { id: none, ood: none }, source: record.ends.source };
    expect(tableOf(plain({ ends })).map(cellsOf)[2]).toEqual(["sft-100, the target", "0.0 %", "0.0 %"]);
  });

  it("leaves out what was moved, then the corrected p-value, then the recovered share, as width runs short", () => {
    const headAt = (width: number): string[] => cellsOf(tableOf(plain({}, width))[0]!);
    const full = Math.max(...tableOf(plain()).map(visibleLength));
    const seen = new Set<string>();
    for (let width = full; width >= 75; width--) {
      const lines = plain({}, width);
      for (const line of lines) expect(visibleLength(line)).toBeLessThanOrEqual(width);
      expect(tableOf(lines).join("\n")).toContain("directions, top 60 % ◀ best");
      seen.add(headAt(width).slice(4).join());
    }
    expect([...seen]).toEqual(["p, of family,recovered,moved", "p, of family,recovered", "recovered", ""]);
    expect(headAt(10)).toEqual(["repair", "ID", "OOD", "OOD gained, held-out half"]);
  });

  it("says how many columns do not fit, and nothing where all do", () => {
    const notes = (width?: number): readonly string[] =>
      plain({}, width).filter((line) => line.includes("do not fit"));
    expect(notes(76)).toEqual(["(3 columns do not fit: widen the terminal, or use --json)"]);
    expect([...notes(), ...notes(300)]).toEqual([]);
    const colored = formatRepairs(record, { paint: colorPaint, width: 76 });
    expect(colored).toContain(colorPaint("dim", notes(76)[0]!));
  });

  it("cuts long names in the middle on a narrow screen, which keeps what tells them apart", () => {
    const long = "directions, top 20 %, strength 0.5, layers 0-11, q_proj k_proj";
    const repairs = [repair(`${long} up_proj`, 0.1), repair(`${long} o_proj`, 0.1)];
    const rows = tableOf(plain({ repairs, best: null }, 80)).filter((row) => row.includes("…"));
    expect(rows.map((row) => cellsOf(row)[0])).toEqual([
      "directions, top … k_proj up_proj",
      "directions, top …j k_proj o_proj",
    ]);
    expect(tableOf(plain({ repairs, best: null }, 200)).at(-1)).toContain(`${long} o_proj`);
  });

  it("breaks sentences at the width and indents what follows", () => {
    const said = plain({}, 80).slice(-3);
    expect(said[0]).toMatch(/^• The first/);
    expect(said[1]).toMatch(/^ {2}\S/);
    expect(said[2]).toBe("• The second one is short.");
  });

  it("colors gains and losses only where the corrected p-value is below 0.05", () => {
    const colored = formatRepairs(record, { paint: colorPaint });
    const colorOf = (name: string, text: string): string => {
      const line = colored.find((each) => each.includes(name)) ?? "";
      const before = line.slice(0, line.indexOf(text));
      return before.slice(before.lastIndexOf("\u001b["));
    };
    const colorIn = (meaning: "good" | "bad" | "dim"): string => colorPaint(meaning, "").slice(0, 5);
    expect(colorIn("good")).not.toBe(colorIn("bad"));
    expect(colorOf("top 60 %", "+30.0")).toBe(colorIn("good"));
    expect(colorOf("tail 1", "−20.0")).toBe(colorIn("bad"));
    expect(colorOf("top 20 %", "+3.0")).toBe(colorIn("dim"));
    // biome-ignore lint/suspicious/noControlCharactersInRegex: color codes begin with the escape character
    const bare = colored.map((line) => line.replace(/\u001b\[[0-9;]*m/g, "").trimEnd());
    expect(bare).toEqual(plain());
  });
});

describe("the command that keeps the best repair", () => {
  const commandOf = (change: Partial<RepairRecord> = {}): string | undefined =>
    formatRepairs({ ...record, ...change }, { paint: plainPaint, folder: "runs/one" }).find((line) =>
      line.includes("untwist"),
    );
  const bestDoing = (operation: Repair["operation"]): Partial<RepairRecord> => ({
    repairs: [repair(record.best!.name, 0.3, { operation })],
  });

  it("stands last, with the flags that are not left at their defaults", () => {
    const ends = "--into runs/one/checkpoints/sft-100 --from runs/one/checkpoints/sft-5";
    expect(commandOf()).toBe(`untwist restore ${ends} --what directions --top 1 --out repaired`);
    const part = {
      what: "left",
      top: 0.6,
      tail: 2,
      strength: 0.5,
      layers: "0-1",
      matrices: "q_proj,*.mlp.*",
    } as const;
    expect(commandOf(bestDoing({ operation: "restore", ...part }))).toBe(
      `untwist restore ${ends} --what left --top 0.6 --tail 2 --strength 0.5 --layers 0-1 ` +
        "--matrices 'q_proj,*.mlp.*' --out repaired",
    );
    const summary = formatRepairsSummary(
      { ...record, repairs: record.repairs.filter(({ role }) => role === "edit") },
      { paint: plainPaint, folder: "runs/one" },
    );
    expect(summary.at(-1)).toBe(commandOf());
  });

  it("is left out without a folder, without a gain, and for what `restore` cannot do", () => {
    expect(plain().join("\n")).not.toContain("untwist");
    expect(commandOf({ best: null })).toBeUndefined();
    for (const gain of [0, -0.1])
      expect(commandOf({ best: { ...record.best!, gain: contrast(gain) } })).toBeUndefined();
    expect(commandOf(bestDoing({ operation: "damp", factor: 0.75 }))).toBeUndefined();
  });
});

describe("formatRepairsSummary()", () => {
  const names = (change: Partial<RepairRecord> = {}): string[] =>
    tableOf(formatRepairsSummary({ ...record, ...change }, { paint: plainPaint }))
      .map((line) => cellsOf(line)[0]!)
      .slice(3);

  it("keeps what was restored to all matrices, the best and the controls of the best, in their order", () => {
    const own = ["rebuilt", "weaker rollback", "values, layer 1"];
    const values = (rest: { readonly layers?: string }): Partial<Repair> => ({
      operation: { operation: "restore", what: "values", top: 1, tail: 0, strength: 1, ...rest },
    });
    const repairs = [
      ...record.repairs.map((one) => (one.name === record.best!.name ? { ...one, controls: own } : one)),
      repair("weaker rollback", 0.1, rollback),
      repair("values, top 1", -0.3, values({})),
      repair("values, layer 1", -0.3, values({ layers: "1" })),
      repair("values, layer 2", 0.3, values({ layers: "2" })),
      repair("damped", -0.1, { operation: { operation: "damp", factor: 0.75 } }),
    ];
    expect(names({ repairs })).toEqual([
      "directions, top 20 %",
      "directions, top 60 % ◀ best",
      "directions, tail 1",
      "values, top 1",
      "values, layer 1",
      "controls",
      "rebuilt",
      "weaker rollback",
    ]);
    const lines = formatRepairsSummary({ ...record, repairs }, { paint: plainPaint });
    expect(lines.at(-1)).toBe(
      "(3 more in repairs/repair/record.json)", // whole, layer 2, damped
    );
  });

  it("speaks of no more where it shows all", () => {
    const repairs = record.repairs.filter(({ role }) => role === "edit");
    expect(formatRepairsSummary({ ...record, repairs }, { paint: plainPaint })).toEqual(plain({ repairs }));
  });

  it("keeps a restored part only where it is the best", () => {
    const part = repair("directions, layer 1", 0.9, {
      operation: { operation: "restore", what: "directions", top: 1, tail: 0, strength: 1, layers: "1" },
    });
    const repairs = [...record.repairs, part];
    expect(names({ repairs })).not.toContain("directions, layer 1");
    expect(names({ repairs, best: { ...record.best!, name: part.name } })).toEqual(
      expect.arrayContaining(["directions, top 60 %", "directions, layer 1 ◀ best"]),
    );
  });
});
