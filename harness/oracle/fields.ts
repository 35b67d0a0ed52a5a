/** Compares each field of a rule with the request: Envoy's StringMatcher, HeaderMatcher, ValueMatcher and CidrRange. */

import { fixUnknown } from "./envoy.ts";
import { BlockList, isIP, isIPv4 } from "node:net";
import { redact } from "../safe/redact.ts";
import { alternatives, negated, not } from "./combine.ts";
import { notRead } from "./undecided.ts";
import { compileRegex, templateRegex } from "./regex.ts";
import type { Field, Matcher, Missing, Unsupported, Value } from "../model/explanation.ts";
import { at, list, record, text, type Tree } from "./tree.ts";
import type { Facts, Match, Unknown } from "./types.ts";

function undecided(unknown: Missing): Match {
  return { matched: "undecided", conditions: [], unknown };
}

export function unsupported(what: Unsupported, name?: string, field?: Field): Match {
  return undecided(notRead(what, name, field));
}

export function leaf(field: Field, requires: Matcher, got: string | undefined, test: (got: string) => boolean): Match {
  if (got === undefined) return undecided({ kind: "not-given", field, requires });
  // Without TLS there is no server name.
  const value: Value = field.kind === "sni" && got === "" ? { kind: "absent" } : textual(got);
  return decided(field, requires, value, test(got));
}

function decided(field: Field, requires: Matcher, got: Value, agrees: boolean): Match {
  return { matched: agrees, conditions: [{ field, requires, got, agrees }] };
}

function textual(got: string): Value {
  return got === "" ? { kind: "empty" } : { kind: "text", text: redact(got) };
}

export function compare(field: Field, matcher: unknown, got: string | undefined): Match {
  const test = stringTest(matcher, field);
  return "unknown" in test ? undecided(test.unknown) : leaf(field, test.requires, got, test.accepts);
}

interface StringTest {
  readonly requires: Matcher;
  readonly accepts: (got: string) => boolean;
}

/** envoy.type.matcher.v3.StringMatcher; a regular expression must match the whole text (RE2::FullMatch). */
function stringTest(matcher: unknown, field: Field): StringTest | Unknown {
  const ignoreCase = at(matcher, "ignore_case") === true;
  const fold = (value: string): string => (ignoreCase ? value.toLowerCase() : value);
  const kinds = {
    exact: (got: string, wanted: string) => got === wanted,
    prefix: (got: string, wanted: string) => got.startsWith(wanted),
    suffix: (got: string, wanted: string) => got.endsWith(wanted),
    contains: (got: string, wanted: string) => got.includes(wanted),
  };
  for (const kind of ["exact", "prefix", "suffix", "contains"] as const) {
    const value = at(matcher, kind);
    if (typeof value !== "string") continue;
    return { requires: { kind, value }, accepts: (got) => kinds[kind](fold(got), fold(value)) };
  }
  const regex = at(matcher, "safe_regex", "regex");
  if (typeof regex !== "string") {
    const kind = Object.keys(record(matcher)).filter((name) => name !== "ignore_case");
    return { unknown: notRead("string-matcher", kind.join(" and ") || undefined, field) };
  }
  const compiled = compileRegex(regex);
  if ("unknown" in compiled) return compiled;
  // istiod translates a lone `*` to this.
  const requires: Matcher = regex === ".+" ? { kind: "any-value" } : { kind: "regex", value: regex };
  return { requires, accepts: compiled.matches };
}

/** Headers that proxies on the path set: a header that the description does not give may still be present. */
const SET_BY_PROXIES = /^(x-forwarded-|x-envoy-|x-b3-|x-request-id$|traceparent$|tracestate$)/;

/** Headers that the proxy removes or overwrites, so that the client's value does not count. */
const REMADE =
  /^(te|connection|keep-alive|proxy-connection|transfer-encoding|upgrade|expect|x-forwarded-client-cert|x-envoy-.*)$/;

