/** What the answerers behind servers promise beyond the contract of all: repairs as adapters, and whose answers are whose. */
import { existsSync, mkdirSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { writeAdapterFolder } from "../../../test/support/adapter-folder.ts";
import { type AddingServer, startAddingServer } from "../../../test/support/adding-server.ts";
import { writeDiagonalFolder } from "../../../test/support/checkpoint-folder.ts";
import { createMachine, createTestEffects } from "../../../test/support/effects.ts";
import { countQuestions, type JsonServer, plainRequests } from "../../../test/support/json-server.ts";
import { writeSums } from "../../../test/support/questions.ts";
import { createTemporaryFolder, removeFolder } from "../../../test/support/untwist.ts";
import { UsageError } from "../../base/core/index.ts";
import { StoppedError } from "../../base/progress/index.ts";
import { splits } from "../../tasks/environment/index.ts";
import type { Restore } from "../../weights/surgery/index.ts";
import type { Answerer, Answers, Assignment, CheckpointSubject, RepairSubject } from "./answerer.ts";
import { describeStandalone } from "./assignment.ts";
import { createAdapterAnswerer, createEndpointAnswerer, createServerAnswerer } from "./server-answerers.ts";

const place = createTemporaryFolder();
const servers: JsonServer[] = [];
afterAll(() => {
  for (const server of servers) server.close();
  removeFolder(place);
});

const numTasks = 3;
const machine = createMachine(join(place, "cache"));
const requests = plainRequests;

const [target, source] = [
  await writeDiagonalFolder(join(place, "end"), [4, 3, 2, 1]),
  await writeDiagonalFolder(join(place, "peak"), [5, 3, 2, 1]),
];

/** Puts the first singular value of the source into the target: an update of rank 1. */
const values: Restore = { operation: "restore", what: "values", top: 1, tail: 0, strength: 1 };
const describeRepair = (
  operation: RepairSubject["operation"] = values,
  { id = "values", isIdentity = false } = {},
): RepairSubject => ({
  kind: "repair",
  id,
  grid: "few",
  key: id.replaceAll(" ", "-"),
  target: { id: "sft-3", path: target },
  source: { id: "sft-1", path: source },
  operation,
  isIdentity,
});
const checkpoint = (id: string, path: string): CheckpointSubject => ({ kind: "checkpoint", id, path });

let numAssigned = 0;
/** Sums to be asked, whose answers and adapters are kept in a folder of their own. */
function assign(): Assignment & { readonly folder: string } {
  const folder = join(place, `run-${numAssigned++}`);
  const evaluation = { numTasks, seed: 1, numAttempts: 1, maxNewTokens: 8, batchSize: 1 };
  const tasks = {
    environment: writeSums(join(place, "sums"), numTasks),
    promptFormat: "chat",
    evaluation,
  } as const;
  return {
    ...describeStandalone(tasks, { splits, owner: "the model" }),
    folder,
    locateAnswers: (subject) =>
      join(folder, `answers/${subject.kind === "repair" ? subject.key : subject.id}.jsonl`),
    locateAdapter: ({ key }) => join(folder, "adapters", key),
  };
}

/** Whether a folder holds a whole adapter. */
const holdsAdapter = (path: string): boolean =>
  ["adapter_config.json", "adapter_model.safetensors"].every((name) => existsSync(join(path, name)));

interface WatchedServer extends AddingServer {
  /** Whether there was an adapter in each folder that was to be loaded. */
  readonly found: boolean[];
}

/** A server that adds, unless it loads no adapters; with an adapter its sums are one too large. */
async function start(
  base: string,
  {
    onQuestion,
    loads = true,
  }: { readonly onQuestion?: (number: number) => void; readonly loads?: boolean } = {},
): Promise<WatchedServer> {
  const found: boolean[] = [];
  const server = await startAddingServer(base, ({ route, body }) => {
    if (route === "chat/completions") onQuestion?.(countQuestions(server));
    if (route !== "load_lora_adapter") return true;
    found.push(holdsAdapter(body.lora_path ?? ""));
    return loads;
  });
  servers.push(server);
  return { ...server, found };
}

const open = ({ url }: JsonServer, assignment: Assignment, signal = new AbortController().signal): Answerer =>
  createAdapterAnswerer(
    { kind: "adapters", url, requests },
    assignment,
    createTestEffects({ machine, signal }),
  );
const countSolved = ({ items }: Answers): number => items.filter(({ parts }) => parts.solved).length;

describe("createAdapterAnswerer()", () => {
  it("answers for a repair by an adapter that lies there only meanwhile, and says how far it moved", async () => {
    const assignment = assign();
    const server = await start(target);
    const repair = describeRepair();
    const left = assignment.locateAdapter(repair);
    mkdirSync(left, { recursive: true });
    writeFileSync(join(left, "adapter_config.json"), "of a process that was killed");
    const answers = await open(server, assignment).answer(repair);
    // 4 becomes 5: a change of 1 where ‖target‖² = 4² + 3² + 2² + 1².
    expect(answers.moved).toBeCloseTo(1 / Math.sqrt(30), 6);
    expect([answers.items.length, countSolved(answers)]).toEqual([2 * numTasks, 0]);
    expect([server.found, server.adapters.size, existsSync(left)]).toEqual([[true], 0, false]);
  });

  it("knows the answers of a repair again, whose adapter is made anew each time", async () => {
    const assignment = assign();
    const server = await start(target);
    const first = await open(server, assignment).answer(describeRepair());
    const again = await open(server, assignment).answer(describeRepair());
    expect(again.items).toEqual(first.items);
    expect([first.served?.usage.numAsked, again.served?.usage]).toEqual([
      2 * numTasks,
      expect.objectContaining({ numAsked: 0, numKnown: 2 * numTasks }),
    ]);
  });

  it("lets the target itself answer for a repair that changes nothing", async () => {
    const server = await start(target);
    const subject = describeRepair({ operation: "rebuild" }, { id: "rebuilt", isIdentity: true });
    const answers = await open(server, assign()).answer(subject);
    expect([answers.moved, countSolved(answers), server.found]).toEqual([0, 2 * numTasks, []]);
  });

  it("leaves no adapter behind where the server refuses it", async () => {
    const assignment = assign();
    const refusal = open(await start(target, { loads: false }), assignment).answer(describeRepair());
    await expect(refusal).rejects.toThrow(UsageError);
    expect(existsSync(assignment.locateAdapter(describeRepair()))).toBe(false);
  });

  it("chooses checkpoints, repairs of low rank, and what changes nothing", async () => {
    const subjects = [
      checkpoint("sft-1", source),
      describeRepair(),
      describeRepair({ operation: "rollback", strength: 1 }, { id: "whole" }),
      describeRepair({ ...values, top: "all" }, { id: "all values" }),
      describeRepair({ ...values, what: "directions" }, { id: "one direction" }),
      describeRepair({ ...values, what: "directions", top: 2 }, { id: "two directions" }),
      describeRepair({ operation: "rebuild" }, { id: "rebuilt", isIdentity: true }),
    ];
    const chosen = await open(await start(target), assign()).choose(subjects);
    // Directions of both sides take twice their rank: two of four are no less than the whole.
    expect(chosen.map(({ id }) => id)).toEqual(["sft-1", "values", "one direction", "rebuilt"]);
  });

  it("asks adapters of one model together with it, and refuses what does not belong to it", async () => {
    const modules = { "model.layers.0.self_attn.q_proj": [4, 4, 1] } as const;
    const [own, other] = [
      checkpoint("own", await writeAdapterFolder(join(place, "own"), { base: target, modules })),
      checkpoint("other", await writeAdapterFolder(join(place, "other"), { base: source, modules })),
    ];
    const base = checkpoint("base", target);
    const answerer = open(await start(target), assign());
    const effects = createTestEffects();
    await answerer.prepare({ all: [base, own], missing: [base, own] }, effects);
    for (const stranger of [other, checkpoint("whole", source)]) {
      const refusal = answerer.prepare({ all: [base, own, stranger], missing: [stranger] }, effects);
      await expect(refusal).rejects.toThrow(UsageError);
      await expect(refusal).rejects.toThrow(
        `Cannot evaluate ${stranger.id} at one server: it is not an adapter to`,
      );
      // What has its answers is not in the way.
      await answerer.prepare({ all: [base, own, stranger], missing: [own] }, effects);
    }
  });

  it("goes on after a stop with what was not answered, and leaves no adapter at the server", async () => {
    const assignment = assign();
    const modules = { "model.layers.0.self_attn.q_proj": [4, 4, 1] } as const;
    const subject = checkpoint(
      "a",
      await writeAdapterFolder(join(place, "stopped"), { base: target, modules }),
    );
    const stop = new AbortController();
    const onQuestion = (number: number): void => {
      if (number === 3) stop.abort();
    };
    const server = await start(target, { onQuestion });
    await expect(open(server, assignment, stop.signal).answer(subject)).rejects.toThrow(StoppedError);
    expect(server.adapters.size).toBe(0);
    const { items, served } = await open(server, assignment).answer(subject);
    expect(items.length).toBe(2 * numTasks);
    expect(served?.usage.numKnown).toBeGreaterThanOrEqual(2);
    // The one that was on its way may be asked again.
    expect(countQuestions(server)).toBeLessThanOrEqual(2 * numTasks + 1);
  });

  it("refuses to mix answers of an adapter that was written again", async () => {
    const assignment = assign();
    const modules = { "model.layers.0.self_attn.q_proj": [4, 4, 1] } as const;
    const subject = checkpoint(
      "a",
      await writeAdapterFolder(join(place, "again"), { base: target, modules }),
    );
    const server = await start(target);
    await open(server, assignment).answer(subject);
    expect((await open(server, assignment).answer(subject)).served?.usage.numAsked).toBe(0);
    utimesSync(join(subject.path, "adapter_model.safetensors"), 1, 1);
    await expect(open(server, assignment).answer(subject)).rejects.toThrow("written again");
  });
});

describe("servers of whole checkpoints", () => {
  it("refuse repairs, and commands without their places, before anything is started", async () => {
    const never = { kind: "server", template: "exit 1 {path} {port}", startMs: 1, requests } as const;
    const effects = createTestEffects();
    const answerers = [
      createServerAnswerer(never, assign(), effects),
      createEndpointAnswerer(
        { kind: "endpoint", url: "http://127.0.0.1:1", model: "m", requests },
        assign(),
        effects,
      ),
    ];
    for (const answerer of answerers) {
      const refusal = (async () => answerer.answer(describeRepair()))();
      await expect(refusal).rejects.toThrow(UsageError);
      await expect(refusal).rejects.toThrow('Cannot try the repair "values"');
    }
    for (const template of ["serve {path}", "serve --port {port}", 'serve "{path}" {port}'])
      expect(() => createServerAnswerer({ ...never, template }, assign(), effects)).toThrow(UsageError);
  });
});
