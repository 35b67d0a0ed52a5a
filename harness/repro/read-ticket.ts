/** Reads a ticket from the user's files, request and token. */

import { readdir, readFile, stat } from "node:fs/promises";
import path from "node:path";
import { MeshproofError } from "../model/errors.ts";
import { secondsNow } from "../model/seconds.ts";
import { ofFile, readUserFile } from "../user-file.ts";
import { AUTHORIZER, authorizerOf } from "./authorizer.ts";
import { readCurlLine, readRequest, type TicketRequest } from "./curl-line.ts";
import { issuersIn, slug } from "./issuers.ts";
import { withPlaceholders } from "./placeholders.ts";
import { ANSWER_FILE } from "./check.ts";
import { readObjects } from "./read-objects.ts";
import { imageIn } from "./stand-in.ts";
import { decodeToken, readClaims } from "./token.ts";
import { JWKS_STATES, type JwksState, type Seen, type TokenState } from "../model/ticket.ts";
import type { Ticket, TicketObject, Translation } from "./ticket.ts";
import { translate } from "./translate.ts";

export interface TicketOptions {
  /** The token, or `@FILE`. */
  readonly token?: string;
  /** The claims as JSON, or `@FILE`. */
  readonly claims?: string;
  readonly request?: string;
  readonly curl?: string;
  readonly header: readonly string[];
  /** `STATE`, or `ISSUER=STATE` for one issuer. */
  readonly jwks: readonly string[];
  /** `NAMESPACE/SERVICEACCOUNT`, `outside` or `gateway`. */
  readonly from?: string;
  /** `header:NAME`, `cookie:NAME` or `query:NAME`. */
  readonly in?: string;
  readonly seen?: Seen;
  readonly tokenWas?: TokenState;
  /** The HTTP status that the external authorizer answers. */
  readonly authorizer?: number;
}

/**
 * @param scenariosRoot meshproof's own scenarios
 * @param stdin reads standard input, for the file `-`
 * @throws MeshproofError ERR_USAGE, with no part of a token in the message
 */
export async function readTicket(
  files: readonly string[],
  options: TicketOptions,
  scenariosRoot: string,
  stdin: () => Promise<string>,
): Promise<Ticket> {
  if (options.token !== undefined && options.claims !== undefined)
    throw usage("--token and --claims exclude each other");
  if (options.from !== undefined && !/^(outside|gateway|[a-z0-9-]+\/[a-z0-9.-]+)$/.test(options.from))
    throw usage(`--from takes NAMESPACE/SERVICEACCOUNT, outside or gateway, not "${options.from}"`);
  const request = requestOf(options);
  const given =
    options.claims !== undefined
      ? [readClaims(await valueOf(options.claims, "claims"))]
      : options.token !== undefined
        ? [decodeToken(await valueOf(options.token, "token"))]
        : [];
  const written = request.tokens.flatMap(({ value }) => (value.kind === "jwt" ? [decodeToken(value.compact)] : []));
  const texts = (await Promise.all(files.map((file) => readYaml(file, stdin)))).flat();
  const objects = texts.flatMap(({ text, file }) => readObjects(text, file));
  if (objects.length === 0) throw usage(`there is no Kubernetes object in ${files.join(", ")}`);
  const states = statesOf(options.jwks, objects);
  const [first = "ticket"] = files;
  const name = first === "-" ? "stdin" : slug(path.basename(path.resolve(first)).replace(/\.ya?ml$/, ""));
  const { authorizer: status, seen, tokenWas = namedState(seen) } = options;
  const workload = (app: string): Promise<string> =>
    readFile(path.join(scenariosRoot, `workloads/${app}/${app}.yaml`), "utf8");
  return {
    ...{ name, objects, image: imageIn(await workload("nginx-proxy")), ...states, now: secondsNow() },
    ...(tokenWas === undefined ? {} : { tokenWas }),
    ...(status === undefined ? {} : { authorizer: authorizerOf(status, await workload(AUTHORIZER)) }),
    ...(options.from === undefined ? {} : { from: options.from }),
    request: ofFile(files.join(", "), () => withPlaceholders(placed(request, options, given.length > 0), objects)),
    // A given token replaces the request's first one.
    tokens: given.length > 0 ? [...given, ...written.slice(1)] : written,
  };
}

