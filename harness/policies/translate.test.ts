import assert from "node:assert/strict";
import { test } from "node:test";
import { formatProblem } from "../scenario/problem.ts";
import { parseIssuer } from "../tokens/issuer.ts";
import { translatePolicies, type Selection } from "./translate.ts";

const ISSUERS = new Map(
  [
    ["login", "iss: https://login.shop.example\nkeys: [{ kid: key-1, alg: RS256 }]\n"],
    ["shared", "iss: https://shared.shop.example\nkeys: [{ kid: s, alg: HS256 }]\n"],
  ].map(([name = "", text = ""]) => [name, { ...parseIssuer(text, name, `${name}.yaml`).issuer!, folder: "" }]),
);

function translate(
  text: string,
  selection: Selection = {},
  namespaces: Record<string, "${ns}" | "${outside.ns}" | "absent"> = { shop: "${ns}" },
) {
  const { manifest, problems } = translatePolicies(text, "deploy/authz.yaml", selection, {
    namespaces,
    issuers: ISSUERS,
  });
  return { ...manifest, problems: problems.map(formatProblem) };
}

const policy = (spec: string, metadata = "name: orders, namespace: shop"): string =>
  `apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: { ${metadata} }\nspec:\n${spec}`;

const authentication = (rule: string): string =>
  `apiVersion: security.istio.io/v1\nkind: RequestAuthentication\nmetadata: { name: jwt, namespace: shop }\nspec:\n  jwtRules:\n    - ${rule}\n`;

test("a policy's namespace is the scenario's, and its place is that of the repository's file", () => {
  const { problems, objects } = translate(`# a comment\n---\n${policy("  action: DENY\n")}`);
  assert.deepEqual(problems, []);
  assert.deepEqual(objects[0]?.position, { file: "deploy/authz.yaml", line: 3, column: 1 });
  assert.deepEqual(objects[0].object.metadata, { name: "orders", namespace: "${ns}" });
  assert.deepEqual(objects[0].changes, [{ kind: "namespace", field: "metadata.namespace", from: "shop", to: "${ns}" }]);
});

test("namespaces are renamed in the fields that name one, and nowhere else", () => {
  const { problems, objects } = translate(
    policy(`  rules:
    - from:
        - source:
            namespaces: [shop, "*"]
            notPrincipals: ["cluster.local/ns/billing/sa/batch", "*/sa/x"]
            serviceAccounts: [shop/web, web]
      to:
        - operation:
            hosts: [orders.shop.svc.cluster.local, "orders.shop:8080", shop.example.com, api.shop.example.com]
            paths: [/ns/shop/]
      when:
        - { key: "request.auth.claims[aud]", values: [shop] }
        - { key: source.namespace, notValues: [billing] }
`),
    {},
    { shop: "${ns}", billing: "${outside.ns}" },
  );
  assert.deepEqual(problems, []);
  const { rules } = objects[0]?.object["spec"] as { rules: unknown[] };
  assert.deepEqual(rules[0], {
    from: [
      {
        source: {
          namespaces: ["${ns}", "*"],
          notPrincipals: ["cluster.local/ns/${outside.ns}/sa/batch", "*/sa/x"],
          serviceAccounts: ["${ns}/web", "web"],
        },
      },
    ],
    to: [
      {
        operation: {
          hosts: ["orders.${ns}.svc.cluster.local", "orders.${ns}:8080", "shop.example.com", "api.shop.example.com"],
          paths: ["/ns/shop/"],
        },
      },
    ],
    when: [
      { key: "request.auth.claims[aud]", values: ["shop"] },
      { key: "source.namespace", notValues: ["${outside.ns}"] },
    ],
  });
  assert.equal(objects[0]?.changes?.length, 7);
});

test("an issuer's keys are those of the issuer with the same iss, from a JWKS and from a URL", () => {
  const jwks = JSON.stringify({ keys: [{ kty: "RSA", kid: "key-1", n: "x", e: "AQAB" }] });
  const inline = translate(authentication(`{ issuer: "https://login.shop.example", jwks: '${jwks}' }`));
  assert.deepEqual(inline.problems, []);
  assert.match(inline.text, /jwks: \$\{jwks\.login\}/);
  const remote = translate(
    authentication(`{ issuer: "https://login.shop.example", jwksUri: "https://login.shop.example/keys?key=secret" }`),
  );
  assert.match(remote.text, /jwksUri: \$\{jwksUri\.login@outside-http\}/);
  assert.deepEqual(
    remote.uses.flatMap(({ issuer, via }) => (issuer === undefined ? [] : [issuer, via])),
    ["login", "outside-http"],
  );
  assert.deepEqual(remote.objects[0]?.changes?.at(-1), {
    kind: "keys",
    field: "spec.jwtRules[0]",
    iss: "https://login.shop.example",
    keys: [{ kid: "key-1", alg: "RS256" }],
    served: "outside",
    uri: "https://login.shop.example/keys",
  });
});

