/** A curl line that somebody pasted into a ticket. Words as a shell takes them, by shell-quote. */

import { parseArgs } from "node:util";
import { parse } from "shell-quote";
import { MeshproofError } from "../model/errors.ts";

/** The request of a ticket. */
export interface TicketRequest {
  readonly method: string;
  /** Path and query as sent. */
  readonly path: string;
  /** Host, with its port where one is written. */
  readonly host?: string;
  readonly headers: readonly (readonly [name: string, value: string])[];
  /** A token found in `Authorization: Bearer`: only ever decoded. */
  readonly token?: string;
  /** What was left out of the request, a sentence each. */
  readonly left: readonly string[];
  /** What is not as it was given, a sentence each. */
  readonly changed?: readonly string[];
}

const VALUED = {
  request: { type: "string", short: "X" },
  header: { type: "string", short: "H", multiple: true },
  url: { type: "string", multiple: true },
  data: { type: "string", short: "d", multiple: true },
  "data-raw": { type: "string", multiple: true },
  "data-binary": { type: "string", multiple: true },
  "data-urlencode": { type: "string", multiple: true },
  form: { type: "string", short: "F", multiple: true },
  json: { type: "string", multiple: true },
  user: { type: "string", short: "u" },
  cookie: { type: "string", short: "b", multiple: true },
  "oauth2-bearer": { type: "string" },
  cert: { type: "string", short: "E" },
  key: { type: "string" },
  cacert: { type: "string" },
  resolve: { type: "string", multiple: true },
  "connect-to": { type: "string", multiple: true },
  "user-agent": { type: "string", short: "A" },
  referer: { type: "string", short: "e" },
  output: { type: "string", short: "o" },
  "write-out": { type: "string", short: "w" },
  "max-time": { type: "string", short: "m" },
  "connect-timeout": { type: "string" },
  proxy: { type: "string", short: "x" },
  head: { type: "boolean", short: "I" },
} as const;

/** Options whose effect the reproduced request does not have. */
const UNSENT = ["data", "data-raw", "data-binary", "data-urlencode", "form", "json", "user", "cookie", "cert", "proxy"];

/**
 * Reads `curl …`, also behind `kubectl exec … --`.
 * @throws MeshproofError ERR_USAGE for what is no curl line with one URL
 */
export function readCurlLine(line: string): TicketRequest {
  const words: string[] = [];
  // A variable stays as it is written: its value is not in the ticket.
  for (const entry of parse(line.replaceAll(/\\\r?\n/g, " "), (name) => `$${name}`)) {
    if (typeof entry === "string") words.push(entry);
    else if ("pattern" in entry) words.push(entry.pattern);
    else if ("op" in entry && (entry.op === "&" || entry.op === "<" || entry.op === "("))
      throw usage(`the curl line has "${entry.op}" outside of quotes`, "put the URL in quotes, as a shell needs it");
    else break; // a pipe, or a comment: what follows is no part of the request
  }
  const start = words.findIndex((word) => /^(.*\/)?curl$/.test(word.replace(/^[$%>#]\s*/, "")));
  if (start < 0) throw usage("--curl takes a line with curl in it");
  const { values, positionals } = parseArgs({
    args: words.slice(start + 1),
    options: VALUED,
    strict: false,
    allowPositionals: true,
  });
  const given = values as Record<string, string | boolean | (string | boolean)[] | undefined>;
  const all = (name: string): string[] =>
    [given[name] ?? []].flat().filter((value): value is string => typeof value === "string");
  const urls = [...all("url"), ...positionals];
  if (urls.length !== 1) throw usage(`the curl line has ${urls.length} URLs, and one is needed`);
  const hasBody = ["data", "data-raw", "data-binary", "data-urlencode", "form", "json"].some((n) => all(n).length > 0);
  const method = all("request")[0] ?? (given["head"] === true ? "HEAD" : hasBody ? "POST" : "GET");
  const left = UNSENT.filter((name) => given[name] !== undefined).map((name) => `curl's --${name} was left out`);
  const bearer = all("oauth2-bearer")[0];
  const agent =
    all("user-agent").length > 0 ? ["curl's --user-agent was left out: a run names its requests itself"] : [];
  const request = readRequest(`${method} ${/^[a-z]+:\/\//i.test(urls[0]!) ? urls[0] : `http://${urls[0]}`}`, [
    ...all("header"),
    ...(bearer === undefined ? [] : [`Authorization: Bearer ${bearer}`]),
  ]);
  return { ...request, left: [...left, ...agent, ...request.left] };
}

/**
 * Reads `GET /path` or `GET http://host/path`, and header lines. Headers that are secrets by their nature are left out.
 * @throws MeshproofError ERR_USAGE for what is no request
 */
export function readRequest(text: string, headerLines: readonly string[]): TicketRequest {
  const [, method, authority, path] = /^([A-Z]+) (?:https?:\/\/([^/?#\s]+))?((?:[/?]\S*)?)$/i.exec(text.trim()) ?? [];
  if (method === undefined || path === undefined || (authority === undefined && path === ""))
    throw usage(`a request is "METHOD /path" or "METHOD http://host/path", not "${text}"`);
  const left: string[] = [];
  const headers: (readonly [string, string])[] = [];
  let token: string | undefined;
  let host = authority?.replace(/^.*@/, "");
  if (host !== authority) left.push("the user info of the URL was left out");
  for (const line of headerLines) {
    const [, name, value] = /^([^:\s]+):\s*(.*)$/s.exec(line) ?? [];
    if (name === undefined || value === undefined) throw usage(`a header is "name: value", not "${line.slice(0, 20)}"`);
    const lower = name.toLowerCase();
    if (lower === "host") host = value;
    else if (lower === "user-agent") left.push("header User-Agent was left out: a run names its requests itself");
    else if (lower === "authorization" && /^bearer /i.test(value)) {
      const compact = value.replace(/^bearer +/i, "").trim();
      // Anything else that is no variable may be a secret.
      const shown = /^\$\w+$/.test(compact) ? ` (${compact})` : "";
      if (compact.startsWith("eyJ")) token = compact;
      else left.push(`the token in Authorization is not a JWT${shown}: give it by --token or --claims`);
    } else if (/^(authorization|proxy-authorization|cookie)$/.test(lower) || /eyJ[\w-]+(?:\.|%(?:25)*2e)/i.test(value))
      left.push(`header ${name} was left out: it may be a secret`);
    else headers.push([name, value]);
  }
  const target = path === "" ? "/" : path.startsWith("?") ? `/${path}` : path.replace(/#.*$/, "");
  const safe = target.replaceAll(/eyJ[\w-]+(?:\.|%(?:25)*2e)[\w-]+(?:\.|%(?:25)*2e)[\w-]*/gi, "TOKEN");
  if (safe !== target) left.push("a token in the query was left out: give it by --token");
  return {
    method: method.toUpperCase(),
    path: safe,
    ...(host === undefined ? {} : { host }),
    headers,
    ...(token === undefined ? {} : { token }),
    left,
  };
}

function usage(message: string, hint = "meshproof repro --help shows examples"): MeshproofError {
  return new MeshproofError("ERR_USAGE", message, { hint });
}
