/** Removes possible credentials from a ticket's request, because the report is attached to the ticket. */

import { redact } from "../safe/redact.ts";
import type { ObjectRef } from "../model/finding.ts";
import type { Difference } from "../model/ticket.ts";
import type { TicketRequest } from "./curl-line.ts";
import type { TicketObject } from "./ticket.ts";
import { refOf } from "./understood.ts";

/** Replaces the value of a header or of a query parameter. */
export const PLACEHOLDER = "placeholder";

/** Headers that never contain credentials; some of them change decisions of proxies and policies. */
const PLAIN =
  /^(?:host|accept(?:-[a-z]+)?|access-control-request-[a-z]+|cache-control|connection|content-(?:length|type|encoding)|expect|origin|pragma|range|te|trailer|transfer-encoding|upgrade|via|forwarded|x-forwarded-(?:for|host|proto|port|prefix|method|uri)|x-real-ip|x-request-id|x-(?:http-)?method(?:-override)?|x-(?:original|rewrite)-ur[il]|x-envoy-[a-z-]+|x-b3-[a-z]+|traceparent|if-[a-z-]+)$/;

/** The parts of a request that a ticket's objects compare. */
interface Compared {
  /** Lower-case names, with the object that compares the header. */
  readonly headers: ReadonlyMap<string, ObjectRef>;
  /** Headers in which a jwtRule looks for a token. */
  readonly jwt: ReadonlySet<string>;
  readonly jwtParameters: ReadonlySet<string>;
  /** Headers that a condition or a route compares. */
  readonly ruled: ReadonlySet<string>;
  readonly parameters: ReadonlyMap<string, ObjectRef>;
  /** The object that compares the raw path and query. */
  readonly query: ObjectRef | undefined;
}

/**
 * The request with placeholders for the values of its headers and query parameters, except those that a policy or route of the
 * ticket compares, and headers that never contain credentials.
 */
export function withPlaceholders(request: TicketRequest, objects: readonly TicketObject[]): TicketRequest {
  const compared = comparedBy(objects);
  const differences: Difference[] = [];
  const keep = (part: string, by: ObjectRef): void =>
    void differences.push({ kind: "value-kept", part, by, decides: "no" });
  const hide = (part: string): void => void differences.push({ kind: "placeholder", part, decides: "no" });
  // The replacement of a credential is another value: if a rule compares it, the difference decides.
  for (const { place, part, value } of request.tokens) {
    const name = "header" in place ? place.header.toLowerCase() : "cookie" in place ? "cookie" : undefined;
    if (name !== undefined && value.kind !== "jwt" && compared.ruled.has(name))
      differences.push({ kind: "placeholder", part, decides: "unknown" });
  }
  const agent = compared.headers.has("user-agent");
  const yaml = JSON.stringify(objects);
  const tokens = [...request.tokens];
  const headers = request.headers.flatMap(([name, value]): (readonly [string, string])[] => {
    const lower = name.toLowerCase();
    const by = compared.headers.get(lower);
    if (compared.jwt.has(lower) && !compared.ruled.has(lower)) {
      tokens.push({ place: { header: name }, part: `header ${name}`, value: { kind: "opaque" } });
      return [];
    }
    // A rule contains the value, or the header is not one for secrets.
    if (
      by !== undefined &&
      (yaml.includes(JSON.stringify(value)) || !/key|token|secret|auth|pass|session|cookie/.test(lower))
    )
      keep(`header ${name}`, by);
    else if (by !== undefined) {
      differences.push({ kind: "placeholder", part: `header ${name}`, decides: "unknown" });
      return [[name, PLACEHOLDER]];
    } else if (!PLAIN.test(lower) || redact(value) !== value) {
      hide(`header ${name}`);
      return [[name, PLACEHOLDER]];
    }
    return [[name, value]];
  });
  const [, path = "", query] = /^([^?]*)(?:\?(.*))?$/s.exec(request.path) ?? [];
  const safe = withoutSecrets(path);
  if (safe !== path) differences.push({ kind: "placeholder", part: "a secret in the path", decides: "unknown" });
  const told = (): readonly Difference[] => [
    ...request.differences.map((one) =>
      agent && one.kind === "part-left-out" && one.part === "header User-Agent"
        ? { ...one, decides: "unknown" as const }
        : one,
    ),
    ...differences,
  ];
  if (query === undefined) return { ...request, path: safe, headers, tokens, differences: told() };
  if (compared.query !== undefined) {
    keep("the query", compared.query);
    return { ...request, headers, tokens, differences: told() };
  }
  const parameters = query.split("&").flatMap((parameter) => {
    const [, name = "", value] = /^([^=]*)(?:=(.*))?$/s.exec(parameter) ?? [];
    // A word is the name of a parameter; anything else may be a secret.
    if (value === undefined && !/^[a-z_.-]{0,24}$/i.test(name)) {
      hide("a query parameter without a name");
      return PLACEHOLDER;
    }
    if (value === undefined || value === "") return parameter;
    if (compared.jwtParameters.has(decoded(name))) {
      tokens.push({ place: { query: name }, part: `query parameter ${name}`, value: { kind: "opaque" } });
      return [];
    }
    const by = compared.parameters.get(decoded(name));
    if (by !== undefined) {
      keep(`query parameter ${name}`, by);
      return parameter;
    }
    hide(`query parameter ${name}`);
    return `${name}=${PLACEHOLDER}`;
  });
  const rest = parameters.length === 0 ? "" : `?${parameters.join("&")}`;
  return { ...request, path: `${safe}${rest}`, headers, tokens, differences: told() };
}

