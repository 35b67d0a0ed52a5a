/** Builds results by hand for tests and samples of the reports: every status, and a mesh that answers with hostile text. */

import type { Decision, Explanation, Reason } from "../harness/model/explanation.ts";
import type { CheckFinding, Disagreement, ObjectFinding, RecordedText } from "../harness/model/finding.ts";
import type {
  Answer,
  AppliedObject,
  AskedResult,
  CheckResult,
  RunResult,
  ScenarioResult,
  Status,
  StepResult,
} from "../harness/model/result.ts";
import type { Answerer, Expectation } from "../harness/model/scenario.ts";
import { count, outcomesOf, statuses } from "./outcome.ts";
import { sentences } from "./words.ts";

export const denials = {
  missing: "Jwt is missing",
  failed: "Jwt verification fails",
  issuer: "Jwt issuer is not configured",
  rbac: "RBAC: access denied",
} as const;

/** An answer as the mesh gives it for a status: 401 by authentication, 403 by authorization, 0 by nobody, else by the workload. */
export function answer(status: number, changes: Partial<Answer> = {}): Answer {
  const by = answerer(status);
  const headers: Record<string, string> = {
    server: "envoy",
    "content-type": by === "workload" ? "application/json" : "text/plain",
  };
  if (by === "authentication") headers["www-authenticate"] = 'Bearer realm="http://httpbin.foo:8000/headers"';
  if (by === "workload") headers["x-envoy-upstream-service-time"] = "1";
  const bodies: Record<string, string> = {
    workload:
      '{\n  "headers": {\n    "Accept": ["*/*"],\n    "Host": ["httpbin.foo:8000"],\n    "X-Forwarded-Proto": ["http"]\n  }\n}\n',
    authentication: denials.failed,
    authorization: denials.rbac,
    nobody: "",
  };
  const details: Record<string, string> = {
    authentication: "jwt_authn_access_denied{Jwt_verification_fails}",
    authorization: "rbac_access_denied_matched_policy[ns[istio-system]-policy[test-exclude]-rule[0]]",
    workload: "via_upstream",
  };
  return {
    status,
    by,
    body: bodies[by] ?? "",
    headers: by === "nobody" ? {} : headers,
    ...(details[by] === undefined ? {} : { details: details[by] }),
    ...(by === "nobody"
      ? { error: "(7) Failed to connect to httpbin.foo port 8000 after 0 ms: Could not connect to server" }
      : {}),
    totalMs: 2.4,
    ...changes,
  };
}

function answerer(status: number): Answer["by"] {
  if (status === 0) return "nobody";
  if (status === 401) return "authentication";
  return status === 403 ? "authorization" : "workload";
}

export function expectation(status: number, changes: Partial<Expectation> = {}): Expectation {
  return { status, by: answerer(status) as Answerer, ...changes };
}

/** A check of httpbin from sleep that passes with 200, changed at will. */
export function check(name: string, changes: Partial<CheckResult> = {}): CheckResult {
  return {
    name,
    position: { file: "scenarios/jwt/example/scenario.yaml", line: 20, column: 11 },
    request: { from: "sleep", to: "httpbin", method: "GET", url: "http://httpbin.foo:8000/headers", token: validToken },
    expected: expectation(200),
    got: answer(200),
    status: "passed",
    enforcedMs: 147,
    changes: [],
    curl: `kubectl exec -n foo deploy/sleep -c sleep -- curl -sS -i -H "Authorization: Bearer $TOKEN" http://httpbin.foo:8000/headers`,
    ...changes,
  };
}

/** What a config says that lets a request through to the workload, or denies it for this reason. */
export function explanation(reason: Reason, changes: Partial<Explanation> = {}): Explanation {
  const admitted = reason.kind === "allowed" || reason.kind === "not-denied" || reason.kind === "no-policy";
  const decision: Decision = admitted
    ? { verdict: "admitted", status: 200, by: "nobody", reason }
    : reason.kind === "token-refused"
      ? { verdict: "denied", status: 401, by: "authentication", reason }
      : { verdict: "denied", status: 403, by: "authorization", reason };
  return {
    decision,
    filtersAsked: true,
    tokensAsked: true,
    listener: { name: "0.0.0.0_8080" },
    path: "/",
    providers: [],
    rules: [],
    ...changes,
  };
}

