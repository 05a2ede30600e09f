import { describe, expect, it } from "vitest";
import { z } from "zod";
import { describeIssue } from "./issue.ts";

function describeFailure(schema: z.ZodType, value: unknown): string {
  const parsed = schema.safeParse(value);
  return parsed.success ? "accepted" : describeIssue(parsed.error);
}

describe("describeIssue()", () => {
  const schema = z.strictObject({
    size: z.number().int().positive().optional(),
    list: z.array(z.strictObject({ kind: z.enum(["a", "b"]) })).optional(),
    choice: z.union([z.literal("every"), z.array(z.number())]).optional(),
    name: z.string().regex(/^x/, "must begin with x").optional(),
  });

  it("names the place and the problem in one clause", () => {
    expect(describeFailure(schema, { size: -1 })).toBe('"size" is too small, expected number to be >0');
    expect(describeFailure(schema, { size: "1" })).toBe('"size" is wrong: expected number, received string');
    expect(describeFailure(schema, { list: [{ kind: "a" }, { kind: "c" }] })).toMatch(
      /^"list\.1\.kind" is wrong: .*"a".*"b"/,
    );
    expect(describeFailure(schema, { name: "y" })).toBe('"name" must begin with x');
    expect(describeFailure(schema, 1)).toBe("it is wrong: expected object, received number");
  });

  it("names unknown keys and where they are", () => {
    expect(describeFailure(schema, { a: 1, b: 2 })).toBe(
      'unknown key "a", "b"; remove it or check its spelling',
    );
    expect(describeFailure(schema, { list: [{ kind: "a", c: 1 }] })).toContain('unknown key "c" in "list.0"');
  });

  it("says more of a choice than that it is wrong", () => {
    expect(describeFailure(schema, { choice: "never" })).toContain("every");
  });

  it("says something of an error without issues", () => {
    expect(describeIssue(new z.ZodError([]))).toBe("it is malformed");
  });
});
