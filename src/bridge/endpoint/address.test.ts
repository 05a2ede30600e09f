/** Addresses, and which key goes to which server. */
import { describe, expect, it } from "vitest";
import { UsageError } from "../../base/core/index.ts";
import { findApiKey, normalizeUrl } from "./address.ts";

const usual = "UNTWIST_API_KEY";
const variables = {
  UNTWIST_API_KEY: "ours",
  OPENAI_API_KEY: "openai",
  OTHER: " other\r\n",
  EMPTY: "",
  TORN: "a b",
};
const find = (
  url: string,
  named?: string,
  given: Readonly<Record<string, string>> = variables,
): string | undefined => findApiKey({ url, named, usual, variables: given });

describe("findApiKey()", () => {
  it("shows OpenAI's key to OpenAI's own server alone, and only by https", () => {
    const only = { OPENAI_API_KEY: "openai" };
    expect(find("https://api.openai.com/v1", undefined, only)).toBe("openai");
    for (const url of [
      "http://127.0.0.1:8000/v1",
      "https://example.com/v1",
      "http://api.openai.com/v1",
      "https://api.openai.com.example.com/v1",
    ])
      expect(find(url, undefined, only)).toBeUndefined();
  });

  it("takes the variable that is named for a server, without the line end of its file", () => {
    expect(find("http://somewhere:8000/v1", "OTHER")).toBe("other");
    expect(find("https://api.openai.com/v1", "OTHER")).toBe("other");
  });

  it("sends a key that nobody named over no network in the clear", () => {
    for (const url of [
      "http://127.0.0.1:1/v1",
      "http://localhost:1",
      "http://[::1]:1",
      "https://example.com",
    ])
      expect(find(url)).toBe("ours");
    expect(() => find("http://10.0.0.7:8000/v1")).toThrow(/UNTWIST_API_KEY.*https.*apiKeyEnv/);
    expect(() => find("http://127.0.0.1.example.com/v1")).toThrow(UsageError);
    expect(find("http://10.0.0.7:8000/v1", "UNTWIST_API_KEY")).toBe("ours");
  });

  it("says which variable holds no key", () => {
    expect(() => find("http://127.0.0.1:1", "EMPTY")).toThrow(/key .*EMPTY/);
    expect(() => find("http://127.0.0.1:1", "NOWHERE")).toThrow(/key .*NOWHERE/);
    expect(() => find("http://127.0.0.1:1", "TORN")).toThrow(/key .*TORN/);
  });
});

describe("normalizeUrl()", () => {
  it("refuses what would be dropped, and repeats no password", () => {
    for (const url of [
      "https://me:hush@example.com/v1",
      "https://example.com/v1?token=hush",
      "https://example.com/#hush",
    ]) {
      expect(() => normalizeUrl(url)).toThrow(/example\.com/);
      expect(() => normalizeUrl(url)).not.toThrow(/hush/);
    }
  });
});
