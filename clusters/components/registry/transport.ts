/**
 * How a registry is asked: by https, with the login that Docker has for it, through the proxy of the environment, again where
 * it limits how often it is asked (OCI Distribution Specification; Docker's token authentication; Docker Hub's pull limit).
 */

import { Readable } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import { EnvHttpProxyAgent, fetch, type Dispatcher, type Response } from "undici";
import { MeshproofError } from "../../../harness/model/errors.ts";
import { findLogin } from "./credentials.ts";

export type { Response } from "undici";

/** Docker's own name for its registry is not the name of a host. */
const HOSTS: Readonly<Record<string, string>> = { "docker.io": "registry-1.docker.io" };

const LIMIT_MS = 30_000;

/** What a registry must take of a manifest (OCI Distribution Specification, "Pushing Manifests"); no JSON of a good one is larger. */
export const MOST_JSON_BYTES = 4 * 1024 * 1024;

const MOST_REDIRECTS = 5;

/** A limit that ends sooner than this is waited for, so many times. */
const LONGEST_WAIT_S = 30;
const MOST_WAITS = 3;

const LIMITED_HINT =
  "docker login gives a higher limit, and meshproof reads its login; --image-mirror names another registry; or wait, an hour for Docker Hub";

/**
 * The registry cannot be reached, refuses, or does not have what is asked for. What it did send is never the reason: bytes
 * that are not what a digest says are a plain MeshproofError.
 */
export class RegistryError extends MeshproofError {
  /** Whether something answered. */
  readonly reached: boolean;

  constructor(
    message: string,
    { reached = true, ...options }: { readonly hint: string; readonly cause?: unknown; readonly reached?: boolean },
  ) {
    super("ERR_COMPONENT", message, options);
    this.reached = reached;
  }
}

/** The {@link RegistryError} that an error is, or has as its cause. */
export function registryErrorOf(error: unknown): RegistryError | undefined {
  for (let at = error; at instanceof Error; at = at.cause) if (at instanceof RegistryError) return at;
  return undefined;
}

/** Creates the error of a failure. */
export interface Words {
  readonly what: string;
  readonly hint: string;
}

/** One repository of a registry. */
export interface Repository {
  readonly tag: string;
  /** The digest that the name has. */
  readonly pinned: string | undefined;
  /** The registry or the way to it is at fault. */
  failure(
    why: string,
    options?: { readonly cause?: unknown; readonly hint?: string; readonly reached?: boolean },
  ): RegistryError;
  /** What it sent is at fault. */
  wrong(why: string, options?: { readonly cause?: unknown }): MeshproofError;
  /** @param path below the repository, such as `manifests/1.31.0` */
  ask(path: string, headers: Readonly<Record<string, string>>, limit?: AbortSignal): Promise<Response>;
  /** The body of an answer, of at most {@link MOST_JSON_BYTES}, independent of its Content-Length. */
  read(response: Response): Promise<Buffer>;
}

/** A time limit for what is small. */
export const soon = (): AbortSignal => AbortSignal.timeout(LIMIT_MS);

const isLoopback = (hostname: string): boolean => /^(localhost|127(\.\d+){3}|\[::1\])$/.test(hostname);

let proxy: Dispatcher | undefined;

/** HTTPS_PROXY, HTTP_PROXY and NO_PROXY hold; what is on this machine is asked directly. */
export function dispatcherFor(url: URL): { readonly dispatcher?: Dispatcher } {
  if (isLoopback(url.hostname)) return {};
  return { dispatcher: (proxy ??= new EnvHttpProxyAgent()) };
}

/**
 * @param reference a full name: registry, repository, and a tag, a digest or both
 * @param ended ends all current reads
 */
