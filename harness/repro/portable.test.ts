import assert from "node:assert/strict";
import { it } from "node:test";
import { ticket } from "./fixtures.ts";
import { translate } from "./translate.ts";

it("renames a namespace where a policy names one, and not an audience or a claim with the same text", () => {
  const made = translate(
    ticket(
      `
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: { name: jwt, namespace: shop }
spec:
  selector: { matchLabels: { app: shop } }
  jwtRules: [{ issuer: "https://me.example", audiences: [shop], jwks: '{"keys":[{"kty":"RSA","kid":"a"}]}' }]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: policy, namespace: shop }
spec:
  selector: { matchLabels: { app: shop } }
  rules:
    - to: [{ operation: { hosts: [shop.shop.svc.cluster.local] } }]
      when: [{ key: "request.auth.claims[groups]", values: [shop] }]
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: { name: front, namespace: shop }
spec: { selector: { istio: ingressgateway }, servers: [{ port: { number: 80, name: http, protocol: HTTP }, hosts: ["*"] }] }
`,
      { from: "gateway" },
    ),
  );
  assert.ok("files" in made.exported, JSON.stringify(made.exported));
  const text = [...made.exported.files.values()].join("\n");
  assert.match(text, /audiences:\n +- shop\n/);
  assert.match(text, /values:\n +- shop\n/);
  assert.match(text, /hosts:\n +- shop\.\$\{ns\}\.svc\.cluster\.local\n/);
  assert.match(text, /namespace: \$\{ns\}/);
  // Of the policies, and of the pods that they select.
  assert.doesNotMatch(text, /app: \$\{ns\}/);
});
