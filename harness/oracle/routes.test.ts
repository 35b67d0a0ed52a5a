import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { formatExplanation } from "../../reports/explanation.ts";
import { explainRequest, type OracleRequest } from "./index.ts";

const MANAGER = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
const to = (cluster: string): object => ({ route: { cluster } });

/** Like a gateway's `http.8080`: two hosts, and a catch-all host without routes. */
const CONFIG = {
  name: "http.8080",
  ignore_port_in_host_matching: true,
  virtual_hosts: [
    {
      name: "shop",
      domains: ["shop.example"],
      routes: [
        { match: { path: "/exact", case_sensitive: true }, ...to("exact") },
        { match: { path_separated_prefix: "/app" }, ...to("app") },
        { match: { prefix: "/old" }, redirect: { path_redirect: "/new", response_code: "FOUND" } },
        { match: { prefix: "/fixed" }, direct_response: { status: 418 } },
        { match: { safe_regex: { regex: "/(a+)+" } }, ...to("regex") },
        { match: { prefix: "/h", headers: [{ name: "x-v", string_match: { exact: "2" } }] }, ...to("second") },
        { match: { prefix: "/h" }, ...to("first") },
        { match: { prefix: "/q", query_parameters: [{ name: "a", present_match: true }] }, ...to("query") },
        { match: { prefix: "/f" }, ...to("fault"), typed_per_filter_config: { "envoy.filters.http.fault": {} } },
      ],
    },
    { name: "wild", domains: ["*.example"], routes: [{ match: { prefix: "/" }, ...to("wild") }] },
    { name: "tls", domains: ["tls.example"], require_tls: "ALL", routes: [{ match: { prefix: "/" }, ...to("tls") }] },
    { name: "rest", domains: ["*"] },
  ],
};

function ask(path: string, request: Partial<OracleRequest> = {}, configs: readonly unknown[] = [CONFIG], more = {}) {
  const manager = { "@type": MANAGER, normalize_path: true, rds: { route_config_name: "http.8080" }, ...more };
  const listener = {
    name: "0.0.0.0_8080",
    address: { socket_address: { port_value: 8080 } },
    filter_chains: [{ filters: [{ typed_config: manager }] }],
  };
  const dump = {
    configs: [{ active_state: { listener } }, ...configs.map((route_config) => ({ route_config }))],
  };
  return explainRequest(dump, { method: "GET", path, authority: "shop.example", headers: [], ...request }, 0);
}

const TABLE: readonly (readonly [path: string, expected: string, request?: Partial<OracleRequest>])[] = [
  ["/exact", "exact"],
  ["/exact/", "404"],
  ["/Exact", "404"],
  ["/exact?x=1", "exact"],
  ["/app", "app"],
  ["/app/x", "app"],
  ["/apple", "404"],
  ["/old/x", "302"],
  ["/fixed", "418"],
  ["/aaaa", "regex"],
  [`/${"a".repeat(5000)}!`, "404"],
  ["/h", "first"],
  ["/h", "second", { headers: [["X-V", "2"]] }],
  ["/q", "undecided"],
  ["/f", "undecided"],
  ["/other", "404"],
  ["/other", "wild", { authority: "a.example" }],
  ["/other", "wild", { authority: "A.B.Example:8080" }],
  ["/exact", "exact", { authority: "SHOP.example:80" }],
  ["/x", "301", { authority: "tls.example" }],
  ["/x", "404", { authority: "elsewhere" }],
];

