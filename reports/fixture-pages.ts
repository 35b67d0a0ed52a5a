/** Builds by hand what the pages besides a run's report show: a comparison, a trend, a reproduced ticket, an upgrade. See fixture.ts. */

import type { Change, Comparison, OneSided, Seen } from "../harness/model/comparison.ts";
import type { Condition, Reason, RuleRef } from "../harness/model/explanation.ts";
import type { Cause } from "../harness/model/finding.ts";
import type { Cell, ReproAnswer } from "../harness/model/ticket.ts";
import type { Status } from "../harness/model/result.ts";
import type { UpgradeResult } from "../harness/upgrade/upgrade.ts";
import type { StreamResult } from "../harness/upgrade/verdict.ts";
import type { Failing, Trend, TrendRun } from "../harness/model/trend.ts";
import { attacks, denials, explanation, keysNotFetched, policy, recorded } from "./fixture.ts";

const hostileText = Object.values(attacks).join("\n");

/** A cell by its place, as a comparison and a trend name it. */
function cell(scenario: string, step: string, check: string, line = 20) {
  return { scenario, step, check, position: { file: `scenarios/${scenario}/scenario.yaml`, line, column: 11 } };
}

function seen(answer: number, changes: Partial<Seen> = {}): Seen {
  const by = answer === 401 ? "authentication" : answer === 403 ? "authorization" : "workload";
  return { status: "passed", answer, by, ...changes };
}

const deny = "with the DENY rule only the listed path is open";

/** Two Envoys apart: what opened, what closed, what was known, and checks that only one side has. */
export function comparison(changes: Partial<Comparison> = {}): Comparison {
  const opened = (path: string, line: number): Change => ({
    ...cell("paths/skip-jwt-for-paths", deny, `${path} none`, line),
    before: seen(403),
    after: seen(200, {
      status: "failed",
      findings: [recorded("no policy of the gateway's proxy matches the request")],
      reason:
        "expected 403 from authorization, got 200 from the workload behind ingress; no policy of the gateway's proxy matches the request",
    }),
    aspects: ["answer", "by", "status"],
  });
  const oneSided = (check: string, status: Status = "passed"): OneSided => ({
    ...cell("jwt/algorithms", "every algorithm", check),
    seen: seen(200, { status }),
  });
  return {
    schemaVersion: 1,
    before: {
      run: "20260829-020000-a1b2",
      startedAt: "2026-08-29T02:00:00.000Z",
      cluster: "embedded",
      versions: { kubernetes: "v1.36.3", istio: "1.30.2", envoy: "1.38.1", meshproof: "0.1.0" },
      checks: 1947,
      scenarios: 156,
      enforcedMs: 148,
    },
    after: {
      run: "20260830-020000-k3f9",
      startedAt: "2026-08-30T02:00:00.000Z",
      cluster: "embedded",
      versions: { kubernetes: "v1.36.3", istio: "1.31.0", envoy: "1.40.0", meshproof: "0.1.0" },
      checks: 1948,
      scenarios: 156,
      enforcedMs: 161,
    },
    changes: [
      opened("/api/v1/products/0", 41),
      opened("/api/v1/products/1", 42),
      {
        ...cell("jwt/issuer-mismatch", "a rule for one issuer only", "wrong issuer is rejected by authentication"),
        before: seen(401, { body: denials.issuer, details: "jwt_authn_access_denied{Jwt_issuer_is_not_configured}" }),
        after: seen(401, { body: denials.failed, details: "jwt_authn_access_denied{Jwt_verification_fails}" }),
        aspects: ["body", "details"],
      },
      {
        ...cell("authz/repeated-headers", "DENY by a header's value", "two values, the first is denied", 33),
        before: seen(200),
        after: seen(403),
        aspects: ["answer", "by"],
        known: {
          id: "repeated-headers",
          sentence: "Values of a repeated header are compared one by one, no longer joined by commas.",
          source: "Envoy 1.38.0, CVE-2026-26308",
        },
      },
    ],
    removed: [oneSided("rs512 other-key")],
    added: [oneSided("eddsa intact"), oneSided("eddsa broken-signature")],
    same: 1941,
    unjudged: 2,
    unseen: ["dot-segments-with-parameters"],
    unexpected: 4,
    ...changes,
  };
}

