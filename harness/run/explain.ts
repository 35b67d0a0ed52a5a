import { inLanes } from "../lanes.ts";
import { explainRequest, trustDomainOf, undecidedBy, type OracleRequest } from "../oracle/index.ts";
import type { WireRequest } from "../probe/curl.ts";
import type { Decision, Explanation } from "../model/explanation.ts";
import type { Answer } from "../model/result.ts";
import { mapTexts } from "../safe/map-texts.ts";
import type { TokenFactory } from "../tokens/factory.ts";
import type { Place, Proxy, Target } from "./places.ts";
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
 * What the first judging proxy's own config says about each request; behind a gateway that lets it through, the waypoint's that it
 * must pass. Read at once, while the policies are still there.
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
  return await inLanes(answers, async ({ request, place, target, to, got }) => {
    const waypoint = target.through?.proxies[0];
    const redacted = (one: Explanation): Explanation => mapTexts(one, (text) => mesh.tokens.redact(text));
    const now = Math.floor(Date.now() / 1000);
    const { fromClient } = target.through ?? {};
    if (waypoint !== undefined && fromClient !== undefined) {
      const config = await dumpOf(waypoint);
      if (config === undefined || place.proxy === undefined) return undefined;
      const sent = byHbone(named(request, got.userAgent ?? ""), place.proxy, trustDomainOf(config));
      return redacted(explainRequest(config, { ...sent, cluster: fromClient }, now));
    }
    const proxy = target.proxies.find(({ kind }) => kind !== "waypoint");
    if (proxy === undefined) return undefined;
    const config = await dumpOf(proxy);
    if (config === undefined) return undefined;
    const sent = named(request, got.userAgent ?? "");
    const asked = {
      ...toOracleRequest(sent, place, proxy, to, trustDomainOf(config)),
      ...(target.port !== undefined && { port: target.port }),
    };
    const said = explainRequest(config, asked, now);
    const { by, status } = got;
    const goesOn =
      said.decision.verdict === "admitted" &&
      (waypoint !== undefined || (proxy.kind === "gateway" && (by === "authentication" || by === "authorization")));
    if (!goesOn) return redacted(said);
    const changes = changesBy(said);
    if (changes.length > 0)
      return redacted({ ...said, decision: undecidedBy({ kind: "changed-by-gateway", changes }) });
    const behind = { ...withoutTokens(asked, said.providers), ...sentTo(said) };
    const found =
      waypoint === undefined
        ? ((await explainBehind(
            target.behind,
            proxy,
            behind,
            dumpOf,
            now,
            (e) => e.by === by && e.status === status,
          )) ?? said)
        : await explainBehind([waypoint], proxy, behind, dumpOf, now, () => true);
    return found && redacted(found);
  });
}

/** The request without the tokens that a proxy removes after it has accepted them. Exported for its tests. */
export function withoutTokens(asked: OracleRequest, providers: Explanation["providers"]): OracleRequest {
  const places = providers.flatMap(({ found, forward, places }) =>
    !forward && (found.kind === "accepted" || found.kind === "claims-accepted") ? places : [],
  );
  const isPlace = (kind: "header" | "parameter", name: string): boolean =>
    places.some((one) => one.kind === kind && one.name.toLowerCase() === name.toLowerCase());
  const [before = "", query] = asked.path.split(/\?(.*)/s);
  const kept = query?.split("&").filter((part) => !isPlace("parameter", part.replace(/=.*$/s, "")));
  return {
    ...asked,
    headers: asked.headers.filter(([name]) => !isPlace("header", name)),
    ...(query !== undefined && { path: kept?.length === 0 ? before : `${before}?${kept?.join("&")}` }),
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

/** The gateway let it through, so a workload behind it refused: the first whose config says what was answered. */
async function explainBehind(
  proxies: readonly Proxy[],
  gateway: Proxy,
  asked: OracleRequest,
  dumpOf: (proxy: Proxy) => Promise<unknown>,
  now: number,
  agrees: (decision: Decision) => boolean,
): Promise<Explanation | undefined> {
  for (const proxy of proxies) {
    const config = await dumpOf(proxy);
    if (config === undefined) continue;
    const said = explainRequest(config, sentOn(asked, gateway, proxy, trustDomainOf(config)), now);
    if (agrees(said.decision)) return said;
  }
  return undefined;
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

/** The request as a client's proxy sends it by HBONE: ztunnel, or what plays it, reads no HTTP. */
export function byHbone(request: WireRequest, sender: Proxy, trustDomain: string): OracleRequest {
  const [, authority = "", path = "/"] = /^https?:\/\/([^/?#]*)(.*)$/s.exec(request.url) ?? [];
  const host = request.headers.find(([name]) => name.toLowerCase() === "host")?.[1] ?? authority;
  return {
    ...{ method: request.method, path, authority: host, protocol: request.protocol ?? "http/1.1" },
    ...{ headers: request.headers, sourceIp: sender.ip, peer: identityOf(sender, trustDomain) },
  };
}

/** Its certificate's name, without `spiffe://`. */
function identityOf({ namespace, serviceAccount }: Proxy, trustDomain: string): string {
  return `${trustDomain}/ns/${namespace}/sa/${serviceAccount}`;
}

/** Exported for its tests. */
export function toOracleRequest(
  request: WireRequest,
  place: Place,
  proxy: Proxy,
  to: string,
  trustDomain: string,
): OracleRequest {
  const [, authority = "", path = "/"] = /^https?:\/\/([^/?#]*)(.*)$/s.exec(request.url) ?? [];
  const host = request.headers.find(([name]) => name.toLowerCase() === "host")?.[1] ?? authority;
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
    headers: request.headers,
    ...(sender !== undefined && { proxied: true }),
    ...(sender === undefined ? place.ip !== undefined && { sourceIp: place.ip } : { sourceIp: sender.ip }),
    ...(proxy.kind === "gateway" ? sni !== undefined && { serverName: sni } : { destinationIp: proxy.ip }),
    ...mutual,
  };
}
