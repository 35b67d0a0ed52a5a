import { mkdtemp, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { expect, test as base, type Page } from "@playwright/test";
import { allPassed, attacks, hostile, many } from "../../test/recorded/change.ts";
import { redRun } from "../../test/recorded/results.ts";
import { writeReports } from "../index.ts";
import { formatHtml } from "./document.ts";
import { countNodes, expectReadable, goTo, logSizes, LOOKS, test } from "./page-test.ts";

const scenario = (page: Page, id: string) => page.locator(`details.scenario[id="${id}"]`);
const step = (page: Page, id: string) => page.locator(`details.step[id="${id}"]`);
const check = (page: Page, id: string) => page.locator(`details.check[id="${id}"]`);

test("the top shows the verdict, the counts and the versions", async ({ page, report }) => {
  await report.open(redRun());
  await expect(page.getByRole("heading", { level: 1 })).toContainText("Not conformant");
  await expect(page.locator(".statuses")).toHaveText(
    /5 failed.*3 flaky.*2 errors?.*3 known failures?.*1 skipped.*120 passed/s,
  );
  await expect(page.locator(".versions")).toHaveText(
    /Istio\s*1\.31\.0\s*Envoy\s*1\.40\.0\s*Kubernetes\s*v1\.36\.3\s*took\s*1 min 35 s/,
  );
  await expect(page).toHaveTitle("10 failed, 20261128-021500-b002 – meshproof");
  await page.locator(".run > summary").click();
  await expect(page.locator(".run")).toContainText("first verdict 12.4 s");
  await expect(page.locator(".run")).toContainText("sha256:");
});

test("a matrix shows a number in agreeing cells, and both numbers and who answered in others", async ({
  page,
  report,
}) => {
  await report.open(redRun());
  const table = step(page, "paths/skip-jwt-for-paths/3").locator("table");
  await expect(table.locator("thead th")).toHaveText(["none", "valid", "forged"]);
  const row = table.locator("tbody tr").nth(1);
  await expect(row.locator("th")).toHaveText("/api/v1/products/0");
  const [none, valid, forged] = [0, 1, 2].map((n) => row.locator("td").nth(n));
  await expect(none!).toHaveText(/failed, got 200\s*from the workload\s*expected 403/);
  await expect(none!.locator(".mark")).toHaveText("✕");
  await expect(valid!).toHaveText("200 as expected");
  await expect(forged!).toHaveText("401 as expected");
  await expect(step(page, "paths/skip-jwt-for-paths/3").locator("figcaption")).toHaveText("2 of 9 answers differ");
  await expect(step(page, "paths/skip-jwt-for-paths/3").locator(".tokens")).toContainText(
    /forged\s*iss testing@secure.istio.io, alg RS256, .*signed/,
  );
});

test("a failure is open with its reason, policies and curl line; similar ones are closed", async ({ page, report }) => {
  await report.open(redRun());
  const first = check(page, "paths/skip-jwt-for-paths/3.4");
  await expect(first.locator("dl")).toBeVisible();
  await expect(first.locator("summary")).toContainText("expected 403 from authorization, got 200 from the workload");
  await expect(first).toContainText("no DENY rule matches, and there is no ALLOW policy");
  await expect(first).toContainText(
    "kubectl exec -n meshproof-outside deploy/outside -c curl -- curl -sS -i http://istio-ingressgateway.istio-system.svc.cluster.local/api/v1/products/0",
  );
  await expect(check(page, "paths/skip-jwt-for-paths/3.7").locator("dl")).toBeHidden();
  const policies = step(page, "paths/skip-jwt-for-paths/3").locator(".policies");
  await expect(policies).toContainText(
    /apply\s*AuthorizationPolicy istio-system\/test-exclude\s*in force at the proxy since 0\.12 s/,
  );
  await expect(policies).toContainText(/in force\s*RequestAuthentication istio-system\/jwt-example\s*since step 2/);
  await policies.locator("summary").click();
  await expect(policies.locator("pre")).toContainText('notRequestPrincipals: [ "*" ]');
});

test("flaky, broken, known, skipped and asked-checks explain themselves", async ({ page, report }) => {
  await report.open(redRun());
  const flaky = check(page, "jwt/jwks-uri-namespace-name/2.2");
  await expect(flaky.locator(".changes li")).toHaveText(["round 6 at 0.66 s: 200 from httpbin"]);
  await expect(flaky).toContainText("got 503 from httpbin, although the proxies had the config");
  await expect(scenario(page, "jwt/authorization-policy-alone")).toContainText("selects none of the pods");
  await expect(check(page, "authn/several-issuers/1.3")).toContainText("known until 2099-12-31, mesh-team");
  await expect(check(page, "jwt/jwks-outside-http-hybrid/2.a1")).toContainText(
    "expected outside-host to be asked by the proxy; it was asked by istiod",
  );
  const skipped = scenario(page, "authn/http-versions");
  await skipped.locator("summary").first().click();
  await expect(skipped).toContainText("it holds for Istio >=1.40, and this mesh is 1.31.0");
});

test("filters by status, tag and text are in the URL's hash and survive a reload", async ({ page, report }) => {
  await report.open(redRun());
  const shown = page.locator("details.scenario:visible");
  await expect(shown).toHaveCount(11);
  await page.getByRole("button", { name: "flaky" }).click();
  await expect(shown).toHaveCount(1);
  await expect(page.getByRole("status")).toHaveText("1 of 11 scenarios");
  await page.getByRole("button", { name: "failed", exact: false }).first().click();
  await expect(shown).toHaveCount(5);
  await page.getByLabel("Tag").selectOption("asm-1-13");
  await expect(shown).toHaveCount(3);
  expect(new URL(page.url()).hash).toBe("#?status=failed,flaky&tag=asm-1-13");
  await page.reload();
  await expect(shown).toHaveCount(3);
  await expect(page.getByRole("button", { name: "flaky" })).toHaveAttribute("aria-pressed", "true");
  await page.getByLabel("Find").fill("no such words");
  await expect(shown).toHaveCount(0);
  await page.getByRole("button", { name: "Clear the filters" }).click();
  await expect(shown).toHaveCount(11);
  await page.getByLabel("Find").fill("ISSUER partner");
  await expect(shown).toHaveAttribute("id", "authn/several-issuers");
  await expect(page.locator(".contents li:visible")).toHaveCount(1);
});

test("a deep link opens its target, also in a closed part, and is kept on reload", async ({ page, report }) => {
  await report.open(allPassed(), "jwt/algorithms/1.6");
  const details = check(page, "jwt/algorithms/1.6");
  await expect(details).toBeInViewport();
  await expect(details.locator("summary")).toHaveText(
    /es384 broken-signature\s*401 from authentication \("Jwt verification fails"\)/,
  );
  await expect(page.locator('td a[href="#jwt/algorithms/1.6"]')).toHaveAttribute("aria-current", "true");
  await page.reload();
  await expect(details).toBeInViewport();
  await goTo(page, "#authz/header-deny-repeated");
  await expect(scenario(page, "authz/header-deny-repeated")).toHaveAttribute("open", "");
  await expect(details).toHaveCount(0);
});

test("a click on an agreeing cell shows its details, a second click hides them, and the back button works", async ({
  page,
  report,
}) => {
  await report.open(redRun(), "?status=failed");
  const cell = step(page, "paths/skip-jwt-for-paths/3").locator("td a").first();
  await cell.click();
  const details = check(page, "paths/skip-jwt-for-paths/3.1");
  await expect(details).toContainText("as expected 0.15 s after the policies were applied");
  expect(new URL(page.url()).hash).toBe("#paths/skip-jwt-for-paths/3.1?status=failed");
  await cell.click();
  await expect(details).toHaveCount(0);
  await page.goBack();
  await expect(details).toBeVisible();
});

test("the page can be used with the keyboard only: find, arrows within a matrix, details", async ({ page, report }) => {
  await report.open(redRun());
  await page.keyboard.press("/");
  await expect(page.getByLabel("Find")).toBeFocused();
  await page.keyboard.type("deny rule");
  await page.keyboard.press("Escape");
  await expect(page.getByLabel("Find")).toHaveValue("");
  const cells = step(page, "paths/skip-jwt-for-paths/3").locator("td a");
  const stops = await cells.evaluateAll(
    (links) => links.filter((link) => (link as { tabIndex?: number }).tabIndex === 0).length,
  );
  expect(stops).toBe(1);
  await cells.nth(3).focus();
  await page.keyboard.press("ArrowRight");
  await expect(cells.nth(4)).toBeFocused();
  await page.keyboard.press("ArrowUp");
  await expect(cells.nth(1)).toBeFocused();
  await page.keyboard.press("Enter");
  await expect(check(page, "paths/skip-jwt-for-paths/3.2")).toBeVisible();
  await scenario(page, "jwt/algorithms").locator("summary").first().focus();
  await page.keyboard.press("Enter");
  await expect(step(page, "jwt/algorithms/1").locator("table")).toBeVisible();
});

test("the curl line is copied", async ({ page, report, context }) => {
  await context.grantPermissions(["clipboard-read", "clipboard-write"]);
  await report.open(redRun());
  const line = check(page, "jwt/pair-makes-tokens-mandatory/2.1").locator(".copyable");
  await line.getByRole("button", { name: "Copy" }).click();
  await expect(line.getByRole("button")).toHaveText("Copied");
  expect(await page.evaluate("navigator.clipboard.readText()")).toBe(
    "kubectl exec -n foo deploy/sleep -c sleep -- curl -sS -i http://httpbin.foo:8000/headers",
  );
});

test("hostile text is shown as text and is not executed", async ({ page, report }) => {
  await report.open(hostile());
  await expect(page).toHaveTitle("2 failed, 20261128-021500-b002 – meshproof");
  const body = check(page, "jwt/hostile/1.1").locator("pre").last();
  await expect(body).toContainText(attacks.script);
  await expect(body).toContainText(attacks.breakout);
  await expect(body).toContainText(attacks.cdata);
  await expect(body).toContainText("NUL␀ ESC␛[31mred␛]0;owned␇ RTL ⟨U+202E⟩gnp.exe");
  await expect(check(page, "jwt/hostile/1.2")).toContainText("… (cut: 2 KiB of 10 MiB)");
  for (const link of await page.locator("td a").all()) await link.click();
  await expect(check(page, "jwt/hostile/1.4")).toContainText(`/${attacks.script}`);
  await page.evaluate(`for (const each of document.querySelectorAll("details")) each.open = true`);
  expect(await page.locator("main img, main script, main iframe").count()).toBe(0);
  await expect(page).toHaveTitle("2 failed, 20261128-021500-b002 – meshproof");
});

base("the CSP blocks scripts that get into the page", async ({ page }) => {
  await page.setContent(formatHtml(allPassed()));
  const violations = await page.evaluate(`(async () => {
    const seen = [];
    document.addEventListener("securitypolicyviolation", (event) => seen.push(event.effectiveDirective));
    const place = document.createElement("p");
    place.innerHTML = '<img src="data:,x" onerror="document.title = 1"><b style="color: red">x</b>';
    document.body.append(place);
    while (seen.length < 2) await new Promise(requestAnimationFrame);
    return seen;
  })()`);
  expect(violations).toContain("script-src-attr");
  expect(violations).toContain("style-src-attr");
  await expect(page).toHaveTitle(/meshproof$/);
});

test("two thousand checks are filtered and opened", async ({ page, report }) => {
  const started = performance.now();
  const { html } = await report.open(many(2000));
  const opened = performance.now();
  await expect(page.getByRole("status")).toHaveText("100 scenarios");
  await page.getByRole("button", { name: "failed" }).click();
  await expect(page.getByRole("status")).toHaveText("10 of 100 scenarios");
  await page.getByRole("button", { name: "failed" }).click();
  await page.getByLabel("Find").fill("number 77 ");
  await expect(page.locator("details.scenario:visible")).toHaveAttribute("id", "jwt/many-77");
  await goTo(page, "#jwt/many-99/1.7");
  await expect(check(page, "jwt/many-99/1.7")).toBeInViewport();
  // Details of agreeing checks are data, so the page itself stays small.
  const [nodes, { size }] = [await countNodes(page), await stat(html)];
  expect(nodes).toBeLessThan(30_000);
  expect(size).toBeLessThan(8_000_000);
  logSizes("2000 checks", { nodes, size, openedMs: opened - started, usedMs: performance.now() - opened });
});

for (const [scheme, width] of LOOKS) {
  test(`everything fits and can be read: ${scheme}, ${width} px`, async ({ page, report }) => {
    await page.emulateMedia({ colorScheme: scheme });
    await page.setViewportSize({ width, height: 900 });
    for (const result of [redRun(), hostile()]) {
      await report.open(result);
      await expectReadable(page);
    }
  });
}

test("the printed page has the failures and no controls", async ({ page, report }) => {
  await report.open(redRun());
  await page.emulateMedia({ media: "print" });
  await expect(page.locator(".contents")).toBeHidden();
  await expect(page.locator(".copy").first()).toBeHidden();
  await expect(check(page, "paths/skip-jwt-for-paths/3.4").locator("dl")).toBeVisible();
});

test("the JUnit file of a hostile run is well-formed for a strict parser", async ({ page, report }) => {
  const { junit } = await report.open(hostile());
  const xml = await readFile(junit, "utf8");
  const broken = await page.evaluate(`(() => {
    const parsed = new DOMParser().parseFromString(${JSON.stringify(xml)}, "application/xml");
    return parsed.querySelector("parsererror")?.textContent ?? parsed.querySelectorAll("testcase").length;
  })()`);
  expect(broken).toBe(4);
});

test("without JavaScript every failure can still be read", async ({ browser }) => {
  const dir = await mkdtemp(join(tmpdir(), "meshproof-html-"));
  const { html } = await writeReports(redRun(), dir);
  const context = await browser.newContext({ javaScriptEnabled: false });
  const page = await context.newPage();
  await page.goto(pathToFileURL(html).href);
  await expect(check(page, "paths/skip-jwt-for-paths/3.4").locator("dl")).toBeVisible();
  await expect(step(page, "paths/skip-jwt-for-paths/3").locator("td.differs")).toHaveCount(2);
  await context.close();
  await rm(dir, { recursive: true });
});
