/**
 * Paths that a workload may treat like this one although a proxy may not: path parameters removed (Tomcat, Jetty),
 * `%2F` and `%5C` decoded, slashes merged, dot segments resolved (RFC 3986 section 5.2.4).
 */
export function otherSpellings(path: string): string[] {
  const [, raw = "", query = ""] = /^([^?]*)(.*)$/s.exec(path) ?? [];
  const bare = raw
    .replaceAll(/;[^/]*/g, "")
    .replaceAll(/%2f|%5c|\\/gi, "/")
    .replaceAll(/%2e/gi, ".")
    .replaceAll(/\/{2,}/g, "/");
  const segments: string[] = [];
  for (const segment of bare.split("/").slice(1)) {
    if (segment === "..") segments.pop();
    else if (segment !== ".") segments.push(segment);
  }
  if (/\/\.{1,2}$/.test(bare)) segments.push("");
  const plain = `/${segments.join("/")}`;
  return plain === raw ? [] : [`${plain}${query}`];
}
