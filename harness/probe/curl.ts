/**
 * Sends a whole round with one curl process. It reads the requests from standard input as a curl config (`--config -`, requests
 * separated by `next`) and writes the answers to standard output. curl's config syntax: curl(1), "-K, --config".
 */

import type { NoAnswer } from "../model/scenario.ts";
import { fillBytes, hasBytes, toBytes } from "./bytes.ts";

/** A request as it is sent. The path is not normalised. `\xHH` in the URL's path or in a header's value is a byte: see bytes.ts. */
export interface WireRequest {
  readonly method: string;
  readonly url: string;
  /** What is sent in the place of the URL's path and query. */
  readonly requestTarget?: string;
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly protocol?: "http/1.0" | "http/1.1" | "h2c";
  /** `host:port` to connect to instead of the URL's. */
  readonly connectTo?: string;
  /** The highest version of TLS that the client speaks; by default curl's. */
  readonly maxTls?: "1.2";
  /** Whether the connection ends with the answer, so that the next request is on a new one. */
  readonly closes?: boolean;
}

/** An answer as curl received it. */
export interface WireAnswer {
  /** 0 if no answer came. */
  readonly status: number;
  /** In order, with lower-case names. */
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly body: Buffer;
  /** curl's error text if no answer came. */
  readonly error?: string;
  /** What came in the place of an answer, where it is known. */
  readonly noAnswer?: NoAnswer;
  readonly totalMs: number;
}

export interface RoundOptions {
  /** Unguessable separator between answers, so that a hostile body cannot imitate one. */
  readonly boundary: string;
  /** Limit for one request in seconds. */
  readonly maxTime: number;
}

const PROTOCOL_OPTION = { "http/1.0": "http1.0", "http/1.1": "http1.1", h2c: "http2-prior-knowledge" } as const;

