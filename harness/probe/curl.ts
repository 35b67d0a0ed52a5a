/**
 * One curl process sends a whole round. Requests go in through standard input as a curl config (`--config -`, requests
 * separated by `next`), answers come back on standard output. curl's config syntax: curl(1), "-K, --config".
 */

/** A request as it goes on the wire. Nothing is normalised: the path is sent as written. */
export interface WireRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly protocol?: "http/1.0" | "http/1.1" | "h2c";
  /** `host:port` that is connected to in the place of the URL's. */
  readonly connectTo?: string;
}

/** An answer as curl saw it. */
export interface WireAnswer {
  /** 0 where no answer came. */
  readonly status: number;
  /** In order, names in lower case. */
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly body: Buffer;
  /** curl's own words where no answer came. */
  readonly error?: string;
  readonly totalMs: number;
}

export interface RoundOptions {
  /** Unguessable text that separates answers, so that a hostile body cannot imitate one. */
  readonly boundary: string;
  /** Seconds for one request. */
  readonly maxTime: number;
  /** Every request on a connection of its own instead of a shared one for the process. */
  readonly newConnections?: boolean;
}

const PROTOCOL_OPTION = { "http/1.0": "http1.0", "http/1.1": "http1.1", h2c: "http2-prior-knowledge" } as const;

/** curl takes a fragment away and may change other bytes: those go as the request target itself. */
function isPlain(url: string): boolean {
  return /^[\w.~!$&'()*+,;=:@%/?-]*$/.test(url);
}

function targetOf(url: string): string {
  return url.replace(/^https?:\/\/[^/]*/, "");
}

/**
 * URL of a request. curl before 8 sends the HTTP/2 preface once more on a connection that it uses again with prior
 * knowledge ("Error in the HTTP2 framing layer"), so each such request goes to a name of its own, which is the same
 * server: no connection is used twice, and `Host` (`:authority`) stays what it was.
 */
function destinationOf({ url, headers, protocol, connectTo }: WireRequest, index: number): string[] {
  const [, host = "", port = ":80"] = /^http:\/\/([\w.-]+)(:\d+)?(?=[/?]|$)/.exec(url) ?? [];
  if (protocol !== "h2c" || host === "")
    return [
      `url = ${quote(url)}`,
      ...(connectTo === undefined ? [] : [`connect-to = ${quote(`::${connectTo}`)}`]),
      // A certificate of a ticket is one that nobody has signed.
      ...(url.startsWith("https:") ? ["insecure"] : []),
    ];
  const name = `h2c-${index}.invalid`;
  const hasHost = headers.some(([header]) => header.toLowerCase() === "host");
  return [
    `url = ${quote(url.replace(host, name))}`,
    `connect-to = ${quote(`${name}${port}:${connectTo ?? `${host}${port}`}`)}`,
    ...(hasHost ? [] : [`header = ${quote(`Host: ${host}${port === ":80" ? "" : port}`)}`]),
  ];
}

/** The curl command that reads what {@link writeRound} wrote. `-q` first: no curlrc of the image. */
export const CURL_COMMAND = ["curl", "-q", "--config", "-"] as const;

/** A round as curl config. */
export function writeRound(requests: readonly WireRequest[], options: RoundOptions): string {
  return requests
    .map((request, index) =>
      [
        ...destinationOf(request, index),
        request.method === "HEAD" ? "head" : `request = ${quote(request.method)}`,
        ...request.headers.map(([name, value]) => `header = ${quote(value === "" ? `${name};` : `${name}: ${value}`)}`),
        ...(options.newConnections && request.protocol !== "h2c" ? [`header = "Connection: close"`] : []),
        "silent",
        "include",
        PROTOCOL_OPTION[request.protocol ?? "http/1.1"],
        ...(isPlain(request.url) ? [] : [`request-target = ${quote(targetOf(request.url))}`]),
        "path-as-is",
        "globoff",
        `noproxy = "*"`,
        `max-time = ${options.maxTime}`,
        `write-out = ${quote(`\n${options.boundary} %{json}\n`)}`,
      ].join("\n"),
    )
    .join("\nnext\n")
    .concat("\n");
}

/**
 * The answers of a round, in the order of its requests. Fewer than sent means that curl ended early.
 * @param stdout what curl printed for {@link writeRound}.
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

/** The fields of curl's `%{json}` that matter here. */
interface CurlInfo {
  readonly response_code: number;
  readonly time_total: number;
  readonly errormsg: string | null;
  readonly exitcode: number;
}

function readAnswer(raw: Buffer, info: CurlInfo): WireAnswer {
  const { headers, body } = splitHead(raw);
  return {
    status: info.response_code,
    headers,
    body,
    totalMs: info.time_total * 1000,
    ...(info.exitcode === 0 ? {} : { error: info.errormsg ?? `curl exit code ${info.exitcode}` }),
  };
}

/** Interim 1xx heads (RFC 9110, 15.2) stand before the final one. */
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

/** A quoted value of curl's config: backslash, quote and the control characters it knows are escaped. */
function quote(text: string): string {
  const escapes: Record<string, string> = {
    "\\": "\\\\",
    '"': '\\"',
    "\t": "\\t",
    "\n": "\\n",
    "\r": "\\r",
    "\v": "\\v",
  };
  return `"${text.replace(/[\\"\t\n\r\v]/g, (c) => escapes[c] ?? c)}"`;
}

/** The same request as a command of its own for a person's shell; a token stands as `$TOKEN`. */
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
  if (!isPlain(request.url)) words.push("--request-target", quoteWith(tokens, targetOf(request.url)));
  for (const [name, value] of request.headers)
    words.push("-H", quoteWith(tokens, value === "" ? `${name};` : `${name}: ${value}`));
  words.push(quoteWith(tokens, request.url));
  return words.join(" ");
}

/** Each token as a variable of the shell: `$TOKEN`, and `$TOKEN2` for a second. */
function quoteWith(tokens: readonly string[], text: string): string {
  const found = tokens.findIndex((token) => text.includes(token));
  if (found < 0) return shellQuote(text);
  const name = `$TOKEN${found === 0 ? "" : found + 1}`;
  return `"${text.split(tokens[found]!).map(dollarQuote).join(name)}"`;
}

function shellQuote(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}

/** For the inside of double quotes. */
function dollarQuote(text: string): string {
  return text.replace(/["\\$`]/g, "\\$&");
}
