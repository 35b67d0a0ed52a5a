import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Caller, Difference } from "../model/ticket.ts";
import { addressesIn, callersOf, identitiesOf, looksAtIdentity, OTHER_IDENTITY, WITHOUT_SIDECAR } from "./callers.ts";
import type { TicketRequest } from "./curl-line.ts";
import { readObjects } from "./read-objects.ts";
import type { Workload } from "./services.ts";
import type { Way } from "./topology.ts";
import type { TicketObject } from "./ticket.ts";

const policyOf = (spec: string): TicketObject =>
  readObjects(
    `apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: { name: p, namespace: shop }\nspec: ${spec}\n`,
    "p.yaml",
  )[0]!;
const fromSource = (source: string, action = "ALLOW"): TicketObject =>
  policyOf(`{ action: ${action}, rules: [{ from: [{ source: ${source} }] }] }`);
const when = (key: string, value: string): TicketObject =>
  policyOf(`{ rules: [{ when: [{ key: "${key}", values: ["${value}"] }] }] }`);

const TO_SERVICE = { kind: "service" } as Way;
const BATCH: Workload = {
  ...{ namespace: "jobs", name: "batch", of: "Deployment batch", labels: {}, annotations: {}, ports: [] },
  ...{ serviceAccount: "batch-sa", sidecar: false },
};

interface Asked {
  readonly sender?: TicketRequest["sender"];
  readonly from?: string;
  readonly way?: Way;
  readonly policies?: readonly TicketObject[];
  readonly workloads?: readonly Workload[];
  readonly namespaces?: Readonly<Record<string, { sidecars: boolean }>>;
}

/** The caller as `namespace/account`, with `-` for one without a sidecar; why it is this one; what else it may be. */
function callers({ sender, from, way = TO_SERVICE, policies = [], workloads = [], namespaces = {} }: Asked) {
  const differences: Difference[] = [];
  const request = { ...(sender && { sender }) } as TicketRequest;
  const known = {
    ...{ policies, workloads, differences, fallback: "shop" },
    namespaces: new Map(Object.entries(namespaces)),
    nsOf: ({ metadata }: TicketObject) => metadata.namespace ?? "shop",
    withMode: (caller: Caller) => caller,
    isOpen: () => false,
  };
  const { caller, others } = callersOf(request, { from }, way, known);
  const [why] = differences;
  assert.deepEqual([why?.kind, why?.decides, differences.length], ["caller", "no", 1]);
  return [
    nameOf(caller),
    why?.kind === "caller" && why.because,
    ...others.map(({ open, caller: one }) => `${open} ${nameOf(one)}`),
  ];
}

const nameOf = ({ kind, namespace, serviceAccount, sidecar }: Caller): string =>
  kind === "gateway" ? "gateway" : `${sidecar ? "" : "-"}${namespace}/${serviceAccount}`;
const [OTHER, BARE] = [nameOf(OTHER_IDENTITY), nameOf(WITHOUT_SIDECAR)];