/** curl removes a fragment and may change other bytes: such paths are sent with `request-target`. */
function isPlain(url: string): boolean {
  return /^[\w.~!$&'()*+,;=:@%/?-]*$/.test(url);
}

/** Where curl would send another one by itself. */
function requestTargetOf({ url, requestTarget }: WireRequest): string | undefined {
  return requestTarget ?? (isPlain(url) ? undefined : targetOf(url));
}

/** curl refuses an URL with some bytes, even where `request-target` replaces its path. */
function withoutBytes(url: string): string {
  return hasBytes(url) ? url.slice(0, url.length - targetOf(url).length) : url;
}

function targetOf(url: string): string {
  return url.replace(/^https?:\/\/[^/]*/, "");
}

/**
 * URL of a request. curl before 8 repeats the HTTP/2 preface on a reused connection with prior knowledge ("Error in the
 * HTTP2 framing layer"), so each such request uses its own host name for the same server: no connection is reused, and
 * `Host` (`:authority`) does not change.
 */
function destinationOf({ url, headers, protocol, connectTo }: WireRequest, index: number): string[] {
  const [, host = "", port = ":80"] = /^http:\/\/([\w.-]+)(:\d+)?(?=[/?]|$)/.exec(url) ?? [];
  if (protocol !== "h2c" || host === "")
    return [
      `url = ${quote(withoutBytes(url))}`,
      ...(connectTo === undefined ? [] : [`connect-to = ${quote(`::${connectTo}`)}`]),
      // The certificate for a ticket's host is self-signed.
      ...(url.startsWith("https:") ? ["insecure"] : []),
    ];
  const name = `h2c-${index}.invalid`;
  const hasHost = headers.some(([header]) => header.toLowerCase() === "host");
  return [
    `url = ${quote(withoutBytes(url.replace(host, name)))}`,
    `connect-to = ${quote(`${name}${port}:${connectTo ?? `${host}${port}`}`)}`,
    ...(hasHost ? [] : [`header = ${quote(`Host: ${host}${port === ":80" ? "" : port}`)}`]),
  ];
}

/** The curl command for the output of {@link writeRound}. `-q` must come first: it ignores the image's curlrc. */
export const CURL_COMMAND = ["curl", "-q", "--config", "-"] as const;

/** Writes a round as a curl config. */
export function writeRound(requests: readonly WireRequest[], options: RoundOptions): Buffer {
  const config = requests
    .map((request, index) =>
      [
        ...destinationOf(request, index),
        request.method === "HEAD" ? "head" : `request = ${quote(request.method)}`,
        ...request.headers.map(([name, value]) => `header = ${quote(value === "" ? `${name};` : `${name}: ${value}`)}`),
        ...(request.maxTls === undefined ? [] : [`tls-max = ${request.maxTls}`]),
        ...(request.closes === true && request.protocol !== "h2c" ? [`header = "Connection: close"`] : []),
        "silent",
        "include",
        PROTOCOL_OPTION[request.protocol ?? "http/1.1"],
        ...[requestTargetOf(request)].flatMap((target) =>
          target === undefined ? [] : [`request-target = ${quote(target)}`],
        ),
        "path-as-is",
        "globoff",
        `noproxy = "*"`,
        `max-time = ${options.maxTime}`,
        `write-out = ${quote(`\n${options.boundary} %{json}\n`)}`,
      ].join("\n"),
    )
    .join("\nnext\n")
    .concat("\n");
  return toBytes(config);
}

/**
 * Reads the answers of a round, in the order of its requests. If there are fewer answers than requests, curl ended early.
 * @param stdout curl's output for {@link writeRound}.
 */
export function readRound(stdout: Buffer, boundary: string): WireAnswer[] {
  const answers: WireAnswer[] = [];
  const mark = Buffer.from(`\n${boundary} `);
  let at = 0;
  for (;;) {
    const end = stdout.indexOf(mark, at);
    if (end < 0) return answers;
    const jsonStart = end + mark.length;
    const newline = stdout.indexOf("\n", jsonStart);
    const jsonEnd = newline < 0 ? stdout.length : newline;
    const info = JSON.parse(stdout.toString("utf8", jsonStart, jsonEnd)) as CurlInfo;
    answers.push(readAnswer(stdout.subarray(at, end), info));
    at = jsonEnd + 1;
  }
}

/** The fields of curl's `%{json}` that are used. */
interface CurlInfo {
  readonly response_code: number;
  readonly time_total: number;
  readonly errormsg: string | null;
  readonly exitcode: number;
}

/** Reasons of OpenSSL's errors (openssl/sslerr.h): an alert of the other side is its number and this; the other is an end of its bytes. */
const SSL_ALERT = 1000;
const SSL_UNEXPECTED_EOF = 294;

/**
 * What came in the place of an answer, by curl's exit code (libcurl-errors(3)) and the number of OpenSSL's error. curl prints no number
 * for an error of the system: a reset is known by its text (strerror(3)).
 */
function whyNoAnswer({ exitcode, errormsg }: CurlInfo): NoAnswer | undefined {
  const [, code] = /\berror:([0-9A-F]{8}):/.exec(errormsg ?? "") ?? [];
  const ssl = code === undefined ? undefined : Number.parseInt(code, 16) & 0x7fffff;
  const isAlert = ssl !== undefined && ssl >= SSL_ALERT && ssl < SSL_ALERT + 256;
  switch (exitcode) {
    case 6:
      return "dns";
    case 35:
      // Without a number it is the system's: the connection ended. Other numbers are the client's own, or mean that the other side speaks no TLS.
      return ssl === undefined || isAlert || ssl === SSL_UNEXPECTED_EOF ? "tls-refused" : undefined;
    case 52:
      return "closed";
    case 55:
    case 56:
      if (isAlert) return "tls-refused";
      return errormsg?.includes("Connection reset by peer") === true ? "reset" : "closed";
    default:
      return undefined;
  }
}

function readAnswer(raw: Buffer, info: CurlInfo): WireAnswer {
  const { headers, body } = splitHead(raw);
  const noAnswer = info.response_code === 0 ? whyNoAnswer(info) : undefined;
  return {
    status: info.response_code,
    headers,
    body,
    totalMs: info.time_total * 1000,
    ...(info.exitcode === 0 ? {} : { error: info.errormsg ?? `curl exit code ${info.exitcode}` }),
    ...(noAnswer !== undefined && { noAnswer }),
  };
}

/** Interim 1xx heads (RFC 9110, 15.2) precede the final one. */
function splitHead(raw: Buffer): Pick<WireAnswer, "headers" | "body"> {
  let rest = raw;
  for (;;) {
    const end = rest.indexOf("\r\n\r\n");
    if (!rest.subarray(0, 5).equals(Buffer.from("HTTP/")) || end < 0) return { headers: [], body: rest };
    const [statusLine = "", ...lines] = rest.toString("latin1", 0, end).split("\r\n");
    rest = rest.subarray(end + 4);
    if (/^HTTP\/[\d.]+ 1\d\d/.test(statusLine)) continue;
    const headers = lines.map((line): [string, string] => {
      const colon = line.indexOf(":");
      return [line.slice(0, colon).trim().toLowerCase(), line.slice(colon + 1).trim()];
    });
    return { headers, body: rest };
  }
}

/** Quotes a value for curl's config: escapes backslash, quote and control characters, after each `\xHH` is a byte. */
function quote(text: string): string {
  const escapes: Record<string, string> = {
    "\\": "\\\\",
    '"': '\\"',
    "\t": "\\t",
    "\n": "\\n",
    "\r": "\\r",
    "\v": "\\v",
  };
  return `"${fillBytes(text).replace(/[\\"\t\n\r\v]/g, (c) => escapes[c] ?? c)}"`;
}

/** The request as a stand-alone curl command for a shell, with `$TOKEN` for the token. */
export function curlLine(
  where: { readonly namespace: string; readonly workload: string; readonly container: string },
  request: WireRequest,
  tokens: readonly string[] = [],
): string {
  const words = [
    "kubectl",
    "exec",
    "-n",
    where.namespace,
    where.workload,
    "-c",
    where.container,
    "--",
    "curl",
    "-sS",
    "-i",
  ];
  if (request.method === "HEAD") words.push("--head");
  else if (request.method !== "GET") words.push("-X", shellQuote(request.method));
  if (/\/\.|\/\/|[[\]{}]/.test(request.url.replace(/^https?:\/\//, ""))) words.push("--path-as-is", "--globoff");
  if (request.protocol !== undefined && request.protocol !== "http/1.1")
    words.push(`--${PROTOCOL_OPTION[request.protocol]}`);
  if (request.connectTo !== undefined) words.push("--connect-to", `::${request.connectTo}`);
  if (request.url.startsWith("https:")) words.push("--insecure");
  if (request.maxTls !== undefined) words.push("--tls-max", request.maxTls);
  const target = requestTargetOf(request);
  if (target !== undefined) words.push("--request-target", quoteWith(tokens, target));
  for (const [name, value] of request.headers)
    words.push("-H", quoteWith(tokens, value === "" ? `${name};` : `${name}: ${value}`));
  words.push(quoteWith(tokens, withoutBytes(request.url)));
  return words.join(" ");
}

/** Replaces each token by a shell variable: `$TOKEN`, and `$TOKEN2` for a second one. */
function quoteWith(tokens: readonly string[], text: string): string {
  const found = tokens.findIndex((token) => text.includes(token));
  if (found < 0) return shellQuote(text);
  const name = `$TOKEN${found === 0 ? "" : found + 1}`;
  if (hasBytes(text)) return text.split(tokens[found]!).map(shellQuote).join(`"${name}"`);
  return `"${text.split(tokens[found]!).map(dollarQuote).join(name)}"`;
}

function shellQuote(text: string): string {
  if (hasBytes(text)) return `$'${text.replace(/'|\\(?!x[0-9A-Fa-f]{2})/g, "\\$&")}'`;
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}

/** Escapes text for double quotes. */
function dollarQuote(text: string): string {
  return text.replace(/["\\$`]/g, "\\$&");
}
