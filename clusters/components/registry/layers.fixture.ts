/** An image of layers that a test writes entry by entry, in a registry on loopback. */

import { createHash } from "node:crypto";
import { mkdir, mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import type { TestContext } from "node:test";
import { pack, type Header } from "tar-stream";
import { openImage, type Descriptor } from "./client.ts";
import { takeFiles, type TakeOptions } from "./unpack.ts";

export const ENVOY = "usr/local/bin/envoy";
export const OCI = "application/vnd.oci.image.layer.v1.tar";
export const DOCKER = "application/vnd.docker.image.rootfs.diff.tar.gzip";

export type Entry = Partial<Header> & { readonly name: string; readonly body?: string };

export async function tar(...entries: readonly Entry[]): Promise<Buffer> {
  const packed = pack();
  for (const { body = "", ...header } of entries) packed.entry(header, body);
  packed.finalize();
  return buffer(packed);
}

/** A registry on loopback with one image, `istio/proxyv2:1`, that has these layers; it wants an anonymous token. */
export async function serve(
  t: TestContext,
  layers: readonly { readonly mediaType: string; readonly bytes: Buffer }[],
  spoil: (bytes: Buffer, digest: string) => Buffer = (bytes) => bytes,
) {
  const blobs = new Map<string, Buffer>();
  const add = (mediaType: string, bytes: Buffer): Descriptor => {
    const digest = `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
    blobs.set(digest, bytes);
    return { mediaType, digest, size: bytes.length };
  };
  const json = (value: unknown) => Buffer.from(JSON.stringify(value));
  const described = layers.map(({ mediaType, bytes }) => add(mediaType, bytes));
  const platforms = ["arm64", "amd64"].map((architecture) => {
    const config = add("config", json({ os: "linux", architecture }));
    const own = architecture === "amd64" ? described : [];
    return { ...add("manifest", json({ config, layers: own })), platform: { os: "linux", architecture } };
  });
  const index = add("index", json({ manifests: platforms }));
  const asked: string[] = [];
  const server = createServer(({ url = "", headers }, response) => {
    if (url === "/token") return response.end(JSON.stringify({ token: "t" }));
    if (headers.authorization !== "Bearer t")
      return response.writeHead(401, { "www-authenticate": `Bearer realm="http://${headers.host}/token"` }).end();
    const name = url.split("/").at(-1) ?? "";
    asked.push(name);
    const bytes = blobs.get(name === "1" ? index.digest : name);
    return bytes ? response.end(spoil(bytes, name)) : response.writeHead(404).end();
  });
  t.after(() => server.close());
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const reference = `127.0.0.1:${(server.address() as AddressInfo).port}/istio/proxyv2:1`;
  const folder = await mkdtemp(join(tmpdir(), "meshproof-registry-"));
  t.after(() => rm(folder, { recursive: true }));
  await mkdir(join(folder, "work"));
  const take = async (path = ENVOY, limits: TakeOptions["limits"] = undefined): Promise<string> => {
    const image = await openImage(reference, "amd64");
    await takeFiles(image, { [path]: join(folder, "taken") }, join(folder, "work"), limits && { limits });
    return readFile(join(folder, "taken"), "utf8");
  };
  return { reference, take, asked, digest: index.digest, layers: described, folder };
}
