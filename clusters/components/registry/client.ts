/** Reads from a registry (OCI Distribution Specification, "Pulling manifests" and "Pulling blobs"; Docker's token authentication). */

import { createHash } from "node:crypto";
import { createWriteStream } from "node:fs";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { MeshproofError } from "../../../harness/model/errors.ts";

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

/** What a registry must take of a manifest (OCI Distribution Specification, "Pushing Manifests"); no JSON of a good one is larger. */
export const MOST_JSON_BYTES = 4 * 1024 * 1024;

/** A registry that sends from one place to the next leads nowhere. */
const MOST_REDIRECTS = 5;

const isLoopback = (hostname: string): boolean => /^(localhost|127(\.\d+){3}|\[::1\])$/.test(hostname);

/** A blob of an image (OCI Image Specification, "Content Descriptors"). */
export interface Descriptor {
  readonly mediaType: string;
  /** `sha256:…` */
  readonly digest: string;
  /** Bytes. */
  readonly size: number;
  readonly platform?: { readonly os: string; readonly architecture: string };
}

/** An image for one platform. */
export interface RegistryImage {
  readonly reference: string;
  /** `sha256:…` of what the tag leads to, for all platforms where it is for several. */
  readonly digest: string;
  /** From the bottom. */
  readonly layers: readonly Descriptor[];
  /**
   * Writes a blob to a file, which holds what its digest says once this returns.
   * @throws MeshproofError ERR_COMPONENT for other bytes, or fewer or more of them
   */
  download(blob: Descriptor, file: string): Promise<void>;
}

/** How a failure is told. */
interface Words {
  readonly what: string;
  readonly hint: string;
}

const DIGEST_WORDS = { what: "the digest of", hint: "give it with --image-digest, or have Docker pull the image" };
const IMAGE_WORDS = { what: "the image", hint: "another registry is named by --image-mirror" };

