/** Finds the route of a proxy that matches a request (source/common/router/config_impl.cc). Unknown facts are never guessed. */

import type { Missing, RouteFact, Unsupported } from "../model/explanation.ts";
import { matchHeader, matchMetadata } from "./fields.ts";
import { allOf } from "./combine.ts";
import type { Facts, Match, Unknown } from "./types.ts";
import { compileRegex, templateRegex } from "./regex.ts";
import { at, list, record, text } from "./tree.ts";
import { notRead } from "./undecided.ts";

/** Settings of a route or virtual host that do not change the decision: CORS preflights are handled before. */
const HARMLESS_SETTINGS: readonly string[] = ["envoy.filters.http.cors", "istio_authn", "istio.stats"];

const REDIRECTS: Readonly<Record<string, number>> = {
  MOVED_PERMANENTLY: 301,
  FOUND: 302,
  SEE_OTHER: 303,
  TEMPORARY_REDIRECT: 307,
  PERMANENT_REDIRECT: 308,
};

/** The route configuration of a connection manager: inline, or the one in the dump that it names. */
export function routesOf(dump: unknown, manager: unknown): unknown {
  const own = at(manager, "route_config");
  if (own !== undefined) return own;
  const name = at(manager, "rds", "route_config_name");
  if (typeof name !== "string") return undefined;
  return list(at(dump, "configs"))
    .flatMap((config) => [
      at(config, "route_config"),
      ...[...list(at(config, "dynamic_route_configs")), ...list(at(config, "static_route_configs"))].map((one) =>
        at(one, "route_config"),
      ),
    ])
    .find((config) => at(config, "name") === name);
}

/** @param secure whether the connection has TLS */
export function findRoute(dump: unknown, manager: unknown, facts: Facts, secure: boolean): RouteFact {
  const config = routesOf(dump, manager);
  if (config === undefined) {
    const name = text(at(manager, "rds", "route_config_name"));
    return unknown(name === "" ? notRead("routes") : { kind: "route-config", name });
  }
  const name = text(at(config, "name"));
  if (at(config, "vhds") !== undefined) return unknown(notRead("vhds", name));
  const host = findHost(config, facts.authority);
  if (host === undefined) return { kind: "none", config: name };
  if ("unknown" in host) return unknown(host.unknown);
  const { virtualHost } = host;
  const tls = text(at(virtualHost, "require_tls"));
  if (tls === "ALL" && !secure) return { kind: "answer", config: name, status: 301 };
  if (tls !== "" && tls !== "NONE" && tls !== "ALL") return unknown(notRead("require-tls", tls));
  if (at(virtualHost, "matcher") !== undefined) return unknown(notRead("virtual-host-matcher"));
  for (const route of list(at(virtualHost, "routes"))) {
    const match = matchRoute(at(route, "match"), facts, config);
    if (match.matched === false) continue;
    if (match.matched === "undecided") return unknown(match.unknown);
    const preflight = facts.method === "OPTIONS" && facts.headers.has("origin");
    const strange = [virtualHost, route]
      .flatMap((node) => Object.keys(record(at(node, "typed_per_filter_config"))))
      .find((filter) => preflight || !HARMLESS_SETTINGS.includes(filter));
    if (strange !== undefined) return unknown(notRead("route-filter", strange));
    return actionOf(route, name, [config, virtualHost]);
  }
  return { kind: "none", config: name };
}

function unknown(missing: Missing): RouteFact {
  return { kind: "unknown", missing };
}

/** Fields of a route's action that change the path or the host (envoy.config.route.v3.RouteAction). */
const REWRITES: readonly string[] = [
  "prefix_rewrite",
  "regex_rewrite",
  "path_rewrite",
  "path_rewrite_policy",
  "host_rewrite",
  "host_rewrite_literal",
  "auto_host_rewrite",
  "host_rewrite_header",
  "host_rewrite_path_regex",
  "append_x_forwarded_host",
];

/** Fields of a route, its virtual host, its config or a weighted cluster. */
const HEADER_CHANGES: readonly string[] = ["request_headers_to_add", "request_headers_to_remove"];

function changesIn(route: unknown, around: readonly unknown[]): string[] {
  const action = at(route, "route");
  const weighted = list(at(action, "weighted_clusters", "clusters"));
  const named = (nodes: readonly unknown[], fields: readonly string[]): string[] =>
    fields.filter((field) => nodes.some((node) => ![undefined, false, ""].includes(at(node, field) as undefined)));
  return [...named([action, ...weighted], REWRITES), ...named([...around, route, ...weighted], HEADER_CHANGES)];
}

