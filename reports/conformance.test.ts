import assert from "node:assert/strict";
import { test } from "node:test";
import { parse } from "yaml";
import { formatConformance } from "./conformance.ts";
import { allPassed, hostile, run, scenario } from "../test/recorded/change.ts";
import { redRun } from "../test/recorded/results.ts";

interface Section {
  readonly result: string;
  readonly statistics: {
    readonly Passed: number;
    readonly Failed: number;
    readonly Skipped: number;
    readonly KnownFailures: number;
  };
  readonly checks: Record<string, number>;
  readonly failedTests?: readonly { readonly name: string; readonly status: string; readonly reason: string }[];
  readonly skippedTests?: readonly { readonly name: string; readonly reason: string }[];
  readonly knownFailures?: readonly { readonly name: string; readonly reason: string }[];
  readonly passedTests: readonly string[];
}
interface Profile {
  readonly name: string;
  readonly core?: Section;
  readonly extended?: Section;
  readonly provisional?: Section;
  readonly summary: string;
}
interface Report {
  readonly apiVersion: string;
  readonly kind: string;
  readonly date: string;
  readonly implementation: { readonly versions: Record<string, string>; readonly digests: Record<string, string> };
  readonly howToReproduce: string;
  readonly profiles: readonly Profile[];
}

const read = (text: string): Report => parse(text) as Report;

test("it names the tested versions and the command that repeats the run", () => {
  const report = read(formatConformance(allPassed()));
  assert.equal(report.apiVersion, "meshproof.dev/v1alpha1");
  assert.equal(report.kind, "ConformanceReport");
  assert.equal(report.date, "2026-11-28T02:16:35.000Z");
  assert.deepEqual(report.implementation.versions, { kubernetes: "v1.36.3", istio: "1.31.0", envoy: "1.40.0" });
  assert.match(report.implementation.digests["envoy"] ?? "", /^sha256:/);
  assert.equal(report.howToReproduce, "meshproof run");
});

test("a profile per group; core, extended and provisional are counted separately, with reasons", () => {
  const { profiles } = read(formatConformance(redRun()));
  assert.deepEqual(
    profiles.map(({ name }) => name),
    ["authn", "authz", "jwt", "paths"],
  );
  const [authn, authz, jwt] = profiles;
  assert.deepEqual(authn?.core?.statistics, { Passed: 0, Failed: 0, Skipped: 1, KnownFailures: 1 });
  assert.deepEqual(authz?.core?.statistics, { Passed: 1, Failed: 1, Skipped: 0, KnownFailures: 0 });
  assert.deepEqual(jwt?.core?.statistics, { Passed: 1, Failed: 3, Skipped: 0, KnownFailures: 0 });
  assert.deepEqual(jwt?.extended?.statistics, { Passed: 0, Failed: 2, Skipped: 0, KnownFailures: 0 });
  assert.deepEqual(jwt?.core?.passedTests, ["jwt/algorithms"]);
  assert.deepEqual(
    jwt?.core?.failedTests?.map(({ name, status }) => [name, status]),
    [
      ["jwt/jwks-uri-full-name", "failed"],
      ["jwt/jwks-uri-namespace-name", "flaky"],
      ["jwt/pair-makes-tokens-mandatory", "failed"],
    ],
  );
  const apart = profiles.flatMap((profile) => [profile.core, profile.extended, profile.provisional]);
  const [known, ...others] = apart.flatMap((section) => section?.knownFailures ?? []);
  assert.deepEqual(others, []);
  assert.equal(known?.name, "authn/several-issuers");
  assert.match(known?.reason ?? "", /known until 2099-12-31/);
  assert.ok(apart.every((section) => !section?.skippedTests?.some(({ name }) => name === known?.name)));
  assert.match(authn?.core?.skippedTests?.[0]?.reason ?? "", /Istio >=1\.40/);
});

test("results: success, partial if something was left out, failure", () => {
  const core = (...scenarios: Parameters<typeof run>[0]) =>
    read(formatConformance(run(scenarios))).profiles[0]?.core?.result;
  const skipped = scenario("jwt/b", { status: "skipped", reason: "not here", steps: [] });
  assert.equal(core(scenario("jwt/a")), "success");
  assert.equal(core(scenario("jwt/a"), skipped), "partial");
  assert.equal(core(scenario("jwt/a"), skipped, scenario("jwt/c", { status: "error", reason: "gone" })), "failure");
});

test("hostile text is quoted and visible", () => {
  const text = formatConformance(hostile());
  assert.doesNotMatch(text, /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u2028-\u202e]/);
  assert.equal(read(text).profiles[0]?.core?.failedTests?.[0]?.name, "jwt/hostile");
});
