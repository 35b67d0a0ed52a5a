import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { attacks } from "../../test/recorded/change.ts";
import { hostileTicket } from "../../test/recorded/change-pages.ts";
import { comparison, ticket } from "../../test/recorded/results.ts";
import { formatReproJson, writeRepro } from "../repro.ts";
import { formatDiffHtml } from "./diff.ts";
import { PAGES } from "./pages.ts";
import { formatReproHtml } from "./repro.ts";

const SIGNATURE = "c2lnbmF0dXJlLW9mLXRoZS10b2tlbg";
const idsOf = (page: string): string[] => [...page.matchAll(/\sid="([^"]*)"/g)].map(([, id]) => id ?? "");

/** Each page is made once. */
function once<T>(make: () => T): () => T {
  let made: { readonly page: T } | undefined;
  return () => (made ??= { page: make() }).page;
}

for (const [name, page] of Object.entries(PAGES))
  describe(`the page of ${name}`, () => {
    const plain = once(page.plain);
    const hostile = once(page.hostile);
    it("allows exactly its own stylesheet and script", () => {
      const page = plain();
      const policy =
        /http-equiv="Content-Security-Policy" content="([^"]*)"/.exec(page)?.[1]?.replaceAll("&#39;", "'") ?? "";
      for (const [element, directive] of [
        ["style", "style-src"],
        ["script", "script-src"],
      ]) {
        const texts = [...page.matchAll(new RegExp(`<${element}>([^]*?)</${element}>`, "g"))].map(([, text]) => text);
        assert.equal(texts.length, 1);
        const hash = createHash("sha256")
          .update(texts[0] ?? "")
          .digest("base64");
        assert.ok(policy.includes(`${directive} 'sha256-${hash}';`));
      }
      assert.doesNotMatch(page, / (style|on\w+)="/);
    });

    it("fetches nothing, and links only within itself and to files beside it", () => {
      const page = plain();
      assert.doesNotMatch(page, /\ssrc=|@import|url\(/);
      const aims = [...page.matchAll(/href="([^"]*)"/g)].map(([, aim]) => aim ?? "");
      assert.deepEqual(
        aims.filter((aim) => !/^(#|data:|[\w./-]+$)/.test(aim) || aim.startsWith("/")),
        [],
      );
    });

    it("has unique anchors, and every link within it has its anchor", () => {
      for (const page of [plain(), hostile()]) {
        const ids = idsOf(page);
        assert.deepEqual(ids.length, new Set(ids).size);
        const data = /<script type="application\/json" id="on-demand">(.*?)<\/script>/.exec(page)?.[1] ?? "{}";
        const places = new Set([...ids, ...Object.keys(JSON.parse(data) as object)]);
        const aims = [...page.matchAll(/href="#([^"]*)"/g)].map(([, aim]) => decodeURI(aim ?? ""));
        assert.deepEqual(
          aims.filter((aim) => !places.has(aim)),
          [],
        );
      }
    });

    it("shows hostile text as text, without a signature, and cut to a limit", () => {
      const page = hostile();
      assert.ok(page.length < 250_000, `${page.length}`);
      for (const attack of Object.values(attacks)) if (/</.test(attack)) assert.ok(!page.includes(attack), attack);
      assert.doesNotMatch(page, /<img|<iframe/);
      assert.doesNotMatch(page, /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u2028-\u202e]/);
      assert.ok(!page.includes(SIGNATURE));
    });
  });

describe("the page of a comparison", () => {
  it("gives a change the same anchor if other things changed", () => {
    const whole = comparison();
    const second = whole.changes.find(({ check }) => check === "/api/v1/products/1 none");
    const place = /<tr[^>]*id="([^"]+)"[^>]*>[^]*?products\/1/.exec(
      formatDiffHtml({ ...whole, changes: [second!], added: [], removed: [] }),
    )?.[1];
    assert.match(place ?? "", /^paths\/skip-jwt-for-paths\/[0-9a-f]{8}$/);
    assert.ok(idsOf(formatDiffHtml(whole)).includes(place ?? ""));
  });

  it("names known changes that no check shows", () => {
    assert.match(formatDiffHtml(comparison()), /that no check shows[^]*dot-segments-with-parameters/);
    assert.doesNotMatch(formatDiffHtml({ ...comparison(), unseen: [] }), /that no check shows/);
  });
});

describe("the page of a ticket", () => {
  it("shows the cause, the ticket's request, and the expected answer", () => {
    const page = formatReproHtml(ticket());
    assert.match(page, /<h2 class="cause">AuthorizationPolicy istio-system\/frontend-ingress-whitelist denies/);
    assert.equal(page.match(/<td class="differs failed">/g)?.length, 1);
    assert.match(page, /403 from authorization, expected 200/);
    const met = formatReproHtml({ ...ticket(), expected: { outcome: 403, met: true } });
    assert.match(met, /<td class="differs passed">/);
    assert.match(met, /403 from authorization, as expected/);
  });

  it("judges nothing without an expectation", () => {
    const { expected: _, ...answer } = ticket();
    const page = formatReproHtml(answer);
    assert.match(page, /<td class="differs skipped">/);
    assert.doesNotMatch(page, /class="mark/);
  });

  it("shows what was not minimized, and leaves out empty sections", () => {
    const { inForce: _, ...some } = ticket();
    const answer = { ...some, notes: [], differences: [] };
    const { minimized } = ticket("health-check-minimized");
    assert.match(
      formatReproHtml({ ...answer, minimized: { ...minimized!, confirmed: false } }),
      /another answer when it was asked by itself/,
    );
    const ids = idsOf(formatReproHtml(answer));
    for (const id of ["in-force", "findings", "minimized", "changed", "left-out"]) assert.ok(!ids.includes(id), id);
    assert.ok(ids.includes("applied"));
  });

  it("is written beside the JSON answer, and neither contains a signature or a body above the limit", async () => {
    const folder = await mkdtemp(join(tmpdir(), "meshproof-repro-"));
    try {
      const { html } = await writeRepro(hostileTicket(), folder);
      assert.equal(html, join(folder, "repro.html"));
      assert.deepEqual((await readdir(folder)).sort(), ["repro.html", "repro.json"]);
      const json = await readFile(join(folder, "repro.json"), "utf8");
      assert.equal(json, formatReproJson(hostileTicket()));
      assert.ok(json.length < 300_000);
      assert.ok(!json.includes(SIGNATURE));
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});