/** A URI without user info, query and fragment. */
export function withoutCredentials(uri: string): { readonly uri: string; readonly cut: boolean } {
  const [, scheme = "", authority = "", path = ""] = /^([a-z][a-z0-9+.-]*:\/\/)?([^/?#]*)([^?#]*)/i.exec(uri) ?? [];
  const bare = `${scheme}${scheme === "" ? authority : authority.replace(/^.*@/, "")}${withoutSecrets(path)}`;
  return { uri: bare, cut: bare !== uri };
}

function withoutSecrets(text: string): string {
  return redact(text) === text
    ? text
    : text
        .split("/")
        .map((segment) => (redact(segment) === segment ? segment : PLACEHOLDER))
        .join("/");
}

function decoded(name: string): string {
  try {
    return decodeURIComponent(name);
  } catch {
    return name;
  }
}

interface Rule {
  readonly when?: readonly { readonly key?: unknown; readonly values?: unknown; readonly notValues?: unknown }[];
}
interface TokenRule {
  readonly fromHeaders?: readonly { readonly name?: unknown }[];
  readonly fromParams?: readonly unknown[];
}
interface Route {
  readonly match?: readonly Readonly<Record<string, object | undefined>>[];
}

function comparedBy(objects: readonly TicketObject[]): Compared {
  const headers = new Map<string, ObjectRef>();
  const jwt = new Set<string>();
  const jwtParameters = new Set<string>();
  const ruled = new Set<string>();
  const parameters = new Map<string, ObjectRef>();
  let query: ObjectRef | undefined;
  const rule = (name: string, by: ObjectRef): void => {
    headers.set(name, by);
    ruled.add(name);
  };
  for (const object of objects) {
    const { kind, spec = {} } = object;
    const what = refOf(object);
    for (const { when } of entries<Rule>(spec["rules"]))
      for (const { key, values, notValues } of entries<NonNullable<Rule["when"]>[number]>(when)) {
        const name = /^request\.headers\[(.*)\]$/.exec(String(key))?.[1]?.toLowerCase();
        // `*` only checks that the header is present.
        if (name === undefined || [values ?? [], notValues ?? []].flat().every((value) => value === "*")) continue;
        if (name === ":path") query = what;
        else {
          rule(name, what);
        }
      }
    for (const { fromHeaders, fromParams } of entries<TokenRule>(spec["jwtRules"])) {
      for (const { name } of entries<{ name?: unknown }>(fromHeaders)) {
        headers.set(String(name).toLowerCase(), what);
        jwt.add(String(name).toLowerCase());
      }
      for (const name of entries<unknown>(fromParams)) jwtParameters.add(String(name));
    }
    if (kind !== "VirtualService") continue;
    for (const match of entries<Route>(spec["http"]).flatMap(({ match }) => entries<Record<string, object>>(match))) {
      for (const name of Object.keys({ ...match["headers"], ...match["withoutHeaders"] }))
        rule(name.toLowerCase(), what);
      for (const name of Object.keys({ ...match["queryParams"] })) parameters.set(name, what);
    }
  }
  return { headers, jwt, jwtParameters, ruled, parameters, query };
}

/** The entries of a list; empty for any other value in a ticket. */
function entries<Entry>(value: unknown): readonly Entry[] {
  return Array.isArray(value)
    ? (value as unknown[]).filter((one): one is Entry => one !== null && one !== undefined)
    : [];
}
