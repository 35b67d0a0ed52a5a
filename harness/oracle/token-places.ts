/** Finds the tokens of a request like Envoy's jwt_authn filter (extractor.cc). */

import { at, list, text, texts } from "./tree.ts";

/** Headers with lower-case names; the filter removes accepted tokens. */
export type Headers = Map<string, readonly string[]>;

/** A pseudo token with a good signature, in place of the claims of a request. */
export const ASSUMED = "assumed";

export interface Location {
  readonly token: string;
  /** Issuers that look for tokens in this place; `""` means all. */
  readonly issuers: readonly string[];
  /** The place from which an accepted token is removed; a cookie stays. */
  readonly header?: string;
  readonly parameter?: string;
}

/** extractor.cc: headers, then parameters, then cookies; the places of all providers, sorted. */
export function extract(
  providers: readonly unknown[],
  { path, headers, assumed }: { readonly path: string; readonly headers: Headers; readonly assumed: boolean },
): Location[] {
  const places = providers.flatMap((provider) =>
    placesOf(provider).map((place) => ({ ...place, issuer: text(at(provider, "issuer")) })),
  );
  const ordered = (["header", "parameter", "cookie"] as const).flatMap((kind) =>
    [
      ...Map.groupBy(
        places.filter((place) => place.kind === kind),
        (place) => place.name + place.prefix,
      ),
    ].sort(([a], [b]) => (a < b ? -1 : 1)),
  );
  const query = parametersOf(path);
  const cookies = cookiesOf(headers.get("cookie") ?? []);
  return ordered.flatMap(([, same]): Location[] => {
    const { kind, name, prefix } = same[0]!;
    const issuers = same.map((place) => place.issuer);
    if (kind === "header") {
      if (assumed && name === "authorization") return [{ token: ASSUMED, issuers }];
      return (headers.get(name) ?? []).flatMap((value) => {
        const token = behind(value, prefix);
        return token === undefined ? [] : [{ token, issuers, header: name }];
      });
    }
    const token = kind === "parameter" ? query.get(name)?.[0] : cookies.get(name);
    if (token === undefined) return [];
    return [{ token, issuers, ...(kind === "parameter" ? { parameter: name } : {}) }];
  });
}

export interface Place {
  readonly kind: "header" | "parameter" | "cookie";
  readonly name: string;
  readonly prefix: string;
}

/** The places where a provider looks for tokens. */
export function placesOf(provider: unknown): Place[] {
  const headers = list(at(provider, "from_headers")).map((header): Place => ({
    kind: "header",
    name: text(at(header, "name")).toLowerCase(),
    prefix: text(at(header, "value_prefix")),
  }));
  const parameters = texts(at(provider, "from_params")).map((name): Place => ({ kind: "parameter", name, prefix: "" }));
  const cookies = texts(at(provider, "from_cookies")).map((name): Place => ({ kind: "cookie", name, prefix: "" }));
  const all = [...headers, ...parameters, ...cookies];
  if (all.length > 0) return all;
  return [
    { kind: "header", name: "authorization", prefix: "Bearer " },
    { kind: "parameter", name: "access_token", prefix: "" },
  ];
}

/** The prefix may be anywhere; the token starts at the first character after it that a token may contain. */
function behind(value: string, prefix: string): string | undefined {
  if (prefix === "") return value;
  const start = value.indexOf(prefix);
  if (start < 0) return undefined;
  const rest = value.slice(start + prefix.length);
  const first = rest.search(/[A-Za-z0-9\-_.]/);
  return first < 0 ? value : rest.slice(first);
}

/** Utility::QueryParamsMulti: names and values are unescaped, a plus stays; the first value of a name counts. */
function parametersOf(path: string): Map<string, string[]> {
  const parameters = new Map<string, string[]>();
  const [, query = ""] = /\?(.*)$/s.exec(path) ?? [];
  for (const part of query === "" ? [] : query.replace(/&$/, "").split("&")) {
    const [, name = "", value = ""] = /^([^=]*)=?(.*)$/s.exec(part) ?? [];
    const key = unescape(name);
    parameters.set(key, [...(parameters.get(key) ?? []), unescape(value)]);
  }
  return parameters;
}

function unescape(value: string): string {
  return value.replaceAll(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
}

/**
 * The path without a parameter; as it is where it has none of this name. Envoy writes the others anew: sorted by name, each with an equals sign, and unescaped, so that `x=%26y%3D1`
 * becomes `x=&y=1` (QueryParamsMulti::toString; envoyproxy/envoy#34418, since Envoy 1.31).
 */
export function withoutParameter(path: string, name: string): string {
  const parameters = parametersOf(path);
  if (!parameters.delete(name)) return path;
  const kept = [...parameters].sort(([a], [b]) => (a < b ? -1 : 1));
  const query = kept.flatMap(([key, values]) => values.map((value) => `${key}=${value}`)).join("&");
  return `${path.replace(/\?.*$/s, "")}${kept.length === 0 ? "" : `?${query}`}`;
}

function cookiesOf(headers: readonly string[]): Map<string, string> {
  const pairs = headers.flatMap((header) => header.split(";")).map((pair) => pair.trim());
  const cookies = new Map<string, string>();
  for (const pair of pairs) {
    const [, name, value = ""] = /^([^=]+)=(.*)$/.exec(pair) ?? [];
    if (name !== undefined && !cookies.has(name)) cookies.set(name, value.replace(/^"(.*)"$/, "$1"));
  }
  return cookies;
}