/** @throws MeshproofError ERR_USAGE for an unknown state, or an issuer that no jwtRule of the ticket names */
function statesOf(texts: readonly string[], objects: readonly TicketObject[]): Pick<Ticket, "jwks" | "jwksOf"> {
  let all: JwksState | undefined;
  const jwksOf: Record<string, JwksState> = {};
  const issuers = issuersIn(objects);
  for (const text of texts) {
    const [, iss, named] = /^(?:(.*)=)?([^=]*)$/s.exec(text) ?? [];
    const state = JWKS_STATES.find((one) => one === named);
    if (state === undefined) throw usage(`--jwks takes ${JWKS_STATES.join(", ")}, or ISSUER=STATE, not "${named}"`);
    if (iss === undefined) all = state;
    else if (issuers.includes(iss)) jwksOf[iss] = state;
    else throw usage(`--jwks names the issuer "${iss}", and no jwtRule of the ticket does (${issuers.join(", ")})`);
  }
  return { ...(all !== undefined && { jwks: all }), jwksOf };
}

/** Envoy's words for what is wrong with the times of a token. */
function namedState(seen: Seen | undefined): TokenState | undefined {
  if (typeof seen !== "object") return undefined;
  if (/jwt is expired/i.test(seen.text)) return "expired";
  return /jwt not yet valid/i.test(seen.text) ? "early" : undefined;
}

/** The request with the token in the place of `--in`, if that is given. */
function placed(request: TicketRequest, { in: where }: TicketOptions, given: boolean): TicketRequest {
  if (where === undefined) return request;
  const [, kind, name = ""] = /^(header|cookie|query):(.+)$/.exec(where) ?? [];
  if (kind === undefined) throw usage(`--in takes header:NAME, cookie:NAME or query:NAME, not "${where}"`);
  if (!given) throw usage("--in says where a token is: name the token, by --token or --claims");
  const bearer = name.toLowerCase() === "authorization" ? { prefix: "Bearer " } : {};
  const place = kind === "cookie" ? { cookie: name } : kind === "query" ? { query: name } : { header: name, ...bearer };
  return { ...request, tokens: [{ place, part: `${kind} ${name}`, value: { kind: "variable" } }, ...request.tokens] };
}

/** @throws MeshproofError ERR_USAGE if an object of the ticket does not match its kind */
export function translated(files: readonly string[], ticket: Ticket): Translation {
  return ofFile(files.join(", "), () => translate(ticket));
}

function requestOf({ request: line, curl, header }: TicketOptions): TicketRequest {
  if (curl !== undefined && line !== undefined) throw usage("name the request by --request or by --curl, not both");
  if (line !== undefined) return readRequest(line, header);
  if (curl === undefined) throw usage("name the request, by --request or by --curl");
  const asked = readCurlLine(curl);
  const more = readRequest(`${asked.method} ${asked.path}`, header);
  return {
    ...asked,
    ...(more.host === undefined ? {} : { host: more.host }),
    headers: [...asked.headers, ...more.headers],
    tokens: [...asked.tokens, ...more.tokens],
    differences: [...asked.differences, ...more.differences],
  };
}

/** Reads the YAML of a file, of the files directly in a folder, or of standard input. */
async function readYaml(
  file: string,
  stdin: () => Promise<string>,
): Promise<{ readonly file: string; readonly text: string }[]> {
  if (file === "-") return [{ file: "standard input", text: await stdin() }];
  const found = await stat(file).catch((cause: unknown) => {
    throw new MeshproofError("ERR_USAGE", `${file} cannot be read`, { cause });
  });
  const names = found.isDirectory()
    ? (await readdir(file))
        .filter((name) => /^[^.].*\.ya?ml$/.test(name) && name !== ANSWER_FILE)
        .map((name) => path.join(file, name))
    : [file];
  return await Promise.all(names.sort().map(async (name) => ({ file: name, text: await readUserFile(name) })));
}

async function valueOf(text: string, what: string): Promise<string> {
  if (!text.startsWith("@")) return text;
  return await readUserFile(text.slice(1), { what: `the ${what}` });
}

function usage(message: string): MeshproofError {
  return new MeshproofError("ERR_USAGE", message, { hint: "meshproof repro --help shows examples" });
}
