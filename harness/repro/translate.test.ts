import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import path from "node:path";
import { describe, it } from "node:test";
import { parseScenario } from "../scenario/load.ts";
import type { Issuer } from "../model/token.ts";
import { parseIssuer } from "../tokens/issuer.ts";
import { readCurlLine, readRequest } from "./curl-line.ts";
import { otherSpellings } from "./spellings.ts";
import { readObjects } from "./stand-in.ts";
import { translate, type Ticket, type Translation } from "./translate.ts";

const ROOT = path.join(import.meta.dirname, "../..");
const IMAGE = readFileSync(path.join(ROOT, "scenarios/workloads/nginx-proxy/nginx-proxy.yaml"), "utf8");

function ticket(yaml: string, more: Partial<Ticket> = {}): Ticket {
  const request = readRequest("GET /orders", []);
  return { name: "t", objects: readObjects(yaml, "t.yaml"), request, jwks: "reachable", image: IMAGE, ...more };
}

/** The loader's own opinion of what was written. */
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
  it("gives every issuer keys of ours and keeps kids, algorithms and no key of the ticket", () => {
    const jwks =
      '{"keys":[{"kty":"EC","crv":"P-256","kid":"one","x":"TICKETX","y":"TICKETY"},{"kty":"RSA","kid":"two","alg":"RS512","n":"TICKETN","e":"AQAB"}]}';
    const made = translate(
      ticket(AUTHENTICATION(`{ issuer: https://me.example, audiences: [a], jwks: '${jwks}' }`), {
        token: {
          header: { alg: "RS512", kid: "two" },
          claims: { iss: "https://me.example", aud: "b", iat: 1, exp: 2 },
        },
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
      "valid",
      "expired",
      "other-issuer",
      "other-audience",
      "other-key",
      "other-algorithm",
    ]);
    const scenario = made.scenario(() => ({ status: 200, by: "workload" }));
    assert.match(scenario, /alg: RS512/);
    assert.doesNotMatch(scenario, /stranger/);
  });

  it("signs with a stranger's key what the ticket's JWKS has no key for", () => {
    const made = translate(
      ticket(AUTHENTICATION(`{ issuer: me, jwks: '{"keys":[{"kty":"RSA","kid":"old"}]}' }`), {
        token: { header: { alg: "RS256", kid: "new" }, claims: { iss: "me" } },
      }),
    );
    assert.deepEqual(problemsOf(made), []);
    assert.match(
      made.scenario(() => ({ status: 200, by: "workload" })),
      /signedBy: unknown-key\s+header:\s+kid: new/,
    );
    assert.match(made.changes.join("\n"), /no key of the ticket's JWKS has the token's kid "new"/);
  });

  it("serves a jwksUri where no policy of the ticket is in the way, or lets it fail", () => {
    const rule = "{ issuer: https://me.example, jwksUri: https://me.example/keys }";
    assert.match(
      textOf(translate(ticket(AUTHENTICATION(rule)))),
      /jwksUri: \$\{jwksUri\.ticket-me-example@outside-http\}/,
    );
    const failing = translate(ticket(AUTHENTICATION(rule), { jwks: "unreachable" }));
    assert.match(textOf(failing), /jwksUri: http:\/\/nginx-proxy\.\$\{ns\}\S*\/fault\/500/);
    assert.match(failing.changes.join("\n"), /at https:\/\/me.example\/keys\) became one that answers 500/);
    assert.deepEqual(problemsOf(failing), []);
  });

  it("keeps a policy that is in another namespace than the workload apart from it", () => {
    const made = translate(
      ticket(AUTHENTICATION("{ issuer: me }", "other") + SERVICE + POLICY("{ action: DENY, rules: [{}] }")),
    );
    assert.deepEqual(problemsOf(made), []);
    assert.match(made.files.get("tickets/t/01-requestauthentication-jwt.yaml")!, /namespace: \$\{outside\.ns\}/);
    assert.match(made.files.get("tickets/t/02-authorizationpolicy-policy.yaml")!, /namespace: \$\{ns\}/);
    assert.match(made.changes.join("\n"), /RequestAuthentication jwt is in namespace other, not in shop/);
    assert.doesNotMatch(textOf(made), /resourceVersion|last-applied/);
  });

  it("takes labels, port and port name from the ticket", () => {
    const deployment = `
---
apiVersion: apps/v1
kind: Deployment
metadata: { name: shop, namespace: shop }
spec: { template: { metadata: { labels: { app: shop, version: v2 } } } }
`;
    const made = translate(ticket(POLICY("{ selector: { matchLabels: { app: shopp } } }") + SERVICE + deployment));
    assert.deepEqual(problemsOf(made), []);
    assert.deepEqual(made.standIn.labels, { app: "shop", version: "v2" });
    const yaml = made.files.get("workloads/ticket/ticket.yaml")!;
    assert.match(yaml, /name: tcp-web\s+port: 81\s+targetPort: 9090/);
    assert.match(yaml, /listen 9090;/);
    // Without a Deployment and a Service, what policies choose is taken to exist.
    assert.deepEqual(translate(ticket(POLICY("{ selector: { matchLabels: { app: a, v: b } } }"))).standIn.labels, {
      app: "a",
      v: "b",
    });
  });

  it("sends to the gateway where the ticket does, and routes from there to the stand-in", () => {
    const made = translate(
      ticket(
        `${POLICY('{ selector: { matchLabels: { istio: ingress } }, rules: [{ to: [{ operation: { hosts: ["shop.example", "shop.shop.svc.cluster.local"] } }] }] }', "gateways")}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: { name: open, namespace: gateways }
spec: { selector: { istio: ingress }, servers: [{ port: { number: 443, name: https, protocol: HTTPS }, tls: { mode: SIMPLE, credentialName: c }, hosts: ["shop/shop.example"] }] }
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: shop, namespace: shop }
spec: { hosts: [shop.example], gateways: [gateways/open], http: [{ route: [{ destination: { host: shop, subset: v1, port: { number: 99 } } }] }] }
${SERVICE}`,
        { request: readCurlLine("curl https://shop.example/orders") },
      ),
    );
    assert.deepEqual(problemsOf(made), []);
    const all = textOf(made);
    assert.match(all, /namespace: istio-system/);
    assert.match(all, /protocol: HTTP\n/);
    assert.doesNotMatch(all, /credentialName|subset/);
    assert.match(all, /host: ticket\.\$\{ns\}\.svc\.cluster\.local\s+port:\s+number: 81/);
    assert.match(all, /- shop\.example\s+- ticket\.\$\{ns\}\.svc/);
    assert.match(
      made.scenario(() => ({ status: 200, by: "workload" })),
      /from: outside\s+to: ingress\s+headers:\s+Host: shop\.example/,
    );
  });

  it("adds a route to a gateway that has none, and names what it does not carry over", () => {
    const made = translate(
      ticket(`${POLICY("{ selector: { matchLabels: { app: istio-ingressgateway } } }", "istio-system")}
---
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: { name: filter, namespace: shop }
`),
    );
    assert.deepEqual(problemsOf(made), []);
    assert.match(textOf(made), /kind: VirtualService/);
    assert.deepEqual(made.left, ["EnvoyFilter filter: this kind is not carried over"]);
  });

  it("sends a token where the rule looks for it", () => {
    const made = translate(
      ticket(AUTHENTICATION('{ issuer: me, fromHeaders: [{ name: x-jwt, prefix: "Token " }] }'), {
        token: { header: {}, claims: { iss: "me" } },
      }),
    );
    assert.deepEqual(problemsOf(made), []);
    assert.match(
      made.scenario(() => ({ status: 200, by: "workload" })),
      /header: x-jwt\s+prefix: "Token "/,
    );
  });

  it("keeps the ticket's labels apart from those of meshproof's own pods", () => {
    const made = translate(ticket(POLICY("{ selector: { matchLabels: { app: httpbin } } }")));
    assert.deepEqual(made.standIn.labels, { app: "ticket-httpbin" });
    assert.match(made.files.get("tickets/t/01-authorizationpolicy-policy.yaml")!, /app: ticket-httpbin/);
    assert.match(made.changes.join("\n"), /app=httpbin is that of a pod of ours/);
  });

  it("says what principals are compared with", () => {
    const made = translate(
      ticket(
        POLICY(
          '{ rules: [{ from: [{ source: { principals: ["cluster.local/ns/shop/sa/web"], ipBlocks: ["10.0.0.0/8"] } }] }] }',
        ),
      ),
    );
    assert.match(textOf(made), /cluster\.local\/ns\/\$\{ns\}\/sa\/web/);
    assert.match(made.left.join("\n"), /ipBlocks/);
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
  it("has nothing to say about a plain path", () => assert.deepEqual(otherSpellings("/a/b/?q=1;2"), []));
});

describe("readObjects", () => {
  it("takes lists apart and refuses what is no object", () => {
    assert.equal(readObjects("kind: List\nmetadata: {}\nitems: [{ kind: A, metadata: { name: a } }]", "f").length, 1);
    assert.throws(() => readObjects("a: 1", "f.yaml"), /f\.yaml has a document without kind/);
    assert.throws(() => readObjects("a: [", "f.yaml"), /f\.yaml is no YAML/);
  });
});