/** Every text that came from a mesh carries every attack. */
export function hostileComparison(): Comparison {
  const told: Partial<Seen> = {
    body: hostileText,
    details: hostileText,
    findings: [recorded(hostileText)],
    reason: hostileText,
    by: hostileText,
  };
  const place = cell(attacks.attribute, attacks.script, hostileText);
  return comparison({
    changes: [
      {
        ...place,
        before: seen(200, { ...told, body: "A".repeat(10 * 1024 * 1024) }),
        after: seen(403, told),
        aspects: ["answer", "by", "status", "body", "details"],
      },
    ],
    added: [{ ...place, check: "added", seen: seen(200, told) }],
    removed: [{ ...place, check: "removed", seen: seen(200, told) }],
    unseen: [hostileText],
  });
}

/** So many unexpected changes, twenty a scenario. */
export function manyChanges(count = 2000): Comparison {
  const [first] = comparison().changes;
  const changes = Array.from({ length: count }, (_, index) => ({
    ...first!,
    ...cell(`jwt/many-${Math.floor(index / 20) + 1}`, "a matrix", `/p${index % 20} valid`, 20 + (index % 20)),
  }));
  return comparison({ changes, unexpected: count + 1 });
}

const days = 14;

function trendRun(day: number): TrendRun {
  const bad = day < 6 ? 0 : day < 10 ? 2 : 3;
  return {
    run: `202608${17 + day}-020000-${(0xa000 + day * 0x111).toString(16)}`,
    startedAt: `2026-08-${17 + day}T02:00:00.000Z`,
    folder: `results/202608${17 + day}`,
    versions: {
      kubernetes: "v1.36.3",
      istio: day < 6 ? "1.30.2" : "1.31.0",
      envoy: day < 6 ? "1.38.1" : "1.40.0",
      meshproof: "0.1.0",
    },
    counts: { passed: 1947 - bad, failed: bad, flaky: day === 3 ? 1 : 0, error: 0, skipped: 4, "known-failure": 1 },
    enforced: { medianMs: 146 + ((day * 7) % 19), p95Ms: 231 + ((day * 13) % 57) },
  };
}

/** Two weeks of nights with an upgrade in their middle. */
export function trend(changes: Partial<Trend> = {}): Trend {
  const runs = Array.from({ length: days }, (_, day) => trendRun(day));
  const failing = (check: string, from: number, line: number): Failing => ({
    ...cell("paths/skip-jwt-for-paths", deny, check, line),
    status: "failed",
    reason: "expected 403 from authorization, got 200 from the workload behind ingress",
    since: { run: runs[from]!.run, startedAt: runs[from]!.startedAt },
    lastPassed: { run: runs[from - 1]!.run, startedAt: runs[from - 1]!.startedAt },
    runs: days - from,
    history: runs.map((_, day) => (day < from ? "passed" : "failed")),
  });
  return {
    schemaVersion: 1,
    runs,
    failing: [
      failing("/api/v1/products/0 none", 6, 41),
      failing("/api/v1/products/1 none", 6, 42),
      {
        ...failing("a valid token is admitted", 10, 20),
        ...cell("jwt/jwks-uri-in-mesh", "the full name works", "a valid token is admitted"),
        status: "flaky",
        reason: "round 3: expected 200 from httpbin, got 401 from authentication, after it had agreed in round 1",
        history: runs.map((_, day) => (day < 2 ? "absent" : day < 10 && day !== 3 ? "passed" : "flaky")),
      },
    ],
    leftOut: ["results/20260821-020000-bad/results.json is not JSON: Unexpected end of JSON input"],
    ...changes,
  };
}