test("what could decide and has no counterpart is refused with its line", () => {
  const refused = (text: string, selection: Selection = {}): string => translate(text, selection).problems.join("\n");
  const rule = (source: string): string => policy(`  rules:\n    - from:\n        - source:\n            ${source}\n`);
  assert.match(
    refused(policy("  {}\n", "name: a, namespace: billing")),
    /^deploy\/authz\.yaml:3:\d+ the namespace billing of AuthorizationPolicy a is not in the scenario; add/,
  );
  assert.match(refused(rule("namespaces: [billing]")), /:8:\d+ "billing" names the namespace billing, which/);
  assert.match(refused(rule('namespaces: ["sho*"]')), /:8:\d+ "sho\*" names the namespace sho\*/);
  assert.match(
    refused(rule("principals: [prod.example/ns/shop/sa/web]")),
    /:8:\d+ the trust domain prod\.example is another mesh's; write cluster\.local/,
  );
  assert.match(
    refused(rule("ipBlocks: [10.0.0.0/8]")),
    /:8:\d+ the address 10\.0\.0\.0\/8 is one of another network; asIs/,
  );
  assert.match(
    refused(rule("namespaces: ['${TEAM}']")),
    /:8:\d+ spec\.rules\[0\]\.from\[0\]\.source\.namespaces\[0\] has a variable/,
  );
  assert.match(
    refused(authentication("issuer: https://other.example")),
    /:6:\d+ tokens of the issuer "https:\/\/other\.example" cannot be made/,
  );
  assert.match(
    refused(authentication('{ issuer: "https://shared.shop.example", jwksUri: "https://x.example" }')),
    /symmetric keys/,
  );
  const other = JSON.stringify({ keys: [{ kty: "EC", crv: "P-256", kid: "key-1" }] });
  assert.match(
    refused(authentication(`{ issuer: "https://login.shop.example", jwks: '${other}' }`)),
    /:6:\d+ the JWKS has no key key-1 \(RS256\)/,
  );
  assert.match(
    refused(policy("  action: CUSTOM\n  provider: { name: opa }\n")),
    /:6:\d+ the extension provider "opa" is not in this mesh/,
  );
  assert.match(
    refused("apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: { name: orders }\n"),
    /^deploy\/authz\.yaml:1:1 VirtualService orders may decide about requests/,
  );
  assert.match(
    refused("image: {{ .Values.image }}\n"),
    /:1:\d+ this is not a Kubernetes object.*; a template is applied as/,
  );
  assert.match(refused("just text\n"), /:1:1 this is not a Kubernetes object/);
});

test("a scenario may demand that a field is applied as it is; that is a change like others", () => {
  const { problems, objects } = translate(
    policy("  rules:\n    - from:\n        - source: { ipBlocks: [10.0.0.0/8] }\n"),
    { asIs: ["addresses"] },
  );
  assert.deepEqual(problems, []);
  assert.deepEqual(objects[0]?.changes?.[1], {
    kind: "kept",
    field: "spec.rules[0].from[0].source.ipBlocks[0]",
    value: "10.0.0.0/8",
    as: "addresses",
  });
});

test("workloads and what no proxy uses are not applied, with the reason; only and leaveOut choose", () => {
  const text = [
    "apiVersion: apps/v1\nkind: Deployment\nmetadata: { name: orders, namespace: shop }\n",
    "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: settings, namespace: shop }\n",
    "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: { name: orders, namespace: shop }\n",
    policy("  {}\n", "name: a, namespace: shop"),
    policy("  {}\n", "name: b, namespace: shop"),
  ].join("---\n");
  const { problems, objects, notApplied } = translate(text, { leaveOut: ["VirtualService", "AuthorizationPolicy/b"] });
  assert.deepEqual(problems, []);
  assert.deepEqual(
    objects.map(({ object }) => object.metadata.name),
    ["a"],
  );
  assert.deepEqual(
    notApplied?.map(({ object, because, position }) => [object.kind, because, position.line]),
    [
      ["Deployment", "workload", 1],
      ["ConfigMap", "irrelevant", 5],
      ["VirtualService", "chosen", 9],
      ["AuthorizationPolicy", "chosen", 19],
    ],
  );
  assert.deepEqual(translate(text, { only: ["AuthorizationPolicy"] }).problems, []);
  assert.match(translate(text, { only: ["PeerAuthentication"] }).problems.join(), /there is no policy in it/);
});

test("anchors are expanded, and labels of other tools are left out", () => {
  const { problems, objects } = translate(
    `apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: a, namespace: shop, labels: { istio.io/rev: canary }, annotations: { istio.io/dry-run: "true" } }
spec:
  selector: &app { matchLabels: { app: orders } }
  rules: [{ to: [{ operation: { paths: &paths [/a] } }, { operation: { paths: *paths } }] }]
`,
  );
  assert.deepEqual(problems, []);
  const { spec, metadata } = objects[0]!.object as { spec?: { rules: { to: unknown[] }[] }; metadata: object };
  assert.deepEqual(spec?.rules[0]?.to[1], { operation: { paths: ["/a"] } });
  assert.deepEqual(metadata, { name: "a", namespace: "${ns}", annotations: { "istio.io/dry-run": "true" } });
  assert.deepEqual(objects[0]!.changes?.at(-1), { kind: "metadata-left-out", fields: ["label istio.io/rev"] });
});