describe("routes", () => {
  for (const [path, expected, request] of TABLE)
    it(`${path.slice(0, 20)} ${JSON.stringify(request ?? {})} is ${expected}`, () => {
      const { decision, route } = ask(path, request);
      const found =
        decision.verdict === "undecided"
          ? "undecided"
          : route?.kind === "cluster"
            ? route.clusters.join()
            : String(decision.status);
      assert.equal(found, expected);
      if (expected === "404") assert.equal(decision.details, "route_not_found");
    });

  it("names a host that is not given, and routes that are not in the dump", () => {
    const blind = ask("/exact", { authority: undefined as unknown as string });
    assert.match(formatExplanation(blind), /the host is not given, and the routes of http\.8080 look at it/);
    const { decision, route } = ask("/exact", {}, []);
    assert.equal(decision.verdict, "undecided");
    assert.deepEqual(route, { kind: "unknown", missing: { kind: "route-config", name: "http.8080" } });
  });

  it("names what the proxy changes before it sends the request on", () => {
    const headers = { request_headers_to_add: [{ header: { key: "x", value: "y" } }] };
    const weighted = { clusters: [{ name: "a", host_rewrite_literal: "b" }, { name: "c" }] };
    const changes: readonly (readonly [route: object, around: object, expected: string[] | undefined])[] = [
      [to("a"), {}, undefined],
      [{ route: { cluster: "a", prefix_rewrite: "", auto_host_rewrite: false } }, {}, undefined],
      [{ route: { cluster: "a", prefix_rewrite: "/new" } }, {}, ["prefix_rewrite"]],
      [{ route: { weighted_clusters: weighted } }, {}, ["host_rewrite_literal"]],
      [{ ...to("a"), request_headers_to_remove: ["x"] }, {}, ["request_headers_to_remove"]],
      [to("a"), headers, ["request_headers_to_add"]],
    ];
    const asked = (route: object, around: object): ReturnType<typeof ask> => {
      const hosts = [{ domains: ["*"], routes: [{ match: { prefix: "/" }, ...route }], ...around }];
      return ask("/", {}, [{ name: "http.8080", virtual_hosts: hosts }]);
    };
    const rewritten = formatExplanation(asked({ route: { cluster: "a", prefix_rewrite: "/new" } }, {}));
    assert.match(rewritten, /route {6}to a \(http\.8080\), with changes by prefix_rewrite$/m);
    for (const [route, around, expected] of changes) {
      const found = asked(route, around).route;
      assert.deepEqual(found?.kind === "cluster" ? found.changes : found, expected, JSON.stringify([route, around]));
    }
  });

  it("reports who answers", () => {
    assert.match(
      formatExplanation(ask("/other")),
      /^The proxy itself answers 404: .* but no route of http\.8080 takes/,
    );
    assert.match(formatExplanation(ask("/old")), /^The proxy itself answers 302: .*\n[^]*route {6}answers 302/);
    assert.match(formatExplanation(ask("/app")), /^The request goes through to the workload: .*\n[^]*route {6}to app/);
  });
});

describe("the client's address", () => {
  /** Whether a rule for 10.0.0.0/8 matches the client's address. */
  function inTen(manager: object, headers: OracleRequest["headers"], sourceIp = "192.0.2.1"): boolean | "undecided" {
    const range = { address_prefix: "10.0.0.0", prefix_len: 8 };
    const policy = { permissions: [{ any: true }], principals: [{ remote_ip: range }] };
    const rbac = {
      "@type": "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC",
      rules: { action: "DENY", policies: { p: policy } },
    };
    const filters = { http_filters: [{ typed_config: rbac }], ...manager };
    return ask("/exact", { headers, sourceIp }, [CONFIG], filters).rules[0]?.matched ?? "undecided";
  }
  const forwarded = (...values: string[]): OracleRequest["headers"] =>
    values.map((value): [string, string] => ["X-Forwarded-For", value]);

  for (const [manager, headers, expected] of [
    [{}, [], false],
    [{}, forwarded("10.1.1.1"), true],
    [{}, forwarded("10.1.1.1, 192.0.2.2"), false],
    [{}, forwarded("192.0.2.2", "10.1.1.1"), true],
    [{ xff_num_trusted_hops: 1 }, forwarded("10.1.1.1, 192.0.2.2"), true],
    [{ xff_num_trusted_hops: 1 }, forwarded("10.1.1.1"), false],
    [{ use_remote_address: true }, forwarded("10.1.1.1"), false],
    [{ use_remote_address: true, xff_num_trusted_hops: 1 }, forwarded("10.1.1.1"), true],
    [{ use_remote_address: true, xff_num_trusted_hops: 2 }, forwarded("10.1.1.1, 192.0.2.2"), true],
    [{}, forwarded("somebody"), "undecided"],
    [{ original_ip_detection_extensions: [{}] }, forwarded("10.1.1.1"), "undecided"],
  ] as const)
    it(`${JSON.stringify(manager)} ${JSON.stringify(headers)}: ${expected}`, () =>
      assert.equal(inTen(manager, headers), expected));
});
