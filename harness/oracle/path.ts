/** What Envoy's HTTP connection manager makes of a path before any filter sees it. */

import { at, text } from "./tree.ts";

/** The path, or how the proxy answers by itself, or why it cannot be told. */
export type Normalized =
  { readonly path: string } | { readonly status: number; readonly details: string } | { readonly unknown: string };

/**
 * Envoy's order: fragment, escaped slashes, dot segments (googleurl), slashes
 * (source/common/http/conn_manager_utility.cc, maybeNormalizePath).
 * @param manager the HttpConnectionManager's config
 */
export function normalizePath(raw: string, manager: unknown): Normalized {
  // envoy.reloadable_features.http_reject_path_with_fragment
  if (raw.includes("#")) return { status: 400, details: "path_normalization_failed" };
  const [, start = "", query = ""] = /^([^?]*)(.*)$/s.exec(raw) ?? [];
  let path = start;
  switch (text(at(manager, "path_with_escaped_slashes_action"))) {
    case "":
    case "IMPLEMENTATION_SPECIFIC_DEFAULT":
    case "KEEP_UNCHANGED":
      break;
    case "REJECT_REQUEST":
      if (/%(2f|5c)/i.test(path)) return { status: 400, details: "path_normalization_failed" };
      break;
    case "UNESCAPE_AND_REDIRECT":
      if (/%(2f|5c)/i.test(path)) return { status: 307, details: "path_normalization_failed" };
      break;
    default:
      path = path.replaceAll(/%2f/gi, "/").replaceAll(/%5c/gi, "\\");
  }
  if (at(manager, "normalize_path") === true) {
    if (!path.startsWith("/")) return { path: path + query };
    if (/[^\w\-.~!$&'()*+,;=:@/%\\]/.test(path)) return { unknown: `how a path with such characters is normalized` };
    path = removeDots(path);
  }
  if (at(manager, "merge_slashes") === true) path = path.replaceAll(/\/{2,}/g, "/");
  return { path: path + query };
}

/**
 * Dot segments as URL standards have them: a backslash is a slash, `%2e` is a dot, unreserved characters are unescaped. One with
 * parameters (`..;x=y`) is one too, as in Envoy since the fix of CVE-2026-73551.
 */
function removeDots(path: string): string {
  const plain = path.replaceAll("\\", "/").replaceAll(/%[0-9a-f]{2}/gi, (hex) => {
    const char = String.fromCharCode(Number.parseInt(hex.slice(1), 16));
    return /[\w\-.~]/.test(char) ? char : hex;
  });
  const kept: string[] = [];
  const segments = plain.split("/").slice(1);
  for (const [i, segment] of segments.entries()) {
    const last = i === segments.length - 1;
    const [name = ""] = segment.split(";");
    if (name === "..") kept.pop();
    if (name !== "." && name !== "..") kept.push(segment);
    else if (last) kept.push("");
  }
  return `/${kept.join("/")}`;
}
