import { createHash } from "node:crypto";
import { createReadStream, createWriteStream } from "node:fs";
import { copyFile, cp, link, mkdir, rename, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { pipeline } from "node:stream/promises";
import { createGzip } from "node:zlib";
import { resolveImage, type Shelf } from "../../clusters/components/catalogue.ts";
import type { Installed } from "../../clusters/components/components.ts";
import { sha256OfFile } from "../../clusters/components/manifest.ts";
import type { Recipe, Workshop } from "../../clusters/components/recipe.ts";
import { MeshproofError } from "../../harness/model/errors.ts";
import { hashesBelow } from "./node-root.ts";

/** Raised when the code below makes other images out of the same components. */
const REVISION = "2";

const PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** Files of a layer: path inside to path here, of a file or a folder. */
type LayerFiles = Readonly<Record<string, string>>;

/** One image: layers from the bottom, and what an OCI image's `config` says (OCI Image Specification, config.md). */
interface ImagePlan {
  readonly name: string;
  readonly layers: readonly LayerFiles[];
  readonly config: Readonly<Record<string, unknown>>;
}

/** Where the parts of the images lie. */
export interface Parts {
  readonly installed: Installed & Pick<Shelf, "bootstraps">;
  /** Folder with Debian's catatonit. */
  readonly nodeRoot: string;
  /** Image name by kubeadm's name of it: `kube-apiserver`, `etcd`, `coredns`, `pause`, … */
  readonly controlPlane: readonly string[];
  /** As manifests name them. */
  readonly meshAndWorkloads: readonly string[];
}

/** kubeadm names a program by its path in each image; each image here contains one static program. */
const PROGRAMS: Readonly<Record<string, { path: string; entrypoint: string; withRoot?: true }>> = {
  "kube-apiserver": { path: "/usr/local/bin/kube-apiserver", entrypoint: "kube-apiserver" },
  "kube-controller-manager": { path: "/usr/local/bin/kube-controller-manager", entrypoint: "kube-controller-manager" },
  "kube-scheduler": { path: "/usr/local/bin/kube-scheduler", entrypoint: "kube-scheduler" },
  // It calls iptables, conntrack and nft.
  "kube-proxy": { path: "/usr/local/bin/kube-proxy", entrypoint: "/usr/local/bin/kube-proxy", withRoot: true },
  etcd: { path: "/usr/local/bin/etcd", entrypoint: "etcd" },
  coredns: { path: "/coredns", entrypoint: "/coredns" },
};

/** What each image is made of. */
export function planImages({ installed, nodeRoot, controlPlane, meshAndWorkloads }: Parts): ImagePlan[] {
  const root: LayerFiles = { "/": installed.root };
  const own = controlPlane.map((name): ImagePlan => {
    const program = /([^/:]+):[^/]*$/.exec(name)?.[1] ?? name;
    if (program === "pause")
      return {
        name,
        layers: [{ "/pause": join(nodeRoot, "usr/bin/catatonit") }],
        config: { Env: [PATH], Entrypoint: ["/pause", "-P"], User: "65535:65535" },
      };
    const known = PROGRAMS[program];
    if (!known) throw new MeshproofError("ERR_COMPONENT", `kubeadm wants ${name}, which no component is`);
    return {
      name,
      layers: [...(known.withRoot ? [root] : []), { [known.path]: installed.bin(program) }],
      config: { Env: [PATH], Entrypoint: [known.entrypoint] },
    };
  });
  const others = meshAndWorkloads.map((name): ImagePlan => {
    const image = resolveImage(name, installed);
    if (!image)
      throw new MeshproofError("ERR_COMPONENT", `no component is ${name}`, {
        hint: "an offline cluster has the images of the embedded cluster's catalogue",
      });
    const files = Object.fromEntries(image.binds.map(({ source, target }) => [target, source]));
    return {
      name,
      layers: [root, ...(image.binds.length > 0 ? [files] : [])],
      config: {
        Env: Object.entries(image.env).map(([key, value]) => `${key}=${value}`),
        ...(image.entrypoint.length > 0 ? { Entrypoint: image.entrypoint } : {}),
        ...(image.cmd.length > 0 ? { Cmd: image.cmd } : {}),
        User: image.user === 0 ? "" : `${image.user}:${image.user}`,
        WorkingDir: image.workingDir,
      },
    };
  });
  return [...own, ...others];
}

/** All images in one OCI archive, `images.tar`, as a component of the cache. */
export function imagesArchive(version: string, parts: Parts): Recipe {
  const plans = planImages(parts);
  return {
    name: "kind-images",
    version,
    source: "the embedded cluster's components, as OCI images",
    effort: `${plans.length} images, about 30 s`,
    async inputs() {
      const cacheFree = plans.map(({ name, config, layers }) => [
        name,
        config,
        layers.map((layer) => Object.keys(layer)),
      ]);
      const own = new Set(
        plans.flatMap(({ layers }) => layers.flatMap((layer) => Object.values(layer))).filter(isOurSource),
      );
      const hashes = await Promise.all([...own].sort().map(async (path) => (await hashesOf(path)).join("\n")));
      const digests = parts.installed.components.map(({ name, digest }) => `${name} ${digest}`);
      return [REVISION, JSON.stringify(cacheFree), ...hashes, ...digests];
    },
    async build(shop) {
      const layout = join(shop.work, "layout");
      await mkdir(join(layout, "blobs/sha256"), { recursive: true });
      const layers = new Map<string, Layer>();
      const manifests = [];
      for (const plan of plans) {
        const parts: Layer[] = [];
        for (const files of plan.layers) {
          const key = JSON.stringify(files);
          const layer = layers.get(key) ?? (await packLayer(files, layout, layers.size, shop));
          layers.set(key, layer);
          parts.push(layer);
        }
        manifests.push(await writeManifest(plan, parts, layout));
      }
      await writeFile(join(layout, "oci-layout"), JSON.stringify({ imageLayoutVersion: "1.0.0" }));
      await writeFile(join(layout, "index.json"), JSON.stringify({ schemaVersion: 2, manifests }));
      await shop.run(["tar", "--create", ...STABLE, "--file", join(shop.files, "images.tar"), "-C", layout, "."]);
      return { images: String(plans.length) };
    },
  };
}

/** Files of this repository, which no component's digest covers. */
const isOurSource = (path: string): boolean => path.startsWith(join(import.meta.dirname, "../.."));

async function hashesOf(path: string): Promise<string[]> {
  return (await stat(path)).isDirectory() ? await hashesBelow(path) : [await sha256OfFile(path)];
}

interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
}

