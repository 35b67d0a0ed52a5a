/** Reads images from a registry (OCI Distribution Specification, "Pulling manifests" and "Pulling blobs"). */

import { createHash } from "node:crypto";
import { open } from "node:fs/promises";
import { Readable } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import { MeshproofError } from "../../../harness/model/errors.ts";
import { MOST_JSON_BYTES, repositoryOf, soon, type Repository, type Response } from "./transport.ts";

/** What a tag may be: for several platforms, which is what Docker pulls by, or for one. */
const ACCEPT = [
  "application/vnd.oci.image.index.v1+json",
  "application/vnd.docker.distribution.manifest.list.v2+json",
  "application/vnd.oci.image.manifest.v1+json",
  "application/vnd.docker.distribution.manifest.v2+json",
].join(", ");

/** A blob whose connection is cut is asked for from there on, so many times in a row without a new byte. */
const MOST_CUTS = 4;

/** Before a blob is asked for again; doubled each time. */
const FIRST_PAUSE_MS = 250;

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
  /** `sha256:…` of the tag's manifest; of the index if there are several platforms. */
  readonly digest: string;
  /** From the bottom. */
  readonly layers: readonly Descriptor[];
  /**
   * Writes a blob to a file and verifies its digest. A download that is cut off is resumed.
   * @param received called with the number of received bytes, each time that some arrive
   * @throws MeshproofError ERR_COMPONENT for other bytes, or fewer or more of them; a RegistryError where they do not come
   */
  download(blob: Descriptor, file: string, received?: (bytes: number) => void): Promise<void>;
}

const DIGEST_WORDS = { what: "the digest of", hint: "give it with --image-digest, or have Docker pull the image" };
const IMAGE_WORDS = { what: "the image", hint: "use another registry: --image-mirror" };

