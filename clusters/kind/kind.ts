import { rm, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { execa } from "execa";
import { parse } from "yaml";
import { MeshproofError } from "../../harness/model/errors.ts";
import type { Progress } from "../../harness/progress.ts";
import { createAuthority } from "../embedded/certificate.ts";
import { cacheRoot } from "../components/cache.ts";
import { baseDir, runDirOf } from "../embedded/run-dir.ts";
import type { Manifest } from "../../harness/mesh/client.ts";
import { findOwnFolder, makeOwnFolder, readOwnFile, TEMP_HINT, type OwnFolder } from "../../harness/own.ts";
import type { WantedMesh } from "../components/components.ts";
import { OWN_NAMESPACES, type Cluster } from "../cluster.ts";
import type { ClusterInfo } from "../../harness/model/cluster.ts";
import type { UpgradableCluster } from "../upgradable.ts";
import { docker, lastLines, requireDocker } from "./docker.ts";
import { containerName, type StartedKindContainer } from "./kind-container.ts";
import { cniManifest, kubeadmConfig } from "./kubeadm.ts";
import { useRyukIfThere } from "./ryuk.ts";
import { findGenerator } from "./generator.ts";
import type { KindMesh } from "./meshes.ts";
import { provideImages, type ImageOptions, type ImageSet } from "./source.ts";
import { findOurs, removeFound, sweepKind } from "./sweep.ts";
import { watchEnd } from "./watch.ts";

export { sweepKind } from "./sweep.ts";
export type { ImageOptions } from "./source.ts";

export interface StartOptions extends ImageOptions {
  readonly name: string;
  /** Whether it outlives this process. */
  readonly keep: boolean;
  readonly progress: Progress;
  readonly signal?: AbortSignal | undefined;
  /** The versions of Istio and Envoy: the first to start with, and those that it can be upgraded to. */
  readonly meshes?: readonly WantedMesh[];
}

const SECRET = { secret: true, hint: TEMP_HINT } as const;

/** The files of one cluster in this user's folder on this machine; a kept cluster is complete once `facts` exists. */
interface Files {
  readonly folder: OwnFolder;
  readonly kubeconfig: string;
  readonly facts: string;
}

/** Facts about a complete cluster for another process. */
interface Facts {
  readonly envoy: string;
  readonly digests: Readonly<Record<string, string>>;
  readonly jwksAuthority: { readonly certificate: string; readonly privateKey: string };
}

/**
 * Starts a cluster in Docker: one node, Istio with its webhooks in force. The ingress gateway may still be starting.
 * @throws ERR_MISSING_PROGRAM without Docker; ERR_CLUSTER_START with the failed program's message; ERR_COMPONENT; ERR_USAGE;
 *   ERR_INTERRUPTED. Nothing of the cluster is left then.
 */
export async function startKind(options: StartOptions): Promise<UpgradableCluster> {
  const { name, keep, progress, signal, meshes = [{}] } = options;
  findFiles(name); // refuses an invalid name, or another user's folder, before anything is pulled
  await requireDocker(signal);
  await sweepKind();
  const images = await provideImages(options, { meshes, progress, signal });
  await refuseSecond(name);
  const files = makeFiles(name);
  try {
    const facts = await build(images, files, options);
    const cluster = await clusterOf(name, files, facts, keep ? undefined : () => remove(name));
    const replaceable = images.meshes.map((mesh) => ({
      versions: mesh.versions,
      manifests: (revision?: string) => istioManifestsFor(mesh, facts.jwksAuthority.certificate, options, revision),
    }));
    return { ...cluster, meshes: replaceable };
  } catch (error) {
    await remove(name);
    if (signal?.aborted) throw new MeshproofError("ERR_INTERRUPTED", "interrupted", { cause: signal.reason });
    throw error;
  }
}

/** The running kept cluster of this name, or undefined. Disposing of it detaches and leaves it running. */
export async function attachKind(name: string): Promise<Cluster | undefined> {
  const files = findFiles(name);
  await requireDocker();
  const text = files && readOwnFile(files.folder, basename(files.facts), SECRET);
  if (files === undefined || text === undefined) return undefined;
  const found = await findOurs(name);
  if (!found.some(({ running }) => running)) return undefined;
  return clusterOf(name, files, JSON.parse(text) as Facts, undefined);
}

/**
 * Removes a cluster, started by any process, and the remains of a dead one.
 * @returns whether it was running.
 */
export async function stopKind(name: string): Promise<boolean> {
  findFiles(name);
  await requireDocker();
  const found = await findOurs(name);
  await remove(name);
  return found.some(({ running }) => running);
}

/** Names have no dot, so the embedded cluster of the same name has another folder. */
function placeOf(name: string): string {
  runDirOf(name); // refuses an invalid name
  return join(baseDir(), `kind.${name}`);
}

/** @throws ERR_FOREIGN_FILE if the folder, or the one of all clusters, is not this user's alone */
function findFiles(name: string): Files | undefined {
  const place = placeOf(name);
  const folder = findOwnFolder(dirname(place), SECRET) && findOwnFolder(place, SECRET);
  return folder && filesIn(folder);
}

function makeFiles(name: string): Files {
  const place = placeOf(name);
  makeOwnFolder(dirname(place), SECRET);
  return filesIn(makeOwnFolder(place, SECRET));
}

function filesIn(folder: OwnFolder): Files {
  return { folder, kubeconfig: join(folder, "kubeconfig"), facts: join(folder, "cluster.json") };
}

async function refuseSecond(name: string): Promise<void> {
  const found = await findOurs(name);
  if (found.some(({ running }) => running))
    throw new MeshproofError("ERR_CLUSTER_START", `a kind cluster named "${name}" exists already`, {
      hint: `use it, stop it with meshproof down --cluster kind --name ${name}, or choose another name`,
    });
  await removeFound(found); // it has stopped, for example with Docker
}

async function remove(name: string): Promise<void> {
  await removeFound(await findOurs(name));
  const files = findFiles(name);
  if (files) await rm(files.folder, { recursive: true, force: true });
}

async function build(images: ImageSet, files: Files, options: StartOptions): Promise<Facts> {
  const { name, keep, progress, signal } = options;
  progress("Starting the node");
  // The client library, testcontainers and istioctl's manifests need seconds, so they are loaded while the node boots.
  const [{ KindContainer }, istio, { connect }] = await Promise.all([
    import("./kind-container.ts"),
    import("../../harness/mesh/index.ts"),
    import("../../harness/mesh/client.ts"),
  ]);
  const { certificate, privateKey } = createAuthority("meshproof-jwks-ca");
  const [mesh] = images.meshes;
  if (!mesh) throw new Error("a cluster has a mesh");
  const manifests = istioManifestsFor(mesh, certificate, options);
  manifests.catch(() => undefined); // reported where it is awaited
  const owner = { cluster: name, folder: files.folder, ...(keep ? { kept: files.facts } : {}) };
  await useRyukIfThere({ keep, signal });
  const node = await withTempFolder(dirname(files.folder), () => new KindContainer(images.node, owner).start()).catch(
    (cause: Error) => {
      throw new MeshproofError("ERR_CLUSTER_START", `the node does not start: ${cause.message}`, { cause });
    },
  );
  signal?.throwIfAborted();
  const loaded = loadImages(node, images, options);
  loaded.catch(() => undefined);
  await initialise(node, files, options);
  const kube = connect(files.kubeconfig);
  await loaded;
  const all = [...(await istio.gatewayApiCrds()), ...(await manifests)];
  await istio.installIstio(kube, all, { progress, ...(signal ? { signal } : {}) });
  const facts: Facts = {
    envoy: await istio.envoyVersionOf(kube),
    digests: await digestsOf(node, images),
    jwksAuthority: { certificate, privateKey },
  };
  await writeFile(files.facts, JSON.stringify(facts), { mode: 0o600 });
  return facts;
}

/** testcontainers truncates a lock file of a fixed name in the temporary folder, and would follow another user's link. */
async function withTempFolder<T>(folder: string, work: () => Promise<T>): Promise<T> {
  const before = process.env["TMPDIR"];
  process.env["TMPDIR"] = folder;
  try {
    return await work();
  } finally {
    if (before === undefined) delete process.env["TMPDIR"];
    else process.env["TMPDIR"] = before;
  }
}

async function istioManifestsFor(
  { versions, proxyImage, upstreamEnvoy }: KindMesh,
  certificate: string,
  { progress, signal, mirror, digests }: StartOptions,
  revision?: string,
): Promise<Manifest[]> {
  const { canBeWaypoints, istioManifests } = await import("../../harness/mesh/index.ts");
  return istioManifests({
    ...(await findGenerator(versions.istio, { images: { mirror, digests }, progress, signal })),
    cache: join(cacheRoot(), "istio-manifests"),
    ...{ upstreamEnvoy, smallRequests: true },
    waypoints: canBeWaypoints({ upstreamEnvoy, envoy: versions.envoy ?? "" }),
    jwksAuthority: certificate,
    ...(proxyImage === undefined ? {} : { proxyImage }),
    ...(revision === undefined ? {} : { revision }),
    ...(signal ? { signal } : {}),
  });
}

/** `kubeadm init`, the kubeconfig, the network. */
async function initialise(node: StartedKindContainer, files: Files, options: StartOptions): Promise<void> {
  const { name, progress, signal } = options;
  const id = node.getId();
  const run = (command: readonly string[], input?: string) =>
    docker(["exec", ...(input === undefined ? [] : ["--interactive"]), id, ...command], {
      signal,
      ...(input === undefined ? {} : { input }),
    });
  progress("Starting Kubernetes (kubeadm)");
  const kubernetes = (await run(["cat", "/kind/version"])).trim();
  const config = kubeadmConfig({ cluster: containerName(name), kubernetes, address: node.address });
  await run(["tee", "/kind/kubeadm.conf"], config);
  const init = ["kubeadm", "init", "--config=/kind/kubeadm.conf", "--skip-phases=preflight", "--skip-token-print"];
  await run(init).catch(async (error: unknown) => {
    if (!(error instanceof MeshproofError) || error.code !== "ERR_CLUSTER_START") throw error;
    const journal = await run(["journalctl", "--unit=kubelet", "--no-pager", "--lines=15"]).catch(() => "");
    throw new MeshproofError(
      "ERR_CLUSTER_START",
      `${error.message}\nthe kubelet's last lines:\n${lastLines(journal, 15)}`,
      {
        cause: error,
      },
    );
  });
  const admin = await run(["cat", "/etc/kubernetes/admin.conf"]);
  await writeFile(files.kubeconfig, kubeconfigOf(admin, containerName(name), node.apiPort), { mode: 0o600 });
  const kubectl = ["kubectl", "--kubeconfig=/etc/kubernetes/admin.conf"];
  await run([...kubectl, "create", "-f", "-"], cniManifest(await run(["cat", "/kind/manifests/default-cni.yaml"])));
  // kubeadm's default is two replicas; one is enough on one node.
  await run([...kubectl, "--namespace=kube-system", "scale", "deployment/coredns", "--replicas=1"]);
}

/** kubeadm's admin.conf as a kubeconfig with one context, at the published port; TLS stays verified. JSON is YAML. */
export function kubeconfigOf(admin: string, name: string, port: number): string {
  const config = parse(admin) as {
    clusters: { cluster: Record<string, string> }[];
    users: { user: Record<string, string> }[];
  };
  const [cluster, user] = [config.clusters[0]?.cluster, config.users[0]?.user];
  const certificates = { "certificate-authority-data": cluster?.["certificate-authority-data"] };
  return `${JSON.stringify(
    {
      apiVersion: "v1",
      kind: "Config",
      clusters: [{ name, cluster: { server: `https://127.0.0.1:${port}`, ...certificates } }],
      users: [{ name, user }],
      contexts: [{ name, context: { cluster: name, user: name } }],
      "current-context": name,
    },
    null,
    2,
  )}\n`;
}

/** Loads images into the node's containerd, under their names in manifests. */
async function loadImages(
  node: StartedKindContainer,
  images: ImageSet,
  { progress, signal }: StartOptions,
): Promise<void> {
  const ctr = ["exec", "--interactive", node.getId(), "ctr", "--namespace=k8s.io", "images"];
  const cancel = signal ? { cancelSignal: signal } : {};
  for (const { name, inDocker } of images.loads) {
    progress(`loading ${name} into the node`);
    // An image that was pulled by digest has no tag in Docker, so it gets a temporary one.
    const tag = `meshproof/load:${node.getId().slice(0, 12)}`;
    await docker(["tag", inDocker, tag], { signal });
    try {
      const save = execa("docker", ["save", tag], { buffer: { stdout: false }, ...cancel });
      await save.pipe("docker", [...ctr, "import", "--snapshotter=overlayfs", "-"], cancel);
      await docker([...ctr, "tag", "--force", `docker.io/${tag}`, name], { signal });
    } finally {
      await docker(["rmi", "--no-prune", tag]).catch(() => undefined);
    }
  }
  for (const archive of images.archives) {
    progress(`loading ${archive} into the node`);
    await docker([...ctr, "import", "--snapshotter=overlayfs", "-"], { input: { file: archive }, signal });
  }
}

/** Digests by image name, of the node and of every tagged image in it. */
async function digestsOf(node: StartedKindContainer, images: ImageSet): Promise<Record<string, string>> {
  const id = await docker(["image", "inspect", "--format", "{{.Id}}", images.node]);
  const list = await docker(["exec", node.getId(), "ctr", "--namespace=k8s.io", "images", "ls"]);
  const rows = list.split("\n").map((line) => line.split(/\s+/));
  const inside = rows.flatMap(([name = "", , digest = ""]) =>
    /^[^@]+\/[^@]+:[^@]+$/.test(name) ? [[name, digest]] : [],
  );
  return { [images.node]: id.trim(), ...(Object.fromEntries(inside) as Record<string, string>) };
}

async function clusterOf(
  name: string,
  files: Files,
  facts: Facts,
  stop: (() => Promise<void>) | undefined,
): Promise<Cluster> {
  const istio = await import("../../harness/mesh/index.ts");
  const { connect } = await import("../../harness/mesh/client.ts");
  const kube = connect(files.kubeconfig);
  const watch = watchEnd(name);
  return {
    kind: "kind",
    name,
    kubeconfig: files.kubeconfig,
    ...OWN_NAMESPACES,
    ours: true,
    ingressUrl: istio.INGRESS_URL,
    injection: { "istio-injection": "enabled" },
    jwksAuthority: facts.jwksAuthority,
    lost: watch.lost,
    async describe(): Promise<ClusterInfo> {
      const [versions, envoys, gatewayApi] = await Promise.all([
        istio.versionsOf(kube),
        istio.gatewayEnvoys(kube),
        istio.gatewayApiOf(kube),
      ]);
      return {
        kind: "kind",
        name,
        // Before the gateway is ready, the version is that of the Envoy at the start.
        versions: { ...versions, envoy: envoys[0] ?? facts.envoy },
        ...gatewayApi,
        digests: facts.digests,
      };
    },
    ready: () => istio.waitForGateway(kube),
    setMesh: async (setting, options) => {
      await istio.setMesh(kube, setting, options);
    },
    async [Symbol.asyncDispose](): Promise<void> {
      watch.stop();
      await stop?.();
    },
  };
}