interface ReadOptions {
  /** What to do where it cannot be read, one sentence. */
  readonly hint?: string;
  /** Ends whatever is being read. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * The digest that a tag has now, read without credentials.
 * @param image a full name: registry, repository, tag
 * @returns `sha256:…`, of what the registry sent, not of what it says
 * @throws MeshproofError ERR_COMPONENT where the registry cannot be reached, refuses, or has no such image
 */
export async function readDigest(
  image: string,
  { hint = DIGEST_WORDS.hint, signal }: ReadOptions = {},
): Promise<string> {
  const { tag, manifest } = repositoryOf(image, { ...DIGEST_WORDS, hint }, signal);
  return (await manifest(tag)).digest;
}

/**
 * Finds an image for a platform of Linux, read without credentials.
 * @param reference a full name: registry, repository, and a tag, a digest or both
 * @param architecture as Go names it, such as `amd64`
 * @throws MeshproofError ERR_COMPONENT where the registry cannot be reached, refuses, has no such image, none for this
 *   platform, or sends other bytes than a digest says
 */
export async function openImage(
  reference: string,
  architecture: string,
  { hint = IMAGE_WORDS.hint, signal }: ReadOptions = {},
): Promise<RegistryImage> {
  const { tag, pinned, manifest, blob, failure } = repositoryOf(reference, { ...IMAGE_WORDS, hint }, signal);
  const top = await manifest(pinned ?? tag);
  const index = parse<{ manifests?: Descriptor[] }>(top.body);
  const platforms = (index.manifests ?? []).map(({ platform }) => `${platform?.os}/${platform?.architecture}`);
  const ours = index.manifests?.[platforms.indexOf(`linux/${architecture}`)];
  if (index.manifests && !ours)
    throw failure(`it is for ${platforms.join(", ") || "no platform"}, not for linux/${architecture}`);
  const { body } = ours ? await manifest(ours.digest) : top;
  const { config, layers } = parse<{ config?: Descriptor; layers?: Descriptor[] }>(body);
  if (!config || !layers) throw failure("its manifest is none of an image that OCI or Docker's schema 2 describes");
  // An image for one platform says in its configuration alone which.
  const { os, architecture: found } = parse<{ os?: string; architecture?: string }>(await blobText(config));
  if (os !== "linux" || found !== architecture)
    throw failure(`it is for ${os}/${found}, not for linux/${architecture}`);
  return { reference, digest: top.digest, layers, download };

  function parse<T>(text: Buffer): T {
    try {
      return JSON.parse(text.toString("utf8")) as T;
    } catch (cause) {
      throw failure("its description is not JSON", { cause });
    }
  }

  async function blobText(descriptor: Descriptor): Promise<Buffer> {
    if (!(descriptor.size <= MOST_JSON_BYTES))
      throw failure(`its configuration has ${descriptor.size} bytes, and more than ${MOST_JSON_BYTES} are not read`);
    const chunks: Buffer[] = [];
    for await (const chunk of verified(descriptor, await blob(descriptor.digest))) chunks.push(chunk);
    return Buffer.concat(chunks);
  }

  async function download(descriptor: Descriptor, file: string): Promise<void> {
    const source = await blob(descriptor.digest);
    await pipeline(verified(descriptor, source), createWriteStream(file));
  }

  /** Passes bytes on, and fails at the end, or where there are too many, unless they are what was promised. */
  async function* verified({ digest, size }: Descriptor, response: Response): AsyncGenerator<Buffer> {
    const hash = createHash("sha256");
    let bytes = 0;
    const wrong = (why: string, options = {}) =>
      failure(`its blob ${digest} is not what the manifest says: ${why}`, options);
    try {
      for await (const chunk of Readable.fromWeb(response.body ?? new Blob([]).stream())) {
        bytes += (chunk as Buffer).length;
        if (bytes > size) throw wrong(`more than ${size} bytes`);
        hash.update(chunk as Buffer);
        yield chunk as Buffer;
      }
    } catch (cause) {
      if (cause instanceof MeshproofError) throw cause;
      throw wrong(`the connection ended after ${bytes} of ${size} bytes`, { cause });
    }
    if (bytes !== size) throw wrong(`${bytes} bytes instead of ${size}`);
    const found = `sha256:${hash.digest("hex")}`;
    if (found !== digest) throw wrong(`it is ${found}`);
  }
}

/** The parts of a name, and how its repository is asked. */
function repositoryOf(reference: string, { what, hint }: Words, ended?: AbortSignal) {
  const [, registry = "", repository = "", tag = "latest", pinned] =
    /^([^/]+)\/(.+?)(?::([^:/@]+))?(?:@(sha256:[0-9a-f]{64}))?$/.exec(reference) ?? [];
  const host = HOSTS[registry] ?? registry;
  const scheme = /^(localhost|127\.0\.0\.1|\[::1\])(:|$)/.test(host) ? "http" : "https";
  const base = `${scheme}://${host}/v2/${repository}`;
  let authorization: Record<string, string> = {};

  const failure = (why: string, options: { cause?: unknown } = {}): MeshproofError =>
    new MeshproofError("ERR_COMPONENT", `${what} ${reference} cannot be read: ${why}`, { hint, ...options });

  /** Follows redirects by https alone, or on loopback where the registry is there; credentials stay with the registry. */
  const get = async (url: string, headers: Record<string, string>, limit?: AbortSignal): Promise<Response> => {
    const signals = [limit, ended].filter((signal) => signal !== undefined);
    let at = new URL(url);
    for (let redirects = 0; redirects <= MOST_REDIRECTS; redirects++) {
      const { Authorization: _, ...elsewhere } = headers;
      const own = at.origin === new URL(base).origin;
      const options = {
        headers: own ? headers : elsewhere,
        redirect: "manual",
        signal: AbortSignal.any(signals),
      } as const;
      const response = await fetch(at.href, options).catch((cause: unknown) => {
        const why = cause instanceof Error && cause.cause instanceof Error ? cause.cause.message : String(cause);
        throw failure(`${at.host} cannot be reached: ${why}`, { cause });
      });
      const location = response.headers.get("location");
      if (response.status < 300 || response.status > 399 || location === null) return response;
      await response.body?.cancel();
      if (!URL.canParse(location, at.href)) throw failure(`${at.host} redirects to what is not a URL`);
      at = new URL(location, at);
      if (!mayAsk(new URL(base), at)) throw failure(`the registry redirects to ${at.origin}, which is not asked`);
    }
    throw failure(`the registry redirects more than ${MOST_REDIRECTS} times`);
  };

  /** The body, which is JSON, of at most {@link MOST_JSON_BYTES}, whatever length was said before. */
  const readJson = async (response: Response): Promise<Buffer> => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    for await (const chunk of Readable.fromWeb(response.body ?? new Blob([]).stream())) {
      bytes += (chunk as Buffer).length;
      if (bytes > MOST_JSON_BYTES)
        throw failure(`${new URL(response.url).host} sends more than ${MOST_JSON_BYTES} bytes of JSON`);
      chunks.push(chunk as Buffer);
    }
    return Buffer.concat(chunks);
  };

