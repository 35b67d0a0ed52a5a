/** A registry on loopback for tests, whose images are made of files. */

import { createHash } from "node:crypto";
import { lstat, readdir, readFile, readlink } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join, relative } from "node:path";
import { buffer } from "node:stream/consumers";
import { createGzip } from "node:zlib";
import { pack, type Header } from "tar-stream";
import type { Descriptor } from "./client.ts";

export interface TestImage {
  /** Repository and tag, such as `istio/pilot:1.29.2`. */
  readonly name: string;
  /** As Go calls it; this machine's where it is left out. */
  readonly architecture?: string;
  /** Content by absolute path. */
  readonly files: Readonly<Record<string, Buffer>>;
  /** A folder whose file system is the lowest layer, as of an image that is made on a distribution's. */
  readonly base?: string | undefined;
}

export interface TestRegistry extends AsyncDisposable {
  /** `127.0.0.1:PORT` */
  readonly host: string;
  /** Names of manifests and blobs, in the order in which they were asked for. */
  readonly asked: readonly string[];
  /** The digest of a tag. */
  digestOf(name: string): string;
  /** The digests of an image's layers, from the bottom. */
  layersOf(name: string): readonly string[];
  /** Makes a tag lead to this image. */
  push(image: TestImage): Promise<void>;
  /** From now on one byte of this blob is another. */
  spoil(digest: string): void;
  /** From now on the connection of each blob of a layer is cut in its middle, once; ranges are served. */
  cutEachOnce(): void;
  /** The next request is answered with 429 and these headers. */
  limitOnce(headers?: Readonly<Record<string, string>>): void;
  /** From now on `user:password` is wanted. */
  demandLogin(login: string): void;
}

/** Starts a registry that answers until it is disposed of. */
export async function startRegistry(images: readonly TestImage[]): Promise<TestRegistry> {
  const blobs = new Map<string, Buffer>();
  const tags = new Map<string, { readonly digest: string; readonly layers: readonly string[] }>();
  const asked: string[] = [];

  const add = (mediaType: string, bytes: Buffer): Descriptor => {
    const digest = `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
    blobs.set(digest, bytes);
    return { mediaType, digest, size: bytes.length };
  };
  const addJson = (mediaType: string, value: unknown) => add(mediaType, Buffer.from(JSON.stringify(value)));

  const push = async (image: TestImage): Promise<void> => {
    const { name, files, base: folder, architecture = hostArchitecture() } = image;
    const gzip = "application/vnd.oci.image.layer.v1.tar+gzip";
    const small = { "/etc/os-release": Buffer.from("NAME=test\n") };
    const base = add(gzip, await (folder === undefined ? layer(small) : layerOf(folder)));
    const layers = [base, add(gzip, await layer(files))];
    const manifests = [
      { own: [base], architecture: "riscv64" },
      { own: layers, architecture },
    ].map((platform) => {
      const config = addJson("application/vnd.oci.image.config.v1+json", {
        os: "linux",
        architecture: platform.architecture,
      });
      const manifest = { schemaVersion: 2, config, layers: platform.own };
      const { digest, size, mediaType } = addJson("application/vnd.oci.image.manifest.v1+json", manifest);
      return { digest, size, mediaType, platform: { os: "linux", architecture: platform.architecture } };
    });
    const index = addJson("application/vnd.oci.image.index.v1+json", { schemaVersion: 2, manifests });
    tags.set(name, { digest: index.digest, layers: layers.map(({ digest }) => digest) });
  };

  for (const image of images) await push(image);
  let limited: Readonly<Record<string, string>> | undefined;
  let login: string | undefined;
  let uncut: Set<string> | undefined;
  const server = createServer(({ url = "", headers }, response) => {
    if (limited !== undefined) {
      response.writeHead(429, limited).end();
      limited = undefined;
      return;
    }
    if (login !== undefined && headers.authorization !== `Basic ${Buffer.from(login).toString("base64")}`)
      return void response.writeHead(401, { "www-authenticate": 'Basic realm="test"' }).end();
    const [, repository, kind, what = ""] = /^\/v2\/(.+)\/(manifests|blobs)\/([^/]+)$/.exec(url) ?? [];
    asked.push(`${kind} ${what}`);
    const bytes = blobs.get(tags.get(`${repository}:${what}`)?.digest ?? what);
    if (!bytes) return void response.writeHead(404).end();
    const from = Number(/^bytes=(\d+)-$/.exec(headers.range ?? "")?.[1] ?? 0);
    response.writeHead(from > 0 ? 206 : 200, { "content-length": bytes.length - from });
    if (kind === "blobs" && uncut?.delete(what) && bytes.length > 1)
      return void response.write(bytes.subarray(from, bytes.length >> 1), () => response.destroy());
    response.end(bytes.subarray(from));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const entry = (name: string) => {
    const found = tags.get(name);
    if (!found) throw new Error(`the registry has no ${name}`);
    return found;
  };
  return {
    host: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    digestOf: (name) => entry(name).digest,
    layersOf: (name) => entry(name).layers,
    push,
    spoil(digest) {
      const bytes = Buffer.from(blobs.get(digest) ?? "");
      const middle = bytes.length >> 1;
      bytes.writeUInt8((bytes.readUInt8(middle) + 1) % 256, middle);
      blobs.set(digest, bytes);
    },
    cutEachOnce() {
      uncut = new Set([...tags.values()].flatMap(({ layers }) => layers));
    },
    limitOnce(headers = {}) {
      limited = headers;
    },
    demandLogin(wanted) {
      login = wanted;
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

const hostArchitecture = () => (process.arch === "x64" ? "amd64" : process.arch);

/** Names are absolute, as Istio's own image builder writes them. */
async function layer(files: TestImage["files"]): Promise<Buffer> {
  const tar = pack();
  const packed = buffer(tar.pipe(createGzip({ level: 1 })));
  for (const [name, content] of Object.entries(files))
    await new Promise<void>((resolve, reject) =>
      tar.entry({ name, mode: 0o755, mtime: new Date(0) }, content, (error) => (error ? reject(error) : resolve())),
    );
  tar.finalize();
  return packed;
}

/** A folder with its links and modes, as a container engine packs a distribution. */
async function layerOf(folder: string): Promise<Buffer> {
  const tar = pack();
  const packed = buffer(tar.pipe(createGzip({ level: 1 })));
  const add = (header: Partial<Header> & { readonly name: string }, content = Buffer.alloc(0)) =>
    new Promise<void>((resolve, reject) =>
      tar.entry({ ...header, mtime: new Date(0) }, content, (error) => (error ? reject(error) : resolve())),
    );
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    const name = relative(folder, path);
    const { mode } = await lstat(path);
    if (entry.isDirectory()) await add({ name, mode, type: "directory" });
    else if (entry.isSymbolicLink()) await add({ name, type: "symlink", linkname: await readlink(path) });
    else await add({ name, mode }, await readFile(path));
  }
  tar.finalize();
  return packed;
}