export function hostileTrend(): Trend {
  const { runs, failing } = trend();
  const text = { run: hostileText, startedAt: hostileText };
  return trend({
    runs: runs.map((run) => ({
      ...run,
      run: hostileText,
      versions: { ...run.versions, istio: hostileText, envoy: hostileText + run.run },
    })),
    failing: failing.map((each, index) => ({
      ...each,
      ...cell(attacks.attribute, attacks.script, `${index} ${hostileText}`),
      reason: index === 0 ? "A".repeat(10 * 1024 * 1024) : hostileText,
      since: text,
      lastPassed: text,
    })),
    leftOut: [hostileText],
  });
}

/** So many failing checks, twenty a scenario, each with a history of its own. */
export function manyFailing(count = 2000): Trend {
  const [first] = trend().failing;
  return trend({
    failing: Array.from({ length: count }, (_, index) => ({
      ...first!,
      ...cell(`jwt/many-${Math.floor(index / 20) + 1}`, "a matrix", `/p${index % 20} valid`),
      history: Array.from({ length: days }, (_day, day) => ((index + day) % 5 < 2 ? "failed" : "passed")),
    })),
  });
}

const whitelist = "ns[istio-system]-policy[frontend-ingress-whitelist]-rule[0]";

const whitelistRule: RuleRef = {
  name: whitelist,
  policy: { namespace: "istio-system", name: "frontend-ingress-whitelist" },
  index: 0,
};

const notExempt: Condition = {
  field: { kind: "path" },
  requires: { kind: "not", matcher: { kind: "prefix", value: "/test/" } },
  got: { kind: "text", text: "/healthz" },
  agrees: true,
};

const inForce: NonNullable<ReproAnswer["inForce"]> = {
  providers: [
    {
      name: "origins-0",
      issuer: "https://login.example.com/",
      audiences: [],
      places: [
        { kind: "header", name: "authorization", prefix: "Bearer " },
        { kind: "parameter", name: "access_token" },
      ],
      keys: "inline",
      keyList: [{ kid: "key-1", kty: "RSA", alg: "RS256" }],
      forward: false,
      found: { kind: "no-token" },
    },
  ],
  rules: [
    {
      ...whitelistRule,
      action: "DENY",
      dryRun: false,
      matched: true,
      conditions: [
        notExempt,
        {
          field: { kind: "claim", name: "iss" },
          requires: { kind: "absent" },
          got: { kind: "no-valid-token" },
          agrees: true,
        },
      ],
    },
  ],
};

const cause: Cause = {
  kind: "path-not-exempt",
  policy: { kind: "AuthorizationPolicy", namespace: "istio-system", name: "frontend-ingress-whitelist" },
  path: "/healthz",
  exempt: [{ kind: "prefix", value: "/test/" }],
  status: 403,
};

const variants: Readonly<Record<string, number>> = {
  none: 403,
  valid: 200,
  expired: 401,
  "other-issuer": 401,
  "other-audience": 200,
  "other-key": 401,
  "other-algorithm": 401,
};

function variant(name: string, status: number, changes: Partial<Cell> = {}): Cell {
  const by = status === 401 ? "authentication" : status === 403 ? "authorization" : "workload";
  const body = { authentication: denials.failed, authorization: denials.rbac, workload: "" }[by];
  const details = {
    authentication: "jwt_authn_access_denied{Jwt_verification_fails}",
    authorization: `rbac_access_denied_matched_policy[${whitelist}]`,
    workload: "via_upstream",
  }[by];
  const reason: Reason =
    by === "authentication"
      ? { kind: "token-refused", status: denials.failed, providers: inForce.providers }
      : by === "authorization"
        ? { kind: "denied", rule: { ...whitelistRule, conditions: [notExempt] } }
        : { kind: "not-denied" };
  const token = name === "none" ? "" : `-H "Authorization: Bearer $TOKEN" `;
  return {
    status,
    by,
    token: name === "none" ? "none" : `${name} (iss https://login.example.com/, alg RS256, kid key-1)`,
    body,
    details,
    explanation: explanation(reason, { path: "/healthz", ...inForce }),
    curl: `kubectl exec -n meshproof-outside outside -c curl -- curl -sS -i --path-as-is ${token}http://10.244.0.9:80/healthz`,
    ...changes,
  };
}