/** `host` is `:authority`, also to HTTP/1 (HeaderMapImpl). */
export function matchHeader(matcher: Tree, facts: Facts): Match {
  const name = text(matcher["name"]).toLowerCase();
  const field = fieldOf(name);
  const got =
    name === ":method"
      ? facts.method
      : name === ":authority" || name === "host"
        ? facts.authority
        : name === ":path"
          ? facts.path
          : facts.headers.get(name)?.join(",");
  if (REMADE.test(name)) return undecided({ kind: "rewritten", field });
  if (facts.edge && SET_BY_PROXIES.test(name)) return undecided({ kind: "set-by-proxy", field });
  if (got === undefined && (field.kind === "host" || SET_BY_PROXIES.test(name)))
    return undecided({ kind: "not-given", field });
  const invert = matcher["invert_match"] === true;
  const present = matcher["present_match"];
  if (typeof present === "boolean") {
    const value: Value = got === undefined ? { kind: "absent" } : textual(got);
    const match = decided(field, { kind: present ? "present" : "absent" }, value, (got !== undefined) === present);
    return invert ? not(match) : match;
  }
  const old = ["exact", "prefix", "suffix", "contains"].find((kind) => matcher[`${kind}_match`] !== undefined);
  const string = matcher["string_match"] ?? (old === undefined ? undefined : { [old]: matcher[`${old}_match`] });
  if (string === undefined) return unsupported("header-matcher", undefined, field);
  const test = stringTest(string, field);
  if ("unknown" in test) return undecided(test.unknown);
  // A missing header matches nothing, not even an inverted matcher.
  if (got === undefined && matcher["treat_missing_header_as_empty"] !== true) {
    const requires = invert ? negated(test.requires) : test.requires;
    return decided(field, requires, { kind: "absent" }, false);
  }
  const values = field.kind === "host" ? [] : (facts.headers.get(name) ?? []);
  const joined = test.accepts(got ?? "");
  const each = values.length > 1 ? values.some(test.accepts) : joined;
  const has = each === joined || facts.envoy.has("CVE-2026-26308");
  if (has === undefined) return undecided(fixUnknown("CVE-2026-26308", facts.envoy));
  const value: Value = got === undefined ? { kind: "absent" } : textual(got);
  const match = decided(field, test.requires, value, has ? each : joined);
  return invert ? not(match) : match;
}

function fieldOf(header: string): Field {
  const kind = ({ ":method": "method", ":authority": "host", host: "host", ":path": "path" } as const)[header];
  return kind === undefined ? { kind: "header", name: header } : { kind };
}

export function matchAddress(
  kind: "source-ip" | "remote-ip" | "destination-ip",
  range: unknown,
  got: string | undefined,
): Match {
  const [prefix, length] = [text(at(range, "address_prefix")), Number(at(range, "prefix_len") ?? 0)];
  const value = `${prefix}/${length}`;
  const block = new BlockList();
  try {
    block.addSubnet(prefix, length, isIPv4(prefix) ? "ipv4" : "ipv6");
  } catch {
    return unsupported("address-range", value);
  }
  // Node's BlockList takes an IPv4 address for an IPv6 one (::ffff:…), Envoy does not.
  const family = (ip: string): "ipv4" | "ipv6" => (isIPv4(ip) ? "ipv4" : "ipv6");
  const accepts = (ip: string): boolean =>
    isIP(ip) !== 0 && family(ip) === family(prefix) && block.check(ip, family(ip));
  return leaf({ kind }, { kind: "address-range", value }, got, accepts);
}

export function matchRemoteAddress(range: unknown, { remoteIp }: Facts): Match {
  if (typeof remoteIp === "object") return undecided(remoteIp.unknown);
  return matchAddress("remote-ip", range, remoteIp);
}

