import assert from "node:assert/strict";
import { test } from "node:test";
import { hostile, many, run, redScenario } from "../../test/recorded/change.ts";
import { redRun } from "../../test/recorded/results.ts";
import { formatHtml } from "./document.ts";

test("hostile text is never markup, neither in the page nor in its data", () => {
  const page = formatHtml(hostile());
  assert.ok(page.length < 200_000);
  assert.equal(page.match(/<script/g)?.length, 2);
  assert.equal(page.match(/<\/script/g)?.length, 2);
  assert.doesNotMatch(page, /<img/);
  assert.doesNotMatch(page, /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u2028-\u202e]/);
  assert.ok(!page.includes("c2lnbmF0dXJlLW9mLXRoZS10b2tlbg"));
  assert.ok(page.includes("… (cut: 2 KiB of 10 MiB)"));
});

test("anchors are unique, and every link within the page has its anchor", () => {
  for (const result of [redRun(), many(200)]) {
    const page = formatHtml(result);
    const data = /<script type="application\/json" id="on-demand">(.*?)<\/script>/.exec(page)?.[1] ?? "";
    const ids = [...page.matchAll(/\sid="([^"]*)"/g)].map(([, id]) => id ?? "");
    const places = new Set([...ids, ...Object.keys(JSON.parse(data) as object)]);
    assert.equal(new Set(ids).size, ids.length);
    const aims = [...page.matchAll(/href="#([^"]*)"/g)].map(([, aim]) => decodeURI(aim ?? ""));
    assert.deepEqual(
      aims.filter((aim) => !places.has(aim)),
      [],
    );
  }
});

test("failures come first and are open, passes are closed", () => {
  const page = formatHtml(redRun());
  const scenarios = [...page.matchAll(/<details\s+class="scenario ([\w-]+)"[^>]*>/g)];
  assert.deepEqual(
    [...new Set(scenarios.map(([, status]) => status))],
    ["failed", "flaky", "error", "known-failure", "skipped", "passed"],
  );
  for (const [tag, status] of scenarios)
    assert.equal(/ open/.test(tag), status !== "passed" && status !== "skipped", tag);
});

test("an empty run is a page, too", () => {
  assert.match(formatHtml(run([])), /Nothing was checked/);
});

test("a failure links to its diagnostics, and only to a folder beside the page", () => {
  const page = formatHtml(
    run([{ ...redScenario("paths/skip-jwt-for-paths"), diagnostics: ["diagnostics/a__b/1", "javascript:alert(1)"] }]),
  );
  assert.match(page, /<a href="\.\/diagnostics\/a__b\/1\/collected\.txt">diagnostics\/a__b\/1<\/a>/);
  assert.doesNotMatch(page, /href="javascript:/);
});
