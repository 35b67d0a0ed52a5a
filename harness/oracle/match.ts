/** Envoy's RBAC matchers, as far as istiod makes them. What is not known is `undecided`, never a guess. */

import { isIPv4 } from "node:net";
import { BlockList } from "node:net";
import { redact } from "../safe/redact.ts";
import { compileRegex, templateRegex } from "./regex.ts";
import type { FieldFact } from "./types.ts";
import { at, list, record, text, type Tree } from "./tree.ts";

/** What the rules look at; undefined is "not known". */
export interface Facts {
  readonly method: string;
  /** Normalized, with query. */
  readonly path: string;
  readonly authority: string | undefined;
  /** Lower-case names. */
  readonly headers: ReadonlyMap<string, readonly string[]>;
  /** undefined: plain text. */
  readonly peer: string | undefined;
  readonly sourceIp: string | undefined;
  /** The client's, by X-Forwarded-For where the proxy trusts it, or why it is not known. */
  readonly remoteIp: string | undefined | { readonly unknown: string };
  /** The proxy writes X-Forwarded-For, X-Forwarded-Proto and X-Request-Id itself (`use_remote_address`). */
  readonly edge: boolean;
  readonly destinationIp: string | undefined;
  readonly serverName: string | undefined;
  readonly port: number | undefined;
  /** The verified token's claims, as jwt_authn leaves them in its metadata; undefined without one. */
  readonly payload: Tree | undefined;
}

/** Whether it matches, and the fields that made it so. */
export interface Match {
  readonly matched: boolean | "undecided";
  readonly fields: readonly FieldFact[];
  /** Why it is undecided. */
  readonly unknown?: string;
}

/** A rule matches if a permission and a principal do (envoy.config.rbac.v3.Policy). */
export function matchPolicy(policy: unknown, facts: Facts): Match {
  if (at(policy, "condition") ?? at(policy, "checked_condition")) return undecided("a CEL condition is not known here");
  return allOf([
    anyOf(list(at(policy, "permissions")).map((node) => matchNode(node, facts))),
    anyOf(list(at(policy, "principals")).map((node) => matchNode(node, facts))),
  ]);
}

function matchNode(node: unknown, facts: Facts): Match {
  const [kind = "", ...more] = Object.keys(record(node));
  if (more.length > 0) return undecided(`a matcher with ${[kind, ...more].join(" and ")} is not known here`);
  const value = at(node, kind);
  const inner = (name: string): Match[] => list(at(value, name)).map((child) => matchNode(child, facts));
  switch (kind) {
    case "any":
      return { matched: value === true, fields: [] };
    case "and_rules":
      return allOf(inner("rules"));
    case "and_ids":
      return allOf(inner("ids"));
    case "or_rules":
      return anyOf(inner("rules"));
    case "or_ids":
      return anyOf(inner("ids"));
    case "not_rule":
    case "not_id":
      return not(matchNode(value, facts));
    case "url_path":
      return compare("path", at(value, "path"), withoutQuery(facts.path));
    case "uri_template":
      return matchTemplate(value, withoutQuery(facts.path));
    case "header":
      return matchHeader(record(value), facts);
    case "destination_port":
      return leaf("port", String(value), facts.port?.toString(), (port) => port === String(value));
    case "destination_ip":
      return matchAddress("destination.ip", value, facts.destinationIp);
    case "direct_remote_ip":
    case "source_ip":
      return matchAddress("source.ip", value, facts.sourceIp);
    case "remote_ip":
      return matchRemoteAddress(value, facts);
    case "requested_server_name":
      // Without TLS there is none, which Envoy compares as empty text.
      return compare("connection.sni", value, facts.serverName ?? (facts.peer === undefined ? "" : undefined));
    case "authenticated":
      return matchPeer(at(value, "principal_name"), facts);
    case "filter_state":
      if (at(value, "key") !== "io.istio.peer_principal")
        return undecided(`the filter state ${text(at(value, "key"))} is not known here`);
      return matchPeer(at(value, "string_match"), facts);
    case "metadata":
      return matchMetadata(value, facts);
    default:
      return undecided(`the matcher ${kind} is not known here`);
  }
}

export function allOf(parts: readonly Match[]): Match {
  const against = parts.find((part) => part.matched === false);
  if (against) return against;
  const open = parts.find((part) => part.matched === "undecided");
  return open ?? { matched: true, fields: parts.flatMap((part) => part.fields) };
}

function anyOf(parts: readonly Match[]): Match {
  const good = parts.find((part) => part.matched === true);
  if (good) return good;
  const open = parts.find((part) => part.matched === "undecided");
  return open ?? { matched: false, fields: parts.flatMap((part) => part.fields) };
}

function not(part: Match): Match {
  if (part.matched === "undecided") return part;
  const fields = part.fields.map((fact) => ({ ...fact, wanted: `not ${fact.wanted}`, agrees: !fact.agrees }));
  return { matched: !part.matched, fields };
}

