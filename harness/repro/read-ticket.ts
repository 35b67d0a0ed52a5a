/** A ticket, from what a person gives: files, a request and a token. */

import { readdir, readFile, stat } from "node:fs/promises";
import path from "node:path";
import { MeshproofError } from "../model/errors.ts";
import { ofFile, readUserFile } from "../user-file.ts";
import { readCurlLine, readRequest, type TicketRequest } from "./curl-line.ts";
import { slug } from "./issuers.ts";
import { withPlaceholders } from "./placeholders.ts";
import { readObjects } from "./stand-in.ts";
import { decodeToken, readClaims } from "./token.ts";
import { translate, type Ticket, type Translation } from "./translate.ts";

export interface TicketOptions {
  /** The token, or `@FILE`. */
  readonly token?: string;
  /** The claims as JSON, or `@FILE`. */
  readonly claims?: string;
  readonly request?: string;
  readonly curl?: string;
  readonly header: readonly string[];
  readonly jwks: Ticket["jwks"];
}

/**
 * @param scenariosRoot the scenarios that meshproof brings
 * @throws MeshproofError ERR_USAGE, without a word of a token
 */
export async function readTicket(
  files: readonly string[],
  options: TicketOptions,
  scenariosRoot: string,
): Promise<Ticket> {
  if (options.token !== undefined && options.claims !== undefined)
    throw usage("--token and --claims exclude each other");
  const request = requestOf(options);
  const compact = options.token === undefined ? request.token : await valueOf(options.token, "token");
  const token =
    options.claims !== undefined
      ? readClaims(await valueOf(options.claims, "claims"))
      : compact === undefined
        ? undefined
        : decodeToken(compact);
  const texts = (await Promise.all(files.map(readYaml))).flat();
  const objects = texts.flatMap(({ text, file }) => readObjects(text, file));
  if (objects.length === 0) throw usage("there is no Kubernetes object in what was given");
  const [first = "ticket"] = files;
  const name = slug(path.basename(path.resolve(first)).replace(/\.ya?ml$/, ""));
  const image = await readFile(path.join(scenariosRoot, "workloads/nginx-proxy/nginx-proxy.yaml"), "utf8");
  return {
    ...{ name, objects, image, jwks: options.jwks },
    request: ofFile(files.join(", "), () => withPlaceholders(request, objects)),
    ...(token === undefined ? {} : { token }),
  };
}

/** @throws MeshproofError ERR_USAGE where the ticket's objects are not what their kinds say */
export function translated(files: readonly string[], ticket: Ticket): Translation {
  return ofFile(files.join(", "), () => translate(ticket));
}

function requestOf({ request: line, curl, header }: TicketOptions): TicketRequest {
  if (curl === undefined && line !== undefined) return readRequest(line, header);
  if (curl === undefined || line !== undefined) throw usage("name the request, by --request or by --curl");
  const asked = readCurlLine(curl);
  const more = readRequest(`${asked.method} ${asked.path}`, header);
  return { ...asked, headers: [...asked.headers, ...more.headers], left: [...asked.left, ...more.left] };
}

/** The YAML of a file, or of the files directly in a folder. */
async function readYaml(file: string): Promise<{ readonly file: string; readonly text: string }[]> {
  const found = await stat(file).catch((cause: unknown) => {
    throw new MeshproofError("ERR_USAGE", `${file} cannot be read`, { cause });
  });
  const names = found.isDirectory()
    ? (await readdir(file)).filter((name) => /^[^.].*\.ya?ml$/.test(name)).map((name) => path.join(file, name))
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
