import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import path from "node:path";
import { describe, it } from "node:test";
import type { AskedResult, CheckResult, RunResult } from "../model/result.ts";
import { redact } from "../safe/redact.ts";
import { describeDifference, describeExchange } from "./failure-text.ts";

/** Of a real run in which policies were wrong on purpose. */
const red = JSON.parse(
  readFileSync(path.join(import.meta.dirname, "../../test/recorded/red.json"), "utf8"),
) as RunResult;
const denied = red.scenarios
  .flatMap(({ steps }) => steps.flatMap(({ checks }) => checks))
  .find(({ status, explanation }) => status === "failed" && explanation?.decision.verdict === "denied");
assert.ok(denied !== undefined, "the recorded run has a check that was denied and is explained");
const check: CheckResult = denied;

const SIGNATURE = "c2lnbmF0dXJlLXRoYXQtbXVzdC1uZXZlci1iZS13cml0dGVu";
const TOKEN = `eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJ0ZXN0aW5nIn0.${SIGNATURE}`;

describe("what Playwright shows of a failure", () => {
  it("says what differs, then what decided", () => {
    const text = describeDifference(check, redact);
    assert.ok(text.split("\n").every((line) => line.length < 105));
    const [differs = "", decided = ""] = text.replaceAll("\n  ", " ").split("\n");
    assert.match(differs, /^expected \d+ from .+, got \d+ from /);
    assert.match(decided, /^The request is denied by \w+ with \d+: /);
  });

  it("says what a JWKS server saw", () => {
    const asked = { status: "failed", reason: "expected istiod to ask it, nothing asked" } as unknown as AskedResult;
    assert.equal(describeDifference(asked, redact), asked.reason);
  });

  it("shows an exchange in words, without a value of the token and with nothing that acts on a terminal", () => {
    const got = {
      ...check.got,
      headers: { location: `/?access_token=${TOKEN}` },
      body: `\u001b[2Jfirst line\nsecond line\nauthorization: Bearer ${TOKEN}`,
    };
    const text = describeExchange({ ...check, got }, redact);
    assert.ok(!text.includes(SIGNATURE) && !text.includes("\u001b"), text);
    for (const expected of [check.request.method, check.curl, "\u241b[2J", "\nsecond line", "Policies, in order"])
      assert.ok(text.includes(expected), `${expected}: ${text}`);
  });

  it("takes secrets out of the reason as well", () => {
    const text = describeDifference({ ...check, reason: `got ${TOKEN}\u202e` }, redact);
    assert.ok(!text.includes(SIGNATURE) && text.includes("U+202E"), text);
  });
});