function undecided(unknown: string): Match {
  return { matched: "undecided", fields: [], unknown };
}

function leaf(field: string, wanted: string, got: string | undefined, test: (got: string) => boolean): Match {
  if (got === undefined) return undecided(`${field} is not given, and a rule wants ${wanted}`);
  const agrees = test(got);
  return { matched: agrees, fields: [{ field, wanted, got: got === "" ? "nothing" : redact(got), agrees }] };
}

function compare(field: string, matcher: unknown, got: string | undefined): Match {
  const test = stringTest(matcher);
  if ("unknown" in test) return undecided(`${test.unknown} (${field})`);
  return leaf(field, test.wanted, got, test.accepts);
}

interface Unknown {
  readonly unknown: string;
}

interface StringTest {
  readonly wanted: string;
  readonly accepts: (got: string) => boolean;
}

/** envoy.type.matcher.v3.StringMatcher; a regular expression must match the whole text (RE2::FullMatch). */
function stringTest(matcher: unknown): StringTest | Unknown {
  const ignoreCase = at(matcher, "ignore_case") === true;
  const fold = (value: string): string => (ignoreCase ? value.toLowerCase() : value);
  const kinds: Readonly<Record<string, (got: string, wanted: string) => boolean>> = {
    exact: (got, wanted) => got === wanted,
    prefix: (got, wanted) => got.startsWith(wanted),
    suffix: (got, wanted) => got.endsWith(wanted),
    contains: (got, wanted) => got.includes(wanted),
  };
  for (const [kind, accepts] of Object.entries(kinds)) {
    const wanted = at(matcher, kind);
    if (typeof wanted !== "string") continue;
    return { wanted: `${kind} "${wanted}"`, accepts: (got) => accepts(fold(got), fold(wanted)) };
  }
  const regex = at(matcher, "safe_regex", "regex");
  if (typeof regex !== "string") {
    const kind = Object.keys(record(matcher)).filter((name) => name !== "ignore_case");
    return { unknown: `the string matcher ${kind.join(" and ") || "without a kind"} is not known here` };
  }
  const compiled = compileRegex(regex);
  if ("unknown" in compiled) return compiled;
  return { wanted: regex === ".+" ? "any value" : `regex "${regex}"`, accepts: compiled.matches };
}

/** Headers that proxies on the way set by themselves: that one is not given says nothing. */
const SET_BY_PROXIES = /^(x-forwarded-|x-envoy-|x-b3-|x-request-id$|traceparent$|tracestate$)/;

/** Headers that the proxy takes away or writes anew, whatever the client sends. */
const REMADE =
  /^(te|connection|keep-alive|proxy-connection|transfer-encoding|upgrade|expect|x-forwarded-client-cert|x-envoy-.*)$/;

/** Of a repeated header each value is compared (since the fix of CVE-2026-26308; before it, all joined by a comma). */
export function matchHeader(matcher: Tree, facts: Facts): Match {
  const name = text(matcher["name"]).toLowerCase();
  const field = { ":method": "method", ":authority": "host", ":path": "path" }[name] ?? `header ${name}`;
  const got =
    name === ":method"
      ? facts.method
      : name === ":authority"
        ? facts.authority
        : name === ":path"
          ? facts.path
          : facts.headers.get(name)?.join(",");
  if (REMADE.test(name)) return undecided(`what the proxy makes of the ${field} is not known here`);
  if (facts.edge && SET_BY_PROXIES.test(name)) return undecided(`the proxy writes the ${field} itself`);
  if (got === undefined && (name === ":authority" || SET_BY_PROXIES.test(name)))
    return undecided(`${field} is not given, and a rule looks at it`);
  const invert = matcher["invert_match"] === true;
  const present = matcher["present_match"];
  if (typeof present === "boolean") {
    const match = leaf(
      field,
      present ? "to be there" : "to be missing",
      got ?? "",
      () => (got !== undefined) === present,
    );
    return invert ? not(match) : match;
  }
  const old = ["exact", "prefix", "suffix", "contains"].find((kind) => matcher[`${kind}_match`] !== undefined);
  const string = matcher["string_match"] ?? (old === undefined ? undefined : { [old]: matcher[`${old}_match`] });
  if (string === undefined) return undecided(`a matcher of ${field} is not known here`);
  const test = stringTest(string);
  if ("unknown" in test) return undecided(`${test.unknown} (${field})`);
  if (got === undefined && matcher["treat_missing_header_as_empty"] !== true) {
    // A header that is not there matches no value, and not even an inverted one.
    return { matched: false, fields: [{ field, wanted: test.wanted, got: "nothing", agrees: false }] };
  }
  const values = facts.headers.get(name) ?? [];
  const accepts = (whole: string): boolean => (values.length > 1 ? values.some(test.accepts) : test.accepts(whole));
  const match = leaf(field, test.wanted, got ?? "", accepts);
  return invert ? not(match) : match;
}