export const validToken = "valid (iss testing@secure.istio.io, alg RS256, published sample)";
export const forgedToken = "forged (iss testing@secure.istio.io, alg RS256, signed by a stranger)";

export function recorded(text: string): RecordedText {
  return { kind: "recorded", text };
}

/** A wrong answer: the finding that every report says in other places anyway. */
function unexpected(expected: number, got: number, to = "httpbin"): Disagreement {
  return {
    kind: "unexpected-answer",
    expected: { status: expected, by: answerer(expected) as Answerer },
    got: { status: got, by: answerer(got) },
    to,
  };
}

function because(...findings: readonly CheckFinding[]) {
  return { findings, reason: sentences(findings) };
}

/** A finding that holds a text of the mesh. */
export function keysNotFetched(issuer: string): ObjectFinding {
  return { kind: "keys-not-fetched", issuers: [issuer] };
}

export function policy(changes: Partial<AppliedObject> = {}): AppliedObject {
  return {
    verb: "apply",
    kind: "RequestAuthentication",
    name: "jwt-example",
    namespace: "foo",
    file: "scenarios/jwt/example/request-authentication.yaml",
    yaml: `apiVersion: security.istio.io/v1beta1
kind: RequestAuthentication
metadata:
  name: jwt-example
  namespace: foo
spec:
  selector:
    matchLabels:
      app: httpbin
  jwtRules:
    - issuer: testing@secure.istio.io
      jwksUri: http://nginx-proxy.foo.svc.cluster.local:80/get_jwks
`,
    inForceMs: 152,
    proxies: ["foo/httpbin-6d8f7b9c5-x2x7q"],
    ...changes,
  };
}

/** A matrix of numbers: what was expected and, where it differs, what was seen. */
export interface MatrixInput {
  readonly title?: string;
  readonly columns: readonly string[];
  readonly rows: Readonly<Record<string, readonly number[]>>;
  /** `<row> <column>` to what was seen there and how it is judged. */
  readonly differing?: Readonly<Record<string, Partial<CheckResult>>>;
  readonly line?: number;
  readonly base?: Partial<CheckResult>;
}

export function step(name: string, changes: Partial<StepResult> & { matrix?: MatrixInput } = {}): StepResult {
  const { matrix, ...rest } = changes;
  const checks = [...(matrix === undefined ? [] : expand(matrix)), ...(rest.checks ?? [])];
  const asked = rest.asked ?? [];
  return {
    position: { file: "scenarios/jwt/example/scenario.yaml", line: 16, column: 7 },
    status: worst([...checks, ...asked].map(({ status }) => status)),
    objects: [],
    rounds: 4,
    timing: { applyMs: 41, inForceMs: 152, probeMs: 96, totalMs: 297 },
    ...rest,
    name,
    checks,
    asked,
    matrices:
      matrix === undefined
        ? []
        : [{ title: matrix.title ?? "", rows: Object.keys(matrix.rows), columns: matrix.columns }],
  };
}

function expand(matrix: MatrixInput): CheckResult[] {
  const file = matrix.base?.position?.file ?? "scenarios/jwt/example/scenario.yaml";
  return Object.entries(matrix.rows).flatMap(([row, statusesOfRow], rowIndex) =>
    statusesOfRow.map((status, column) => {
      const name = `${row} ${matrix.columns[column]}`;
      return check(name, {
        expected: expectation(status),
        got: answer(status),
        ...matrix.base,
        ...matrixRequest(matrix, row, column),
        ...matrix.differing?.[name],
        position: { file, line: (matrix.line ?? 20) + rowIndex, column: 11 },
        cell: { matrix: 0, row: rowIndex, column },
      });
    }),
  );
}

