import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Proxy, Target } from "../run/places.ts";
import { prepare } from "../run/prepare.ts";
import { checkOf, HTTPBIN, sidecar, SLEEP } from "../run/session.fixture.ts";
import { evaluate, type Evaluated } from "./evaluate.ts";
import type { Pod, World } from "./world.ts";

const TYPE = "type.googleapis.com/envoy.extensions.filters";

/** A listener of any port with these filters, and a route for everything. */
function configOf(filters: readonly object[], action: object): unknown {
  const manager = {
    "@type": `${TYPE}.network.http_connection_manager.v3.HttpConnectionManager`,
    http_filters: filters.map((typed_config) => ({ name: "one", typed_config })),
    route_config: {
      name: "all",
      virtual_hosts: [{ domains: ["*"], routes: [{ match: { prefix: "/" }, route: action }] }],
    },
  };
  const listener = {
    name: "one",
    address: { socket_address: { port_value: 80 } },
    filter_chains: [{ filters: [{ typed_config: manager }] }],
  };
  return { configs: [{ active_state: { listener } }] };
}

/** Denies what has this path. */
const deny = (path: string): object => ({
  "@type": `${TYPE}.http.rbac.v3.RBAC`,
  rules: {
    action: "DENY",
    policies: {
      "ns[foo]-policy[p]-rule[0]": {
        permissions: [{ and_rules: { rules: [{ url_path: { path: { exact: path } } }] } }],
        principals: [{ and_ids: { ids: [{ any: true }] } }],
      },
    },
  },
});

const TO_HTTPBIN = { cluster: "outbound|8000||httpbin.foo.svc.cluster.local" };
const GATEWAY: Target = { ...HTTPBIN, url: "http://ingress", proxies: [sidecar("gw", { kind: "gateway" })] };
const pod = (name: string, proxy?: Proxy["kind"]): Pod => ({
  ...{ namespace: "foo", name: `${name}-1`, ip: "10.0.0.2", labels: { app: name }, serviceAccount: name, ports: [] },
  annotations: {},
  ...(proxy && { proxy }),
});

interface Case {
  readonly target?: Target;
  readonly through?: string;
  readonly configs?: Readonly<Record<string, unknown>>;
  readonly behind?: readonly Pod[] | undefined;
  readonly bypass?: string;
}

async function asked({ target = HTTPBIN, through, configs = {}, behind, bypass }: Case): Promise<Evaluated> {
  const spec = checkOf("/x");
  const request = { ...spec.request, ...(through !== undefined && { through }) };
  const minting = { tokens: { mint: () => Promise.reject(new Error("no token")) } };
  const located = [{ spec: { ...spec, request }, place: SLEEP, target }];
  const [prepared] = await prepare(minting, located, { tokens: {} }, { ns: "foo", outsideIp: "" });
  const world = {
    bypassOf: () => bypass,
    podsBehind: () => behind?.map((one) => ({ pod: one, port: 80 })),
  } as unknown as World;
  const dump = ({ pod: name }: Proxy): Promise<unknown> => Promise.resolve(configs[name]);
  return await evaluate({ world, dump, now: 0 }, prepared!);
}

describe("a request without a cluster is", () => {
  const OPEN = configOf([], { cluster: "inbound" });
  const DENYING = configOf([deny("/x")], { cluster: "inbound" });
  const gateway = (action: object): unknown => configOf([], action);

  const ANSWERS: readonly (readonly [title: string, given: Case, got: Evaluated["got"]])[] = [
    [
      "answered by the workload where its proxy lets it through",
      { configs: { "httpbin-1": OPEN } },
      { by: "workload" },
    ],
    ["denied where its proxy denies it", { configs: { "httpbin-1": DENYING } }, { by: "authorization", status: 403 }],
    ["answered by a pod without a proxy", { target: { ...HTTPBIN, proxies: [] } }, { by: "workload" }],
    [
      "denied behind a gateway",
      {
        target: GATEWAY,
        configs: { "gw-1": gateway(TO_HTTPBIN), "httpbin-1": DENYING },
        behind: [pod("httpbin", "sidecar")],
      },
      { by: "authorization", status: 403 },
    ],
    [
      "let through by a gateway to a workload that looks at nothing, whatever the gateway changes",
      {
        target: GATEWAY,
        configs: { "gw-1": gateway({ ...TO_HTTPBIN, prefix_rewrite: "/new" }), "httpbin-1": OPEN },
        behind: [pod("httpbin", "sidecar")],
      },
      { by: "workload" },
    ],
  ];
  for (const [title, given, got] of ANSWERS) it(title, async () => assert.deepEqual((await asked(given)).got, got));

  const OPEN_QUESTIONS: readonly (readonly [title: string, given: Case, missing: Evaluated["missing"]])[] = [
    ["a waypoint is passed", { through: "waypoint/own" }, { kind: "waypoint" }],
    ["no pod is there", { target: { ...HTTPBIN, readyPods: 0 } }, { kind: "no-pod", workload: "httpbin" }],
    ["istiod gives no config", {}, { kind: "unsettled", pod: "foo/httpbin-1" }],
    [
      "an annotation may lead past the proxy",
      { configs: { "httpbin-1": OPEN }, bypass: "traffic.sidecar.istio.io/excludeInboundPorts" },
      { kind: "annotation", name: "traffic.sidecar.istio.io/excludeInboundPorts", pod: "foo/httpbin-1" },
    ],
    [
      "a route leads to no known Service",
      { target: GATEWAY, configs: { "gw-1": gateway({ cluster: "elsewhere" }) } },
      { kind: "unknown-destination", cluster: "elsewhere" },
    ],
    [
      "one of two pods denies it",
      {
        target: { ...HTTPBIN, readyPods: 2, proxies: [sidecar("httpbin"), sidecar("other")] },
        configs: { "httpbin-1": OPEN, "other-1": DENYING },
      },
      { kind: "pods-differ", pods: ["foo/httpbin-1", "foo/other-1"] },
    ],
    [
      "a gateway changes it, and the workload behind has a policy",
      {
        target: GATEWAY,
        configs: { "gw-1": gateway({ ...TO_HTTPBIN, prefix_rewrite: "/new" }), "httpbin-1": DENYING },
        behind: [pod("httpbin", "sidecar")],
      },
      { kind: "changed-by-gateway", changes: ["prefix_rewrite"] },
    ],
  ];
  for (const [title, given, missing] of OPEN_QUESTIONS)
    it(`undecided where ${title}`, async () => {
      const found = await asked(given);
      assert.deepEqual([found.got, found.missing], [undefined, missing]);
    });
});
