/** A ticket's request without what may be a credential: what is written of a ticket is attached to it. */

import { redact } from "../safe/redact.ts";
import type { TicketRequest } from "./curl-line.ts";
import type { TicketObject } from "./translate.ts";

/** Stands for a value of a header or of a query parameter. */
export const PLACEHOLDER = "placeholder";

/** Headers that are no credentials by what they are; proxies and policies decide by some of them. */
const PLAIN =
  /^(?:host|accept(?:-[a-z]+)?|access-control-request-[a-z]+|cache-control|connection|content-(?:length|type|encoding)|expect|origin|pragma|range|te|trailer|transfer-encoding|upgrade|via|forwarded|x-forwarded-(?:for|host|proto|port|prefix|method|uri)|x-real-ip|x-request-id|x-(?:http-)?method(?:-override)?|x-(?:original|rewrite)-ur[il]|x-envoy-[a-z-]+|x-b3-[a-z]+|traceparent|if-[a-z-]+)$/;

/** What a ticket's objects compare with something. */
interface Compared {
  /** In small letters, with what compares it. */
  readonly headers: ReadonlyMap<string, string>;
  readonly parameters: ReadonlyMap<string, string>;
  /** What looks at path and query as they are sent. */
  readonly query: string | undefined;
}

/**
 * The request with placeholders for the values of its headers and query parameters, but for those that a policy or route of the
 * ticket compares with something, and headers that are no credentials by what they are.
 * @returns the request, whose `changed` says what was done, a sentence each
 */
export function withPlaceholders(request: TicketRequest, objects: readonly TicketObject[]): TicketRequest {
  const compared = comparedBy(objects);
  const changed: string[] = [];
  const headers = request.headers.map(([name, value]): readonly [string, string] => {
    const lower = name.toLowerCase();
    const by = compared.headers.get(lower);
    if (by !== undefined) changed.push(`header ${name} keeps its value, which ${by} looks at`);
    else if (!PLAIN.test(lower) || redact(value) !== value) {
      changed.push(`the value of header ${name} became a placeholder: no policy of the ticket looks at it`);
      return [name, PLACEHOLDER];
    }
    return [name, value];
  });
  const [, path = "", query] = /^([^?]*)(?:\?(.*))?$/s.exec(request.path) ?? [];
  const safe = withoutSecrets(path);
  if (safe !== path) changed.push("a secret in the path became a placeholder");
  if (query === undefined) return { ...request, path: safe, headers, changed };
  if (compared.query !== undefined) {
    changed.push(`the query keeps its values: ${compared.query} looks at the path with it`);
    return { ...request, headers, changed };
  }
  const hidden: string[] = [];
  const parameters = query.split("&").map((parameter) => {
    const [, name = "", value] = /^([^=]*)(?:=(.*))?$/s.exec(parameter) ?? [];
    if (value === undefined && withoutSecrets(name) !== name) return PLACEHOLDER;
    // `TOKEN` is in place of a token already.
    if (value === undefined || value === "" || value === "TOKEN") return parameter;
    const by = compared.parameters.get(decoded(name));
    if (by !== undefined) {
      changed.push(`query parameter ${name} keeps its value, which ${by} looks at`);
      return parameter;
    }
    hidden.push(name);
    return `${name}=${PLACEHOLDER}`;
  });
  if (hidden.length > 0)
    changed.push(
      `the values of the query parameters ${hidden.join(", ")} became placeholders: no policy of the ticket looks at them`,
    );
  return { ...request, path: `${safe}?${parameters.join("&")}`, headers, changed };
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
  const headers = new Map<string, string>();
  const parameters = new Map<string, string>();
  let query: string | undefined;
  for (const { kind, metadata, spec = {} } of objects) {
    const what = `${kind} ${metadata.name}`;
    for (const { when } of entries<Rule>(spec["rules"]))
      for (const { key, values, notValues } of entries<NonNullable<Rule["when"]>[number]>(when)) {
        const name = /^request\.headers\[(.*)\]$/.exec(String(key))?.[1]?.toLowerCase();
        // `*` asks whether the header is there.
        if (name === undefined || [values ?? [], notValues ?? []].flat().every((value) => value === "*")) continue;
        if (name === ":path") query = what;
        else headers.set(name, what);
      }
    for (const { fromHeaders, fromParams } of entries<TokenRule>(spec["jwtRules"])) {
      for (const { name } of entries<{ name?: unknown }>(fromHeaders)) headers.set(String(name).toLowerCase(), what);
      for (const name of entries<unknown>(fromParams)) parameters.set(String(name), what);
    }
    if (kind !== "VirtualService") continue;
    for (const match of entries<Route>(spec["http"]).flatMap(({ match }) => entries<Record<string, object>>(match))) {
      for (const name of Object.keys({ ...match["headers"], ...match["withoutHeaders"] }))
        headers.set(name.toLowerCase(), what);
      for (const name of Object.keys({ ...match["queryParams"] })) parameters.set(name, what);
    }
  }
  return { headers, parameters, query };
}

/** The entries of what should be a list; a ticket may have anything there. */
function entries<Entry>(value: unknown): readonly Entry[] {
  return Array.isArray(value)
    ? (value as unknown[]).filter((one): one is Entry => one !== null && one !== undefined)
    : [];
}
