import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { describeNever, formatCheck } from "./check.ts";
import { REPORT } from "./check.fixture.ts";
import { formatSarif } from "./sarif.ts";

describe("the answers of check", () => {
  it("are a matrix with what differs, why, and the policies with file and line", () => {
    assert.deepEqual(formatCheck(REPORT, 90).split("\n"), [
      "s/scenario.yaml:7  tokens decide: 1 of 3 checks differs, 1 undecided",
      "           none     valid  other",
      "  /orders  403≠200  200    ?",
      "  request   GET /orders from sleep to orders, no token",
      "  config    The request is denied by authorization with 403: no rule of an ALLOW policy matches: .",
      "  policies  AuthorizationPolicy foo/orders, deploy/my orders.yaml:28",
      "  request   GET /orders from sleep to orders, token valid",
      "  missing   Undecided: the request may pass a waypoint, which is not evaluated without a cluster.",
      "",
      'deploy/my orders.yaml:35  "80" matches no request: proxies compare the port of the pod, and this is one of a Service alone (AuthorizationPolicy foo/orders, spec.rules[0].to[0].operation.ports[0])',
      "deploy/my orders.yaml:40  shadowed: for each request that rule 1 of AuthorizationPolicy foo/orders matches, another one decides as well (rule 0 of foo/orders)",
      "deploy/my orders.yaml:33  not proved: no check fails this condition alone (AuthorizationPolicy foo/orders, spec.rules[0].to[0].operation.paths)",
      "coverage 50 %: 1 of 2 parts of the policies is decisive for a request, and --fail-under demands 90 %",
      "taken for granted: the keys of i can be fetched",
      "Evaluated by the config that istiod 1.31.0 makes of the objects, as Envoy 1.40.0 reads it; no request was sent.",
      "1 check agrees, 1 differs, 1 undecided",
    ]);
  });

  it("say of a value that a client can send exactly so that it matches only itself", () => {
    const [one] = REPORT.neverMatches;
    assert.match(
      describeNever({ ...one!, value: "get", because: "lower-case-method" }),
      /^"get" matches only itself: /,
    );
    assert.match(describeNever({ ...one!, value: "/a", because: "service-port" }), /^"\/a" matches no request: /);
  });

  it("are in SARIF at the policy that decides, with the check beside it", () => {
    const { runs } = JSON.parse(formatSarif(REPORT, "1.2.3")) as {
      runs: { results: { ruleId: string; locations: unknown; relatedLocations?: unknown }[] }[];
    };
    const results = runs[0]?.results ?? [];
    assert.deepEqual(
      results.map(({ ruleId }) => ruleId),
      ["check-differs", "check-undecided", "never-matches", "shadowed-rule", "not-proved"],
    );
    const place = (uri: string, startLine: number) => ({
      physicalLocation: { artifactLocation: { uri }, region: { startLine, startColumn: 5 } },
    });
    assert.deepEqual(results[0]?.locations, [place("deploy/my%20orders.yaml", 28)]);
    assert.deepEqual(results[0]?.relatedLocations, [
      { ...place("s/scenario.yaml", 9), message: { text: "the check" } },
    ]);
    assert.deepEqual(results[1]?.locations, [place("s/scenario.yaml", 9)]);
  });
});
