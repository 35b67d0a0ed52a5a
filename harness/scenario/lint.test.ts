import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { parseIssuer } from "../tokens/issuer.ts";
import { lintScenario, lintScenarios } from "./lint.ts";
import { loadScenarios, parseScenario } from "./load.ts";
import { formatProblem } from "./problem.ts";

const FILE = "scenarios/jwt/example/scenario.yaml";
const FOLDER = "scenarios/jwt/example";

const POLICY = "apiVersion: v1\nkind: A\nmetadata:\n  name: a\nspec:\n  uri: ${jwksUri.corp@outside-https}\n";

const SERVICES = new Map([
  ["httpbin", ["httpbin"]],
  ["bookinfo", ["productpage", "reviews"]],
  ["sleep", ["sleep"]],
  ["gateway", ["gateway/gateway"]],
]);

function lint(spec: string, manifests: Record<string, string> = {}, metadata = ""): string[] {
  const text = `apiVersion: meshproof.dev/v1alpha1
kind: Scenario
metadata: { name: example, title: t, source: s, level: core${metadata} }
spec:
  workloads: [httpbin, sleep]
${spec}`;
  const files = new Map(Object.entries({ ...manifests, "scenario.yaml": text }));
  const issuers = new Map([
    ["corp", parseIssuer("iss: a\nkeys: [{ kid: a, alg: ES256 }]\n", "corp", "corp.yaml").issuer!],
  ]);
  const { scenario, problems } = parseScenario(text, FILE, {
    workloads: [...SERVICES.keys()],
    issuers,
    manifests: files,
  });
  assert.deepEqual(problems.map(formatProblem), []);
  return lintScenario(scenario!, { scenario: text, manifests: files, services: SERVICES }).map(formatProblem);
}

function step(to: string, more = ""): string {
  return `  steps:\n    - name: one\n      checks: [{ from: sleep, to: ${to}, path: /, expect: 200 }]\n${more}`;
}

test("finds nothing in a good scenario", () => {
  assert.deepEqual(lint(step("httpbin")), []);
});

test("finds tokens that are never sent", () => {
  const spec =
    "  tokens:\n    a: { issuer: corp }\n    b: { issuer: corp }\n" +
    step("httpbin").replace("path: /", "path: /, token: b");
  assert.deepEqual(lint(spec), [`${FILE}:7:5 token "a" is never sent; use it or remove it`]);
});

test("finds manifests that no step applies", () => {
  assert.deepEqual(lint(step("httpbin"), { "a.yaml": POLICY.replace("@outside-https", "") }), [
    `${FOLDER}/a.yaml:1:1 no step applies this manifest; name it in a step or remove it`,
  ]);
});

test("finds targets that no workload of the scenario serves", () => {
  assert.deepEqual(lint(step("httpbn")), [
    `${FILE}:8:16 no workload of this scenario has a Service "httpbn"; did you mean "httpbin"?`,
  ]);
  assert.deepEqual(lint(step("productpage")), [
    `${FILE}:8:16 no workload of this scenario has a Service "productpage"; add bookinfo to workloads`,
  ]);
  const service = "apiVersion: v1\nkind: Service\nmetadata:\n  name: own\n";
  assert.deepEqual(lint(step("own", "      apply: service.yaml\n"), { "service.yaml": service }), []);
});

test("finds a request to the scenario's own Service in a step where it does not exist", () => {
  const service = "apiVersion: v1\nkind: Service\nmetadata:\n  name: own\n";
  const ask = "      checks: [{ from: sleep, to: own, path: /, expect: 200 }]\n";
  const found = (...changes: string[]): string[] =>
    lint(`  steps:\n${changes.map((change, n) => `    - name: s${n}\n${change}${ask}`).join("")}`, {
      "service.yaml": service,
    }).map((problem) => problem.replace(/ the Service .*/, ""));
  assert.deepEqual(found("      apply: service.yaml\n", ""), []);
  assert.deepEqual(found("", "      apply: service.yaml\n"), [`${FILE}:8:16`]);
  assert.deepEqual(found("      apply: service.yaml\n", "      delete: service.yaml\n"), [`${FILE}:12:16`]);
});

test("finds `received` in a check whose request does not ask for an echo", () => {
  const found = (path: string, received: string, to = "httpbin"): string[] =>
    lint(step(to).replace("path: /, expect: 200", `path: ${path}, expect: { status: 200, received: ${received} }`));
  const at = `${FILE}:8:16`;
  const header = "{ headers: { x-secret: null } }";
  for (const path of ["/headers", "/headers?a=b", "/anything", "/anything/a", "/anything?a=b"])
    assert.deepEqual(found(path, header), []);
  for (const path of ["/status/200", "/headersx", "/anythingx", "/"])
    assert.deepEqual(found(path, header), [
      `${at} received reads httpbin's echo of the request, and ${path} is not one; use the path /headers, /anything, or one below /anything`,
    ]);
  assert.deepEqual(found("/headers", "{ path: /headers }"), [
    `${at} received reads httpbin's echo of the request, and /headers is not one; use /anything or a path below it: it alone echoes the path`,
  ]);
  assert.deepEqual(found("/headers", header, "sleep"), [
    `${at} received reads an echo of the request, and sleep is not known to echo; send it to ingress, httpbin`,
  ]);
});

