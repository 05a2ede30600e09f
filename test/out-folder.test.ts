/** Where results go: empty folders of every kind, folders that others take meanwhile, what dead processes left. */
import { spawn } from "node:child_process";
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { expectRefusal } from "./support/refusal.ts";
import { mountSmallDisk } from "./support/small-disk.ts";
import {
  createWorkplace,
  nameLeftover,
  parseJson,
  removeFolder,
  root,
  runUntwist,
  startUntwist,
  tinyRecipe,
} from "./support/untwist.ts";

const { folder, at } = createWorkplace();
const quick = ["sft.numSteps=2", "sft.checkpoints=[1]", "rl=[]", "repairs=false", "spectra=false"].flatMap(
  (change) => ["--set", change],
);
const restore = (out: string): readonly string[] =>
  "restore --into trained/checkpoints/sft-2 --from trained/checkpoints/sft-1 --top 2 --out"
    .split(" ")
    .concat(out);

beforeAll(async () => {
  writeFileSync(at("tiny.yaml"), tinyRecipe);
  const { code, stderr } = await runUntwist(["run", "tiny.yaml", "--out", "trained", ...quick], folder);
  expect(code, stderr).toBe(0);
});
afterAll(() => removeFolder(folder));

describe("--out", () => {
  it("is filled where it is an empty volume that was mounted there", async ({ skip }) => {
    const small = mountSmallDisk(at("volume"), 16 * 1024);
    skip(small.problem !== "", `no small disk can be mounted: ${small.problem}`);
    try {
      const { code, stderr } = await runUntwist(restore("volume"), folder);
      expect(code, stderr).toBe(0);
      expect(readdirSync(at("volume")).sort()).toEqual(
        readdirSync(at("trained/checkpoints/sft-2")).concat("untwist-edit.json").sort(),
      );
    } finally {
      small.unmount();
    }
  });

  it("is filled where it is a link to an empty folder, which stays a link", async () => {
    mkdirSync(at("real"));
    symlinkSync("real", at("link"));
    const { code, stderr } = await runUntwist(restore("link"), folder);
    expect(code, stderr).toBe(0);
    expect(lstatSync(at("link")).isSymbolicLink()).toBe(true);
    expect(existsSync(at("real/untwist-edit.json"))).toBe(true);
  });

  it("may be the empty folder in which the command is given", async () => {
    mkdirSync(at("here"));
    const { code, stderr } = await runUntwist(["run", at("tiny.yaml"), "--out", ".", ...quick], at("here"));
    expect(code, stderr).toBe(0);
    expect(existsSync(at("here/summary.json"))).toBe(true);
  });

  it("is cleared of what dead processes left beside it", async () => {
    const leftover = nameLeftover();
    mkdirSync(at(leftover));
    writeFileSync(at(leftover, "model.safetensors"), "half");
    // Once is enough for a process: this one has cleared the folder already.
    const { code, stderr } = await startUntwist(restore("cleared"), folder).outcome;
    expect(code, stderr).toBe(0);
    expect(readdirSync(folder)).not.toContain(leftover);
  });

  it("is never replaced by a report, unless it is one", async () => {
    writeFileSync(at("thesis.txt"), "mine");
    await expectRefusal([["report", "trained", "--out", "thesis.txt"], "thesis.txt", "not a report"], folder);
    await expectRefusal([["report", "trained", "--out", "/dev/null"], "/dev/null"], folder);
    for (const _ of [1, 2])
      expect(await runUntwist(["report", "trained", "--out", "report.html"], folder)).toMatchObject({
        code: 0,
      });
  });
});

describe("runs that are started together", () => {
  it("get a folder each, and every one says where its own seed lies", async () => {
    const seeds = [1, 2, 3];
    const place = at("together");
    mkdirSync(place);
    const ended = await Promise.all(
      seeds.map((seed) => runUntwist(["run", at("tiny.yaml"), "--seed", String(seed), ...quick], place)),
    );
    const told = ended.map(({ code, stdout, stderr }) => {
      expect(code, stderr).toBe(0);
      return /Written to (\S+);/.exec(stdout)?.[1] ?? "";
    });
    expect([...told].sort()).toEqual(["runs/tiny", "runs/tiny-2", "runs/tiny-3"]);
    const found = told.map((path) => parseJson(readFileSync(join(place, path, "run.json"), "utf8")).seed);
    expect(found).toEqual(seeds);
  });
});

describe("a folder of runs of which one cannot be looked into", () => {
  it("is listed without it, and that is said", async () => {
    mkdirSync(at("shared/circle"), { recursive: true });
    symlinkSync("run.json", at("shared/circle/run.json"));
    renameSync(at("here"), at("shared/mine"));
    const { code, stdout, stderr } = await runUntwist(["ls", "shared", "--json"], folder);
    expect(parseJson(stdout)).toMatchObject([{ path: "shared/mine", state: "finished" }]);
    expect([code, stderr]).toEqual([0, expect.stringMatching(/^Left out: Cannot read .*circle.*loop.*\n$/)]);
    const studio = startUntwist(["studio", "shared"], folder);
    const address = await new Promise<string>((resolve) => {
      studio.child.stdout?.on("data", (text: string) => resolve(/http\S+/.exec(text)?.[0] ?? ""));
    });
    for (const _ of [1, 2]) {
      const answer = await fetch(`${address}api/runs`);
      expect(await answer.json()).toMatchObject([{ id: "mine" }]);
    }
    studio.child.kill("SIGTERM");
    expect((await studio.outcome).stderr.match(/Left out: /g)).toHaveLength(1);
  });

  for (const [name, args] of Object.entries({
    "a name that is too long": ["run", "tiny.yaml", "--out", "n".repeat(300)],
    "links in a circle": ["show", "shared/circle/run.json/x"],
    "a checkpoint behind links in a circle": [
      "spectra",
      "shared/circle/run.json",
      "trained/checkpoints/base",
    ],
  }))
    it(`is one sentence: ${name}`, () => expectRefusal([args], folder));
});

describe("whoever reads the output", () => {
  /** Runs a line of the shell in which $UNTWIST is the command. */
  const shell = (line: string): Promise<number | null> => {
    const child = spawn("sh", ["-c", line], {
      cwd: folder,
      env: {
        ...process.env,
        UNTWIST: join(root, "bin/untwist.js"),
        NODE: process.execPath,
        UNTWIST_CACHE: at("cache"),
      },
      stdio: "ignore",
    });
    return new Promise((resolve) => child.on("close", resolve));
  };

  it("may leave standard error: the run goes on to its end", async () => {
    const line = `{ "$NODE" "$UNTWIST" run tiny.yaml --out unread ${quick.map((one) => `'${one}'`).join(" ")} 2>&1 >/dev/null; echo $? >code; } | true`;
    await shell(line);
    expect(readFileSync(at("code"), "utf8")).toBe("0\n");
    expect(existsSync(at("unread/summary.json"))).toBe(true);
  });

  it.skipIf(!existsSync("/dev/full"))(
    "is told in one sentence where the output cannot be written",
    async () => {
      expect(await shell('"$NODE" "$UNTWIST" ls trained >/dev/full 2>said')).toBe(2);
      expect(readFileSync(at("said"), "utf8")).toMatch(/^Cannot print the result: .*\n$/);
    },
  );
});
