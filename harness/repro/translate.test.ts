import assert from "node:assert/strict";
import path from "node:path";
import { describe, it } from "node:test";
import { parseScenario } from "../scenario/load.ts";
import type { Issuer } from "../model/token.ts";
import { parseIssuer } from "../tokens/issuer.ts";
import { readCurlLine, readRequest } from "./curl-line.ts";
import { otherSpellings } from "./spellings.ts";
import { deciding, ticket } from "./fixtures.ts";
import { readObjects } from "./read-objects.ts";
import type { Ticket, Translation } from "./ticket.ts";
import { translate } from "./translate.ts";

/** The loader's problems with the written files. */
function problemsOf(made: Translation): string[] {
  const issuers = new Map<string, Issuer>();
  for (const [file, text] of made.files) {
    const name = /^issuers\/(.*)\.yaml$/.exec(file)?.[1];
    if (name !== undefined) issuers.set(name, parseIssuer(text, name, file).issuer!);
  }
  const manifests = new Map(
    [...made.files].flatMap(([file, text]) =>
      file.startsWith(`${made.id}/`) ? [[path.basename(file), text] as const] : [],
    ),
  );
  const text = made.scenario(() => ({ status: 299, by: "workload" }));
  const workloads = ["ticket", "sleep", "outside", "outside-host", "nginx-proxy"];
  return parseScenario(text, `scenarios/${made.id}/scenario.yaml`, { workloads, issuers, manifests }).problems.map(
    ({ message }) => message,
  );
}

const scenarioOf = (made: Translation): string => made.scenario(() => ({ status: 200, by: "workload" }));

const textOf = (made: Translation): string => [...made.files.values()].join("\n");

const AUTHENTICATION = (rule: string, namespace = "shop"): string => `
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: { name: jwt, namespace: ${namespace} }
spec:
  selector: { matchLabels: { app: shop } }
  jwtRules: [${rule}]
`;

const POLICY = (spec: string, namespace = "shop"): string => `
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: policy, namespace: ${namespace}, resourceVersion: "1", annotations: { kubectl.kubernetes.io/last-applied-configuration: "{}" } }
spec: ${spec}
`;

const SERVICE = `
---
apiVersion: v1
kind: Service
metadata: { name: shop, namespace: shop }
spec: { selector: { app: shop }, ports: [{ name: tcp-web, port: 81, targetPort: 9090 }] }
`;