function matchAddress(field: string, range: unknown, got: string | undefined): Match {
  const [prefix, length] = [text(at(range, "address_prefix")), Number(at(range, "prefix_len") ?? 0)];
  const block = new BlockList();
  try {
    block.addSubnet(prefix, length, isIPv4(prefix) ? "ipv4" : "ipv6");
  } catch {
    return undecided(`the address range ${prefix}/${length} is not known here`);
  }
  return leaf(field, `${prefix}/${length}`, got, (ip) => block.check(ip, isIPv4(ip) ? "ipv4" : "ipv6"));
}

function matchRemoteAddress(range: unknown, { remoteIp }: Facts): Match {
  if (typeof remoteIp === "object") return undecided(remoteIp.unknown);
  return matchAddress("remote.ip", range, remoteIp);
}

/** The URI names of the client's certificate, then its subject, which istiod leaves empty. */
function matchPeer(matcher: unknown, facts: Facts): Match {
  const test = matcher === undefined ? { wanted: "any identity", accepts: () => true } : stringTest(matcher);
  if ("unknown" in test) return undecided(`${test.unknown} (peer)`);
  const { wanted, accepts } = test;
  if (facts.peer === undefined)
    return { matched: false, fields: [{ field: "peer", wanted, got: "no mTLS", agrees: false }] };
  return leaf("peer", wanted, facts.peer, (peer) => accepts(peer) || accepts(""));
}

/** Envoy's uri_template: `*` is one segment, `**` any number. */
function matchTemplate(node: unknown, path: string): Match {
  const template = at(node, "typed_config", "path_template");
  const regex = typeof template === "string" ? templateRegex(template) : undefined;
  if (typeof template !== "string" || regex === undefined) return undecided("a path template is not known here");
  const compiled = compileRegex(regex);
  if ("unknown" in compiled) return undecided(compiled.unknown);
  return leaf("path", `template "${template}"`, path, compiled.matches);
}

/** A claim of the verified token; anything else in metadata is not known. */
export function matchMetadata(matcher: unknown, facts: Facts): Match {
  const filter = text(at(matcher, "filter"));
  const [root, ...names] = list(at(matcher, "path")).map((segment) => text(at(segment, "key")));
  if (filter !== "envoy.filters.http.jwt_authn" || root !== "payload")
    return undecided(`the metadata of ${filter} is not known here`);
  const value = facts.payload === undefined ? undefined : at(facts.payload, ...names);
  const test = valueTest(at(matcher, "value"));
  if ("unknown" in test) return undecided(`${test.unknown} (claim ${names.join(".")})`);
  const got =
    facts.payload === undefined ? "no valid token" : value === undefined ? "no such claim" : JSON.stringify(value);
  const agrees = test.accepts(value);
  const fields = [{ field: `claim ${names.join(".")}`, wanted: test.wanted, got, agrees }];
  const match = { matched: agrees, fields };
  return at(matcher, "invert") === true ? not(match) : match;
}

interface ValueTest {
  readonly wanted: string;
  readonly accepts: (value: unknown) => boolean;
}

/** envoy.type.matcher.v3.ValueMatcher: text matches text alone, a list is matched by `list_match` alone. */
function valueTest(matcher: unknown): ValueTest | Unknown {
  const [kind = ""] = Object.keys(record(matcher));
  const value = at(matcher, kind);
  switch (kind) {
    case "string_match": {
      const test = stringTest(value);
      if ("unknown" in test) return test;
      return { wanted: test.wanted, accepts: (got) => typeof got === "string" && test.accepts(got) };
    }
    case "list_match": {
      const test = valueTest(at(value, "one_of"));
      if ("unknown" in test) return test;
      return { wanted: `a list with ${test.wanted}`, accepts: (got) => list(got).some(test.accepts) };
    }
    case "or_match": {
      const all = list(at(value, "value_matchers")).map(valueTest);
      const unknown = all.find((test) => "unknown" in test);
      if (unknown !== undefined) return unknown;
      const tests = all.filter((test): test is ValueTest => !("unknown" in test));
      // istiod asks for a list with the value and for the value alone; a person reads it once.
      const wanted = [...new Set(tests.map((test) => test.wanted.replace(/^a list with /, "")))].join(" or ");
      return { wanted, accepts: (got) => tests.some((test) => test.accepts(got)) };
    }
    case "present_match":
      return { wanted: "to be there", accepts: (got) => (got !== undefined) === (value === true) };
    case "bool_match":
      return { wanted: String(value), accepts: (got) => got === value };
    default:
      return { unknown: `the value matcher ${kind} is not known here` };
  }
}

function withoutQuery(path: string): string {
  return path.replace(/[?#].*$/s, "");
}
