import { isDeepStrictEqual } from "node:util";
import { inLanes } from "../lanes.ts";
import { explainRequest, trustDomainOf, undecidedBy, type OracleRequest } from "../oracle/index.ts";
import { clusterOf } from "../oracle/listeners.ts";
import { withoutParameter } from "../oracle/token-places.ts";
import { fillBytes, showBytes } from "../probe/bytes.ts";
import type { WireRequest } from "../probe/curl.ts";
import type { Decision, Explanation, Judge } from "../model/explanation.ts";
import { identityOf } from "../model/identity.ts";
import type { Answer } from "../model/result.ts";
import { secondsNow } from "../model/seconds.ts";
import { mapTexts } from "../safe/map-texts.ts";
import type { TokenFactory } from "../tokens/factory.ts";
import { GATEWAY_NAME } from "../verdict/attachment.ts";
import type { Place, PodsOfHosts, Proxy, Target } from "./places.ts";
import { named } from "./prepare.ts";
import type { Proxies } from "./session.ts";

/** What explaining takes of a session. */
export interface ExplainingMesh extends Pick<Proxies, "dump"> {
  readonly tokens: Pick<TokenFactory, "redact">;
}

/** An answer with what its request was made of. */
export interface Explainable {
  readonly request: WireRequest;
  readonly place: Place;
  readonly target: Target;
  /** The target's name. */
  readonly to: string;
  readonly got: Pick<Answer, "by" | "status" | "userAgent">;
}

/**
 * What the judging proxies' own config says about each request: of the one that decided, and of those that let it through before.
 * Read at once, while the policies are still there.
 * @returns one for each answer; undefined where no proxy judges it, or the proxy cannot be asked
 */
export async function explain(
  mesh: ExplainingMesh,
  answers: readonly Explainable[],
): Promise<(Explanation | undefined)[]> {
  const dumps = new Map<Proxy, Promise<unknown>>();
  const dumpOf = (proxy: Proxy): Promise<unknown> => {
    const dump = dumps.get(proxy) ?? mesh.dump(proxy).catch(() => undefined);
    dumps.set(proxy, dump);
    return dump;
  };
  const now = secondsNow();
  const judge: Judging = async (proxy, request) => {
    const config = await dumpOf(proxy);
    if (config === undefined) return undefined;
    return { ...explainRequest(config, request(trustDomainOf(config)), now), at: judgeOf(proxy) };
  };
  return await inLanes(answers, async (answer) => {
    const found = await explainOne(answer, judge);
    return found && mapTexts(found, (text) => showBytes(mesh.tokens.redact(text)));
  });
}

/** What a proxy makes of a request, which may depend on the trust domain. */
type Judging = (proxy: Proxy, request: (trustDomain: string) => OracleRequest) => Promise<Explanation | undefined>;

