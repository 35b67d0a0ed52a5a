/** What the mesh answers to a request, by the config that istiod makes for the proxies on its way. Whatever is not known is undecided. */

import { isDeepStrictEqual } from "node:util";
import type { CheckMissing } from "../model/check.ts";
import type { Decision, Explanation } from "../model/explanation.ts";
import type { Answerer, NoAnswer } from "../model/scenario.ts";
import { explainRequest, trustDomainOf, type OracleRequest } from "../oracle/index.ts";
import { clusterOf } from "../oracle/listeners.ts";
import { changesBy, judgeOf, sentOn, toOracleRequest, withoutTokens } from "../run/explain.ts";
import type { Proxy } from "../run/places.ts";
import type { Prepared } from "../run/prepare.ts";
import { proxyOf, type World } from "./world.ts";

export interface Evaluated {
  /** Left out where it is undecided. */
  readonly got?: {
    readonly by: Answerer;
    readonly status?: number;
    readonly grpc?: number;
    readonly noAnswer?: NoAnswer;
  };
  readonly missing?: CheckMissing;
  /** Of the proxies that judge, in the request's order; the last one decides. */
  readonly judged: readonly { readonly proxy: Proxy; readonly explanation: Explanation }[];
}

export interface Evaluation {
  readonly world: World;
  /** Undefined where istiod does not give the proxy what it should have. */
  dump(proxy: Proxy): Promise<unknown>;
  /** Seconds since 1970. */
  readonly now: number;
}

/** In the place of the name that requests have in access logs. */
const USER_AGENT = "meshproof/check";

type Request = Pick<Prepared, "request" | "place" | "target" | "spec">;

export async function evaluate(evaluation: Evaluation, request: Request): Promise<Evaluated> {
  const { target, spec } = request;
  const { through, to } = spec.request;
  if (spec.request.host !== undefined) return undecided({ kind: "host-name" });
  if (through !== undefined) return undecided({ kind: "waypoint" });
  if (target.readyPods === 0) return undecided({ kind: "no-pod", workload: to });
  const [gateway] = target.proxies;
  if (gateway?.kind === "gateway") return await throughGateway(evaluation, request, gateway);
  const known = await Promise.all(target.proxies.map((proxy) => atProxy(evaluation, request, proxy)));
  return joined([...known, ...Array.from({ length: target.readyPods - known.length }, () => UNJUDGED)]);
}

/** A pod without a proxy answers everything itself. */
const UNJUDGED: Evaluated = { got: { by: "workload" }, judged: [] };

function undecided(missing: CheckMissing, judged: Evaluated["judged"] = []): Evaluated {
  return { missing, judged };
}

async function atProxy({ world, dump, now }: Evaluation, request: Request, proxy: Proxy): Promise<Evaluated> {
  const name = world.bypassOf(proxy);
  if (name !== undefined) return undecided({ kind: "annotation", name, pod: `${proxy.namespace}/${proxy.pod}` });
  const config = await dump(proxy);
  return judge(config, proxy, asked(request, proxy, config), now);
}

function asked({ request, place, target, spec }: Request, proxy: Proxy, config: unknown): OracleRequest {
  const sent = { ...request, headers: [...request.headers, ["User-Agent", USER_AGENT] as const] };
  return {
    ...toOracleRequest(sent, place, proxy, spec.request.to, trustDomainOf(config)),
    ...(target.port !== undefined && { port: target.port }),
  };
}

function judge(config: unknown, proxy: Proxy, request: OracleRequest, now: number): Evaluated {
  if (config === undefined) return undecided({ kind: "unsettled", pod: `${proxy.namespace}/${proxy.pod}` });
  const first = explainRequest(config, request, now);
  const { reason } = first.decision;
  // By automatic mTLS a client with a sidecar sends plain text to a port that takes nothing else (PeerAuthentication DISABLE).
  const plain = reason.kind === "connection-closed" && reason.accepts === "plain-text" && request.peer !== undefined;
  const explanation = plain
    ? explainRequest(config, { ...request, peer: undefined, serverName: undefined }, now)
    : first;
  return {
    ...answerOf(explanation.decision),
    judged: [{ proxy, explanation: { ...explanation, at: judgeOf(proxy) } }],
  };
}

