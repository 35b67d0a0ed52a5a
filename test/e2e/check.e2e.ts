/** `meshproof check` with a real istiod: the example of docs/your-own-policies.md, and all scenarios, whose answers a mesh has given. */

import assert from "node:assert/strict";
import { mkdir, mkdtemp, readdir, readFile, readlink, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, it } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { Ajv } from "ajv";
import { execa } from "execa";
import { PROJECT } from "../../cli/context.ts";
import { meshproof } from "../../cli/meshproof.fixture.ts";
import { checkReport, type CheckReport } from "../../harness/model/check.ts";

/** What no scenario's answer lacks but these: anything else that is undecided is a new gap. */
const KNOWN_GAPS = new Set([
  ...["waypoint", "remote-keys", "external-authorizer", "rejected-config", "object-not-evaluated"],
  ...["not-given", "forwarded-for", "unknown-destination", "changed-by-gateway", "unsupported", "unsettled"],
  ...["host-name", "tls-of-the-client", "ztunnel"],
]);

interface Sarif {
  readonly runs: readonly {
    readonly results: readonly {
      readonly ruleId: string;
      readonly locations: readonly {
        readonly physicalLocation: {
          readonly artifactLocation: { readonly uri: string };
          readonly region: { readonly startLine: number };
        };
      }[];
    }[];
  }[];
}

describe("meshproof check", () => {
  let cwd: string;
  let policies: string;
  const file = (): string => path.join(cwd, "deploy/orders.yaml");
  /** In a process of its own, as a user runs it after each change of a file. */
  const check = (...args: string[]) =>
    execa("node", [path.join(PROJECT, "cli/meshproof.mjs"), "check", ...args], { cwd, reject: false });
  before(async () => {
    cwd = await mkdtemp(path.join(tmpdir(), "meshproof-check-"));
    const page = await readFile(path.join(PROJECT, "docs/your-own-policies.md"), "utf8");
    policies = /^```yaml deploy\/orders\.yaml\n([\s\S]*?)^```$/m.exec(page)?.[1] ?? "";
    await mkdir(path.join(cwd, "deploy"));
    await writeFile(file(), policies);
    assert.equal((await meshproof(["init"], { cwd })).exitCode, 0);
  });
  after(() => rm(cwd, { recursive: true }));

  it("agrees with the example of the docs", async () => {
    const { stdout, exitCode } = await check();
    assert.match(stdout, /^8 checks agree, 0 differ, 0 undecided$/m);
    assert.match(stdout, /^coverage \d+ %/m);
    assert.equal(exitCode, 0);
  });

  it("differs where the principal is wrong, at its line and with the condition that decides", async () => {
    await writeFile(file(), policies.replace("login.shop.example/*", "login.shop.example"));
    const { stdout, exitCode } = await check("--sarif", "check.sarif");
    assert.equal(exitCode, 1, stdout);
    assert.match(stdout, /mesh-tests\/shop\/orders\/scenario\.yaml:\d+ {2}authorization decides/);
    assert.match(stdout, /403≠200/);
    assert.match(stdout, /AuthorizationPolicy foo\/orders, deploy\/orders\.yaml:28/);
    const line = policies.split("\n").findIndex((one) => one.includes("requestPrincipals")) + 1;
    assert.ok(stdout.includes(`deploy/orders.yaml:${line}  "https://login.shop.example" matches no request`), stdout);

    const sarif = JSON.parse(await readFile(path.join(cwd, "check.sarif"), "utf8")) as Sarif;
    const at = createRequire(import.meta.url).resolve("@microsoft/jest-sarif/lib/schemas/sarif-2.1.0-rtm.5.json");
    const { $schema: _, id: _id, ...schema } = JSON.parse(await readFile(at, "utf8")) as Record<string, unknown>;
    const validate = new Ajv({ strict: false, validateFormats: false, unicodeRegExp: false }).compile(schema);
    validate(sarif);
    assert.equal(validate.errors, null);
    const found = (sarif.runs[0]?.results ?? []).map(({ ruleId, locations }) => {
      const { artifactLocation, region } = locations[0]!.physicalLocation;
      return `${ruleId} ${artifactLocation.uri}:${region.startLine}`;
    });
    assert.ok(found.includes(`never-matches deploy/orders.yaml:${line}`), found.join("\n"));
    assert.ok(found.includes("check-differs deploy/orders.yaml:28"), found.join("\n"));
    assert.equal(validate({ ...sarif, version: "1" }), false);
  });

  it("demands a coverage: a rule that no request proves has its line", async () => {
    await writeFile(
      file(),
      `${policies}    - to:\n        - operation:\n            methods: [DELETE]\n            paths: [/admin]\n`,
    );
    const enough = await check("--fail-under", "10");
    assert.equal(enough.exitCode, 0, enough.stdout);
    const { stdout, exitCode } = await check("--fail-under", "90");
    assert.equal(exitCode, 1, stdout);
    const line = policies.split("\n").length;
    assert.ok(stdout.includes(`deploy/orders.yaml:${line}  not proved: no check would be answered otherwise`), stdout);
    assert.match(stdout, /--fail-under demands 90 %/);
  });

  it("leaves no istiod where it is killed", async () => {
    /** istiods whose folder is below this test's own folder for temporary files. */
    const temp = await mkdtemp(path.join(tmpdir(), "meshproof-killed-"));
    const istiods = async (): Promise<string[]> => {
      const folders = (await readdir("/proc")).filter((pid) => /^\d+$/.test(pid));
      const found = await Promise.all(folders.map((pid) => readlink(`/proc/${pid}/cwd`).catch(() => "")));
      return folders.filter((_, i) => found[i]?.startsWith(temp));
    };
    const until = async (what: string, holds: (count: number) => boolean): Promise<void> => {
      for (const limit = performance.now() + 60_000; !holds((await istiods()).length); await delay(20))
        assert.ok(performance.now() < limit, what);
    };
    const whole = execa(process.execPath, [path.join(PROJECT, "cli/meshproof.mjs"), "check"], {
      ...{ cwd: PROJECT, env: { TMPDIR: temp }, reject: false },
    });
    try {
      await until("an istiod runs", (count) => count > 0);
      whole.kill("SIGKILL");
      await whole;
      await until("no istiod is left", (count) => count === 0);
    } finally {
      whole.kill("SIGKILL");
      await rm(temp, { recursive: true, force: true });
    }
  });

  it("gives every scenario the answers that a mesh gives, or says what it does not know", async (context) => {
    const { stdout, stderr, exitCode } = await meshproof(["check", "--json", "--allow-undecided"]);
    assert.equal(exitCode, 0, stderr);
    const report = checkReport.parse(JSON.parse(stdout)) as CheckReport;
    const checks = report.scenarios.flatMap(({ id, steps }) =>
      steps.flatMap((step) => step.checks.map((one) => ({ id, step: step.name, ...one }))),
    );
    const differing = checks.filter(({ status }) => status === "differs").map(({ id, step, name }) => [id, step, name]);
    assert.deepEqual(differing, []);
    const open = checks.flatMap(({ missing }) => missing?.kind ?? []);
    const counts = [...Map.groupBy(open, (kind) => kind)].map(([kind, all]) => `${kind} ${all.length}`);
    context.diagnostic(`${JSON.stringify(report.counts)}; undecided: ${counts.join(", ")}`);
    assert.deepEqual(
      open.filter((kind) => !KNOWN_GAPS.has(kind)),
      [],
    );
    assert.ok(report.counts.agrees > 5 * report.counts.undecided);
  });
});
