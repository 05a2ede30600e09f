import { describe, expect, it } from "vitest";
import { action, plainWording, renderMessage, setting } from "./wording.ts";

describe("renderMessage()", () => {
  const text = `Cannot ask 20 tasks; lower ${setting("numTasks")} or go on by ${action("resume", "runs/a b")}, with ${setting("profile", "time=90")}`;

  it("puts references into the words of those who call functions", () => {
    expect(renderMessage(text)).toBe(
      'Cannot ask 20 tasks; lower numTasks or go on by resuming "runs/a b", with profile time=90',
    );
  });

  it("puts them into the words that it is given", () => {
    const settings = { ...plainWording.settings, numTasks: "--count", profile: "--set" };
    const actions = { ...plainWording.actions, resume: (run: string) => `resume ${run}` };
    expect(renderMessage(text, { settings, actions })).toBe(
      "Cannot ask 20 tasks; lower --count or go on by resume runs/a b, with --set time=90",
    );
  });

  it("keeps subjects with any characters, and text without references", () => {
    const subject = 'a"b\\c\n\u{1F600}';
    expect(renderMessage(action("attach", subject))).toBe(`attaching to job ${subject}`);
    expect(renderMessage("--count is a word")).toBe("--count is a word");
  });

  it("leaves alone what others wrote between the same brackets", () => {
    for (const text of ["\u{e000}{\u{e001}", "\u{e000}[1,2,3]\u{e001}", "\u{e000}null\u{e001}", "\u{e000}"])
      expect(renderMessage(`an answer: ${text}`)).toBe(`an answer: ${text}`);
  });

  it("shows the bare name of what is in no table, as another version may have written", () => {
    const unknown = setting("numTasks", "7").replace("numTasks", "toString");
    expect(renderMessage(`lower ${unknown}`)).toBe("lower toString 7");
  });
});