  const ask = async (path: string, headers: Record<string, string>, signal?: AbortSignal): Promise<Response> => {
    let response = await get(`${base}/${path}`, { ...headers, ...authorization }, signal);
    if (response.status === 401) {
      const challenge = response.headers.get("www-authenticate") ?? "";
      const realm = realmOf(challenge);
      if (realm && !isOwnRealm(new URL(base), realm))
        throw failure(
          `the registry wants a token of ${realm.origin}, which is not its own site by https, and is not asked`,
        );
      const token = realm && (await fetchToken(await get(realm.href, {}, AbortSignal.timeout(LIMIT_MS)), readJson));
      if (token === undefined) throw failure("the registry wants credentials, and meshproof sends none");
      authorization = { Authorization: `Bearer ${token}` };
      response = await get(`${base}/${path}`, { ...headers, ...authorization }, signal);
    }
    if (!response.ok)
      throw failure(`the registry answers ${response.status}${response.status === 404 ? ", so it has none" : ""}`);
    return response;
  };

  return {
    tag,
    pinned,
    failure,
    /** A manifest by tag or digest, with the digest of what was sent. */
    async manifest(name: string): Promise<{ readonly body: Buffer; readonly digest: string }> {
      const response = await ask(`manifests/${name}`, { Accept: ACCEPT }, AbortSignal.timeout(LIMIT_MS));
      const body = await readJson(response);
      const digest = `sha256:${createHash("sha256").update(body).digest("hex")}`;
      const told = name.startsWith("sha256:") ? name : response.headers.get("docker-content-digest");
      if (told?.startsWith("sha256:") && told !== digest)
        throw failure(
          name === told
            ? `${told} was asked for, and what the registry sends is ${digest}`
            : `the registry says ${told}, and what it sends is ${digest}`,
        );
      return { body, digest };
    },
    // Without a limit of its own: a layer takes as long as it takes, and fetch gives up on a connection that is silent.
    blob: (digest: string): Promise<Response> => ask(`blobs/${digest}`, {}),
  };
}

/** Where a token is to be had anonymously, as `docker pull` does without a login; undefined where the registry wants another kind. */
function realmOf(challenge: string): URL | undefined {
  if (!/^bearer /i.test(challenge)) return undefined;
  const fields = Object.fromEntries(
    [...challenge.matchAll(/(\w+)="([^"]*)"/g)].map(([, key = "", value = ""]) => [key, value]),
  );
  if (fields["realm"] === undefined || !URL.canParse(fields["realm"])) return undefined;
  const url = new URL(fields["realm"]);
  for (const key of ["service", "scope"]) if (fields[key] !== undefined) url.searchParams.set(key, fields[key]);
  return url;
}

/** By https, and never a place of this machine, unless the registry is there itself. */
function mayAsk(registry: URL, url: URL): boolean {
  if (isLoopback(registry.hostname)) return isLoopback(url.hostname) || url.protocol === "https:";
  return url.protocol === "https:" && !isLoopback(url.hostname);
}

/**
 * Whether a token's place belongs to the registry: its own host, or another one of the domain that its host is in (such as
 * auth.docker.io of registry-1.docker.io, gitlab.com of registry.gitlab.com), by https; on loopback where the registry is there.
 * What it answers is sent to the registry, so that a realm elsewhere would tell the registry what it cannot read itself.
 */
export function isOwnRealm(registry: URL, realm: URL): boolean {
  if (isLoopback(registry.hostname)) return isLoopback(realm.hostname);
  if (realm.protocol !== "https:" || realm.username !== "" || realm.password !== "") return false;
  const [own, other] = [registry.hostname, realm.hostname].map((host) => host.toLowerCase());
  if (own === undefined || other === undefined) return false;
  if (own === other) return true;
  // An address has no domain.
  if (/^[\d.]+$|^\[/.test(own)) return false;
  const domain = own.slice(own.indexOf(".") + 1);
  return domain.includes(".") && (other === domain || other.endsWith(`.${domain}`));
}

/** The token, and nothing else, of the answer; undefined for what cannot be one. */
async function fetchToken(
  response: Response,
  readJson: (response: Response) => Promise<Buffer>,
): Promise<string | undefined> {
  if (!response.ok) return undefined;
  const text = (await readJson(response)).toString("utf8");
  try {
    const { token, access_token: accessToken } = JSON.parse(text) as { token?: unknown; access_token?: unknown };
    const found = token ?? accessToken;
    return typeof found === "string" && /^[\w.~+/=-]+$/.test(found) ? found : undefined;
  } catch {
    return undefined;
  }
}