/** Compares the URI SANs of the client's certificate, then its subject, which istiod leaves empty. */
export function matchPeer(matcher: unknown, facts: Facts): Match {
  const field: Field = { kind: "principal" };
  const test: StringTest | Unknown =
    matcher === undefined ? { requires: { kind: "any-identity" }, accepts: () => true } : stringTest(matcher, field);
  if ("unknown" in test) return undecided(test.unknown);
  const { requires, accepts } = test;
  if (facts.peer === undefined && facts.tunnel) return undecided({ kind: "not-given", field, requires });
  if (facts.peer === undefined) return decided(field, requires, { kind: "no-mtls" }, false);
  return leaf(field, requires, facts.peer, (peer) => accepts(peer) || accepts(""));
}

/** Envoy's uri_template: `*` is one segment, `**` any number. */
export function matchTemplate(node: unknown, path: string): Match {
  const template = at(node, "typed_config", "path_template");
  const regex = typeof template === "string" ? templateRegex(template) : undefined;
  if (typeof template !== "string" || regex === undefined) return unsupported("path-template");
  const compiled = compileRegex(regex);
  if ("unknown" in compiled) return undecided(compiled.unknown);
  return leaf({ kind: "path" }, { kind: "template", value: template }, path, compiled.matches);
}

/** Compares a claim of the verified token; other metadata is not known. */
export function matchMetadata(matcher: unknown, facts: Facts): Match {
  const filter = text(at(matcher, "filter"));
  const [root, ...names] = list(at(matcher, "path")).map((segment) => text(at(segment, "key")));
  if (filter !== "envoy.filters.http.jwt_authn" || root !== "payload") return unsupported("metadata", filter);
  const value = facts.payload === undefined ? undefined : at(facts.payload, ...names);
  const field: Field = { kind: "claim", name: names.join(".") };
  const test = valueTest(at(matcher, "value"), field);
  if ("unknown" in test) return undecided(test.unknown);
  const got: Value =
    facts.payload === undefined
      ? { kind: "no-valid-token" }
      : value === undefined
        ? { kind: "no-claim" }
        : { kind: "json", value };
  const match = decided(field, test.requires, got, test.accepts(value));
  return at(matcher, "invert") === true ? not(match) : match;
}

interface ValueTest {
  readonly requires: Matcher;
  readonly accepts: (value: unknown) => boolean;
}

/** envoy.type.matcher.v3.ValueMatcher: a text matcher matches only text, only `list_match` matches a list. */
function valueTest(matcher: unknown, field: Field): ValueTest | Unknown {
  const [kind = ""] = Object.keys(record(matcher));
  const value = at(matcher, kind);
  switch (kind) {
    case "string_match": {
      const test = stringTest(value, field);
      if ("unknown" in test) return test;
      return { requires: test.requires, accepts: (got) => typeof got === "string" && test.accepts(got) };
    }
    case "list_match": {
      const test = valueTest(at(value, "one_of"), field);
      if ("unknown" in test) return test;
      return {
        requires: { kind: "list-with", matcher: test.requires },
        accepts: (got) => list(got).some(test.accepts),
      };
    }
    case "or_match": {
      const all = list(at(value, "value_matchers")).map((one) => valueTest(one, field));
      const unknown = all.find((test) => "unknown" in test);
      if (unknown !== undefined) return unknown;
      const tests = all.filter((test): test is ValueTest => !("unknown" in test));
      // istiod writes one matcher for a list with the value and one for the value alone; the report shows it once.
      const matchers = alternatives(
        tests.map(({ requires }) => (requires.kind === "list-with" ? requires.matcher : requires)),
      );
      const requires: Matcher = matchers.length === 1 ? matchers[0]! : { kind: "one-of", matchers };
      return { requires, accepts: (got) => tests.some((test) => test.accepts(got)) };
    }
    case "present_match":
      return {
        requires: { kind: value === true ? "present" : "absent" },
        accepts: (got) => (got !== undefined) === (value === true),
      };
    case "bool_match":
      return { requires: { kind: "boolean", value: value === true }, accepts: (got) => got === value };
    default:
      return { unknown: notRead("value-matcher", kind || undefined, field) };
  }
}

export function withoutQuery(path: string): string {
  return path.replace(/[?#].*$/s, "");
}
