/** Normalizes a path like Envoy's HTTP connection manager, before any filter sees it. */

import type { Missing } from "../model/explanation.ts";
import { fixUnknown, type Envoy } from "./envoy.ts";
import { at, text } from "./tree.ts";

/** The path, or the proxy's own answer, or why it is not known. */
export type Normalized =
  { readonly path: string } | { readonly status: number; readonly details: string } | { readonly unknown: Missing };

const FAILED = "path_normalization_failed";

/** A runtime flag in Envoy's bootstrap: whether a path with `#` is refused or the fragment removed. */
export const FRAGMENT_FLAG = "envoy.reloadable_features.http_reject_path_with_fragment";

/**
 * Envoy's order: fragment, escaped slashes, dot segments (googleurl), slashes
 * (source/common/http/conn_manager_utility.cc, maybeNormalizePath). Measured with Envoy 1.40.0, each byte separately.
 * @param manager the HttpConnectionManager's config
 * @param rejectsFragment the runtime flag `envoy.reloadable_features.http_reject_path_with_fragment`, which Istio's bootstrap turns
 *   off; undefined if it is not known
 * @param envoy takes a dot segment with parameters for one since the fix of CVE-2026-73551
 */
export function normalizePath(
  raw: string,
  manager: unknown,
  rejectsFragment: boolean | undefined,
  envoy: Envoy,
): Normalized {
  // HTTP/1 refuses other bytes (http1.codec_error, http1.invalid_characters), HTTP/2 only some of them.
  if (!/^[!-~]*$/.test(raw)) return { unknown: { kind: "unsupported", what: "path-bytes" } };
  if (!raw.startsWith("/")) return { unknown: { kind: "unsupported", what: "request-target" } };
  if (raw.includes("#")) {
    if (rejectsFragment === undefined) return { unknown: { kind: "runtime-flag", flag: FRAGMENT_FLAG } };
    if (rejectsFragment) return { status: 400, details: FAILED };
    raw = raw.replace(/#.*$/s, "");
  }
  const [, start = "", query = ""] = /^([^?]*)(.*)$/s.exec(raw) ?? [];
  let path = start;
  switch (text(at(manager, "path_with_escaped_slashes_action"))) {
    case "":
    case "IMPLEMENTATION_SPECIFIC_DEFAULT":
    case "KEEP_UNCHANGED":
      break;
    case "REJECT_REQUEST":
      if (/%(2f|5c)/i.test(path)) return { status: 400, details: FAILED };
      break;
    case "UNESCAPE_AND_REDIRECT":
      if (/%(2f|5c)/i.test(path)) return { status: 307, details: FAILED };
      break;
    default:
      path = path.replaceAll(/%2f/gi, "/").replaceAll(/%5c/gi, "\\");
  }
  if (at(manager, "normalize_path") === true) {
    if (path.includes("%00")) return { status: 400, details: FAILED };
    const [fixed, before] = [removeDots(withoutParameters(path)), removeDots(path)];
    const has = fixed === before || envoy.has("CVE-2026-73551");
    if (has === undefined) return { unknown: fixUnknown("CVE-2026-73551", envoy) };
    path = has ? fixed : before;
  }
  if (at(manager, "merge_slashes") === true) path = mergeSlashes(path);
  return { path: path + query };
}

/** PathTransformer::mergeSlashes: one slash at each end stays, so a path of only slashes becomes two slashes. */
function mergeSlashes(path: string): string {
  if (!path.includes("//")) return path;
  return `/${path.split("/").filter(Boolean).join("/")}${path.endsWith("/") ? "/" : ""}`;
}

/** Of dot segments that are written literally: neither of `%2e%2e;x=y` nor of a segment after a backslash. */
function withoutParameters(path: string): string {
  return path.replaceAll(/(?<=\/)(\.\.?);[^/]*/g, "$1");
}

/**
 * Removes dot segments as in the URL standard: a backslash is a slash, `%2e` is a dot, unreserved characters are unescaped.
 */
function removeDots(path: string): string {
  const plain = path
    .replaceAll("\\", "/")
    .replaceAll(/%[0-9a-f]{2}/gi, (hex) => {
      const char = String.fromCharCode(Number.parseInt(hex.slice(1), 16));
      return /[\w\-.~]/.test(char) ? char : hex;
    })
    .replaceAll(/["<>^`{|}]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`);
  const kept: string[] = [];
  const segments = plain.split("/").slice(1);
  for (const [i, segment] of segments.entries()) {
    const last = i === segments.length - 1;
    if (segment === "..") kept.pop();
    if (segment !== "." && segment !== "..") kept.push(segment);
    else if (last) kept.push("");
  }
  return `/${kept.join("/")}`;
}