/** The health check of docs/tickets.md, minimized. */
export function ticket(changes: Partial<ReproAnswer> = {}): ReproAnswer {
  return {
    schemaVersion: 2,
    id: "20260830-101500-7c1e",
    tool: { name: "meshproof", version: "0.1.0" },
    startedAt: "2026-08-30T10:15:00.000Z",
    command: "meshproof repro docs/examples/tickets/health-check --request 'GET /healthz' --expect 200 --minimize",
    cause,
    verdict: {
      status: 403,
      by: "authorization",
      body: denials.rbac,
      details: `rbac_access_denied_matched_policy[${whitelist}]`,
    },
    request: "GET /healthz without a token",
    expected: { status: 200, met: false },
    matrix: {
      columns: Object.keys(variants),
      rows: [
        { request: "GET /healthz", cells: Object.entries(variants).map(([name, status]) => variant(name, status)) },
      ],
      given: "none",
    },
    inForce,
    notes: [],
    changes: [
      'the workload became a stand-in that answers 200 to every path: labels none, port 8000 named "http", container port 8080',
      "issuer https://login.example.com/ has keys of ours instead of its own: kid key-1 (RS256)",
      "RequestAuthentication jwt: the keys of https://login.example.com/ (at https://login.example.com/keys) are served by a host of ours, outside the mesh: no policy of the ticket is in the way",
      "no VirtualService was given: one was added that routes everything to the stand-in",
      "the request comes from a pod outside the mesh, over HTTP to the ingress gateway",
    ],
    notCarriedOver: ["ConfigMap settings: this kind is not carried over"],
    versions: { kubernetes: "v1.36.3", istio: "1.31.0", envoy: "1.40.0" },
    minimized: {
      confirmed: true,
      complete: true,
      tries: 9,
      refused: 1,
      dropped: [
        "RequestAuthentication istio-system/jwt",
        "AuthorizationPolicy istio-system/frontend-ingress-whitelist rules[0].when",
      ],
      yaml: `apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata:
  name: frontend-ingress-whitelist
  namespace: istio-system
spec:
  selector:
    matchLabels:
      istio: ingressgateway
  action: DENY
  rules:
    - to:
        - operation:
            notPaths:
              - /test/*
`,
    },
    applied: [
      policy({
        name: "jwt",
        namespace: "istio-system",
        file: "01-requestauthentication-jwt.yaml",
        proxies: ["istio-system/istio-ingressgateway-5c8d9f7b4-9kq2m"],
      }),
      policy({
        kind: "AuthorizationPolicy",
        name: "frontend-ingress-whitelist",
        namespace: "istio-system",
        file: "02-authorizationpolicy-frontend-ingress-whitelist.yaml",
        proxies: ["istio-system/istio-ingressgateway-5c8d9f7b4-9kq2m"],
      }),
    ],
    standIn: "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: ticket\n  namespace: foo\n",
    ...changes,
  };
}

/** Every text that comes from a mesh or a ticket carries every attack; one body has 10 MiB. */
export function hostileTicket(): ReproAnswer {
  const { matrix, minimized } = ticket();
  const told = {
    body: hostileText,
    details: hostileText,
    error: hostileText,
    explanation: explanation({ kind: "not-denied" }, { path: hostileText }),
    curl: hostileText,
    token: hostileText,
  };
  return ticket({
    cause: { kind: "token-refused", status: 401, said: `${hostileText} ${"A".repeat(100_000)}` },
    command: hostileText,
    request: hostileText,
    verdict: { status: 403, by: "authorization", body: hostileText, details: hostileText },
    matrix: {
      ...matrix,
      rows: [
        {
          request: `GET /${hostileText}`,
          cells: matrix.columns.map((_, index) => ({
            ...variant("none", 403),
            ...told,
            ...(index === 1 ? { body: "A".repeat(10 * 1024 * 1024) } : {}),
          })),
        },
        {
          request: attacks.attribute,
          cells: matrix.columns.map(() => ({ ...variant("none", 0), by: "nobody", ...told })),
        },
      ],
    },
    inForce: { ...inForce, rules: [{ ...inForce.rules[0]!, name: hostileText }] },
    notes: [keysNotFetched(hostileText)],
    changes: [hostileText],
    notCarriedOver: [hostileText],
    versions: { kubernetes: hostileText, [attacks.attribute]: "1" },
    minimized: { ...minimized!, dropped: [hostileText], yaml: hostileText },
    applied: [
      policy({
        yaml: hostileText,
        findings: [keysNotFetched(hostileText)],
        name: hostileText,
        file: hostileText,
        proxies: [hostileText],
      }),
    ],
    standIn: hostileText,
  });
}