export function repositoryOf(reference: string, { what, hint }: Words, ended?: AbortSignal): Repository {
  const [, registry = "", repository = "", tag = "latest", pinned] =
    /^([^/]+)\/(.+?)(?::([^:/@]+))?(?:@(sha256:[0-9a-f]{64}))?$/.exec(reference) ?? [];
  const host = HOSTS[registry] ?? registry;
  const scheme = /^(localhost|127\.0\.0\.1|\[::1\])(:|$)/.test(host) ? "http" : "https";
  const base = new URL(`${scheme}://${host}/v2/${repository}`);
  let authorization: Record<string, string> = {};

  const told = (why: string): string => `${what} ${reference} cannot be read: ${why}`;
  const failure: Repository["failure"] = (why, options = {}) => new RegistryError(told(why), { hint, ...options });
  const wrong: Repository["wrong"] = (why, options = {}) =>
    new MeshproofError("ERR_COMPONENT", told(why), { hint, ...options });

  /** Follows redirects by https alone, or on loopback where the registry is there; credentials stay with the registry. */
  const get = async (url: URL, headers: Readonly<Record<string, string>>, limit?: AbortSignal): Promise<Response> => {
    const signals = [limit, ended].filter((signal) => signal !== undefined);
    let at = url;
    for (let redirects = 0; redirects <= MOST_REDIRECTS; redirects++) {
      const { Authorization: _, ...elsewhere } = headers;
      const response = await fetch(at.href, {
        headers: at.origin === url.origin ? headers : elsewhere,
        redirect: "manual",
        signal: AbortSignal.any(signals),
        ...dispatcherFor(at),
      }).catch((cause: unknown) => {
        const why = cause instanceof Error && cause.cause instanceof Error ? cause.cause.message : String(cause);
        throw failure(`${at.host} cannot be reached: ${why}`, { cause, reached: false });
      });
      const location = response.headers.get("location");
      if (response.status < 300 || response.status > 399 || location === null) return response;
      await response.body?.cancel();
      if (!URL.canParse(location, at.href)) throw failure(`${at.host} redirects to something that is not a URL`);
      at = new URL(location, at);
      if (!mayAsk(base, at)) throw failure(`the registry redirects to ${at.origin}, which meshproof does not use`);
    }
    throw failure(`the registry redirects more than ${MOST_REDIRECTS} times`);
  };

  /** Waits if the registry limits the rate of requests and names the time of the next one. */
  const getInTurn: typeof get = async (url, headers, limit) => {
    for (let waits = 0; ; waits++) {
      const response = await get(url, headers, limit);
      if (response.status !== 429) return response;
      const seconds = Number(response.headers.get("retry-after") ?? Number.NaN);
      await response.body?.cancel();
      if (waits >= MOST_WAITS || !(seconds >= 0 && seconds <= LONGEST_WAIT_S))
        throw failure(`${url.host} limits how often it is asked (429 Too Many Requests)`, { hint: LIMITED_HINT });
      await delay(seconds * 1000, undefined, ended ? { signal: ended } : {});
    }
  };

  const read: Repository["read"] = async (response) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    for await (const chunk of Readable.fromWeb((response.body ?? new Blob([]).stream()) as never)) {
      bytes += (chunk as Buffer).length;
      if (bytes > MOST_JSON_BYTES)
        throw wrong(`${new URL(response.url).host} sends more than ${MOST_JSON_BYTES} bytes of JSON`);
      chunks.push(chunk as Buffer);
    }
    return Buffer.concat(chunks);
  };

  /** @throws RegistryError where it wants what is not to be had */
  const authorize = async (challenge: string): Promise<Record<string, string>> => {
    const login = await findLogin(registry);
    const basic = login && {
      Authorization: `Basic ${Buffer.from(`${login.user}:${login.password}`).toString("base64")}`,
    };
    if (/^basic /i.test(challenge) && basic) return basic;
    const realm = realmOf(challenge);
    if (realm && !isOwnRealm(base, realm))
      throw failure(
        `the registry requires a token from ${realm.origin}; meshproof gets tokens only from the registry's own site, by https`,
      );
    const token = realm && (await tokenOf(await getInTurn(realm, basic ?? {}, soon()), read));
    if (token !== undefined) return { Authorization: `Bearer ${token}` };
    throw failure(login ? "the registry refuses the login that Docker has for it" : "the registry wants credentials", {
      hint: `docker login ${registry} keeps a login that meshproof reads; ${hint}`,
    });
  };

  return {
    tag,
    pinned,
    failure,
    wrong,
    read,
    async ask(path, headers, limit) {
      const url = new URL(`${base.href}/${path}`);
      let response = await getInTurn(url, { ...headers, ...authorization }, limit);
      if (response.status === 401) {
        await response.body?.cancel();
        authorization = await authorize(response.headers.get("www-authenticate") ?? "");
        response = await getInTurn(url, { ...headers, ...authorization }, limit);
      }
      if (response.ok) return response;
      await response.body?.cancel();
      throw failure(`the registry answers ${response.status}${response.status === 404 ? ", so it has none" : ""}`);
    },
  };
}

/** Where a token is to be had; undefined where the registry wants another kind of login. */
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
 * What it answers is sent to the registry, and a login is sent to it.
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
async function tokenOf(response: Response, read: Repository["read"]): Promise<string | undefined> {
  if (!response.ok) {
    await response.body?.cancel();
    return undefined;
  }
  const text = (await read(response)).toString("utf8");
  try {
    const { token, access_token: accessToken } = JSON.parse(text) as { token?: unknown; access_token?: unknown };
    const found = token ?? accessToken;
    return typeof found === "string" && /^[\w.~+/=-]+$/.test(found) ? found : undefined;
  } catch {
    return undefined;
  }
}