function matrixRequest(matrix: MatrixInput, row: string, column: number): Partial<CheckResult> {
  if (!row.startsWith("/")) {
    const { request } = check("");
    const words = `iss https://corp.example, alg ${row.toUpperCase()}, kid ${row}`;
    return { request: { ...request, token: `${row} (${words}, ${matrix.columns[column]})` } };
  }
  const words: Record<string, string> = { none: "none", valid: validToken, forged: forgedToken };
  const name = matrix.columns[column] ?? "none";
  const url = `http://10.244.0.9:80${row}`;
  const token = name === "none" ? "" : `-H "Authorization: Bearer $TOKEN" `;
  return {
    request: { from: "outside", to: "ingress", method: "GET", url, token: words[name] ?? name },
    curl: `kubectl exec -n meshproof-outside outside -c curl -- curl -sS -i --path-as-is ${token}${url}`,
  };
}

export function asked(changes: Partial<AskedResult> = {}): AskedResult {
  return {
    position: { file: "scenarios/jwt/example/scenario.yaml", line: 31, column: 11 },
    server: "outside-host",
    expected: "proxy",
    got: ["proxy"],
    status: "passed",
    ...changes,
  };
}

export function scenario(id: string, changes: Partial<ScenarioResult> = {}): ScenarioResult {
  const steps = changes.steps ?? [step("a valid token is admitted", { checks: [check("headers")] })];
  const file = `scenarios/${id}/scenario.yaml`;
  return {
    id,
    title: `Scenario ${id}`,
    source: "ASM, JWT authentication FAQ",
    level: "core",
    tags: ["documented"],
    position: { file, line: 4, column: 1 },
    mesh: {},
    status: worst(steps.map(({ status }) => status)),
    startedAt: "2026-08-30T10:00:09.000Z",
    durationMs: 812,
    ...changes,
    steps: steps.map((each) => placeIn(each, file)),
  };
}

function placeIn(each: StepResult, file: string): StepResult {
  const moved = <T extends { position: { file: string; line: number; column: number } }>(item: T): T => ({
    ...item,
    position: { ...item.position, file },
  });
  return { ...moved(each), checks: each.checks.map(moved), asked: each.asked.map(moved) };
}

export function run(scenarios: readonly ScenarioResult[], changes: Partial<RunResult> = {}): RunResult {
  return {
    schemaVersion: 2,
    id: "20260830-100000-k3f9",
    tool: { name: "meshproof", version: "0.1.0" },
    startedAt: "2026-08-30T10:00:00.000Z",
    finishedAt: "2026-08-30T10:00:31.400Z",
    command: "meshproof run",
    cluster: {
      kind: "embedded",
      name: "meshproof",
      versions: { kubernetes: "v1.36.3", istio: "1.31.0", envoy: "1.40.0" },
      digests: {
        istiod: "sha256:6f0a2d1d0f9c6a4c1d6b6a1b5d6f7e8a9b0c1d2e3f405162738495a6b7c8d9e0",
        envoy: "sha256:0b1c2d3e4f5061728394a5b6c7d8e9f00112233445566778899aabbccddeeff0",
      },
      rootless: true,
    },
    timing: { meshReadyMs: 8100, workloadsReadyMs: 11_200, firstVerdictMs: 12_450, totalMs: 31_400 },
    scenarios,
    counts: count(scenarios.flatMap(outcomesOf)),
    ...changes,
  };
}

function worst(all: readonly Status[]): Status {
  return statuses.find((status) => all.includes(status)) ?? "passed";
}

const algorithms = "ES256 ES384 ES512 HS256 HS384 HS512 RS256 RS384 RS512 PS256 PS384 PS512 EdDSA".split(" ");
const paths = { columns: ["none", "valid", "forged"], base: {} };
const open = {
  "/productpage": [200, 200, 200],
  "/api/v1/products/0": [200, 200, 200],
  "/api/v1/products/1": [200, 200, 200],
};
const authenticated = {
  "/productpage": [200, 200, 401],
  "/api/v1/products/0": [200, 200, 401],
  "/api/v1/products/1": [200, 200, 401],
};
const excluded = {
  "/productpage": [200, 200, 401],
  "/api/v1/products/0": [403, 200, 401],
  "/api/v1/products/1": [403, 200, 401],
};

const gatewayAuthentication = policy({
  namespace: "istio-system",
  file: "scenarios/paths/skip-jwt-for-paths/request-authentication.yaml",
  proxies: ["istio-system/istio-ingressgateway-5c8d9f7b4-9kq2m"],
  inForceMs: 118,
});

