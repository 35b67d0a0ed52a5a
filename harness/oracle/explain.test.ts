import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { formatExplanation } from "../../reports/explanation.ts";
import { contradicts, type Explanation, type Missing } from "../model/explanation.ts";
import { explainRequest, trustDomainOf, type OracleRequest } from "./index.ts";

/** A part of the config dump of a sidecar with policies of many kinds. */
const FIXTURE = readFileSync(join(import.meta.dirname, "fixtures/sidecar.json"), "utf8");
const SAMPLE = readFileSync(join(import.meta.dirname, "../../scenarios/issuers/istio-sample.jwt"), "utf8").trim();
const NOW = 1_750_000_000;
const SLEEP = { peer: "cluster.local/ns/foo/sa/sleep", serverName: "outbound_.8000_._.httpbin" };

function ask(request: Partial<OracleRequest>, dump: string = FIXTURE): Explanation {
  const whole = {
    method: "GET",
    path: "/headers",
    authority: "httpbin",
    headers: [],
    sourceIp: "10.1.1.1",
    destinationIp: "10.2.2.2",
    ...request,
  };
  return explainRequest(JSON.parse(dump), whole, NOW);
}

/** A dump of an Envoy of this version. */
function ofEnvoy(minor_number: number, patch: number, dump = FIXTURE): string {
  const { configs } = JSON.parse(dump) as { configs: unknown[] };
  const node = { user_agent_build_version: { version: { major_number: 1, minor_number, patch } } };
  return JSON.stringify({ configs: [...configs, { bootstrap: { node } }] });
}

