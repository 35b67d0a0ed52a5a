import assert from "node:assert/strict";
import { test } from "node:test";
import { XMLParser, XMLValidator } from "fast-xml-parser";
import { allPassed, hostile } from "../test/recorded/change.ts";
import { redRun } from "../test/recorded/results.ts";
import { formatJunit } from "./junit.ts";
import { outcomesOf } from "./outcome.ts";

interface Case {
  readonly "@name": string;
  readonly "@file": string;
  readonly "@line": string;
  readonly failure?: { readonly "@type": string; readonly "@message": string; readonly "#text": string };
  readonly error?: { readonly "@type": string; readonly "#text": string };
  readonly skipped?: { readonly "@message": string };
}

interface Suite {
  readonly "@name": string;
  readonly "@tests": string;
  readonly testcase: readonly Case[];
}

function parse(xml: string): { suites: readonly Suite[]; totals: Record<string, string> } {
  assert.equal(XMLValidator.validate(xml), true);
  const parser = new XMLParser({
    ignoreAttributes: false,
    attributeNamePrefix: "@",
    parseAttributeValue: false,
    isArray: (name) => name === "testcase" || name === "testsuite",
  });
  const { testsuites } = parser.parse(xml) as { testsuites: Record<string, string> & { testsuite: Suite[] } };
  return { suites: testsuites.testsuite, totals: testsuites };
}

test("one suite per scenario, one case per check, and the right totals", () => {
  const result = redRun();
  const { suites, totals } = parse(formatJunit(result));
  assert.deepEqual(
    suites.map((suite) => suite["@name"]),
    result.scenarios.map(({ id }) => id),
  );
  for (const [index, suite] of suites.entries()) {
    assert.equal(suite.testcase.length, outcomesOf(result.scenarios[index]!).length);
    assert.equal(suite["@tests"], String(suite.testcase.length));
  }
  const { passed, failed, flaky, error, skipped, "known-failure": known } = result.counts;
  assert.deepEqual(
    [totals["@tests"], totals["@failures"], totals["@errors"], totals["@skipped"]],
    [passed + failed + flaky + error + skipped + known, failed + flaky, error, skipped + known].map(String),
  );
});

test("each status has its element; a failure's text is the terminal's", () => {
  const cases = parse(formatJunit(redRun())).suites.flatMap(({ testcase }) => testcase);
  const failures = cases.flatMap(({ failure }) => failure ?? []);
  assert.deepEqual([...new Set(failures.map((failure) => failure["@type"]))].sort(), ["failed", "flaky"]);
  const pair = cases.find((each) => each.failure?.["#text"].includes("pair-makes-tokens-mandatory"));
  const text = pair?.failure?.["#text"] ?? "";
  assert.ok(text.startsWith(`${pair?.["@file"]}:${pair?.["@line"]}  ${pair?.["@name"]}`), text);
  assert.match(text, /repeat {4}meshproof run jwt\/pair-makes-tokens-mandatory --keep$/);
  assert.equal(cases.filter(({ error }) => error?.["@type"] === "environment").length, redRun().counts.error);
  const skips = cases.flatMap(({ skipped }) => skipped?.["@message"] ?? []);
  assert.ok(skips.some((message) => message.startsWith("known failure: ")));
  assert.ok(skips.some((message) => message.includes("Istio >=1.40")));
});

test("a run that passes has neither failures nor errors", () => {
  const cases = parse(formatJunit(allPassed())).suites.flatMap(({ testcase }) => testcase);
  assert.ok(cases.every(({ failure, error, skipped }) => (failure ?? error ?? skipped) === undefined));
});

test("hostile text stays text, with only characters of XML 1.0", () => {
  const xml = formatJunit(hostile());
  assert.doesNotMatch(xml, /[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/u);
  assert.ok(!xml.includes("<script"));
  assert.ok(!xml.includes("]]>"));
  assert.ok(!xml.includes("c2lnbmF0dXJlLW9mLXRoZS10b2tlbg"));
  const [suite] = parse(xml).suites;
  assert.ok(suite?.testcase[0]?.failure?.["#text"].includes(`<script>document.title="owned";alert(1)</script>`));
});
