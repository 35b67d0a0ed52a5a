/** Asks a registry which digest a tag has (OCI Distribution Specification, "Pulling manifests"; Docker's token authentication). */

import { createHash } from "node:crypto";
import { MeshproofError } from "../../harness/errors.ts";

/** What a tag may be: for several platforms, which is what Docker pulls by, or for one. */
const ACCEPT = [
  "application/vnd.oci.image.index.v1+json",
  "application/vnd.docker.distribution.manifest.list.v2+json",
  "application/vnd.oci.image.manifest.v1+json",
  "application/vnd.docker.distribution.manifest.v2+json",
].join(", ");

/** Docker's own name for its registry is none of a host. */
const HOSTS: Readonly<Record<string, string>> = { "docker.io": "registry-1.docker.io" };

const LIMIT_MS = 30_000;

/**
 * The digest that a tag has now, read without credentials.
 * @param image a full name: registry, repository, tag
 * @returns `sha256:…`, of what the registry sent, not of what it says
 * @throws MeshproofError ERR_COMPONENT where the registry cannot be reached, refuses, or has no such image
 */
export async function readDigest(image: string): Promise<string> {
  const [, registry = "", repository = "", tag = ""] = /^([^/]+)\/(.+):([^:/]+)$/.exec(image) ?? [];
  const host = HOSTS[registry] ?? registry;
  const scheme = /^(localhost|127\.0\.0\.1|\[::1\])(:|$)/.test(host) ? "http" : "https";
  const url = `${scheme}://${host}/v2/${repository}/manifests/${tag}`;
  const get = async (target: string, headers: Record<string, string>): Promise<Response> => {
    return fetch(target, { headers, signal: AbortSignal.timeout(LIMIT_MS) }).catch((cause: unknown) => {
      const why = cause instanceof Error && cause.cause instanceof Error ? cause.cause.message : String(cause);
      throw failure(image, `${new URL(target).host} cannot be reached: ${why}`, { cause });
    });
  };
  let response = await get(url, { Accept: ACCEPT });
  if (response.status === 401) {
    const challenge = response.headers.get("www-authenticate") ?? "";
    const token = await fetchToken(challenge, get);
    if (token === undefined) throw failure(image, "the registry wants credentials, and meshproof sends none");
    response = await get(url, { Accept: ACCEPT, Authorization: `Bearer ${token}` });
  }
  if (!response.ok) throw failure(image, `the registry answers ${response.status}`);
  const body = Buffer.from(await response.arrayBuffer());
  const digest = `sha256:${createHash("sha256").update(body).digest("hex")}`;
  const told = response.headers.get("docker-content-digest");
  if (told?.startsWith("sha256:") && told !== digest)
    throw failure(image, `the registry says ${told}, and what it sends is ${digest}`);
  return digest;
}

/** Anonymous, as `docker pull` does without a login. */
async function fetchToken(
  challenge: string,
  get: (url: string, headers: Record<string, string>) => Promise<Response>,
): Promise<string | undefined> {
  if (!/^bearer /i.test(challenge)) return undefined;
  const fields = Object.fromEntries(
    [...challenge.matchAll(/(\w+)="([^"]*)"/g)].map(([, key = "", value = ""]) => [key, value]),
  );
  if (fields["realm"] === undefined || !URL.canParse(fields["realm"])) return undefined;
  const url = new URL(fields["realm"]);
  for (const key of ["service", "scope"]) if (fields[key] !== undefined) url.searchParams.set(key, fields[key]);
  const response = await get(url.href, {});
  if (!response.ok) return undefined;
  const { token, access_token: accessToken } = (await response.json()) as { token?: string; access_token?: string };
  return token ?? accessToken;
}

function failure(image: string, why: string, options: { cause?: unknown } = {}): MeshproofError {
  return new MeshproofError("ERR_COMPONENT", `the digest of ${image} cannot be read: ${why}`, {
    hint: "give it with --image-digest, or have Docker pull the image",
    ...options,
  });
}
