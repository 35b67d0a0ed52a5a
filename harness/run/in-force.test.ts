import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Manifest } from "../mesh/client.ts";
import { PLACEHOLDER_MODULUS, readProxyConfig, type ProxyConfig } from "../verdict/proxy-config.ts";
import { sentences } from "../../reports/words.ts";
import type { Change } from "./changes.ts";
import { waitInForce, type Awaited, type InForce, type PushingMesh } from "./in-force.ts";
import type { Proxy } from "./places.ts";

const proxyOf = (pod: string, namespace = "foo", app = pod): Proxy => ({
  namespace,
  pod,
  ip: "10.0.0.1",
  serviceAccount: app,
  labels: { app, ...(namespace === "istio-system" && { istio: "ingressgateway" }) },
  kind: namespace === "istio-system" ? "gateway" : "sidecar",
});
const HTTPBIN = proxyOf("httpbin");
const SLEEP = proxyOf("sleep");
const GATEWAY = proxyOf("gateway", "istio-system");

const FRONT: Proxy = {
  ...proxyOf("front"),
  labels: { "gateway.networking.k8s.io/gateway-name": "front" },
  kind: "gateway",
};

const policy = (name: string, spec: object = {}, namespace = "foo"): Manifest => ({
  apiVersion: "security.istio.io/v1",
  kind: "AuthorizationPolicy",
  metadata: { name, namespace },
  spec,
});
const change = (verb: Change["verb"], manifest: Manifest): Change => ({
  verb,
  manifest,
  file: "p.yaml",
  line: 1,
  yaml: "",
});

/** One proxy's listener: what istiod sent it last, mark included. */
interface Listener {
  readonly nonce?: string;
  readonly rules?: readonly string[];
  readonly issuers?: readonly string[];
  readonly jwks?: string;
  readonly state?: "active_state" | "warming_state" | "error_state";
}

function dumpOf(
  { nonce, rules = [], issuers = [], jwks = "{}", state = "active_state" }: Listener,
  name = "virtualInbound",
): unknown {
  const marker = nonce && {
    "ns[foo]-policy[meshproof-marker]-rule[0]": { principals: `meshproof.invalid/ns/marker/sa/${nonce}` },
  };
  const listener = [
    {
      "@type": "x.rbac.v3.RBAC",
      rules: { policies: Object.fromEntries(rules.map((rule) => [rule, {}])) },
      shadow_rules: { policies: marker ?? {} },
    },
    {
      "@type": "x.jwt_authn.v3.JwtAuthentication",
      providers: Object.fromEntries(issuers.map((issuer) => [issuer, { issuer, local_jwks: { inline_string: jwks } }])),
    },
  ];
  const body = state === "error_state" ? { details: "bad keys", failed_configuration: listener } : { listener };
  return { configs: [{ name, ...(state !== "active_state" && { active_state: {} }), [state]: body }] };
}

/** One listener that has the first in force and rejected the second. */
function rejecting(active: Listener, rejected: Listener): unknown {
  const [one, other] = [active, { ...rejected, state: "error_state" as const }].map(
    (listener) => (dumpOf(listener) as { configs: object[] }).configs[0],
  );
  return { configs: [{ ...other, ...one }] };
}

/**
 * A cluster whose istiod sends what `push` says.
 * @param push the listener of a proxy, given the last mark and how often it was asked for since
 */
function meshOf(
  push: (proxy: Proxy, nonce: string, asked: number) => unknown,
  options: {
    readonly unchosenIsNote?: boolean;
    readonly inForceLimitMs?: number;
    readonly policies?: readonly Manifest[];
    readonly notFetched?: readonly string[];
  } = {},
): { readonly mesh: PushingMesh; readonly marks: Manifest[] } {
  const marks: Manifest[] = [];
  const asked = new Map<string, number>();
  const mesh: PushingMesh = {
    handle: { ours: false },
    plan: { runId: "r", inForceLimitMs: 300, ...options },
    tokens: { redact: (text: string) => text },
    failedFetches: () => Promise.resolve(options.notFetched ?? []),
    kube: {
      objects: {
        apply: (manifest: Manifest) => {
          marks.push(manifest);
          return Promise.resolve(manifest);
        },
        list: () => Promise.resolve({ items: [...(options.policies ?? [])] }),
      },
    },
    proxyConfig: (proxy: Proxy, nonce: string): Promise<ProxyConfig | undefined> => {
      const key = `${proxy.pod} ${nonce}`;
      asked.set(key, (asked.get(key) ?? 0) + 1);
      const text = push(proxy, nonce, asked.get(key) ?? 0);
      return Promise.resolve(JSON.stringify(text).includes(nonce) ? readProxyConfig(text) : undefined);
    },
  };
  return { mesh, marks };
}