interface ReadOptions {
  /** What to do where it cannot be read, one sentence. */
  readonly hint?: string;
  /** Ends all current reads. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * The digest that a tag has now.
 * @param image a full name: registry, repository, tag
 * @returns `sha256:…`, computed from the bytes that the registry sent
 * @throws RegistryError where the registry cannot be reached, refuses, or has no such image
 */
export async function readDigest(
  image: string,
  { hint = DIGEST_WORDS.hint, signal }: ReadOptions = {},
): Promise<string> {
  const repository = repositoryOf(image, { ...DIGEST_WORDS, hint }, signal);
  return (await readManifest(repository, repository.tag)).digest;
}

/**
 * Finds an image for a platform of Linux.
 * @param reference a full name: registry, repository, and a tag, a digest or both
 * @param architecture as Go names it, such as `amd64`
 * @throws MeshproofError ERR_COMPONENT where the image is for other platforms, or the registry sends other bytes than a digest
 *   says; a RegistryError where it cannot be reached, refuses, or has no such image
 */
export async function openImage(
  reference: string,
  architecture: string,
  { hint = IMAGE_WORDS.hint, signal }: ReadOptions = {},
): Promise<RegistryImage> {
  const repository = repositoryOf(reference, { ...IMAGE_WORDS, hint }, signal);
  const { tag, pinned, wrong } = repository;
  const top = await readManifest(repository, pinned ?? tag);
  const index = parse<{ manifests?: Descriptor[] }>(top.body);
  const platforms = (index.manifests ?? []).map(({ platform }) => `${platform?.os}/${platform?.architecture}`);
  const ours = index.manifests?.[platforms.indexOf(`linux/${architecture}`)];
  if (index.manifests && !ours)
    throw wrong(`it is for ${platforms.join(", ") || "no platform"}, not for linux/${architecture}`);
  const { body } = ours ? await readManifest(repository, ours.digest) : top;
  const { config, layers } = parse<{ config?: Descriptor; layers?: Descriptor[] }>(body);
  if (!config || !layers) throw wrong("its manifest is not one of an image that OCI or Docker's schema 2 describes");
  // Only the configuration of a single-platform image names its platform.
  const { os, architecture: found } = parse<{ os?: string; architecture?: string }>(await readConfig(config));
  if (os !== "linux" || found !== architecture) throw wrong(`it is for ${os}/${found}, not for linux/${architecture}`);
  return {
    reference,
    layers,
    digest: top.digest,
    download: (blob, file, received) => downloadBlob(repository, blob, file, { signal, received }),
  };

  function parse<T>(text: Buffer): T {
    try {
      return JSON.parse(text.toString("utf8")) as T;
    } catch (cause) {
      throw wrong("its description is not JSON", { cause });
    }
  }

  async function readConfig({ size, digest }: Descriptor): Promise<Buffer> {
    if (!(size <= MOST_JSON_BYTES))
      throw wrong(`its configuration has ${size} bytes, and more than ${MOST_JSON_BYTES} are not read`);
    const body = await repository.read(await repository.ask(`blobs/${digest}`, {}, soon()));
    const has = digestOf(body);
    if (has !== digest) throw wrong(`its blob ${digest} does not match the manifest: it is ${has}`);
    return body;
  }
}

const digestOf = (bytes: Buffer): string => `sha256:${createHash("sha256").update(bytes).digest("hex")}`;

/** A manifest by tag or digest, with the digest of what was sent. */
async function readManifest(
  { ask, read, wrong }: Repository,
  name: string,
): Promise<{ readonly body: Buffer; readonly digest: string }> {
  const response = await ask(`manifests/${name}`, { Accept: ACCEPT }, soon());
  const body = await read(response);
  const digest = digestOf(body);
  const told = name.startsWith("sha256:") ? name : response.headers.get("docker-content-digest");
  if (told?.startsWith("sha256:") && told !== digest)
    throw wrong(
      name === told
        ? `${told} was requested, but the registry sent ${digest}`
        : `the registry announced ${told}, but sent ${digest}`,
    );
  return { body, digest };
}

async function downloadBlob(
  repository: Repository,
  { digest, size }: Descriptor,
  file: string,
  {
    signal,
    received,
  }: { readonly signal: AbortSignal | undefined; readonly received?: ((bytes: number) => void) | undefined },
): Promise<void> {
  const wrong = (why: string): MeshproofError =>
    repository.wrong(`its blob ${digest} does not match the manifest: ${why}`);
  await using output = await open(file, "w");
  let hash = createHash("sha256");
  let bytes = 0;
  for (let cuts = 0; ;) {
    const before = bytes;
    const response = await repository.ask(`blobs/${digest}`, before === 0 ? {} : { Range: `bytes=${before}-` });
    // A registry need not know ranges: then all of it comes again (RFC 9110, section 14.2).
    if (before > 0 && response.status !== 206) {
      bytes = 0;
      hash = createHash("sha256");
    }
    const cut = await receive(response);
    if (cut === undefined) break;
    if (signal?.aborted) throw repository.failure("it was interrupted", { cause: cut });
    cuts = bytes > before ? 1 : cuts + 1;
    if (cuts > MOST_CUTS)
      throw repository.failure(`the connection ended after ${bytes} of ${size} bytes of its blob ${digest}`, {
        cause: cut,
      });
    await delay(FIRST_PAUSE_MS * 2 ** (cuts - 1), undefined, signal ? { signal } : {});
  }
  const found = `sha256:${hash.digest("hex")}`;
  if (found !== digest) throw wrong(`it is ${found}`);

  /** @returns why fewer bytes came than were promised; undefined where all have come */
  async function receive(response: Response): Promise<unknown> {
    try {
      for await (const chunk of Readable.fromWeb((response.body ?? new Blob([]).stream()) as never)) {
        const data = chunk as Buffer;
        if (bytes + data.length > size) throw wrong(`more than ${size} bytes`);
        hash.update(data);
        await output.write(data, 0, data.length, bytes);
        bytes += data.length;
        received?.(data.length);
      }
    } catch (error) {
      if (error instanceof MeshproofError || isFull(error)) throw error;
      return error;
    }
    return bytes === size ? undefined : new Error(`${bytes} bytes instead of ${size}`);
  }
}

/** An error of this machine's own disk has the name of a system call. */
function isFull(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).syscall === "write";
}