async function explainOne(
  { request, place, target, to, got }: Explainable,
  judge: Judging,
): Promise<Explanation | undefined> {
  const waypoint = target.through?.proxies[0];
  const sent = named(request, got.userAgent ?? "");
  const cluster = target.through?.fromClient;
  if (waypoint !== undefined && cluster !== undefined) {
    const sender = place.proxy;
    return sender && (await judge(waypoint, (domain) => ({ ...byHbone(sent, sender, domain), cluster })));
  }
  const proxy = target.proxies.find(({ kind }) => kind !== "waypoint");
  if (proxy === undefined) return undefined;
  const port = target.port === undefined ? {} : { port: target.port };
  const asked = (domain: string): OracleRequest => ({ ...toOracleRequest(sent, place, proxy, to, domain), ...port });
  const said = await judge(proxy, asked);
  if (said?.decision.verdict !== "admitted" || proxy.kind !== "gateway") return said;
  const on = (next: Proxy, domain: string): OracleRequest =>
    sentOn({ ...withoutTokens(asked(domain), said.providers), ...sentTo(said) }, proxy, next, domain);
  const changes = changesBy(said);
  const goOn = async (next: Proxy): Promise<Explanation | undefined> => {
    const found = await judge(next, (domain) => on(next, domain));
    if (found === undefined) return undefined;
    const open = changes.length > 0 && (found.rules.length > 0 || found.tokensAsked);
    const decision = open ? undecidedBy({ kind: "changed-by-gateway", changes }) : found.decision;
    return { ...found, decision, before: [said] };
  };
  if (waypoint !== undefined) return await goOn(waypoint);
  // After the policies only a failure on the way to the workload can still answer.
  if (got.by === "proxy" || got.by === "nobody") return said;
  const behind = podsBehind(target.behind, await target.pods?.(), said);
  const found = (await Promise.all(behind.proxies.map(goOn))).filter((one) => one !== undefined);
  const answered = found.filter(({ decision }) => fits(decision, got));
  const [first] = answered;
  if (got.by !== "workload") return first ?? found.find(({ decision }) => decision.verdict === "undecided") ?? said;
  if (behind.proxies.length === 0 && behind.count !== undefined && behind.count > 0)
    return { ...said, beyond: "nothing" };
  if (behind.count !== found.length) return { ...said, beyond: "not-known" };
  if (answered.every(({ decision }) => isDeepStrictEqual(decision, first?.decision))) return first ?? found[0];
  const pods = behind.proxies.map(({ namespace, pod }) => `${namespace}/${pod}`);
  return { ...first!, decision: undecidedBy({ kind: "which-pod", pods }) };
}

function fits(decision: Decision, { by, status }: Explainable["got"]): boolean {
  if (by === "workload") return decision.verdict === "admitted" || decision.verdict === "undecided";
  return decision.by === by && decision.status === status;
}

/** The pods that may have got the request by the gateway's route; without a known one, those that may be behind the gateway. */
function podsBehind(
  behind: readonly Proxy[],
  pods: PodsOfHosts | undefined,
  { route }: Pick<Explanation, "route">,
): { readonly proxies: readonly Proxy[]; readonly count: number | undefined } {
  const hosts = route?.kind === "cluster" ? route.clusters.map((cluster) => clusterOf(cluster)?.host ?? "") : [];
  const known = [...new Set(hosts)].flatMap((host) => pods?.get(host) ?? []);
  if (known.length === 0 || known.length < new Set(hosts).size) return { proxies: behind, count: undefined };
  return {
    proxies: known.flatMap(({ proxies }) => proxies),
    count: known.reduce((sum, { count }) => sum + count, 0),
  };
}

/** Its name is that of what it is beside, by the labels that istiod, Helm charts and people write. */
export function judgeOf({ kind, namespace, labels, pod }: Proxy): Judge {
  const names = [GATEWAY_NAME, "app", "app.kubernetes.io/name", "service.istio.io/canonical-name"];
  return { kind, namespace, name: names.map((name) => labels[name]).find((name) => name !== undefined) ?? pod };
}

/** The request without the tokens that a proxy removes after it has accepted them. Exported for its tests. */
export function withoutTokens(asked: OracleRequest, providers: Explanation["providers"]): OracleRequest {
  const places = providers.flatMap(({ found, forward, places }) =>
    !forward && (found.kind === "accepted" || found.kind === "claims-accepted") ? places : [],
  );
  const named = (kind: "header" | "parameter"): string[] =>
    places.flatMap((one) => (one.kind === kind ? one.name : []));
  const headers = new Set(named("header").map((name) => name.toLowerCase()));
  return {
    ...asked,
    headers: asked.headers.filter(([name]) => !headers.has(name.toLowerCase())),
    path: [...new Set(named("parameter"))].reduce(withoutParameter, asked.path),
  };
}

/** Where a gateway sends a request, if its route leaves no choice. */
export function sentTo({ route }: Pick<Explanation, "route">): Pick<OracleRequest, "cluster"> {
  const [cluster, ...more] = route?.kind === "cluster" ? route.clusters : [];
  return cluster === undefined || more.length > 0 ? {} : { cluster };
}

