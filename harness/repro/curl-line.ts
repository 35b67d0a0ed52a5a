/** Reads the request of a ticket: a pasted curl line, or method and path. shell-quote splits it into words like a shell. */

import { parseArgs } from "node:util";
import { parse } from "shell-quote";
import { escapeNotation } from "../probe/bytes.ts";
import { MeshproofError } from "../model/errors.ts";
import type { Difference } from "../model/ticket.ts";
import type { TokenPlace } from "../model/token.ts";

/** The value in a place for a token. An opaque value is never kept: another one replaces it. */
export interface CarriedToken {
  readonly place: TokenPlace;
  /** `header Authorization` */
  readonly part: string;
  readonly value: { readonly kind: "jwt"; readonly compact: string } | { readonly kind: "opaque" | "variable" };
}

/** The client, from `kubectl exec`. */
export interface Sender {
  readonly namespace?: string;
  /** Name of a workload or a pod. */
  readonly workload?: string;
  readonly container?: string;
}

/** The request of a ticket. */
export interface TicketRequest {
  readonly method: string;
  readonly scheme: "http" | "https";
  /** Path and query as they are sent. */
  readonly path: string;
  /** Host to connect to, with its port if one is given; undefined if only a path is given. */
  readonly authority?: string;
  /** A variable in the place of the host: `$INGRESS_HOST`. */
  readonly variable?: string;
  /** The Host header if it differs from `authority`. */
  readonly host?: string;
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly protocol?: "http/1.0" | "h2c";
  /** A plain TCP connection. */
  readonly raw?: true;
  readonly tokens: readonly CarriedToken[];
  readonly sender?: Sender;
  readonly differences: readonly Difference[];
}

const TEXTS = [
  ...[
    "request:X",
    "header:H",
    "url",
    "data:d",
    "data-raw",
    "data-binary",
    "data-urlencode",
    "data-ascii",
    "form:F",
    "json",
  ],
  ...[
    "user:u",
    "cookie:b",
    "oauth2-bearer",
    "cert:E",
    "key",
    "cacert",
    "capath",
    "resolve",
    "connect-to",
    "user-agent:A",
  ],
  ...["referer:e", "output:o", "write-out:w", "max-time:m", "connect-timeout", "proxy:x", "retry", "retry-delay"],
  ...[
    "retry-max-time",
    "range:r",
    "interface",
    "cert-type",
    "key-type",
    "pass",
    "ciphers",
    "dump-header:D",
    "cookie-jar:c",
  ],
  ...[
    "limit-rate",
    "trace",
    "trace-ascii",
    "stderr",
    "noproxy",
    "upload-file:T",
    "config:K",
    "unix-socket",
    "request-target",
  ],
];
const FLAGS = [
  ...[
    "head:I",
    "silent:s",
    "show-error:S",
    "verbose:v",
    "include:i",
    "insecure:k",
    "location:L",
    "fail:f",
    "globoff:g",
  ],
  ...[
    "path-as-is",
    "compressed",
    "no-buffer:N",
    "no-progress-meter",
    "http1.0:0",
    "http1.1",
    "http2",
    "http2-prior-knowledge",
  ],
  ...[
    "get:G",
    "remote-name:O",
    "retry-connrefused",
    "retry-all-errors",
    "ipv4:4",
    "ipv6:6",
    "no-keepalive",
    "progress-bar:#",
  ],
  ...["fail-with-body", "trace-time", "tcp-nodelay", "remote-header-name:J", "parallel:Z"],
];
const OPTIONS = Object.fromEntries([
  ...TEXTS.map((text) => optionOf(text, { type: "string", multiple: true } as const)),
  ...FLAGS.map((text) => optionOf(text, { type: "boolean" } as const)),
]);

function optionOf<Rest extends object>(text: string, rest: Rest): [string, Rest & { short?: string }] {
  const [name = "", short] = text.split(":");
  return [name, { ...rest, ...(short === undefined ? {} : { short }) }];
}