describe("the client of a ticket", () => {
  it("is the gateway where the request goes through it, whatever else is known", () => {
    const way: Way = { kind: "gateway", tls: false, passthrough: false };
    assert.deepEqual(callers({ way, policies: [fromSource("{ namespaces: [a] }")] }), ["gateway", "default"]);
    assert.deepEqual(callers({ way, from: "gateway" }), ["gateway", "asked"]);
  });

  it("is the one that --from names, and no other is tried then", () => {
    const policies = [fromSource("{ principals: [cluster.local/ns/a/sa/b] }")];
    assert.deepEqual(callers({ from: "outside", policies }), [BARE, "asked"]);
    assert.deepEqual(callers({ from: "jobs/batch", policies }), ["jobs/batch", "asked"]);
    assert.deepEqual(callers({ from: "jobs/batch", namespaces: { jobs: { sidecars: false } } }), [
      "-jobs/batch",
      "asked",
    ]);
  });

  it("is the pod of the command, with that pod's account and sidecar", () => {
    const workloads = [BATCH];
    for (const workload of ["batch", "batch-7d9f-x2"])
      assert.deepEqual(callers({ sender: { workload }, workloads }), ["-jobs/batch-sa", "command"]);
    const elsewhere = callers({ sender: { workload: "batch", namespace: "other" }, workloads });
    assert.equal(elsewhere[0], "other/default");
    const injected = [{ ...BATCH, sidecar: true }];
    assert.equal(callers({ sender: { workload: "batch" }, workloads: injected })[0], "jobs/batch-sa");
    const inProxy = { workload: "batch", container: "istio-proxy" };
    assert.equal(callers({ sender: inProxy, workloads: injected })[0], "-jobs/batch-sa");
  });

  it("may have another account, or no sidecar, where the ticket does not show the pod of the command", () => {
    const sender = { workload: "x", namespace: "jobs" };
    assert.deepEqual(callers({ sender }), ["jobs/default", "command", `sidecar ${BARE}`]);
    assert.deepEqual(callers({ sender, namespaces: { jobs: { sidecars: true } } }), ["jobs/default", "command"]);
    const named = fromSource("{ principals: [cluster.local/ns/jobs/sa/runner] }");
    assert.deepEqual(callers({ sender, policies: [named], namespaces: { jobs: { sidecars: true } } }), [
      "jobs/runner",
      "command",
      "identity jobs/other",
    ]);
    assert.deepEqual(
      callers({ sender, policies: [fromSource("{ namespaces: [jobs] }")], namespaces: { jobs: { sidecars: true } } }),
      ["jobs/default", "command"],
      "the namespace is known",
    );
  });

  it("is else the one that an ALLOW policy names, and another identity and one without a sidecar are tried", () => {
    const named = fromSource("{ principals: [cluster.local/ns/a/sa/b] }");
    assert.deepEqual(callers({ policies: [named] }), ["a/b", "policy", `identity ${OTHER}`, `sidecar ${BARE}`]);
    assert.deepEqual(callers({}), ["shop/default", "default", `sidecar ${BARE}`]);
    const way: Way = { kind: "egress", host: "example.com" };
    assert.deepEqual(callers({ way, policies: [named] }), ["a/b", "policy"]);
  });
});

describe("what rules compare of a client", () => {
  it("is its identity by principals, accounts and namespaces, in sources and in conditions", () => {
    for (const policy of [
      fromSource("{ principals: [a] }"),
      fromSource("{ notPrincipals: [a] }"),
      fromSource("{ serviceAccounts: [a] }"),
      when("source.principal", "a"),
    ])
      assert.deepEqual([looksAtIdentity(policy), looksAtIdentity(policy, true)], [true, true]);
    for (const policy of [fromSource("{ notNamespaces: [a] }"), when("source.namespace", "a")])
      assert.deepEqual([looksAtIdentity(policy), looksAtIdentity(policy, true)], [true, false]);
    for (const policy of [
      fromSource("{ requestPrincipals: [a] }"),
      when("request.headers[x]", "a"),
      policyOf("{ rules: [null] }"),
    ])
      assert.equal(looksAtIdentity(policy), false);
  });

  it("names a client only in an ALLOW policy and without wildcards, accounts before namespaces", () => {
    const source = `{ namespaces: [a, "a*"], serviceAccounts: [x/one, two], principals: ["*", td/ns/b/sa/c] }`;
    const found = [
      { namespace: "b", serviceAccount: "c" },
      { serviceAccount: "two" },
      { namespace: "x", serviceAccount: "one" },
      { namespace: "a" },
    ];
    assert.deepEqual(identitiesOf(fromSource(source)), found);
    assert.deepEqual(identitiesOf(policyOf(`{ rules: [{ from: [{ source: ${source} }] }] }`)), found);
    for (const action of ["DENY", "CUSTOM", "AUDIT"]) assert.deepEqual(identitiesOf(fromSource(source, action)), []);
  });

  it("is its address by IP blocks and conditions, with the policy that does so", () => {
    const object = { kind: "AuthorizationPolicy", namespace: "shop", name: "p" };
    assert.deepEqual(
      addressesIn([fromSource("{ principals: [x], remoteIpBlocks: [10.0.0.0/8], notIpBlocks: [1.2.3.4] }")]),
      [{ object, fields: ["remoteIpBlocks", "notIpBlocks"], values: ["10.0.0.0/8", "1.2.3.4"] }],
    );
    assert.deepEqual(addressesIn([when("destination.ip", "1.2.3.4")]), []);
    for (const key of ["source.ip", "remote.ip"])
      assert.deepEqual(addressesIn([when(key, "1.2.3.4")]), [{ object, fields: [key], values: ["1.2.3.4"] }]);
  });
});