/** What a gateway changes in a request before it sends it on, beyond the tokens that it removes: Envoy's fields, and names of headers. */
export function changesBy({ route, providers }: Pick<Explanation, "route" | "providers">): string[] {
  const written = providers.flatMap(({ found, claimHeaders = [], payloadHeader }) =>
    found.kind === "accepted" || found.kind === "claims-accepted"
      ? [...claimHeaders, ...(payloadHeader === undefined ? [] : [payloadHeader])]
      : [],
  );
  return [...((route?.kind === "cluster" && route.changes) || []), ...written];
}

/** The request as a gateway sends it on to a workload, or to the waypoint before it. */
export function sentOn(asked: OracleRequest, gateway: Proxy, proxy: Proxy, trustDomain: string): OracleRequest {
  const { sourceIp, protocol, ...rest } = asked;
  return {
    ...rest,
    // It may send HTTP/2 on as HTTP/1.
    ...(protocol !== "h2c" && { protocol }),
    // The gateway adds the address of its own client.
    headers: [...asked.headers, ...(sourceIp === undefined ? [] : ([["X-Forwarded-For", sourceIp]] as const))],
    // The gateway's own port says nothing of the workload's.
    ...(asked.port === undefined ? {} : { port: undefined }),
    sourceIp: gateway.ip,
    // A waypoint is asked for a Service's address.
    destinationIp: proxy.kind === "waypoint" ? undefined : proxy.ip,
    proxied: true,
    byGateway: true,
    peer: identityOf(gateway, trustDomain),
  };
}

function partsOf({ url, requestTarget, headers }: WireRequest): {
  readonly authority: string;
  readonly path: string;
  readonly host: string;
  readonly headers: WireRequest["headers"];
} {
  const [, authority = "", path = "/"] = /^https?:\/\/([^/?#]*)(.*)$/s.exec(url) ?? [];
  const filled = headers.map(([name, value]) => [name, fillBytes(value)] as const);
  const host = filled.find(([name]) => name.toLowerCase() === "host")?.[1] ?? authority;
  return { authority, path: fillBytes(requestTarget ?? path), host, headers: filled };
}

/** The request as a client's proxy sends it by HBONE: ztunnel, or what plays it, reads no HTTP. */
export function byHbone(request: WireRequest, sender: Proxy, trustDomain: string): OracleRequest {
  const { path, host, headers } = partsOf(request);
  return {
    ...{ method: request.method, path, authority: host, protocol: request.protocol ?? "http/1.1" },
    ...{ headers, sourceIp: sender.ip, peer: identityOf(sender, trustDomain) },
  };
}

/** Exported for its tests. */
export function toOracleRequest(
  request: WireRequest,
  place: Place,
  proxy: Proxy,
  to: string,
  trustDomain: string,
): OracleRequest {
  const { authority, path, host, headers } = partsOf(request);
  const sender = place.proxy;
  const [, sni] = /^https:\/\/([^/?#:]+)/.exec(request.url) ?? [];
  const port = /:(\d+)$/.exec(authority)?.[1] ?? "80";
  const protocol = request.protocol ?? "http/1.1";
  const mutual =
    proxy.kind === "gateway" || sender === undefined
      ? {}
      : {
          // Between two sidecars Istio uses mTLS by itself.
          peer: identityOf(sender, trustDomain),
          serverName: `outbound_.${port}_._.${to}.${proxy.namespace}.svc.cluster.local`,
        };
  return {
    method: request.method,
    path,
    authority: host,
    // A sidecar may send HTTP/2 on as HTTP/1.
    ...((sender === undefined || protocol !== "h2c") && { protocol }),
    headers,
    ...(sni !== undefined && { tls: true }),
    ...(sender !== undefined && { proxied: true }),
    ...(sender === undefined ? place.ip !== undefined && { sourceIp: place.ip } : { sourceIp: sender.ip }),
    ...(proxy.kind === "gateway" ? sni !== undefined && { serverName: sni } : { destinationIp: proxy.ip }),
    ...mutual,
  };
}
