/** Finds the filter chain of a proxy that handles a request. */

import type { Decision, ListenerFact } from "../model/explanation.ts";
import { at, list, text } from "./tree.ts";
import type { OracleRequest } from "./types.ts";
import { undecidedBy } from "./undecided.ts";

export interface Chain {
  /** The HTTP connection manager; undefined for TCP. */
  readonly manager: unknown;
  /** All network filters. */
  readonly filters: readonly unknown[];
  readonly listener: ListenerFact;
  readonly port: number | undefined;
  /** Whether it takes requests by HBONE. */
  readonly tunnel: boolean;
}

interface Candidate {
  readonly manager: unknown;
  readonly filters: readonly unknown[];
  readonly name: string;
  readonly port: number | undefined;
  readonly transport: string;
  /** Whether its TLS asks for a certificate. */
  readonly asksCertificate: boolean;
  /** The protocols of the TLS handshake that it is for (ALPN); empty for any. */
  readonly alpn: readonly string[];
}

/** The listeners of a whole dump, or of its `resource=dynamic_listeners`. */
function listenersOf(dump: unknown): readonly unknown[] {
  return list(at(dump, "configs")).flatMap((config) =>
    [
      at(config, "active_state", "listener"),
      ...list(at(config, "dynamic_listeners")).map((one) => at(one, "active_state", "listener")),
    ].filter((listener) => listener !== undefined),
  );
}

/** The inbound chain of a sidecar (port, then mTLS or plain text), or a gateway's listener. */
export function findChain(dump: unknown, request: OracleRequest): Chain | { readonly decision: Decision } {
  const listeners = listenersOf(dump);
  const inbound = listeners.find((one) => at(one, "name") === "virtualInbound");
  if (inbound !== undefined) return findInbound(inbound, request);
  const internal = listeners.find((one) => at(one, "name") === "main_internal");
  if (internal !== undefined) return findVip(internal, request);
  const gateways = listeners.flatMap((one) => {
    const chains = [...list(at(one, "filter_chains")), ...[at(one, "default_filter_chain")].filter(Boolean)];
    const port = Number(at(one, "address", "socket_address", "port_value"));
    return bySni(chains, request.serverName).map((chain) => candidate(chain, text(at(one, "name")), port));
  });
  const asked = gateways.filter((one) => request.port === undefined || one.port === request.port);
  const http = asked.filter(({ manager }) => manager !== undefined);
  // A name that is passed through, and no HTTP beside it, is TCP.
  const fitting = http.length > 0 ? http : asked;
  const [only, ...more] = fitting;
  if (request.tls === true && asked.length === 0 && isAskedWithTls(listeners, request))
    return tlsRefused("server-name");
  if (only === undefined) {
    const at = gateways.length === 0 || request.port === undefined ? {} : { port: request.port };
    return { decision: undecidedBy({ kind: "no-listener", ...at }) };
  }
  if (more.length > 0)
    return { decision: undecidedBy({ kind: "several-listeners", names: fitting.map(({ name }) => name) }) };
  if (request.tls === true && only.asksCertificate) return tlsRefused("client-certificate");
  return chainOf(only, { name: only.name });
}

function tlsRefused(because: "client-certificate" | "server-name"): { readonly decision: Decision } {
  return { decision: { verdict: "refused", status: 0, by: "nobody", reason: { kind: "tls-refused", because } } };
}

/** Whether every chain of the asked port is for a server name. */
function isAskedWithTls(listeners: readonly unknown[], { port }: OracleRequest): boolean {
  const chains = listeners
    .filter((one) => port === undefined || at(one, "address", "socket_address", "port_value") === port)
    .flatMap((one) => list(at(one, "filter_chains")));
  return chains.length > 0 && chains.every((chain) => list(at(chain, "filter_chain_match", "server_names")).length > 0);
}

/** The chains of a listener that take a connection by its SNI: those that name it best; all of them where no SNI is known. */
function bySni(chains: readonly unknown[], sni: string | undefined): readonly unknown[] {
  if (sni === undefined) return chains;
  const fit = (chain: unknown): number =>
    Math.max(
      0,
      ...list(at(chain, "filter_chain_match", "server_names"))
        .map(text)
        .filter((name) => name === sni || (name.startsWith("*.") && sni.endsWith(name.slice(1))))
        .map(({ length }) => length),
    );
  const best = Math.max(0, ...chains.map(fit));
  return best > 0
    ? chains.filter((chain) => fit(chain) === best)
    : chains.filter((chain) => list(at(chain, "filter_chain_match", "server_names")).length === 0);
}