const BODIES = ["data", "data-raw", "data-binary", "data-urlencode", "data-ascii", "form", "json", "upload-file"];

/** Options that the reproduced request ignores, and that may decide the answer. */
const UNSENT = ["cert", "proxy", "interface", "config", "unix-socket", "request-target", "get"];

/**
 * Reads `curl …`, also behind `kubectl exec … --`, whose pod may be called curl too. A variable stays: its value is not in the ticket.
 * @throws MeshproofError ERR_USAGE if it is not a curl line with one URL
 */
export function readCurlLine(line: string): TicketRequest {
  const words: string[] = [];
  for (const entry of parse(line.replaceAll(/\\\r?\n/g, " "), (name) => `$${name}`)) {
    if (typeof entry === "string") words.push(entry);
    else if ("pattern" in entry) words.push(entry.pattern);
    else if ("op" in entry && (entry.op === "&" || entry.op === "<" || entry.op === "("))
      throw usage(`the curl line has "${entry.op}" outside of quotes`, "put the URL in quotes");
    else break; // a pipe or a comment ends the request
  }
  const before = words.indexOf("--", words.indexOf("exec"));
  const start = words.findIndex((word, at) => at > before && /^(.*\/)?curl$/.test(word.replace(/^[$%>#]\s*/, "")));
  if (start < 0) throw usage("--curl takes a line with curl in it");
  const { values, positionals } = parseArgs({
    args: words.slice(start + 1),
    options: OPTIONS,
    strict: false,
    allowPositionals: true,
  });
  const all = (name: string): string[] =>
    [values[name] ?? []].flat().filter((value): value is string => typeof value === "string");
  const has = (name: string): boolean => values[name] !== undefined;
  const urls = [...all("url"), ...positionals];
  if (urls.length !== 1) throw usage(`the curl line has ${urls.length} URLs, and one is needed`);
  const differences: Difference[] = [];
  for (const name of Object.keys(values)) {
    if (OPTIONS[name] === undefined || UNSENT.includes(name))
      differences.push({ kind: "part-left-out", part: `curl --${name}`, decides: "unknown" });
  }
  const hasBody = BODIES.some((name) => has(name));
  if (hasBody) differences.push({ kind: "part-left-out", part: "the body", decides: "no" });
  const method = all("request")[0] ?? (has("head") ? "HEAD" : has("upload-file") ? "PUT" : hasBody ? "POST" : "GET");
  const typed = all("header").map((header) => header.toLowerCase());
  const type = has("json")
    ? "application/json"
    : ["data", "data-raw", "data-binary", "data-urlencode", "data-ascii"].some(has)
      ? "application/x-www-form-urlencoded"
      : undefined;
  const url = /^[a-z]+:\/\//i.test(urls[0]!) ? urls[0]! : `http://${urls[0]}`;
  const request = readRequest(`${method} ${has("path-as-is") ? url : withoutDots(url)}`, [
    ...all("header").map((header) => header.replace(/;$/, ": ")),
    ...(type === undefined || typed.some((header) => header.startsWith("content-type:"))
      ? []
      : [`Content-Type: ${type}`]),
    ...all("oauth2-bearer").map((token) => `Authorization: Bearer ${token}`),
    ...all("user").map(() => "Authorization: Basic placeholder"),
    ...all("cookie").flatMap((cookie) => (cookie.includes("=") ? [`Cookie: ${cookie}`] : [])),
    ...all("user-agent").map((agent) => `User-Agent: ${agent}`),
    ...all("referer").map((referer) => `Referer: ${referer}`),
  ]);
  const protocol = has("http2-prior-knowledge") ? "h2c" : has("http1.0") ? "http/1.0" : undefined;
  const sender = senderOf(words.slice(0, start));
  return {
    ...request,
    ...(protocol && { protocol }),
    ...(sender && { sender }),
    differences: [...differences, ...request.differences],
  };
}

/** `kubectl exec -it deploy/sleep -n sleep -c sleep --` */
function senderOf(words: readonly string[]): Sender | undefined {
  const start = words.findIndex(
    (word, index) => word === "exec" && /(^|\/)(kubectl|oc|k)$/.test(words[index - 1] ?? ""),
  );
  const anywhere = words.findIndex((word) => /(^|\/)(kubectl|oc)$/.test(word.replace(/^[$%>#]\s*/, "")));
  if (start < 0 && (anywhere < 0 || !words.includes("exec"))) return undefined;
  const { values, positionals } = parseArgs({
    args: words
      .slice(Math.max(start, anywhere))
      .filter((word) => word !== "exec" && !/(^|\/)(kubectl|oc)$/.test(word) && word !== "--"),
    options: {
      namespace: { type: "string", short: "n" },
      container: { type: "string", short: "c" },
      context: { type: "string" },
      stdin: { type: "boolean", short: "i" },
      tty: { type: "boolean", short: "t" },
    },
    strict: false,
    allowPositionals: true,
  });
  const text = (value: unknown): string | undefined =>
    typeof value === "string" && !value.includes("$") ? value : undefined;
  const namespace = text(values["namespace"]);
  const container = text(values["container"]);
  const workload = text(positionals[0])?.replace(/^.*\//, "");
  return {
    ...(namespace === undefined ? {} : { namespace }),
    ...(container === undefined ? {} : { container }),
    ...(workload === undefined ? {} : { workload }),
  };
}

/** curl resolves dot segments before it sends (RFC 3986 section 5.2.4), unless `--path-as-is` is given. */
function withoutDots(url: string): string {
  const [, start = "", path = "", rest = ""] = /^([a-z]+:\/\/[^/?#]*)([^?#]*)(.*)$/is.exec(url) ?? [];
  if (!/(^|\/)\.{1,2}(\/|$)/.test(path)) return url;
  const kept: string[] = [];
  const segments = path.split("/").slice(1);
  for (const [index, segment] of segments.entries()) {
    const last = index === segments.length - 1;
    if (segment === "..") kept.pop();
    if (segment !== ".." && segment !== ".") kept.push(segment);
    else if (last) kept.push("");
  }
  return `${start}/${kept.join("/")}${rest}`;
}

/** A JWT, with literal or encoded dots. */
const JWT = /eyJ[\w-]+(?:\.|%(?:25)*2e)[\w-]*(?:\.|%(?:25)*2e)[\w-]*/i;

/**
 * Reads `GET /path` or `GET http://host/path`, and header lines. Possible tokens are removed, and their places recorded.
 * @throws MeshproofError ERR_USAGE if it is not a request
 */
export function readRequest(text: string, headerLines: readonly string[]): TicketRequest {
  const [, method, scheme, authority, path] =
    /^([A-Z]+) (?:(https?|grpc|tcp):\/\/([^/?#\s]+))?((?:[/?]\S*)?)$/i.exec(
      text.trim().replace(/^(?=tcp:)/i, "GET "),
    ) ?? [];
  if (method === undefined || path === undefined || (authority === undefined && path === ""))
    throw usage(`a request is "METHOD /path" or "METHOD http://host/path", not "${text.replace(JWT, "TOKEN")}"`);
  const differences: Difference[] = [];
  const headers: (readonly [string, string])[] = [];
  const tokens: CarriedToken[] = [];
  const named = authority?.replace(/^.*@/, "");
  const variable = /\$|^<|\{/.test(named ?? "") ? named : undefined;
  // Clients leave out the usual port of a scheme in the header Host (RFC 9110 section 4.2.3).
  const usual = scheme?.toLowerCase() === "https" ? /:443$/ : /:80$/;
  const bare = variable === undefined ? named?.replace(usual, "") : undefined;
  let host: string | undefined;
  if (authority?.includes("@") === true)
    tokens.push({
      place: { header: "Authorization", prefix: "Basic " },
      part: "the user info of the URL",
      value: { kind: "opaque" },
    });
  for (const line of headerLines) {
    const [, name, value] = /^([^:\s]+):\s*(.*)$/s.exec(line) ?? [];
    if (name === undefined || value === undefined)
      throw usage(`a header is "name: value", not "${line.slice(0, 12)}…"`);
    const lower = name.toLowerCase();
    const part = `header ${name}`;
    if (lower === "host") host = value;
    else if (lower === "user-agent")
      differences.push({ kind: "part-left-out", part: "header User-Agent", decides: "no" });
    else if (lower === "cookie") {
      for (const [cookie, held] of cookiesOf(value)) {
        const found = tokenIn(held) ?? { kind: "opaque" as const };
        tokens.push({ place: { cookie }, part: `cookie ${cookie}`, value: found });
      }
    } else if (/^(proxy-)?authorization$/.test(lower)) {
      const [, prefix = "", held = ""] = /^([A-Za-z][\w-]* +)?(.*)$/s.exec(value) ?? [];
      tokens.push({ place: { header: name, prefix }, part, value: tokenIn(held) ?? { kind: "opaque" } });
    } else {
      const found = tokenIn(value);
      const at = found?.kind === "jwt" ? value.indexOf(found.compact) : found === undefined ? -1 : value.indexOf("$");
      if (found === undefined) headers.push([name, escapeNotation(value)]);
      else tokens.push({ place: { header: name, prefix: value.slice(0, Math.max(0, at)) }, part, value: found });
    }
  }
  const target = path === "" ? "/" : path.startsWith("?") ? `/${path}` : path.replace(/#.*$/s, "");
  const [, before = "", query] = /^([^?]*)(?:\?(.*))?$/s.exec(target) ?? [];
  const kept = query?.split("&").filter((parameter) => {
    const [, name = "", value = ""] = /^([^=]*)=?(.*)$/s.exec(parameter) ?? [];
    const found = tokenIn(value);
    if (found === undefined) return true;
    tokens.push({ place: { query: name }, part: `query parameter ${name}`, value: found });
    return false;
  });
  const rest = kept === undefined || (kept.length === 0 && query !== "") ? "" : `?${kept.join("&")}`;
  const safe = `${before.replaceAll(new RegExp(JWT, "gi"), "TOKEN")}${rest}`;
  if (!safe.startsWith(before))
    differences.push({ kind: "placeholder", part: "a token in the path", decides: "unknown" });
  return {
    ...{ method: method.toUpperCase(), path: escapeNotation(safe) },
    scheme: scheme?.toLowerCase() === "https" ? "https" : "http",
    ...(scheme?.toLowerCase() === "tcp" && { raw: true }),
    ...(scheme?.toLowerCase() === "grpc" && { protocol: "h2c" }),
    ...(bare === undefined ? {} : { authority: bare }),
    ...(variable && { variable }),
    ...(host === undefined || host === bare ? {} : { host }),
    ...{ headers, tokens, differences },
  };
}

/** A JWT, or a variable whose value is not in the ticket. */
function tokenIn(value: string): Exclude<CarriedToken["value"], { kind: "opaque" }> | undefined {
  const found = JWT.exec(value)?.[0];
  if (found !== undefined) return { kind: "jwt", compact: found.replaceAll(/%(?:25)*2e/gi, ".") };
  return /\$\{?\w+\}?|\$\(|<[\w -]*token[\w -]*>/i.test(value) ? { kind: "variable" } : undefined;
}

function cookiesOf(header: string): [name: string, value: string][] {
  return header.split(";").flatMap((pair): [string, string][] => {
    const [, name, value = ""] = /^\s*([^=]+)=(.*)$/s.exec(pair) ?? [];
    return name === undefined ? [] : [[name, value.trim()]];
  });
}

function usage(message: string, hint = "meshproof repro --help shows examples"): MeshproofError {
  return new MeshproofError("ERR_USAGE", message, { hint });
}