/** @param around the route's virtual host and config */
function actionOf(route: unknown, config: string, around: readonly unknown[]): RouteFact {
  const direct = at(route, "direct_response", "status");
  if (typeof direct === "number") return { kind: "answer", config, status: direct };
  const redirect = at(route, "redirect");
  if (redirect !== undefined)
    return { kind: "answer", config, status: REDIRECTS[text(at(redirect, "response_code"))] ?? 301 };
  if (at(route, "route") === undefined) return unknown(notRead("route-action", config));
  const own = text(at(route, "route", "cluster"));
  const clusters =
    own === "" ? list(at(route, "route", "weighted_clusters", "clusters")).map((one) => text(at(one, "name"))) : [own];
  const changes = changesIn(route, around);
  return { kind: "cluster", config, clusters, ...(changes.length > 0 && { changes }) };
}

type Found = { readonly virtualHost: unknown } | Unknown;

/** Exact domains first, then the longest `*.suffix`, the longest `prefix.*`, then `*`. */
function findHost(config: unknown, authority: string | undefined): Found | undefined {
  const hosts = list(at(config, "virtual_hosts"));
  const domains = hosts.flatMap((virtualHost) =>
    list(at(virtualHost, "domains")).map((domain) => ({ domain: text(domain).toLowerCase(), virtualHost })),
  );
  const every = domains.find(({ domain }) => domain === "*");
  if (domains.length === 0 || (every !== undefined && domains.length === 1)) return every;
  if (authority === undefined) return { unknown: { kind: "host-for-routes", routes: text(at(config, "name")) } };
  const lower = authority.toLowerCase();
  const host = at(config, "ignore_port_in_host_matching") === true ? lower.replace(/:\d+$/, "") : lower;
  const longest = (all: typeof domains): (typeof domains)[number] | undefined =>
    all.toSorted((a, b) => b.domain.length - a.domain.length)[0];
  return (
    domains.find(({ domain }) => domain === host) ??
    longest(
      domains.filter(
        ({ domain }) =>
          domain.startsWith("*") && domain !== "*" && host.length > domain.length - 1 && host.endsWith(domain.slice(1)),
      ),
    ) ??
    longest(
      domains.filter(
        ({ domain }) =>
          domain.endsWith("*") &&
          domain !== "*" &&
          host.length > domain.length - 1 &&
          host.startsWith(domain.slice(0, -1)),
      ),
    ) ??
    every
  );
}

/** Fields of envoy.config.route.v3.RouteMatch that are evaluated here, besides the path specifiers. */
const KNOWN: readonly string[] = ["case_sensitive", "headers", "query_parameters", "dynamic_metadata"];

function matchRoute(match: unknown, facts: Facts, config: unknown): Match {
  const path = facts.path.replace(/[?#].*$/s, "");
  const open = (missing: Missing): Match => ({ matched: "undecided", conditions: [], unknown: missing });
  const unread = (what: Unsupported, name?: string): Match => open(notRead(what, name));
  if (at(config, "ignore_path_parameters_in_path_matching") === true && path.includes(";"))
    return unread("route-path-parameters");
  const fold = (value: string): string => (at(match, "case_sensitive") === false ? value.toLowerCase() : value);
  const [prefix, exact, separated, regex, template] = [
    at(match, "prefix"),
    at(match, "path"),
    at(match, "path_separated_prefix"),
    at(match, "safe_regex", "regex"),
    at(match, "path_match_policy", "typed_config", "path_template"),
  ];
  let kind = "prefix";
  let fits: boolean;
  if (typeof prefix === "string") fits = fold(path).startsWith(fold(prefix));
  else if (typeof exact === "string") [kind, fits] = ["path", fold(path) === fold(exact)];
  else if (typeof separated === "string")
    [kind, fits] = ["path_separated_prefix", `${fold(path)}/`.startsWith(`${fold(separated)}/`)];
  else {
    const source =
      typeof regex === "string" ? regex : typeof template === "string" ? templateRegex(template) : undefined;
    kind = typeof regex === "string" ? "safe_regex" : "path_match_policy";
    if (source === undefined) return unread("route-path-match");
    const compiled = compileRegex(source);
    if ("unknown" in compiled) return open(compiled.unknown);
    fits = compiled.matches(path);
  }
  if (!fits) return { matched: false, conditions: [] };
  const strange = Object.keys(record(match)).find((name) => name !== kind && !KNOWN.includes(name));
  return allOf([
    ...list(at(match, "headers")).map((header) => matchHeader(record(header), facts)),
    ...list(at(match, "dynamic_metadata")).map((one) => matchMetadata(one, facts)),
    ...(list(at(match, "query_parameters")).length > 0 ? [unread("route-query")] : []),
    ...(strange === undefined ? [] : [unread("route-match", strange)]),
  ]);
}