function findInbound(listener: unknown, request: OracleRequest): Chain | { readonly decision: Decision } {
  const chains = list(at(listener, "filter_chains")).map((chain) => {
    const match = at(chain, "filter_chain_match");
    const port = at(match, "destination_port");
    return candidate(
      chain,
      text(at(chain, "name")),
      typeof port === "number" ? port : undefined,
      text(at(match, "transport_protocol")),
    );
  });
  const ports = [...new Set(chains.flatMap((one) => (one.manager === undefined ? [] : (one.port ?? []))))];
  if (request.port === undefined && ports.length !== 1) return { decision: undecidedBy({ kind: "port", ports }) };
  const port = request.port ?? ports[0];
  const transport = request.peer === undefined ? "raw_buffer" : "tls";
  // A port with its own chains uses no other chain (Envoy's filter chain manager does not backtrack).
  const own = chains.filter((one) => one.port === port);
  const here = own.length > 0 ? own : chains.filter((one) => one.port === undefined);
  if (request.tls === true && request.peer === undefined) {
    // Istio's own protocols are those of a sidecar.
    const foreign = here.filter(
      (one) => one.transport === "tls" && !(one.alpn.length > 0 && one.alpn.every((name) => name.startsWith("istio"))),
    );
    const refused = foreign.length > 0 && foreign.every((one) => one.asksCertificate);
    return refused ? tlsRefused("client-certificate") : { decision: undecidedBy({ kind: "tls-of-the-client" }) };
  }
  const suited = here.filter((one) => one.transport === transport || one.transport === "");
  const chosen = suited.find((one) => one.manager !== undefined) ?? suited[0];
  const sent = request.peer === undefined ? "plain-text" : "mtls";
  if (chosen === undefined) {
    const reason = { kind: "connection-closed", accepts: sent === "mtls" ? "plain-text" : "mtls" } as const;
    return { decision: { verdict: "refused", status: 0, by: "nobody", reason } };
  }
  const placed = port === undefined ? {} : { port };
  return chainOf({ ...chosen, port }, { name: "virtualInbound", ...placed, transport: sent });
}

/** A waypoint's chain of a port of a Service (pilot/pkg/networking/core/waypoint.go: `inbound-vip|<port>|<protocol>|<host>`). */
const VIP = /^inbound-vip\|(\d+)\|([^|]*)\|(.+)$/;

/** The chain of the Service that is asked: the host of the URL, or the only one that the waypoint serves. */
function findVip(listener: unknown, request: OracleRequest): Chain | { readonly decision: Decision } {
  const vips = list(at(listener, "filter_chains")).flatMap((chain) => {
    const [, port, , host] = VIP.exec(text(at(chain, "name"))) ?? [];
    return port === undefined || host === undefined
      ? []
      : [{ ...candidate(chain, `${host}:${port}`, Number(port)), host }];
  });
  const routed = clusterOf(request.cluster);
  const named = vips.filter((one) =>
    routed === undefined ? isAsked(one, request) : one.host === routed.host && one.port === routed.port,
  );
  // Of a port without a protocol there is a chain for TCP too.
  const http = named.filter(({ manager }) => manager !== undefined);
  const fitting = http.length > 0 ? http : named;
  const services = (all: readonly Candidate[]): string[] => [...new Set(all.map(({ name }) => name))];
  const [only, ...more] = fitting;
  if (only === undefined) return { decision: undecidedBy({ kind: "no-such-service", services: services(vips) }) };
  if (more.length > 0) return { decision: undecidedBy({ kind: "which-service", services: services(fitting) }) };
  const placed = only.port === undefined ? {} : { port: only.port };
  return { ...chainOf(only, { name: "main_internal", ...placed }), tunnel: true };
}

/** The Service of a cluster's name (pilot/pkg/model/push_context.go, BuildSubsetKey). */
export function clusterOf(cluster = ""): { readonly host: string; readonly port: number } | undefined {
  const [, port, host] = /^outbound\|(\d+)\|[^|]*\|(.+)$/.exec(cluster) ?? [];
  return port === undefined || host === undefined ? undefined : { host, port: Number(port) };
}

/** By the host of the URL, where the client itself sends it, and the port. */
function isAsked(vip: { readonly host: string; readonly port: number | undefined }, request: OracleRequest): boolean {
  if (request.port !== undefined && vip.port !== request.port) return false;
  const [, host, port] = /^([^:]+)(?::(\d+))?$/.exec(request.byGateway ? "" : (request.authority ?? "")) ?? [];
  if (host === undefined) return true;
  return (vip.host === host || vip.host.startsWith(`${host}.`)) && vip.port === Number(port ?? 80);
}

function chainOf({ manager, filters, port }: Candidate, listener: ListenerFact): Chain {
  return {
    manager,
    filters,
    port,
    tunnel: false,
    listener: manager === undefined ? { ...listener, tcp: true } : listener,
  };
}

function candidate(chain: unknown, name: string, port: number | undefined, transport = ""): Candidate {
  const filters = list(at(chain, "filters"));
  const manager = filters
    .map((filter) => at(filter, "typed_config"))
    .find((config) => text(at(config, "@type")).endsWith(".HttpConnectionManager"));
  const asksCertificate = at(chain, "transport_socket", "typed_config", "require_client_certificate") === true;
  const alpn = list(at(chain, "filter_chain_match", "application_protocols")).map(text);
  return { manager, filters, name, port, transport, asksCertificate, alpn };
}

/** The trust domain whose clients the proxy's inbound chains accept; Istio's default if none has one. */
export function trustDomainOf(dump: unknown): string {
  const found = listenersOf(dump)
    .flatMap((listener) => list(at(listener, "filter_chains")))
    .flatMap((chain) => {
      const tls = at(chain, "transport_socket", "typed_config", "common_tls_context");
      const context = at(tls, "combined_validation_context", "default_validation_context");
      return list(at(context, "match_subject_alt_names")).map((matcher) => text(at(matcher, "prefix")));
    })
    .map((prefix) => /^spiffe:\/\/([^/]+)\/$/.exec(prefix)?.[1])
    .find((domain) => domain !== undefined);
  return found ?? "cluster.local";
}
