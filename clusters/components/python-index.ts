/** Downloads a file from the Python Package Index, or the index that pip is configured to use (PyPA, "Simple repository API"). */

import { createHash } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { fetch, type Response } from "undici";

import { MeshproofError } from "../../harness/model/errors.ts";
import { placeInHome, placeOfUser } from "../../harness/own.ts";
import { dispatcherFor } from "./registry/transport.ts";

const PYPI = "https://pypi.org/simple";
const ACCEPT = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1";
const TRIES = 3;
const LIMIT_MS = 10 * 60_000;

/**
 * Writes the file of a project that has this hash.
 * @param sha256 hexadecimal
 * @throws MeshproofError ERR_COMPONENT where no index has it, or other bytes come
 */
export async function downloadFile(
  project: string,
  sha256: string,
  file: string,
  { signal, index }: { readonly signal?: AbortSignal | undefined; readonly index?: string } = {},
): Promise<void> {
  const base = index ?? (await configuredIndex());
  const page = new URL(`${base.replace(/\/+$/, "")}/${project}/`);
  const get = async (url: URL, accept: string): Promise<Response> => {
    const response = await fetch(withoutLogin(url), {
      headers: { accept, ...loginOf(url) },
      signal: AbortSignal.any([AbortSignal.timeout(LIMIT_MS), ...(signal ? [signal] : [])]),
      ...dispatcherFor(url),
    });
    if (response.ok) return response;
    await response.body?.cancel();
    throw new Error(`${url.host} answers ${response.status}`);
  };
  const attempt = async (): Promise<Buffer> => {
    const listing = await get(page, ACCEPT);
    const link = linkOf(await listing.text(), listing.headers.get("content-type") ?? "", sha256);
    if (link === undefined) throw new Error(`${page.host} has no file with the SHA-256 ${sha256}`);
    const target = new URL(link, listing.url || page);
    return Buffer.from(await (await get(target, "*/*")).arrayBuffer());
  };
  for (let tries = 1; ; tries++) {
    try {
      const bytes = await attempt();
      const found = createHash("sha256").update(bytes).digest("hex");
      if (found !== sha256) throw new Error(`its SHA-256 is ${found}, not ${sha256}`);
      return await writeFile(file, bytes);
    } catch (cause) {
      if (signal?.aborted) throw new MeshproofError("ERR_INTERRUPTED", "interrupted", { cause });
      if (tries < TRIES) continue;
      const inner = cause instanceof Error && cause.cause instanceof Error ? `: ${cause.cause.message}` : "";
      throw new MeshproofError(
        "ERR_COMPONENT",
        `${project} cannot be downloaded: ${(cause as Error).message}${inner}`,
        {
          hint: "PIP_INDEX_URL names another Python package index",
          cause,
        },
      );
    }
  }
}

/** The link to the file with this hash, of a page in JSON (PEP 691) or in HTML (PEP 503). */
export function linkOf(page: string, type: string, sha256: string): string | undefined {
  if (type.includes("json")) {
    const { files = [] } = JSON.parse(page) as { files?: { url: string; hashes?: { sha256?: string } }[] };
    return files.find(({ hashes }) => hashes?.sha256 === sha256)?.url;
  }
  const links = [...page.matchAll(/href="([^"]+)"/g)].map(([, link = ""]) => link.replaceAll("&amp;", "&"));
  return links.find((link) => link.endsWith(`#sha256=${sha256}`));
}

/** Where pip would look, since a company's mirror is named there (pip, "Configuration"). */
async function configuredIndex(): Promise<string> {
  if (process.env["PIP_INDEX_URL"]) return process.env["PIP_INDEX_URL"];
  const files = [
    ...(process.env["PIP_CONFIG_FILE"] ? [process.env["PIP_CONFIG_FILE"]] : []),
    join(placeOfUser("XDG_CONFIG_HOME", ".config"), "pip", "pip.conf"),
    join(placeInHome(".pip"), "pip.conf"),
    "/etc/pip.conf",
  ];
  for (const file of files) {
    const url = /^\s*index-url\s*=\s*(\S+)/m.exec(await readFile(file, "utf8").catch(() => ""))?.[1];
    if (url !== undefined && URL.canParse(url)) return url;
  }
  return PYPI;
}

function loginOf({ username, password }: URL): Record<string, string> {
  if (username === "") return {};
  const login = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
  return { authorization: `Basic ${Buffer.from(login).toString("base64")}` };
}

function withoutLogin(url: URL): string {
  const plain = new URL(url);
  plain.username = plain.password = "";
  return plain.href;
}