const exclusion = policy({
  kind: "AuthorizationPolicy",
  name: "test-exclude",
  namespace: "istio-system",
  file: "scenarios/paths/skip-jwt-for-paths/authorization-policy.yaml",
  yaml: `apiVersion: security.istio.io/v1beta1
kind: AuthorizationPolicy
metadata:
  name: test-exclude
  namespace: istio-system
spec:
  selector:
    matchLabels:
      app: istio-ingressgateway
  action: DENY
  rules:
    - from:
        - source:
            notRequestPrincipals: ["*"]
      to:
        - operation:
            notPaths: [/productpage, /api/v1/products/*]
`,
  proxies: ["istio-system/istio-ingressgateway-5c8d9f7b4-9kq2m"],
  inForceMs: 121,
});

/** A kind of which a proxy's listeners show no trace. */
const { inForceMs: _unknown, ...serviceEntry } = policy({
  kind: "ServiceEntry",
  name: "external-svc-https",
  file: "scenarios/jwt/jwks-outside-https/service-entry.yaml",
  proxies: [],
  yaml: `apiVersion: networking.istio.io/v1beta1
kind: ServiceEntry
metadata:
  name: external-svc-https
  namespace: foo
spec:
  hosts: [10.244.0.23]
  addresses: [10.244.0.23]
  location: MESH_EXTERNAL
  resolution: STATIC
`,
});

/** E with one path too many in the DENY policy's exclusion, so what should be 403 is 200. */
export const wideExclusion = scenario("paths/skip-jwt-for-paths", {
  title: "A DENY rule with notPaths lets only the listed path through without a token",
  source: 'ASM, JWT authentication FAQ, "How do I skip JWT authentication for specific paths?"',
  tags: ["documented", "gateway"],
  durationMs: 5840,
  steps: [
    step("without a policy every path is open", { matrix: { ...paths, rows: open, line: 22 } }),
    step("authentication alone rejects only bad tokens", {
      objects: [gatewayAuthentication],
      matrix: { ...paths, rows: authenticated, line: 31 },
    }),
    step("with the DENY rule only the listed path is open", {
      objects: [exclusion],
      timing: { applyMs: 38, inForceMs: 160, probeMs: 10200, totalMs: 10400 },
      rounds: 12,
      matrix: {
        ...paths,
        rows: excluded,
        line: 40,
        differing: Object.fromEntries(
          ["/api/v1/products/0", "/api/v1/products/1"].map((path) => [
            `${path} none`,
            {
              status: "failed",
              got: answer(200),
              enforcedMs: 0,
              ...because(unexpected(403, 200, "ingress")),
              explanation: explanation({ kind: "not-denied" }),
            },
          ]),
        ),
      },
    }),
  ],
});

/** The example of every document: one check, one policy, one wrong answer. */
export const wrongIssuer = scenario("jwt/issuer-mismatch", {
  title: "A token of another issuer is rejected",
  steps: [
    step("a rule for one issuer only", {
      objects: [
        policy({
          name: "require-jwt",
          inForceMs: 402,
          file: "scenarios/jwt/issuer-mismatch/request-authentication.yaml",
        }),
      ],
      checks: [
        check("right issuer is admitted", { position: { file: "", line: 19, column: 11 } }),
        check("wrong issuer is rejected by authentication", {
          request: {
            from: "sleep",
            to: "httpbin",
            method: "GET",
            url: "http://httpbin.foo:8000/headers",
            token: "forged (iss https://evil.example, alg RS256, kid corp-1)",
          },
          expected: expectation(401, { body: denials.issuer }),
          got: answer(200),
          status: "failed",
          ...because(unexpected(401, 200)),
        }),
      ],
    }),
  ],
});

/** B: 13 algorithms, all as documented. */
export const algorithmsPass = scenario("jwt/algorithms", {
  title: "All 13 algorithms verify, and no token verifies under another key or algorithm",
  durationMs: 690,
  steps: [
    step("every algorithm", {
      objects: [policy({ name: "all-algorithms", file: "scenarios/jwt/algorithms/request-authentication.yaml" })],
      matrix: {
        columns: ["intact", "broken-signature", "other-key", "other-algorithm"],
        rows: Object.fromEntries(algorithms.map((name) => [name.toLowerCase(), [200, 401, 401, 401]])),
        line: 18,
        base: { stale: { status: 200, by: "workload" } },
      },
    }),
  ],
});