function answerOf({ verdict, status, grpcStatus, by, reason }: Decision): Pick<Evaluated, "got" | "missing"> {
  switch (verdict) {
    case "admitted":
      return { got: { by: "workload" } };
    case "undecided":
      return reason.kind === "undecided" ? { missing: reason.missing } : {};
    case "denied":
    case "refused":
    case "answered":
      if (status === 0) {
        const noAnswer = reason.kind === "tls-refused" ? reason.kind : "closed";
        return { got: { by: "nobody", status, noAnswer } };
      }
      return {
        got: {
          by: by === "nobody" ? "proxy" : by,
          ...(status !== undefined && { status }),
          ...(grpcStatus !== undefined && { grpc: grpcStatus }),
        },
      };
  }
}

async function throughGateway(evaluation: Evaluation, request: Request, gateway: Proxy): Promise<Evaluated> {
  const { world, dump, now } = evaluation;
  const config = await dump(gateway);
  const sent = asked(request, gateway, config);
  const there = judge(config, gateway, sent, now);
  const [first] = there.judged;
  if (there.got?.by !== "workload" || first === undefined) return there;
  const { route, providers } = first.explanation;
  const clusters = route?.kind === "cluster" ? route.clusters : [];
  const behind: Evaluated[] = [];
  for (const cluster of clusters) {
    const routed = clusterOf(cluster);
    const pods = routed && world.podsBehind(routed.host, routed.port);
    if (routed === undefined || pods === undefined)
      return undecided({ kind: "unknown-destination", cluster }, there.judged);
    if (pods.length === 0) return undecided({ kind: "no-pod", workload: routed.host }, there.judged);
    const passed = withoutTokens(sent, providers);
    for (const { pod, port: at } of pods) {
      const proxy = proxyOf(pod);
      const name = proxy && world.bypassOf(proxy);
      if (proxy === undefined) behind.push(UNJUDGED);
      else if (name !== undefined)
        behind.push(undecided({ kind: "annotation", name, pod: `${proxy.namespace}/${proxy.pod}` }));
      else {
        const theirs = await dump(proxy);
        behind.push(judge(theirs, proxy, { ...sentOn(passed, gateway, proxy, trustDomainOf(theirs)), port: at }, now));
      }
    }
  }
  if (behind.length === 0) return undecided({ kind: "unknown-destination", cluster: "" }, there.judged);
  const changes = changesBy(first.explanation);
  if (changes.length > 0 && behind.some(looksAtRequests))
    return undecided({ kind: "changed-by-gateway", changes }, there.judged);
  const found = joined(behind);
  if (found.judged.length === 0)
    return { ...found, judged: [{ proxy: gateway, explanation: { ...first.explanation, beyond: "nothing" } }] };
  const before = [first.explanation];
  const after = found.judged.map(({ proxy, explanation }) => ({ proxy, explanation: { ...explanation, before } }));
  return { ...found, judged: [...there.judged, ...after] };
}

/** Whether anything at these proxies depends on the request. */
function looksAtRequests({ missing, judged }: Evaluated): boolean {
  return (
    missing !== undefined || judged.some(({ explanation }) => explanation.rules.length > 0 || explanation.tokensAsked)
  );
}

/** What all pods answer that may get the request; undecided where they differ. */
function joined(answers: readonly Evaluated[]): Evaluated {
  const [first, ...others] = answers;
  if (first === undefined) return undecided({ kind: "no-pod", workload: "" });
  const open = answers.find(({ missing }) => missing !== undefined);
  if (open !== undefined) return open;
  if (others.every(({ got }) => isDeepStrictEqual(got, first.got)))
    return { ...first, judged: answers.flatMap(({ judged }) => judged) };
  const judged = answers.flatMap((one) => one.judged);
  return undecided({ kind: "pods-differ", pods: judged.map(({ proxy }) => `${proxy.namespace}/${proxy.pod}`) }, judged);
}