const EMPTY: ProxyConfig = { jwt: [], rules: [], listeners: [] };
const DENY = policy("deny", { selector: { matchLabels: { app: "httpbin" } } });
const RULE = "ns[foo]-policy[deny]-rule[0]";

function wait(mesh: PushingMesh, awaited: Partial<Awaited>): Promise<InForce> {
  const changes = awaited.changes ?? [change("apply", DENY)];
  const applied = changes.flatMap(({ verb, manifest }) => (verb === "apply" ? [manifest] : []));
  return waitInForce(mesh, {
    ...{ changes, applied, judges: { proxies: [HTTPBIN], behind: [] }, clients: [SLEEP] },
    ...awaited,
  });
}

describe("in force", () => {
  it("means that each judging proxy shows the mark which was applied last", async () => {
    const { mesh, marks } = meshOf((_, nonce, n) => dumpOf(n < 3 ? { rules: [RULE] } : { nonce, rules: [RULE] }), {
      inForceLimitMs: 10_000,
    });
    const { objects, problems } = await wait(mesh, {});
    assert.deepEqual(problems, []);
    assert.deepEqual(objects[0]?.proxies, ["foo/httpbin"]);
    assert.ok((objects[0].inForceMs ?? 0) >= 100);
    assert.deepEqual(
      marks.map(({ metadata }) => `${metadata.namespace}/${metadata.name}`),
      ["foo/meshproof-marker-httpbin"],
    );
  });

  it("marks the pods that it waits for, and the whole namespace where these are many", async () => {
    const marked = async (...apps: string[]): Promise<string[]> => {
      const { mesh, marks } = meshOf((_, nonce) => dumpOf({ nonce }));
      const proxies = apps.map((app) => proxyOf(app));
      assert.deepEqual((await wait(mesh, { changes: [], judges: { proxies, behind: [] } })).problems, []);
      return marks.map(
        ({ metadata: { name }, spec }) => `${name} ${JSON.stringify((spec as { selector?: unknown }).selector)}`,
      );
    };
    const one = (app: string): string => `meshproof-marker-${app} {"matchLabels":{"app":"${app}"}}`;
    assert.deepEqual(await marked("a", "a", "b"), [one("a"), one("b")]);
    assert.deepEqual(await marked("a", "b", "c", "d"), ["meshproof-marker undefined"]);
    const { mesh, marks } = meshOf((_, nonce) => dumpOf({ nonce }));
    const unnamed = { ...proxyOf("x"), labels: { tier: "a_b", zone: "1" } };
    await wait(mesh, { changes: [], judges: { proxies: [unnamed], behind: [] } });
    assert.match(marks[0]?.metadata.name ?? "", /^meshproof-marker-[0-9a-f]{16}$/);
    assert.deepEqual((marks[0]?.["spec"] as { selector: unknown }).selector, { matchLabels: unnamed.labels });
  });

  it("is not inferred from a policy's name: an older version of it is a problem", async () => {
    const { mesh } = meshOf(() => dumpOf({ nonce: "0000000000000000", rules: [RULE] }));
    const { problems, objects } = await wait(mesh, {});
    assert.match(sentences(problems), /foo\/httpbin has an older configuration .*AuthorizationPolicy foo\/deny/);
    assert.equal(objects[0]?.inForceMs, undefined);
    assert.deepEqual(objects[0]?.proxies, []);
  });

  it("says where a proxy has no listener at all", async () => {
    const { mesh } = meshOf(() => ({ configs: [] }));
    const empty = {
      ...mesh,
      proxyConfig: (proxy: Proxy, text: string) =>
        text === "" ? Promise.resolve(EMPTY) : mesh.proxyConfig(proxy, text),
    };
    const { problems } = await wait(empty, {});
    assert.match(
      sentences(problems),
      /foo\/httpbin has no listener, so AuthorizationPolicy foo\/deny is not in force there/,
    );
  });

  it("names the keys that istiod could not fetch, where a proxy has an older config: it may wait for them", async () => {
    const old = () => dumpOf({ nonce: "0000000000000000", rules: [RULE] });
    const failing = meshOf(old, { notFetched: ["http://keys.example/jwks"] });
    assert.match(sentences((await wait(failing.mesh, {})).problems), /istiod could not fetch .*keys\.example/);
    const { problems } = await wait(meshOf(old).mesh, {});
    assert.equal("notFetched" in problems[0]!, false);
  });

  it("means the keys that istiod fetches by itself, where the step names their issuer", async () => {
    const jwt: Manifest = {
      apiVersion: "security.istio.io/v1",
      kind: "RequestAuthentication",
      metadata: { name: "jwt", namespace: "foo" },
      spec: { jwtRules: [{ issuer: "a", jwksUri: "http://keys/" }] },
    };
    const until = async (last: string, inForceLimitMs = 10_000): Promise<InForce["problems"]> => {
      const { mesh } = meshOf((_, nonce, n) => dumpOf({ nonce, issuers: ["a"], jwks: n < 4 ? "<html>" : last }), {
        inForceLimitMs,
      });
      const keys = { issuer: "next", jwks: '{"keys":[{"kid":"1"}]}' };
      return (await wait(mesh, { changes: [change("apply", jwt)], keys })).problems;
    };
    assert.deepEqual(await until('{ "keys": [ { "kid": "1" } ] }'), []);
    const problems = await until('{"keys":[{"kid":"0"}]}', 300);
    assert.match(sentences(problems), /^foo\/httpbin does not have the keys of the issuer next 0\.3 s after/);
    assert.deepEqual(
      problems.map(({ kind }) => kind),
      ["other-keys"],
    );
  });

  it("holds for a deletion too", async () => {
    const changes = [change("delete", DENY)];
    const late = await wait(meshOf(() => dumpOf({ rules: [RULE] })).mesh, { changes });
    assert.match(sentences(late.problems), /older configuration/);
    const done = await wait(meshOf((_, nonce) => dumpOf({ nonce })).mesh, { changes });
    assert.deepEqual(done.problems, []);
  });

  it("is checked where a step changes nothing: a scenario's first one", async () => {
    const left = await wait(meshOf((_, nonce) => dumpOf({ nonce, rules: [RULE] })).mesh, { changes: [] });
    assert.match(sentences(left.problems), /enforces what this scenario did not apply: AuthorizationPolicy foo\/deny/);
    assert.deepEqual(
      left.problems.map(({ kind }) => kind),
      ["foreign-policies"],
    );
  });

  it("names another user's RequestAuthentication", async () => {
    const theirs: Manifest = {
      apiVersion: "security.istio.io/v1beta1",
      kind: "RequestAuthentication",
      metadata: { name: "theirs", namespace: "istio-system" },
      spec: { jwtRules: [{ issuer: "a", jwks: "{}" }] },
    };
    const { mesh } = meshOf((_, nonce) => dumpOf({ nonce, rules: [RULE], issuers: ["a", "b"] }), {
      policies: [theirs],
    });
    const { problems } = await wait(mesh, {});
    assert.deepEqual(problems, [
      {
        kind: "foreign-policies",
        proxy: { namespace: "foo", pod: "httpbin" },
        policies: [
          { kind: "object", object: { kind: "RequestAuthentication", namespace: "istio-system", name: "theirs" } },
          { kind: "jwt-rule", issuer: "b" },
        ],
      },
    ]);
  });

  it("needs the scenario's own policies beside the mark: istiod watches each kind for itself", async () => {
    const { mesh } = meshOf((_, nonce) => dumpOf({ nonce }));
    const { problems } = await wait(mesh, {});
    assert.match(sentences(problems), /AuthorizationPolicy foo\/deny: foo\/httpbin does not show/);
  });

  it("does not count a listener that is warming, and says so", async () => {
    const { mesh } = meshOf((_, nonce) => dumpOf({ nonce, rules: [RULE], state: "warming_state" }));
    assert.match(sentences((await wait(mesh, {})).problems), /still warming/);
  });

  it("reports a config that a proxy rejects, and accepts that if the step expects it", async () => {
    const { mesh } = meshOf((_, nonce) => dumpOf({ nonce, state: "error_state" }));
    assert.match(sentences((await wait(mesh, {})).problems), /foo\/httpbin rejects .*: bad keys/);
    assert.deepEqual((await wait(mesh, { expects: "rejected" })).problems, []);
    const older = meshOf((_, nonce) => rejecting({ rules: ["ns[foo]-policy[older]-rule[0]"] }, { nonce })).mesh;
    assert.match(sentences((await wait(older, { expects: "rejected" })).problems), /did not apply: .* foo\/older/);
    const taken = meshOf((_, nonce) => dumpOf({ nonce, rules: [RULE] })).mesh;
    assert.match(sentences((await wait(taken, { expects: "rejected" })).problems), /does not reject/);
  });

  it("is a problem at once for a policy that chooses none of the judging pods, unless the step says so", async () => {
    const elsewhere = [change("apply", policy("typo", { selector: { matchLabels: { app: "httpbim" } } }))];
    const push = (_: Proxy, nonce: string): unknown => dumpOf({ nonce });
    const { mesh, marks } = meshOf(push);
    assert.match(
      sentences((await wait(mesh, { changes: elsewhere })).problems),
      /foo\/typo selects none .*app=httpbim/,
    );
    assert.deepEqual(marks, []);
    assert.deepEqual((await wait(mesh, { changes: elsewhere, expects: "nowhere" })).problems, []);
    const noted = await wait(meshOf(push, { unchosenIsNote: true }).mesh, { changes: elsewhere });
    assert.deepEqual(noted.problems, []);
    assert.match(noted.objects[0]?.findings?.[0]?.kind ?? "", /selects-no-pod/);
    const rule = (_: Proxy, nonce: string): unknown => dumpOf({ nonce, rules: [RULE] });
    assert.match(
      sentences((await wait(meshOf(rule).mesh, { expects: "nowhere" })).problems),
      /says `inForce: nowhere`/,
    );
  });

  it("is a problem at once for a policy whose targetRefs attach it to no judging proxy, with the reason", async () => {
    const targetRefs = [{ group: "", kind: "Service", name: "httpbin" }];
    const elsewhere = [change("apply", policy("lost", { targetRefs }))];
    const { mesh, marks } = meshOf((_, nonce) => dumpOf({ nonce }));
    const judges = { proxies: [FRONT], behind: [HTTPBIN] };
    assert.match(
      sentences((await wait(mesh, { changes: elsewhere, judges })).problems),
      /foo\/lost is accepted and holds at none of .*foo\/front: a policy for Service httpbin holds at a waypoint/,
    );
    assert.deepEqual(marks, []);
    assert.deepEqual((await wait(mesh, { changes: elsewhere, judges, expects: "nowhere" })).problems, []);
  });

  it("is an error where istiod attaches a policy that was expected nowhere", async () => {
    const targetRefs = [{ group: "", kind: "Service", name: "httpbin" }];
    const lost = policy("deny", { targetRefs });
    const { mesh } = meshOf((_, nonce) => dumpOf({ nonce, rules: [RULE] }));
    const judges = { proxies: [FRONT], behind: [] };
    const found = await wait(mesh, { changes: [change("apply", lost)], applied: [lost], judges, expects: "nowhere" });
    assert.match(sentences(found.problems), /enforces what this scenario did not apply: AuthorizationPolicy foo\/deny/);
  });

  it("marks a gateway of the Gateway API by its Gateway, beside the mark of a whole namespace", async () => {
    const { mesh, marks } = meshOf((_, nonce) => dumpOf({ nonce }));
    const proxies = [FRONT, ...["a", "b", "c"].map((app) => proxyOf(app))];
    assert.deepEqual((await wait(mesh, { changes: [], judges: { proxies, behind: [] } })).problems, []);
    assert.deepEqual(
      marks.map(({ metadata: { name }, spec }) => [name, (spec as { targetRefs?: unknown }).targetRefs]),
      [
        ["meshproof-marker", undefined],
        ["meshproof-marker-of-front", [{ group: "gateway.networking.k8s.io", kind: "Gateway", name: "front" }]],
      ],
    );
  });

  it("waits for clients and for a second mark where routes may have changed", async () => {
    const route = [change("apply", { ...policy("route"), kind: "VirtualService" })];
    const asked = new Set<string>();
    const { mesh, marks } = meshOf((proxy, nonce) => {
      asked.add(proxy.pod);
      return dumpOf({ nonce });
    });
    const { problems, objects } = await wait(mesh, { changes: route });
    assert.deepEqual(problems, []);
    const names = marks.map(({ metadata }) => metadata.name);
    const both = ["meshproof-marker-httpbin", "meshproof-marker-sleep"];
    assert.deepEqual([names.slice(0, 2).sort(), names.slice(2).sort()], [both, both]);
    assert.deepEqual([...asked].sort(), ["httpbin", "sleep"]);
    assert.deepEqual(objects[0]?.proxies, ["foo/httpbin", "foo/sleep"]);
  });

  it("waits for clients, with one mark, where the whole mesh may have changed before", async () => {
    const asked = new Set<string>();
    const { mesh, marks } = meshOf((proxy, nonce) => {
      asked.add(proxy.pod);
      return dumpOf({ nonce, rules: proxy.pod === "httpbin" ? [RULE] : [] });
    });
    const { problems, objects } = await wait(mesh, { everywhere: true });
    assert.deepEqual(problems, []);
    assert.equal(marks.length, 2);
    assert.deepEqual([...asked].sort(), ["httpbin", "sleep"]);
    assert.deepEqual(objects[0]?.proxies, ["foo/httpbin"]);
  });

  it("marks a second time where a proxy has istiod's placeholder instead of keys", async () => {
    const placeholder = {
      ...{ "@type": "x.jwt_authn.v3.JwtAuthentication" },
      providers: { a: { issuer: "a", local_jwks: { inline_string: `{"keys":[{"n":"${PLACEHOLDER_MODULUS}"}]}` } } },
    };
    const { mesh, marks } = meshOf((_, nonce) => {
      const dump = dumpOf({ nonce }) as { configs: [{ active_state: { listener: unknown[] } }] };
      dump.configs[0].active_state.listener.push(placeholder);
      return dump;
    });
    const spec = { jwtRules: [{ issuer: "a", jwksUri: "http://a" }] };
    const { problems } = await wait(mesh, {
      changes: [change("apply", { ...policy("a", spec), kind: "RequestAuthentication" })],
    });
    assert.deepEqual([problems, marks.length], [[], 2]);
  });

  it("marks the gateway alone in the root namespace, and wants it in each of its listeners", async () => {
    const two = (nonce: string, other: string): unknown => ({
      configs: [dumpOf({ nonce }, "a"), dumpOf({ nonce: other }, "b")].flatMap(
        (dump) => (dump as { configs: unknown[] }).configs,
      ),
    });
    const judges = { proxies: [GATEWAY], behind: [] };
    const half = meshOf((_, nonce) => two(nonce, "0000000000000000"));
    assert.match(sentences((await wait(half.mesh, { judges, changes: [] })).problems), /older configuration/);
    const whole = meshOf((_, nonce) => two(nonce, nonce));
    assert.deepEqual((await wait(whole.mesh, { judges, changes: [] })).problems, []);
    assert.deepEqual(whole.marks[0]?.["spec"], {
      selector: { matchLabels: { istio: "ingressgateway" } },
      action: "DENY",
      rules: (whole.marks[0]?.["spec"] as { rules: unknown }).rules,
    });
  });
});