/** Every status, as one run of a mesh in a bad state would show them. */
export function everyStatus(): RunResult {
  return run([
    algorithmsPass,
    wideExclusion,
    scenario("jwt/jwks-uri-in-mesh", {
      title: "Keys fetched from a service of the mesh by its full name",
      source: 'ASM, JWT authentication FAQ, "How do I use jwksUri?"',
      steps: [
        step("the full name works", {
          objects: [policy()],
          checks: [
            check("JWKS is served", {
              expected: expectation(200, { jsonKey: "keys" }),
              request: {
                from: "sleep",
                to: "nginx-proxy",
                method: "GET",
                url: "http://nginx-proxy.foo:80/get_jwks",
                token: "none",
              },
              got: answer(200, {
                body: '{"keys":[{"kty":"RSA","kid":"DHFbpoIUqrY8t2zpA2qXfCmr5VO5ZEr4RzHU_-envvQ","e":"AQAB"}]}',
              }),
              curl: "kubectl exec -n foo deploy/sleep -c sleep -- curl -sS -i http://nginx-proxy.foo:80/get_jwks",
            }),
            check("a valid token is admitted", {
              status: "flaky",
              enforcedMs: 1310,
              ...because({
                kind: "inconsistent",
                round: 3,
                wrong: unexpected(200, 401),
                although: { kind: "agreed", round: 1 },
              }),
              changes: [
                { round: 1, atMs: 180, status: 200, by: "workload" },
                { round: 3, atMs: 420, status: 401, by: "authentication" },
                { round: 9, atMs: 1310, status: 200, by: "workload" },
              ],
              stale: { status: 200, by: "workload" },
            }),
            check("a forged token is rejected", {
              expected: expectation(401),
              got: answer(401),
              request: { ...check("").request, token: forgedToken },
            }),
          ],
        }),
      ],
    }),
    wrongIssuer,
    scenario("jwt/jwks-outside-https", {
      title: "Keys outside the mesh over HTTPS, fetched by the proxies",
      level: "extended",
      mesh: { jwksFetch: "hybrid" },
      tags: ["documented", "outside"],
      steps: [
        step("ServiceEntry and DestinationRule", {
          objects: [policy({ name: "jwt-outside" }), serviceEntry],
          checks: [check("a valid token is admitted")],
          asked: [
            asked({
              got: ["istiod"],
              status: "failed",
              ...because({ kind: "unexpected-askers", server: "outside-host", expected: "proxy", got: ["istiod"] }),
            }),
          ],
        }),
      ],
    }),
    scenario("jwt/httpbin-stopped", {
      title: "Requests to a workload that is gone",
      level: "provisional",
      tags: [],
      steps: [
        step("httpbin answers", {
          checks: [
            check("a valid token is admitted", {
              got: answer(0),
              status: "error",
              enforcedMs: 0,
              ...because(recorded("httpbin has no ready pod: CrashLoopBackOff, last exit code 137.")),
            }),
          ],
        }),
      ],
    }),
    scenario("jwt/jwks-uri-short-name", {
      title: "The short name of the documentation's YAML",
      status: "known-failure",
      reason: "known until 2026-12-31: istiod resolves the short name in its own namespace",
      steps: [
        step("the short name", {
          objects: [policy({ name: "jwt-short" })],
          checks: [
            check("a valid token is admitted", {
              got: answer(401),
              status: "known-failure",
              ...because(unexpected(200, 401), { kind: "denied-by-authentication", status: denials.failed }),
            }),
          ],
        }),
      ],
    }),
    scenario("jwt/fetched-by-envoy", {
      title: "Keys fetched by the proxies only",
      level: "extended",
      mesh: { jwksFetch: "envoy" },
      status: "skipped",
      reason: "It needs the mesh setting jwksFetch: envoy, and the mesh of this cluster is not ours to change.",
      steps: [],
    }),
    scenario("jwt/two-resources", {
      title: "RequestAuthentication alone lets requests without a token through",
      steps: [
        step("authentication alone", {
          objects: [policy()],
          matrix: { columns: ["none", "valid", "forged"], rows: { "/headers": [200, 200, 401] } },
        }),
      ],
    }),
  ]);
}

