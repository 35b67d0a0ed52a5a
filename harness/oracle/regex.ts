/** Regular expressions of a config dump: RE2's syntax, in linear time. V8's own engine would try for hours what `(a+)+` allows. */

import { RE2JS } from "re2js";
import type { Missing } from "../model/explanation.ts";

export interface Regex {
  /** Whether the whole text matches (RE2::FullMatch, as Envoy's RegexMatcher does). */
  readonly matches: (text: string) => boolean;
}

/** Compiled, or why it cannot be: what RE2 takes and RE2JS does not is not guessed. */
export function compileRegex(source: string): Regex | { readonly unknown: Missing } {
  try {
    const compiled = RE2JS.compile(source);
    return { matches: (text) => compiled.testExact(text) };
  } catch (error) {
    const said = error instanceof Error ? error.message : String(error);
    return { unknown: { kind: "regex", source, error: said } };
  }
}

/** What a glob takes: pchar of RFC 3986 (source/extensions/path/uri_template_lib/uri_template_internal.cc; Envoy 1.40.0). */
const PCHAR = "a-zA-Z0-9-._~%!$&'()+,;:@=*";

/**
 * Envoy's uri_template as the regular expression that Envoy makes of it: at a segment's start `*` is one segment and `**`
 * any number of them; elsewhere a `*` stays in the expression as it is, so that `/a*b` takes `/aab`.
 * @returns undefined for variables (`{name}`), which istiod does not write
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