describe("explainRequest", () => {
  it("names the rule that lets a request through", () => {
    const { decision, listener, rules } = ask({});
    assert.equal(decision.verdict, "admitted");
    const rule = { policy: { namespace: "foo", name: "explain-allow" }, index: 0 };
    assert.deepEqual(decision.reason, {
      kind: "allowed",
      rule: { name: "ns[foo]-policy[explain-allow]-rule[0]", ...rule },
    });
    assert.deepEqual(listener, { name: "virtualInbound", port: 8080, transport: "plain-text" });
    assert.deepEqual(
      rules.filter((rule) => rule.dryRun).map(({ name, matched }) => [name, matched]),
      [["ns[foo]-policy[explain-dry]-rule[0]", true]],
    );
  });

  it("verifies a token, and reports a signature that fits no key", () => {
    const headers = (token: string): [string, string][] => [["authorization", `Bearer ${token}`]];
    const good = ask({ headers: headers(SAMPLE) });
    assert.equal(good.decision.verdict, "admitted");
    assert.deepEqual(good.providers[1]?.found, { kind: "accepted" });
    const bad = ask({ headers: headers(`${SAMPLE.slice(0, -8)}AAAAAAAA`) });
    assert.equal(bad.decision.details, "jwt_authn_access_denied{Jwt_verification_fails}");
    assert.equal(bad.decision.status, 401);
    assert.ok(!JSON.stringify(bad).includes(SAMPLE.slice(-40, -8)));
  });

  it("prints the token's value beside the rule's requirement", () => {
    const claims = { iss: "testing@secure.istio.io", sub: "me", aud: "c" };
    const { decision, providers, rules } = ask({ path: "/get", claims });
    assert.equal(decision.details, "rbac_access_denied_matched_policy[none]");
    assert.deepEqual(providers[1]?.found, { kind: "claims-accepted" });
    assert.deepEqual(rules.find((rule) => rule.name === "ns[foo]-policy[explain-allow]-rule[1]")?.conditions, [
      {
        field: { kind: "claim", name: "aud" },
        requires: {
          kind: "one-of",
          matchers: [
            { kind: "exact", value: "a" },
            { kind: "prefix", value: "b" },
          ],
        },
        got: { kind: "json", value: "c" },
        agrees: false,
      },
    ]);
    assert.equal(ask({ path: "/get", claims: { ...claims, aud: ["x", "bc"] } }).decision.verdict, "admitted");
  });

  it("reports istiod's placeholder key", () => {
    const [provider] = ask({}).providers;
    assert.equal(provider?.keys, "placeholder");
    const partner = Buffer.from(JSON.stringify({ iss: "https://partner.example", aud: "orders" })).toString(
      "base64url",
    );
    const head = Buffer.from(JSON.stringify({ alg: "RS256" })).toString("base64url");
    const told = ask({ headers: [["x-partner", `Token ${head}.${partner}.AAAA`]] });
    assert.match(formatExplanation(told), /istiod could not fetch the keys of https:\/\/partner.example/);
  });

  it("denies after normalization, by principal and by header", () => {
    const rule = (request: Partial<OracleRequest>): string | undefined => {
      const { reason } = ask(request).decision;
      return reason.kind === "allowed" || reason.kind === "denied" ? reason.rule.name.split("-policy")[1] : undefined;
    };
    assert.equal(rule({ method: "POST", path: "/anything/x/%2e%2e/admin?q" }), "[explain-deny]-rule[0]");
    assert.equal(rule({ authority: "WWW.EVIL" }), "[explain-deny]-rule[2]");
    assert.equal(rule({ path: "/get", ...SLEEP }), "[explain-allow]-rule[2]");
  });

  it("compares each value of a repeated header, or all of them joined, as this Envoy does", () => {
    const headers: [string, string][] = [
      ["X-Blocked", "no"],
      ["X-Blocked", "yes"],
    ];
    const verdicts = [ofEnvoy(36, 4), ofEnvoy(36, 5), FIXTURE].map((dump) => ask({ headers }, dump).decision.verdict);
    assert.deepEqual(verdicts, ["admitted", "denied", "undecided"]);
    const { decision } = ask({ headers }, FIXTURE);
    const missing = { kind: "envoy-fix", fix: "CVE-2026-26308" };
    assert.deepEqual(decision.reason, { kind: "undecided", missing });
    assert.match(
      formatExplanation(ask({ headers }, FIXTURE)),
      /^Undecided: Envoys with and without the fix of CVE-2026-26308 \(each value of a repeated header is compared by itself\) answer differently, and the config dump does not have Envoy's version\.$/m,
    );
    // No value of these decides by itself, and together they do not either.
    const harmless: [string, string][] = headers.map(([name]) => [name, "no"]);
    assert.equal(ask({ headers: harmless }).decision.verdict, "admitted");
  });

  it("answers 503 where a claim that goes to a header has a line break, and not to a header of the client", () => {
    const claimed = '"claim_to_headers": [{ "header_name": "x-claim", "claim_name": "sub" }], "payload_in_metadata"';
    const dump = ofEnvoy(40, 0, FIXTURE.replaceAll('"payload_in_metadata"', claimed));
    const verdict = (sub: string): unknown => {
      const { decision } = ask({ claims: { iss: "testing@secure.istio.io", sub } }, dump);
      return [decision.status, decision.by];
    };
    assert.deepEqual(verdict("a"), [200, "nobody"]);
    assert.deepEqual(verdict("a\tb"), [200, "nobody"]);
    assert.deepEqual(verdict("a\r\nx-other: b"), [503, "proxy"]);
  });

  it("normalizes a path again that another proxy of the mesh has normalized", () => {
    const to = { method: "POST", path: "/anything/admin/%2e%2e;x/x" };
    const dump = ofEnvoy(40, 0);
    const paths = [ask(to, dump).path, ask({ ...to, proxied: true }, dump).path];
    assert.deepEqual(paths, ["/anything/admin/..;x/x", "/anything/x"]);
  });

  it("does not guess missing or unknown facts", () => {
    const unnamed = { ...SLEEP, method: "GET", path: "/headers", headers: [] };
    const blind = explainRequest(JSON.parse(FIXTURE), unnamed, NOW);
    const missing = ({ decision: { reason } }: Explanation): Missing | undefined =>
      reason.kind === "undecided" ? reason.missing : undefined;
    assert.deepEqual(missing(blind), { kind: "not-given", field: { kind: "host" } });
    assert.match(formatExplanation(blind), /^Undecided: host is not given, and a rule compares it\.$/m);
    const strange = ask(
      {},
      FIXTURE.replaceAll('"uri_template"', '"martian"').replaceAll('"exact": "/headers"', '"exact": "/h"'),
    );
    assert.deepEqual(missing(strange), { kind: "unsupported", what: "matcher", name: "martian" });
    const filter = ask({}, FIXTURE.replaceAll(".grpc_stats.v3.FilterConfig", ".lua.v3.Lua"));
    assert.deepEqual(missing(filter), { kind: "unsupported", what: "filter", name: "envoy.filters.http.grpc_stats" });
    assert.equal(ask({}, "{}").decision.verdict, "undecided");
  });

  it("runs a config's regular expressions and templates in linear time, and names those that it cannot run", () => {
    const regex = (source: string): string =>
      FIXTURE.replaceAll('"exact": "/headers"', `"safe_regex": { "regex": ${JSON.stringify(source)} }`);
    assert.equal(ask({ path: "/headers" }, regex("/(h|he)+aders")).decision.verdict, "admitted");
    assert.equal(ask({ path: `/${"a".repeat(5000)}!` }, regex("/(a+)+")).decision.verdict, "denied");
    assert.match(
      formatExplanation(ask({}, regex("/(?=h).*"))),
      /^Undecided: meshproof cannot read the regular expression "\/\(\?=h\)\.\*": error parsing regexp/,
    );
    const template = FIXTURE.replaceAll("/anything/*/open/**", "/**/**/**/**/**/**/x");
    assert.equal(ask({ path: `/${"a/".repeat(90)}y` }, template).decision.verdict, "denied");
  });

  it("removes a fragment as configured in the dump's bootstrap", () => {
    const withFlag = (layers: unknown): string => {
      const dump = JSON.parse(FIXTURE) as { configs: unknown[] };
      dump.configs.push({ bootstrap: { layered_runtime: { layers } } });
      return JSON.stringify(dump);
    };
    const flag = "envoy.reloadable_features.http_reject_path_with_fragment";
    const path = "/headers#foo";
    assert.deepEqual(ask({ path }).decision.reason, { kind: "undecided", missing: { kind: "runtime-flag", flag } });
    assert.equal(ask({ path }, withFlag([{ static_layer: { [flag]: "false" } }])).decision.verdict, "admitted");
    assert.equal(ask({ path }, withFlag([{ static_layer: { [flag]: false } }, {}])).decision.verdict, "admitted");
    assert.equal(ask({ path }, withFlag([])).decision.status, 400);
  });

  it("a port that accepts only mTLS closes a plain connection", () => {
    const dump = JSON.parse(FIXTURE) as {
      configs: {
        active_state: { listener: { filter_chains: { filter_chain_match: { transport_protocol: string } }[] } };
      }[];
    };
    const { listener } = dump.configs[0]!.active_state;
    listener.filter_chains = listener.filter_chains.filter(
      (chain) => chain.filter_chain_match.transport_protocol === "tls",
    );
    assert.match(formatExplanation(ask({}, JSON.stringify(dump))), /PeerAuthentication STRICT/);
  });

  it("prints no signature, whichever place the token is in", () => {
    const dump = FIXTURE.replaceAll('"x-blocked"', '"authorization"');
    const headers: [string, string][] = [["authorization", `Basic ${SAMPLE}`]];
    const told = ask({ path: `/get?access_token=${SAMPLE}`, headers }, dump);
    const signature = SAMPLE.split(".")[2] ?? "";
    assert.match(JSON.stringify(told), /\[signature\]/);
    assert.ok(!JSON.stringify(told).includes(signature) && !formatExplanation(told).includes(signature));
  });

  it("tells the query that is left when a token is removed, and what cannot be sent", () => {
    const sent = (query: string): Explanation => ask({ path: `/headers?${query}&access_token=${SAMPLE}`, headers: [] });
    assert.match(formatExplanation(sent("x=%26admin%3Dtrue")), /^sent on {4}\/headers\?x=&admin=true$/m);
    const { decision } = sent("x=%00");
    assert.deepEqual([decision.status, decision.by], [503, "proxy"]);
    assert.equal(decision.details, "filter_removed_required_request_headers{invalid_header_value_for:_:path}");
    assert.match(formatExplanation(sent("x=%c3%a9%0a")), /\?x=é␊$/m);
    assert.match(formatExplanation(sent("x=%0a")), /unescapes the rest of it, which then has a character/);
    assert.equal(ask({ path: "/headers?x=%00", headers: [["authorization", `Bearer ${SAMPLE}`]] }).sentPath, undefined);
  });

  it("prints the example of docs/explain.md", () => {
    const docs = readFileSync(join(import.meta.dirname, "../../docs/explain.md"), "utf8");
    const shown = /```text\n([\s\S]*?)```/.exec(docs)?.[1]?.trim();
    const text = formatExplanation(
      ask({ method: "POST", path: "/anything/x/../admin", headers: [["authorization", `Bearer ${SAMPLE}`]] }),
    );
    assert.equal(text, shown);
  });

  it("names a missing RequestAuthentication if a 401 was expected", () => {
    const without = FIXTURE.replaceAll("jwt_authn.v3.JwtAuthentication", "cors.v3.Cors");
    const told = ask({}, without);
    assert.equal(told.tokensAsked, false);
    assert.match(
      formatExplanation(told, { expected: 401 }),
      /^The request goes through .* No RequestAuthentication is in force at this proxy for this request/,
    );
    assert.doesNotMatch(
      formatExplanation(told, { expected: 403 }),
      /No RequestAuthentication is in force at this proxy/,
    );
    assert.equal(ask({}).tokensAsked, true);
    assert.doesNotMatch(
      formatExplanation(ask({}), { expected: 401 }),
      /No RequestAuthentication is in force at this proxy/,
    );
  });

  it("leaves out filters that do not run", () => {
    const told = formatExplanation(ask({ path: "/admin%00" }), { expected: 401 });
    assert.match(told, /^The proxy itself answers 400/);
    assert.doesNotMatch(told, /is in force/);
  });

  it("leaves out the marker that shows a run which config is active", () => {
    const marked = FIXTURE.replaceAll("[explain-dry]", "[meshproof-marker]");
    assert.ok(!JSON.stringify(ask({}, marked)).includes("meshproof-marker"));
  });

  it("takes the trust domain from the clients that the proxy accepts", () => {
    assert.equal(trustDomainOf(JSON.parse(FIXTURE)), "cluster.local");
    const context = { match_subject_alt_names: [{ prefix: "spiffe://corp.example/" }] };
    const tls = { common_tls_context: { combined_validation_context: { default_validation_context: context } } };
    const listener = { filter_chains: [{ transport_socket: { typed_config: tls } }] };
    assert.equal(trustDomainOf({ configs: [{ active_state: { listener } }] }), "corp.example");
  });

  it("is printed in plain sentences", () => {
    const text = formatExplanation(ask({ method: "POST", path: "/anything/admin" }));
    assert.match(
      text,
      /^The request is denied by authorization with 403: rule 0 of AuthorizationPolicy foo\/explain-deny denies it/,
    );
    assert.match(text, /✓ method: POST — rule requires: not "GET"/);
    assert.match(text, /keys {6}istiod's placeholder/);
  });
});

describe("contradicts", () => {
  const admitted = { verdict: "admitted", status: 200 } as const;
  const denied = { verdict: "denied", status: 403 } as const;
  const lost = { verdict: "refused", status: 404 } as const;
  for (const [decision, got, expected] of [
    [admitted, { by: "authorization", status: 403 }, true],
    [admitted, { by: "workload", status: 404 }, false],
    [admitted, { by: "proxy", status: 503 }, false],
    [admitted, { by: "proxy", status: 404 }, true],
    [admitted, { by: "proxy", status: 400 }, true],
    [admitted, { by: "nobody", status: 0 }, true],
    [lost, { by: "proxy", status: 404 }, false],
    [lost, { by: "workload", status: 404 }, true],
    [lost, { by: "authorization", status: 403 }, true],
    [{ ...lost, status: 0 }, { by: "nobody", status: 0 }, false],
    [denied, { by: "workload", status: 403 }, true],
    [denied, { by: "workload", status: 200 }, true],
    [denied, { by: "authentication", status: 401 }, true],
    [denied, { by: "authorization", status: 403 }, false],
    [{ ...denied, verdict: "undecided" }, { by: "workload", status: 200 }, false],
  ] as const)
    it(`${decision.verdict} and ${got.status} from ${got.by}: ${expected}`, () =>
      assert.equal(contradicts(decision, got), expected));
});
