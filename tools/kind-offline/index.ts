import { createHash } from "node:crypto";
import { mkdtempDisposable } from "node:fs/promises";
import { join } from "node:path";
import { execa } from "execa";
import { writeBootstraps } from "../../clusters/components/bootstrap.ts";
import { cacheRoot } from "../../clusters/components/cache.ts";
import { ensureEntry, entryName, formatSeconds } from "../../clusters/components/entry.ts";
import {
  ensureComponents,
  type EnsureOptions,
  type Installed,
  type InstalledComponent,
} from "../../clusters/components/components.ts";
import { nodeRecipes } from "../../clusters/components/list.ts";
import { inLanes } from "../../harness/lanes.ts";
import { MeshproofError } from "../../harness/model/errors.ts";
import { ownTempFolder } from "../../harness/own.ts";
import { docker, hasImage } from "../../clusters/kind/docker.ts";
import { workloadImages } from "../../clusters/kind/images.ts";
import { meshImages, ownMesh } from "../../clusters/kind/meshes.ts";
import { labelArguments, ownerLabels } from "../../clusters/kind/labels.ts";
import { imagesArchive } from "./images-archive.ts";
import { nodeRoot } from "./node-root.ts";

/** Raised when the code below makes another node image out of the same parts. */
const REVISION = "1";

export interface OfflineImages {
  /** The node image's name in Docker. It has all other images inside. */
  readonly node: string;
  /** The Kubernetes version that it is, such as `v1.36.3`. */
  readonly kubernetes: string;
  readonly installed: Installed;
}

/**
 * A node image made here, without a registry: Debian packages, and the embedded cluster's own programs as images inside.
 * What is built lies in the component cache and in Docker, each under a name that its content decides.
 *
 * @throws ERR_COMPONENT, ERR_MISSING_PROGRAM, ERR_CLUSTER_START with docker's words, ERR_INTERRUPTED.
 */
export async function ensureOfflineImages(options: EnsureOptions): Promise<OfflineImages> {
  const { progress, signal } = options;
  const entry = { cache: cacheRoot(), progress, signal };
  const recipes = await nodeRecipes();
  // Together, so that what these have in common with Kubernetes' servers is compiled once.
  const installed = await ensureComponents({ ...options, also: recipes });
  const root = await ensureEntry(nodeRoot, entry);
  const [kubernetes, ...others] = await inLanes(recipes, (recipe) => ensureEntry(recipe, entry), 1);
  if (!kubernetes) throw new Error("no recipe of Kubernetes' node programs");
  const version = `v${kubernetes.version}`;
  const controlPlane = await controlPlaneImages(kubernetes, version);
  await using bootstraps = await mkdtempDisposable(join(ownTempFolder(), "meshproof-bootstraps-"));
  const recipe = imagesArchive(version, {
    installed: { ...installed, bootstraps: await writeBootstraps(installed.components, bootstraps.path) },
    nodeRoot: root.dir,
    controlPlane,
    meshAndWorkloads: [...new Set(installed.meshes.map(ownMesh).flatMap(meshImages)), ...(await workloadImages())],
  });
  const parts = [root, kubernetes, ...others].map(({ name, digest }) => `${name} ${digest}`);
  const key = createHash("sha256")
    .update(JSON.stringify([REVISION, await entryName(recipe), ...parts]))
    .digest("hex")
    .slice(0, 16);
  const node = `meshproof/kind-node:${version}-${key}`;
  if (!(await hasImage(node, signal))) {
    const archive = await ensureEntry(recipe, entry);
    const programs = [kubernetes, ...others].flatMap(({ dir, programs }) =>
      programs.map((name) => join(dir, "bin", name)),
    );
    await buildNode(
      node,
      {
        root: root.dir,
        programs: [...programs, installed.bin("kubectl")],
        archive: join(archive.dir, "images.tar"),
        version,
        pause: controlPlane.find((name) => name.includes("/pause:")) ?? "",
      },
      options,
    );
  }
  return { node, kubernetes: version, installed };
}

