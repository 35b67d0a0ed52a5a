/** Regular expressions of a config dump: RE2's syntax, in linear time. V8's engine can take hours for patterns such as `(a+)+`. */

import { RE2JS } from "re2js";
import type { Missing } from "../model/explanation.ts";

export interface Regex {
  /**
   * Whether the whole text matches (RE2::FullMatch, as in Envoy's RegexMatcher). A byte that is not part of UTF-8, in memory a lone
   * surrogate, matches nothing: RE2 compiles patterns to sequences of UTF-8 (re2/re2.h, "UTF-8 and Latin-1").
   */
  readonly matches: (text: string) => boolean;
}

/** Compiles a pattern, or returns why it cannot: patterns that only RE2 and not RE2JS supports are not guessed. */
export function compileRegex(source: string): Regex | { readonly unknown: Missing } {
  try {
    const compiled = RE2JS.compile(source);
    return { matches: (text) => text.isWellFormed() && compiled.testExact(text) };
  } catch (error) {
    const said = error instanceof Error ? error.message : String(error);
    return { unknown: { kind: "regex", source, error: said } };
  }
}

/** Characters that a glob matches: pchar of RFC 3986 (source/extensions/path/uri_template_lib/uri_template_internal.cc; Envoy 1.40.0). */
const PCHAR = "a-zA-Z0-9-._~%!$&'()+,;:@=*";

/**
 * Translates Envoy's uri_template to the same regular expression as Envoy does: at a segment's start `*` is one segment and
 * `**` any number of segments; elsewhere a `*` stays in the expression unchanged, so `/a*b` matches `/aab`.
 * @returns undefined for variables (`{name}`), which istiod does not generate
 */
export function templateRegex(template: string): string | undefined {
  if (/[{}]/.test(template)) return undefined;
  return template
    .split("/")
    .map((segment) => {
      const [, glob = "", literal = ""] = /^(\*{0,2})(.*)$/s.exec(segment) ?? [];
      const wild = { "*": `[${PCHAR}]+`, "**": `[${PCHAR}/]*` }[glob] ?? "";
      return wild + literal.replaceAll(/[$()+.]/g, String.raw`\$&`);
    })
    .join("/");
}