/** Everything that passes: the five documented groups in small. */
export function allPassed(): RunResult {
  const good = scenario("paths/skip-jwt-for-paths", {
    title: wideExclusion.title,
    source: wideExclusion.source,
    tags: wideExclusion.tags,
    steps: [
      step("without a policy every path is open", { matrix: { ...paths, rows: open, line: 22 } }),
      step("authentication alone rejects only bad tokens", {
        objects: [gatewayAuthentication],
        matrix: { ...paths, rows: authenticated, line: 31 },
      }),
      step("with the DENY rule only the listed path is open", {
        objects: [{ ...exclusion, proxies: gatewayAuthentication.proxies, inForceMs: 121 }],
        matrix: { ...paths, rows: excluded, line: 40 },
      }),
    ],
  });
  return run([algorithmsPass, good, everyStatus().scenarios.at(-1) as ScenarioResult]);
}

/** What an attacker behind the mesh would answer to reach the reader of a report. */
export const attacks = {
  script: `<script>document.title="owned";alert(1)</script>`,
  breakout: `</script><script>document.title="owned"</script>`,
  attribute: `"><img src=x onerror=document.title="owned">`,
  cdata: `]]><!--`,
  control: `NUL\u0000 ESC\u001b[31mred\u001b]0;owned\u0007 RTL \u202egnp.exe separators \u2028\u2029 lone \ud800`,
  markdown: "```\n</details><b>owned</b>\n[click](javascript:alert(1)) | `x` |",
  token: "Bearer eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJ4In0.c2lnbmF0dXJlLW9mLXRoZS10b2tlbg",
} as const;

/** Every text that can come from a mesh carries every attack; one body has 10 MiB. */
export function hostile(): RunResult {
  const all = Object.values(attacks).join("\n");
  return run([
    scenario("jwt/hostile", {
      title: `Hostile ${attacks.attribute}`,
      findings: [recorded(all)],
      reason: all,
      steps: [
        step(`step ${attacks.script}`, {
          objects: [policy({ yaml: all, findings: [keysNotFetched(all)], proxies: [attacks.attribute] })],
          matrix: {
            columns: ["none", attacks.attribute],
            rows: { "/a": [200, 401], [`/${attacks.script}`]: [403, 200] },
            differing: {
              "/a none": {
                status: "failed",
                ...because(recorded(all)),
                got: answer(401, { body: all, headers: { server: all, "x-long": "y".repeat(100_000) }, details: all }),
                curl: `curl '${all}'`,
                request: { from: "sleep", to: attacks.attribute, method: "GET", url: `http://x/${all}`, token: all },
              },
              [`/a ${attacks.attribute}`]: {
                status: "failed",
                ...because(recorded("big")),
                got: answer(200, { body: "A".repeat(10 * 1024 * 1024) }),
              },
            },
          },
        }),
      ],
    }),
  ]);
}

/** Many checks: scenarios of a matrix each, every tenth with a cell that differs. */
export function many(checks = 2000): RunResult {
  const perScenario = 20;
  const scenarios = Array.from({ length: Math.ceil(checks / perScenario) }, (_, index) => {
    const differing: Readonly<Record<string, Partial<CheckResult>>> =
      index % 10 === 3
        ? {
            "/p2 valid": {
              status: "failed" as const,
              got: answer(401),
              ...because(recorded("Jwt verification fails.")),
            },
          }
        : {};
    return scenario(`${index % 2 === 0 ? "jwt" : "paths"}/many-${index + 1}`, {
      title: `Scenario number ${index + 1} of many`,
      tags: [index % 3 === 0 ? "thirds" : "documented"],
      steps: [
        step("a matrix", {
          objects: [policy()],
          matrix: {
            columns: ["none", "valid", "forged", "expired"],
            rows: Object.fromEntries(Array.from({ length: 5 }, (_row, row) => [`/p${row}`, [403, 200, 401, 401]])),
            differing,
          },
        }),
      ],
    });
  });
  return run(scenarios);
}