/** An upgrade under traffic in which a refused stream was let through for a moment. */
export function upgraded(changes: Partial<UpgradeResult> = {}): UpgradeResult {
  const { before, after } = comparison();
  const at = (second: number): number => Date.UTC(2026, 7, 30, 10, 20, second);
  const stream = (name: string, expected: number, more: Partial<StreamResult> = {}): StreamResult => ({
    ...{ name, expected, perSecond: 20, sent: 1204, due: 1206, right: 1204, breaches: [], failures: [] },
    perPhase: [{ phase: "gateway", sent: 204, right: 204 }],
    ...{ longestGap: { phases: ["gateway"], fromMs: at(13), forMs: 112, sent: 1 }, problems: [] },
    ...more,
  });
  const [from, to] = [before, after].map(({ versions }) => ({
    ...{ kind: "embedded" as const, name: "upgrade", versions, digests: {} },
  }));
  const counts = { passed: 250, failed: 0, flaky: 0, error: 0, skipped: 0, "known-failure": 0 };
  return {
    schemaVersion: 1,
    id: "20260830-102000-91bd",
    tool: { name: "meshproof", version: "0.1.0" },
    command: "meshproof upgrade --from 1.30 --to 1.31",
    strategy: "in-place",
    startedAt: "2026-08-30T10:19:10.000Z",
    finishedAt: "2026-08-30T10:24:02.000Z",
    from: from!,
    to: to!,
    phases: ["first run", "control plane", "gateway", "sidecars", "second run"].map((name, index) => ({
      name,
      startedAt: `2026-08-30T10:2${index}:00.000Z`,
      durationMs: 31_000 + index * 4_700,
    })),
    streams: [
      stream("sidecar, valid token", 200, {
        right: 1201,
        failures: [{ phase: "sidecars", fromMs: at(31), toMs: at(32), count: 3, status: 503, by: "proxy" }],
      }),
      stream("sidecar, no token", 403),
      stream("gateway, valid token", 200),
      stream("gateway, no token", 403, {
        right: 1197,
        breaches: [{ phase: "gateway", fromMs: at(14), toMs: at(15), count: 7, status: 200, by: "workload" }],
      }),
    ],
    meshWide: [],
    maxUnavailable: { share: 0.01 },
    problems: [],
    checks: { from: counts, to: counts },
    unexpected: 4,
    ...changes,
  };
}

export function hostileUpgrade(): UpgradeResult {
  const { streams, phases } = upgraded();
  return upgraded({
    command: hostileText,
    problems: [hostileText],
    phases: phases.map((phase) => ({ ...phase, name: hostileText })),
    streams: streams.map((stream) => ({
      ...stream,
      name: hostileText,
      problems: [
        { kind: "broken", words: hostileText },
        { kind: "phases", phases: [hostileText] },
        { kind: "gap", gap: { phases: [hostileText], fromMs: 0, forMs: 1, sent: 0 } },
        { kind: "few", right: 0, due: 1, phases: [hostileText] },
        { kind: "end", phase: hostileText, right: 0 },
        { kind: "clock", phase: hostileText, byMs: 1 },
      ],
      failures: [{ phase: hostileText, fromMs: 0, toMs: 1, count: 1, status: 0, by: "nobody", error: hostileText }],
    })),
  });
}
