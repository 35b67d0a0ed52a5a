/** A session of which each test gives the parts that it is about. */

import type { Kube } from "../mesh/client.ts";
import type { ExecResult } from "../mesh/exec.ts";
import type { CheckSpec } from "../model/scenario.ts";
import type { Place, Proxy, Target } from "./places.ts";
import type { Curl } from "./round.ts";
import type { Session } from "./session.ts";

export const position = { file: "scenario.yaml", line: 1, column: 1 };

/** A Kubernetes API with these methods alone. */
export function fakeKube(parts: object): Kube {
  return parts as Kube;
}

/** Everything else refuses. */
export function fakeSession(parts: Partial<Session>): Session {
  const refuse = (): Promise<never> => Promise.reject(new Error("this test has no such part"));
  const nothing = (): void => undefined;
  return {
    plan: {
      ...{ runId: "r", startedAt: 0, scenariosRoot: "", podsDir: "", diagnosticsDir: "" },
      ...{ limitMs: 200, inForceLimitMs: 300 },
    },
    handle: {
      ...{ kind: "embedded", name: "t", kubeconfig: "", namespace: "foo", outsideNamespace: "outside", ours: true },
      ...{ ingressUrl: "http://ingress", injection: {} },
      info: { kind: "embedded", name: "t", versions: { kubernetes: "", istio: "", envoy: "" }, digests: {} },
    },
    ...{ lane: 1, isOthers: () => false, shown: (data) => data },
    kube: fakeKube({}),
    left: new Map(),
    tokens: { mint: refuse, jwks: refuse, keys: refuse, secrets: () => [], redact: (text) => text },
    accessLog: {
      ...{ follow: nothing, expect: nothing, drop: nothing, close: nothing },
      find: () => ({ missing: [{ kind: "no-proxy" }] }),
      wait: () => Promise.resolve(),
    },
    ...{
      place: refuse,
      target: refuse,
      server: refuse,
      failedFetches: () => Promise.resolve([]),
      log: refuse,
      deploymentReady: refuse,
      podReady: refuse,
      gatewayGone: refuse,
      curl: refuse,
    },
    ...{ proxyConfig: refuse, dump: refuse, flushRequests: () => Promise.resolve(1), forget: nothing, close: nothing },
    ...parts,
  };
}

export function sidecar(app: string, { namespace = "foo", kind = "sidecar" }: Partial<Proxy> = {}): Proxy {
  return { ...{ namespace, kind, pod: `${app}-1`, ip: "10.0.0.1" }, labels: { app }, serviceAccount: app };
}

export const SLEEP: Place = {
  container: { namespace: "foo", pod: "sleep-1", container: "sleep" },
  workload: "deploy/sleep",
  proxy: sidecar("sleep"),
};
export const HTTPBIN: Target = {
  ...{ url: "http://httpbin.foo:8000", readyPods: 1, behind: [] },
  proxies: [sidecar("httpbin")],
};

/** A check that wants 200. */
export function checkOf(path: string, parts: Partial<CheckSpec> = {}): CheckSpec {
  return {
    ...{ name: path, position, token: "none", expect: { status: 200, by: "workload" } },
    request: { from: "sleep", to: "httpbin", method: "GET", path, headers: [] },
    ...parts,
  };
}

/** A request as a fake curl sees it. */
export interface SentRequest {
  readonly url: string;
  readonly userAgent: string;
  /** On a connection of its own. */
  readonly alone: boolean;
}

/** A curl whose answers are statuses; `sent` has each round. */
export function fakeCurl(answer: (request: SentRequest, round: number) => number): {
  readonly curl: Curl;
  readonly sent: SentRequest[][];
} {
  const sent: SentRequest[][] = [];
  const curl = (_: unknown, bytes: Buffer): Promise<ExecResult> => {
    const config = bytes.toString();
    const requests = config.split("\nnext\n").map((text) => ({
      url: /^url = "(.*)"$/m.exec(text)?.[1] ?? "",
      userAgent: /^header = "User-Agent: (.*)"$/m.exec(text)?.[1] ?? "",
      alone: text.includes('header = "Connection: close"'),
    }));
    sent.push(requests);
    const boundary = /--meshproof-[0-9a-f]+/.exec(config)?.[0] ?? "";
    const answers = requests.map((request) => {
      const status = answer(request, sent.length);
      const info = { response_code: status, time_total: 0.001, errormsg: status === 0 ? "reset" : null };
      const head = status === 0 ? "" : `HTTP/1.1 ${status} X\r\nserver: envoy\r\nx-secret: 1\r\n\r\n`;
      const body = { 403: "RBAC: access denied", 503: "no healthy upstream" }[status] ?? "hello";
      return `${head}${body}\n${boundary} ${JSON.stringify({ ...info, exitcode: status === 0 ? 56 : 0 })}\n`;
    });
    return Promise.resolve({ stdout: Buffer.from(answers.join("")), stderr: "", exitCode: 0 });
  };
  return { curl, sent };
}