test("finds features that are used and not declared, each once", () => {
  const spec = `  mesh: { jwksFetch: envoy }\n${step("ingress", "      apply: a.yaml\n").replace("path: /", "path: /a")}`;
  assert.deepEqual(lint(spec, { "a.yaml": POLICY }), [
    `${FOLDER}/a.yaml:6:8 \${jwksUri.corp@outside-https} needs the feature outside-host; add features: [outside-host] to metadata`,
    `${FOLDER}/a.yaml:6:8 \${jwksUri.corp@outside-https} needs the feature jwks-authority; add features: [jwks-authority] to metadata`,
    `${FILE}:6:9 jwksFetch: envoy needs the feature mesh-setting; add features: [mesh-setting] to metadata`,
    `${FILE}:9:16 to: ingress needs the feature ingress-gateway; add features: [ingress-gateway] to metadata`,
  ]);
  const features = ", features: [outside-host, jwks-authority, mesh-setting]";
  assert.deepEqual(lint(spec, { "a.yaml": POLICY }, features), [
    `${FILE}:9:16 to: ingress needs the feature ingress-gateway; add ingress-gateway to features`,
  ]);
});

test("finds that a JWKS server outside the mesh needs a feature; Istio's default setting does not", () => {
  const spec = `  mesh: { jwksFetch: istiod }\n${step("httpbin", "      jwksFetchedBy: [{ server: outside-host, by: nobody }]\n")}`;
  assert.deepEqual(lint(spec), [
    `${FILE}:10:23 server: outside-host needs the feature outside-host; add features: [outside-host] to metadata`,
  ]);
});

test("mesh settings need a feature, Istio's defaults do not", () => {
  const found = (mesh: string): string[] => lint(`  mesh: ${mesh}\n${step("httpbin", "")}`);
  const hint = "needs the feature mesh-setting; add features: [mesh-setting] to metadata";
  assert.deepEqual(found("{ pathNormalization: NONE }"), [`${FILE}:6:9 pathNormalization: NONE ${hint}`]);
  assert.deepEqual(found("{ extAuthz: true }"), [`${FILE}:6:9 extAuthz: true ${hint}`]);
  assert.deepEqual(found("{ pathNormalization: BASE, extAuthz: false }"), []);
});

test("finds nothing in the scenarios of this repository", async () => {
  const root = join(import.meta.dirname, "../../scenarios");
  const { scenarios } = await loadScenarios(root);
  assert.deepEqual((await lintScenarios(scenarios, root)).map(formatProblem), []);
});

test("a request passes a waypoint of this scenario behind a gateway, and needs the feature", () => {
  const through = (to: string, waypoint: string, features = "gateway-api, waypoint"): string =>
    lint(
      step(to).replace("from:", `through: ${waypoint}, from:`).replace("checks:", "apply: own.yaml\n      checks:"),
      {
        "own.yaml": ["front", "w"]
          .map(
            (name) => `apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata:\n  name: ${name}\nspec: {}\n`,
          )
          .join("---\n"),
      },
      `, features: [${features}]`,
    ).join("\n");
  assert.equal(through("gateway/front", "waypoint/w"), "");
  assert.match(through("gateway/front", "waypoint/x"), /has a Gateway "x" for waypoint\/x/);
  assert.match(through("httpbin", "waypoint/w"), /a request to httpbin passes no waypoint/);
  assert.match(through("gateway/front", "waypoint/w", "gateway-api"), /needs the feature waypoint/);
});

test("a Gateway of the Gateway API is a target by its name, with or without a listener, and needs the feature", () => {
  const gateway = (apiVersion: string): string =>
    `apiVersion: ${apiVersion}\nkind: Gateway\nmetadata:\n  name: front\nspec: {}\n`;
  const applied = (to: string): string => step(to).replace("checks:", "apply: front.yaml\n      checks:");
  const own = { "front.yaml": gateway("gateway.networking.k8s.io/v1") };
  const declared = ", features: [gateway-api]";
  assert.deepEqual(lint(applied("gateway/front/http"), own, declared), []);
  assert.match(lint(applied("gateway/front"), own).join("\n"), /needs the feature gateway-api/);
  assert.match(
    lint(applied("gateway/frnt"), own, declared).join("\n"),
    /no workload of this scenario has a Gateway "frnt"; did you mean "gateway\/front"/,
  );
  assert.match(lint(step("gateway/gateway"), {}, declared).join("\n"), /add gateway to workloads/);
  const classic = { "front.yaml": gateway("networking.istio.io/v1") };
  assert.match(lint(applied("gateway/front"), classic, declared).join("\n"), /has a Gateway "front"/);
});
