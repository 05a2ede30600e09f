/** Which template a conversation is put by. */
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";
import { writeAdapterFolder } from "../../../test/support/adapter-folder.ts";
import { hasChatTemplate, writeChatPrompt } from "./chat-prompt.ts";
import { loadModel } from "./model.ts";

const folder = mkdtempSync(join(tmpdir(), "untwist-template-"));
afterAll(() => rmSync(folder, { recursive: true }));
const shipped = fileURLToPath(new URL("../../../models/general-points-base", import.meta.url));
const turns = [{ role: "user", content: "2 + 2?" }];

describe("writeChatPrompt()", () => {
  const configure = (chat_template: unknown): { readonly files: Readonly<Record<string, string>> } => ({
    files: { "tokenizer_config.json": JSON.stringify({ chat_template }) },
  });

  it("takes the default of several templates, and refuses to guess where none is it", () => {
    const [tools, usual] = [
      { name: "tool_use", template: "tools" },
      { name: "default", template: "usual" },
    ];
    expect(writeChatPrompt(configure([tools, usual]), turns)).toBe("usual");
    expect(() => hasChatTemplate(configure([tools]))).toThrow(/"tool_use".*"default"/);
    expect(hasChatTemplate(configure([]))).toBe(false);
  });

  it("takes an adapter's own template before that of its base, wherever both lie", async () => {
    const [base, adapter] = [join(folder, "base"), join(folder, "adapter")];
    cpSync(shipped, base, { recursive: true });
    writeFileSync(join(base, "chat_template.jinja"), "of the base");
    const { hiddenSize } = (await loadModel(base)).config;
    const modules = { "model.layers.0.self_attn.o_proj": [hiddenSize, hiddenSize, 4] } as const;
    await writeAdapterFolder(adapter, { base, modules });
    const read = async (): Promise<string> => writeChatPrompt((await loadModel(adapter)).tokenizer, turns);
    expect(await read()).toBe("of the base");
    const config: object = JSON.parse(readFileSync(join(base, "tokenizer_config.json"), "utf8"));
    const own = JSON.stringify({ ...config, chat_template: "its own" });
    writeFileSync(join(adapter, "tokenizer_config.json"), own);
    expect(await read()).toBe("its own");
  });
});