/** The images that this kubeadm asks for, by their exact names. */
async function controlPlaneImages(kubernetes: InstalledComponent, version: string): Promise<string[]> {
  const { stdout } = await execa(join(kubernetes.dir, "bin/kubeadm"), [
    ...["config", "images", "list", "--kubernetes-version", version],
  ]);
  return stdout.trim().split("\n");
}

/**
 * Called with the Kubernetes version and the pause image. It unpacks the images into a store outside /var, by way of a
 * volume, because an overlay cannot lie on the container's own overlay.
 */
const FILL_STORE = `
mkdir -p /run/build /kind/images
echo -n "$1" >/kind/version
sed -i "s,@PAUSE@,$2," /etc/containerd/config.toml
containerd --config /dev/null --root /store/containerd --state /run/build/state --address /run/build/sock >/store/log 2>&1 &
pid=$!
for try in $(seq 100); do ctr -a /run/build/sock version >/dev/null 2>&1 && break; sleep 0.1; done
ctr -a /run/build/sock -n k8s.io images import - >&2 || { cat /store/log >&2; exit 1; }
kill $pid
wait $pid || true
cp -a /store/containerd/. /kind/images/
ctr oci spec | jq 'del(.process.rlimits)' >/etc/containerd/cri-base.json
rm -rf /run/build
`;

interface NodeParts {
  readonly root: string;
  readonly programs: readonly string[];
  readonly archive: string;
  readonly version: string;
  readonly pause: string;
}

async function buildNode(image: string, parts: NodeParts, { progress, signal }: EnsureOptions): Promise<void> {
  const started = performance.now();
  progress("building the node image (about 40 s) …");
  const files = `${image}-files`;
  const tar = ["tar", "--create", "--owner=0", "--group=0", "--numeric-owner", "-C", parts.root, "."] as const;
  await pipe(tar, ["docker", "import", "-", files], signal);
  const labels = labelArguments(ownerLabels({ cluster: "build" }));
  const create = ["create", "--interactive", "--privileged", "--init=false", "--network=none", "--volume=/store"];
  const command = ["--entrypoint=/bin/bash", files, "-euc", FILL_STORE, "fill-store", parts.version, parts.pause];
  const container = (await docker([...create, ...labels, ...command], { signal })).trim();
  try {
    for (const program of parts.programs) await docker(["cp", program, `${container}:/usr/bin/`], { signal });
    await docker(["start", "--attach", "--interactive", container], { input: { file: parts.archive }, signal });
    const changes = ['ENTRYPOINT ["/usr/local/bin/entrypoint", "/sbin/init"]', "ENV container=docker"];
    // Exported and imported again it is one layer, without what built it.
    const imported = ["docker", "import", ...changes.flatMap((change) => ["--change", change]), "-", image] as const;
    await pipe(["docker", "export", container], imported, signal);
  } finally {
    await docker(["rm", "--force", "--volumes", container]);
    await docker(["rmi", files]).catch(() => undefined);
  }
  progress(`built the node image in ${formatSeconds((performance.now() - started) / 1000)}`);
}

/** `from | to` */
async function pipe(
  [from, ...fromArgs]: readonly [string, ...string[]],
  [to, ...toArgs]: readonly [string, ...string[]],
  signal: AbortSignal | undefined,
): Promise<void> {
  const cancel = signal ? { cancelSignal: signal } : {};
  try {
    await execa(from, fromArgs, { buffer: { stdout: false }, ...cancel }).pipe(to, toArgs, cancel);
  } catch (cause) {
    if (signal?.aborted) throw new MeshproofError("ERR_INTERRUPTED", "interrupted", { cause });
    throw new MeshproofError("ERR_COMPONENT", `${from} | ${to} ${toArgs[0]} failed: ${(cause as Error).message}`, {
      cause,
    });
  }
}