describe("translate", () => {
  it("gives every issuer meshproof's keys with the ticket's kids and algorithms, and keeps no key of the ticket", () => {
    const jwks =
      '{"keys":[{"kty":"EC","crv":"P-256","kid":"one","x":"TICKETX","y":"TICKETY"},{"kty":"RSA","kid":"two","alg":"RS512","n":"TICKETN","e":"AQAB"}]}';
    const made = translate(
      ticket(AUTHENTICATION(`{ issuer: https://me.example, audiences: [a], jwks: '${jwks}' }`), {
        tokens: [
          { header: { alg: "RS512", kid: "two" }, claims: { iss: "https://me.example", aud: "b", iat: 1, exp: 2 } },
        ],
      }),
    );
    assert.deepEqual(problemsOf(made), []);
    assert.deepEqual(made.issuers[0]!.keys, [
      { kid: "one", alg: "ES256" },
      { kid: "two", alg: "RS512" },
    ]);
    assert.match(textOf(made), /jwks: \$\{jwks\.ticket-me-example\}/);
    assert.doesNotMatch(textOf(made), /TICKET[XYN]/);
    assert.deepEqual(made.columns, [
      "none",
      "given",
      "given-expired",
      "valid",
      "expired",
      "other-issuer",
      "other-audience",
      "other-key",
      "other-algorithm",
    ]);
    assert.match(scenarioOf(made), /alg: RS512/);
    assert.doesNotMatch(scenarioOf(made), /stranger/);
  });

  it("signs with an unknown key if the ticket's JWKS has no key for the token", () => {
    const made = translate(
      ticket(AUTHENTICATION(`{ issuer: me, jwks: '{"keys":[{"kty":"RSA","kid":"old"}]}' }`), {
        tokens: [{ header: { alg: "RS256", kid: "new" }, claims: { iss: "me" } }],
      }),
    );
    assert.deepEqual(problemsOf(made), []);
    assert.match(scenarioOf(made), /signedBy: unknown-key\s+header:\s+kid: new/);
    assert.ok(made.differences.some(({ kind }) => kind === "token-without-key"));
  });

  it("serves keys from the ticket's place: outside, unreachable, not at all, or by a Service of the ticket", () => {
    const rule = "{ issuer: https://me.example, jwksUri: https://me.example/keys }";
    const served = (made: Translation) => made.differences.flatMap((one) => (one.kind === "keys" ? [one.served] : []));
    const outside = translate(ticket(AUTHENTICATION(rule)));
    assert.match(textOf(outside), /jwksUri: \$\{jwksUri\.ticket-me-example@outside-http\}/);
    assert.deepEqual(served(outside), ["outside"]);
    const failing = translate(ticket(AUTHENTICATION(rule), { jwks: "unreachable" }));
    assert.match(textOf(failing), /jwksUri: http:\/\/nginx-proxy\.\$\{ns\}\S*\/fault\/500/);
    assert.deepEqual(served(failing), ["unreachable"]);
    const named = translate(ticket(AUTHENTICATION("{ issuer: mobile }")));
    assert.doesNotMatch(textOf(named), /jwksUri/);
    assert.deepEqual(served(named), ["no-url"]);
    const inside = translate(
      ticket(AUTHENTICATION("{ issuer: me, jwksUri: http://auth.login.svc.cluster.local/jwks }") + SERVICE),
    );
    assert.match(textOf(inside), /location = \/jwks \{/);
    assert.deepEqual(served(inside), [{ service: "login/auth" }]);
    for (const made of [outside, failing, named, inside]) assert.deepEqual(problemsOf(made), []);
  });

  it("keeps the ticket's namespaces, labels, ports and names", () => {
    const deployment = `
---
apiVersion: apps/v1
kind: Deployment
metadata: { name: shop, namespace: shop }
spec: { template: { metadata: { labels: { app: shop, version: v2 } }, spec: { serviceAccountName: web, containers: [{ name: a, ports: [{ containerPort: 9090 }] }] } } }
`;
    const made = translate(
      ticket(
        AUTHENTICATION("{ issuer: me }", "other") +
          SERVICE +
          POLICY("{ selector: { matchLabels: { app: shopp } } }") +
          deployment,
      ),
    );
    assert.deepEqual(problemsOf(made), []);
    assert.match(made.files.get("tickets/t/02-requestauthentication-jwt.yaml")!, /namespace: other/);
    assert.match(made.files.get("tickets/t/01-authorizationpolicy-policy.yaml")!, /namespace: shop/);
    const yaml = made.files.get("workloads/ticket/ticket.yaml")!;
    assert.match(yaml, /name: tcp-web\s+port: 81\s+targetPort: 9090/);
    assert.match(yaml, /listen 9090;/);
    assert.match(yaml, /version: v2/);
    assert.match(yaml, /serviceAccountName: web/);
    assert.doesNotMatch(textOf(made), /resourceVersion|last-applied/);
  });

  it("sends to the gateway if the ticket does, with the ticket's routes", () => {
    const made = translate(
      ticket(
        `${POLICY('{ selector: { matchLabels: { istio: ingress } }, rules: [{ to: [{ operation: { hosts: ["shop.example"] } }] }] }', "istio-system")}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: { name: open, namespace: gateways }
spec: { selector: { istio: ingress }, servers: [{ port: { number: 443, name: https, protocol: HTTPS }, tls: { mode: SIMPLE, credentialName: c }, hosts: ["shop/shop.example"] }] }
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: shop, namespace: shop }
spec: { hosts: [shop.example], gateways: [gateways/open], http: [{ route: [{ destination: { host: shop, port: { number: 81 } } }] }] }
${SERVICE}`,
        { request: readCurlLine("curl https://shop.example/orders") },
      ),
    );
    assert.deepEqual(problemsOf(made), []);
    assert.deepEqual(made.topology.way, { kind: "gateway", tls: true, passthrough: false });
    assert.deepEqual(made.certificate.secrets, [{ namespace: "istio-system", name: "c" }]);
    assert.match(textOf(made), /istio: ingressgateway/);
    assert.match(scenarioOf(made), /from: outside\s+to: ingress/);
    assert.deepEqual(deciding(made), []);
  });

  it("adds a route to a gateway that has none", () => {
    const made = translate(
      ticket(POLICY("{ selector: { matchLabels: { app: istio-ingressgateway } } }", "istio-system")),
    );
    assert.deepEqual(problemsOf(made), []);
    assert.match(textOf(made), /kind: VirtualService/);
    assert.deepEqual(made.topology.way, { kind: "gateway", tls: false, passthrough: false });
  });

  it("sends a token in the request's place, and does not guess that place", () => {
    const rule = AUTHENTICATION('{ issuer: me, fromHeaders: [{ name: x-jwt, prefix: "Token " }] }');
    const tokens = [{ header: {}, claims: { iss: "me" } }];
    const open = translate(ticket(rule, { tokens }));
    assert.deepEqual(problemsOf(open), []);
    assert.match(scenarioOf(open), /header: x-jwt\s+prefix: "Token "/);
    assert.deepEqual(deciding(open), ["token-place unknown"]);
    const request = readCurlLine("curl -b 'session=$JWT' http://shop.shop:81/");
    const made = translate(ticket(rule + SERVICE, { tokens, request }));
    assert.match(scenarioOf(made), /cookie: session/);
    assert.deepEqual(deciding(made), []);
    assert.deepEqual(deciding(translate(ticket(rule + SERVICE, { request }))), ["token-not-given unknown"]);
  });

  it("sends text that is not a JWT for an opaque token", () => {
    const request = readCurlLine("curl -H 'authorization: bearer 7f3c-opaque' http://shop.shop:81/");
    const made = translate(ticket(AUTHENTICATION("{ issuer: me }") + SERVICE, { request }));
    assert.deepEqual(problemsOf(made), []);
    assert.match(scenarioOf(made), /variant: not-a-jwt\s+in:\s+header: authorization\s+prefix: "bearer "/);
    assert.doesNotMatch(scenarioOf(made) + textOf(made), /7f3c/);
    assert.equal(made.given, "given");
  });

  it("sends as the client that the ticket names, and as another client if it names none", () => {
    const policy = '{ rules: [{ from: [{ source: { principals: ["cluster.local/ns/web/sa/front"] } }] }] }';
    const made = translate(ticket(POLICY(policy) + SERVICE));
    assert.deepEqual(made.topology.caller, { kind: "pod", namespace: "web", serviceAccount: "front", sidecar: true });
    assert.deepEqual(
      made.topology.others.map(({ open }) => open),
      ["identity", "sidecar"],
    );
    const asked = translate(ticket(POLICY(policy) + SERVICE, { from: "a/b" }));
    assert.deepEqual(asked.topology.caller, { kind: "pod", namespace: "a", serviceAccount: "b", sidecar: true });
    assert.deepEqual(asked.topology.others, []);
    const outside = translate(ticket(POLICY(policy) + SERVICE, { from: "outside" }));
    assert.equal(outside.topology.caller.sidecar, false);
    assert.match(scenarioOf(outside), /from: outside/);
    const exec = readCurlLine("kubectl exec -n web deploy/front -- curl http://shop.shop:81/");
    assert.equal(translate(ticket(POLICY(policy) + SERVICE, { request: exec })).topology.caller.namespace, "web");
  });

  it("recognises a host that is not in the mesh", () => {
    const request = readCurlLine("kubectl exec -n shop deploy/a -- curl https://www.example.org/");
    const made = translate(ticket(POLICY("{}"), { request }));
    assert.deepEqual(problemsOf(made), []);
    assert.deepEqual(made.topology.way, { kind: "egress", host: "www.example.org" });
    assert.ok(made.hints.some(({ kind }) => kind === "egress-not-checked"));
  });

  it("has the same result for any order of the objects", () => {
    const documents = [
      AUTHENTICATION("{ issuer: me }"),
      AUTHENTICATION("{ issuer: you }").replace("name: jwt", "name: other"),
      POLICY("{ action: DENY, rules: [{}] }").replace("---", ""),
      SERVICE.replace("---", ""),
      SERVICE.replace("---", "").replaceAll("shop", "cart"),
    ];
    const request = readRequest("GET http://shop.shop:81/", []);
    const made = (order: readonly string[]) => {
      const { files, differences, topology } = translate(ticket(order.join("\n---\n"), { request }));
      return {
        files: [...files].sort(),
        differences: differences.map((one) => JSON.stringify(one)).sort(),
        topology: topology.way,
      };
    };
    assert.deepEqual(made([...documents].reverse()), made(documents));
  });
});

describe("what is not understood", () => {
  const unknown = (yaml: string, more: Partial<Ticket> = {}) =>
    deciding(translate(ticket(`${POLICY("{}")}${SERVICE}---\n${yaml}`, more)));

  for (const [name, yaml] of Object.entries({
    "an unknown kind": "apiVersion: example.com/v1\nkind: Magic\nmetadata: { name: m }",
    "a WasmPlugin":
      "apiVersion: extensions.istio.io/v1alpha1\nkind: WasmPlugin\nmetadata: { name: w, namespace: shop }",
    "a Gateway that is not Istio's":
      "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: { name: g, namespace: shop }\nspec: {}",
    "an AuthorizationPolicy of another group":
      "apiVersion: policy.example.com/v1\nkind: AuthorizationPolicy\nmetadata: { name: a, namespace: shop }",
    "a targetRef":
      "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: { name: a, namespace: shop }\nspec: { targetRefs: [{ kind: Service, group: '', name: shop }] }",
    "an external authorizer":
      "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: { name: a, namespace: shop }\nspec: { action: CUSTOM, provider: { name: oauth2 }, rules: [{}] }",
    "an EnvoyFilter that calls a cluster":
      "apiVersion: networking.istio.io/v1alpha3\nkind: EnvoyFilter\nmetadata: { name: f, namespace: shop }\nspec: { configPatches: [{ patch: { value: { grpc_service: {} } } }] }",
    "a NetworkPolicy": "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: { name: n, namespace: shop }",
    "a field of a Service":
      "apiVersion: v1\nkind: Service\nmetadata: { name: s, namespace: shop }\nspec: { selector: { app: s }, ports: [{ port: 1 }], trafficDistribution: x }",
    "a pod on the host's network":
      "apiVersion: v1\nkind: Pod\nmetadata: { name: p, namespace: shop }\nspec: { hostNetwork: true, containers: [] }",
    "ambient mode":
      "apiVersion: v1\nkind: Namespace\nmetadata: { name: shop, labels: { istio.io/dataplane-mode: ambient } }",
    "a setting of the mesh":
      "apiVersion: install.istio.io/v1alpha1\nkind: IstioOperator\nmetadata: { name: i, namespace: istio-system }\nspec: { meshConfig: { trustDomain: x } }",
    "istiod's ConfigMap":
      "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: istio, namespace: istio-system }\ndata: { mesh: 'a: b' }",
  }))
    it(`may decide: ${name}`, () =>
      assert.match(
        unknown(yaml).join(),
        /^(object-left-out|field-left-out|mesh-setting|waypoint-open|ztunnel) unknown/,
      ));

  it("may decide: an option of curl", () =>
    assert.deepEqual(
      unknown("apiVersion: v1\nkind: Secret\nmetadata: { name: s, namespace: shop }", {
        request: readCurlLine("curl --proxy http://p http://shop.shop:81/"),
      }),
      ["part-left-out unknown"],
    ));

  it("does not decide if no rule uses it", () => {
    const quiet = [
      "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: app, namespace: shop }",
      "apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: { name: h, namespace: shop }",
      "apiVersion: install.istio.io/v1alpha1\nkind: IstioOperator\nmetadata: { name: i, namespace: istio-system }\nspec: { profile: default, meshConfig: { accessLogFile: /dev/stdout } }",
    ];
    assert.deepEqual(unknown(quiet.join("\n---\n")), []);
  });

  it("may decide: which workload is meant, its labels, and the port of its container", () => {
    const two = POLICY("{}") + SERVICE + SERVICE.replaceAll("shop", "cart");
    assert.deepEqual(deciding(translate(ticket(two))), ["workload-open unknown"]);
    const labels = POLICY("{ selector: { matchLabels: { app: shop, version: v1 } } }") + SERVICE;
    assert.deepEqual(deciding(translate(ticket(labels))), ["label-assumed unknown"]);
    const port = POLICY('{ rules: [{ to: [{ operation: { ports: ["8080"] } }] }] }');
    assert.deepEqual(deciding(translate(ticket(port))), ["port-assumed unknown"]);
  });

  it("may decide: whether a gateway is in a policy's namespace", () => {
    const policy = POLICY("{ selector: { matchLabels: { istio: ingressgateway } } }", "shop");
    const made = translate(ticket(policy + SERVICE));
    assert.deepEqual(deciding(made), ["gateway unknown"]);
    assert.ok(made.hints.some(({ kind }) => kind === "other-namespace"));
  });
});

describe("otherSpellings", () => {
  for (const [path, plain] of [
    ["//admin", "/admin"],
    ["/v1/..;/internal", "/internal"],
    ["/a%2fb?x=//", "/a/b?x=//"],
    ["/a;v=1/b", "/a/b"],
    ["/a/%2e%2e/b/.", "/b/"],
    ["/a\\b", "/a/b"],
  ] as const)
    it(`takes ${path} for ${plain}`, () => assert.deepEqual(otherSpellings(path), [plain]));
  it("finds no other spelling of a plain path", () => assert.deepEqual(otherSpellings("/a/b/?q=1;2"), []));
});

describe("readObjects", () => {
  it("replaces lists by their items and refuses other values than objects", () => {
    assert.equal(readObjects("kind: List\nmetadata: {}\nitems: [{ kind: A, metadata: { name: a } }]", "f").length, 1);
    assert.throws(() => readObjects("a: 1", "f.yaml"), /f\.yaml has a document without kind/);
    assert.throws(() => readObjects("a: [", "f.yaml"), /f\.yaml is not YAML/);
  });
});