interface Layer {
  readonly descriptor: Descriptor;
  /** Digest of the uncompressed tar, which the image's config names. */
  readonly diffId: string;
}

/** The same files give the same archive, independent of user and time. */
const STABLE = ["--sort=name", "--mtime=@0", "--owner=0", "--group=0", "--numeric-owner", "--format=posix"];

async function packLayer(files: LayerFiles, layout: string, index: number, shop: Workshop): Promise<Layer> {
  const stage = join(shop.work, `layer-${index}`);
  const [only] = Object.entries(files);
  const whole = only?.[0] === "/" ? only[1] : undefined;
  if (whole === undefined)
    for (const [target, source] of Object.entries(files)) await place(source, join(stage, target));
  const tar = `${stage}.tar`;
  const stable = [...STABLE, "--pax-option=delete=atime,delete=ctime"];
  await shop.run(["tar", "--create", ...stable, "--file", tar, "-C", whole ?? stage, "."]);
  const packed = `${tar}.gz`;
  await pipeline(createReadStream(tar), createGzip({ level: 1 }), createWriteStream(packed));
  const digest = `sha256:${await sha256OfFile(packed)}`;
  const { size } = await stat(packed);
  await rename(packed, blobPath(layout, digest));
  return {
    descriptor: { mediaType: "application/vnd.oci.image.layer.v1.tar+gzip", digest, size },
    diffId: `sha256:${await sha256OfFile(tar)}`,
  };
}

/** A link costs nothing, where both are on one disk. */
async function place(source: string, target: string): Promise<void> {
  await mkdir(dirname(target), { recursive: true });
  if ((await stat(source)).isDirectory()) await cp(source, target, { recursive: true });
  else await link(source, target).catch(() => copyFile(source, target));
}

async function writeManifest(plan: ImagePlan, layers: readonly Layer[], layout: string): Promise<unknown> {
  const config = await writeBlob(layout, "application/vnd.oci.image.config.v1+json", {
    architecture: process.arch === "x64" ? "amd64" : process.arch,
    os: "linux",
    config: plan.config,
    rootfs: { type: "layers", diff_ids: layers.map(({ diffId }) => diffId) },
  });
  const manifest = await writeBlob(layout, "application/vnd.oci.image.manifest.v1+json", {
    schemaVersion: 2,
    mediaType: "application/vnd.oci.image.manifest.v1+json",
    config,
    layers: layers.map(({ descriptor }) => descriptor),
  });
  // ctr's name for an image of an archive (containerd, images/annotations.go).
  return { ...manifest, annotations: { "io.containerd.image.name": plan.name } };
}

async function writeBlob(layout: string, mediaType: string, content: unknown): Promise<Descriptor> {
  const text = JSON.stringify(content);
  const digest = `sha256:${createHash("sha256").update(text).digest("hex")}`;
  await writeFile(blobPath(layout, digest), text);
  return { mediaType, digest, size: Buffer.byteLength(text) };
}

const blobPath = (layout: string, digest: string): string =>
  join(layout, "blobs/sha256", digest.slice("sha256:".length));
