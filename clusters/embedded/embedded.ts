import { readFile, writeFile } from "node:fs/promises";
import { basename, dirname } from "node:path";
import { MeshproofError } from "../../harness/model/errors.ts";
import { readOwnFile, TEMP_HINT } from "../../harness/own.ts";
import type { Progress } from "../../harness/progress.ts";
import { OWN_NAMESPACES, type Cluster } from "../cluster.ts";
import type { ClusterInfo } from "../../harness/model/cluster.ts";
import type { ImagePlaces } from "../components/registry/names.ts";
import { releaseImages } from "../components/release.ts";
import type { ComponentSource } from "../components/ways.ts";
import type { UpgradableCluster } from "../upgradable.ts";
import {
  chooseMesh,
  ensureComponents,
  imageDigestsOf,
  tellShortages,
  type Installed,
  type MeshChoice,
} from "../components/components.ts";
import { watchCluster } from "./control.ts";
import { killCluster, launch, type Launched } from "./launch.ts";
import { manifestsOf, prepare, type Prepared } from "./prepare.ts";
import {
  claim,
  findRunDir,
  readHolder,
  removeRunDir,
  runDirNames,
  runDirOf,
  sweep,
  sweepDead,
  type RunDir,
  type RunPaths,
} from "./run-dir.ts";

/** How long a cluster may take to end. The kernel needs well under a second. */
const STOP_SECONDS = 20;

export interface StartOptions {
  readonly name: string;
  /** Whether it outlives this process. */
  readonly keep: boolean;
  readonly progress: Progress;
  readonly signal?: AbortSignal | undefined;
  /** The versions of Istio and Envoy: the first to start with, and those that it can be upgraded to. */
  readonly meshes?: readonly MeshChoice[];
  /** Where images come from. */
  readonly images?: ImagePlaces | undefined;
  /** Whether components come from images, from a local build, or from either. */
  readonly source?: ComponentSource | undefined;
}

/** Facts about a complete cluster for another process; nothing secret. */
interface Facts {
  /** The version of the Envoy that it started with. */
  readonly envoy: string;
  /** Digests by component; for another version of one, by `component@version`. */
  readonly digests: Readonly<Record<string, string>>;
  /** When the bytes behind each of {@link digests} were last compared with it; a cluster of an older meshproof does not have it. */
  readonly verified?: Readonly<Record<string, string>>;
  readonly rootless: boolean;
  readonly startedAt: string;
}

/**
 * Starts a cluster: Kubernetes, istiod with its webhooks in force. The ingress gateway may still be starting.
 * @throws ERR_CLUSTER_START with the last lines of the failed program's log; ERR_COMPONENT, ERR_MISSING_PROGRAM,
 *   ERR_INTERRUPTED. Only the logs of a failed cluster are left then.
 */
export async function startEmbedded(options: StartOptions): Promise<UpgradableCluster> {
  const { name, keep, progress, signal, meshes = [chooseMesh({})], images, source } = options;
  findRunDir(name); // refuses an invalid name, or another user's folder, before anything is built
  const [installed] = await Promise.all([
    ensureComponents({ progress, signal, meshes, images, source }),
    tellShortages(progress),
  ]);
  throwIfInterrupted(signal);
  const { dir, launched, prepared } = await claimAndLaunch(runDirOf(name), installed, options);
  const abort = (): void => void launched.stop();
  signal?.addEventListener("abort", abort, { once: true });
  try {
    const facts = await orLost(launched.lost, install(dir, launched, installed, { ...options, ...prepared }));
    if (keep) await launched.keep();
    const own = { lost: launched.lost, ...(keep ? {} : { stop: () => launched.stop() }) };
    const replaceable = installed.meshes.map((mesh) => ({
      versions: mesh.versions,
      manifests: (revision?: string) => manifestsOf(dir, installed, mesh, { revision, signal }),
    }));
    return { ...(await clusterOf(dir, facts, own)), meshes: replaceable };
  } catch (error) {
    await launched.stop();
    if (signal?.aborted) await forget(dir);
    throwIfInterrupted(signal);
    throw error;
  } finally {
    signal?.removeEventListener("abort", abort);
  }
}

/** The running cluster of this name, or undefined. Disposing of it detaches and leaves it running. */
export async function attachEmbedded(name: string): Promise<Cluster | undefined> {
  const dir = findRunDir(name);
  const connection = dir && (await watchCluster(dir));
  if (!connection) return undefined;
  const facts = readFacts(dir);
  if (!facts) {
    connection.destroy();
    return undefined; // it is still starting, and belongs to the process that starts it
  }
  const lost = new AbortController();
  connection.unref();
  connection.once("close", () => {
    void whyEnded(dir).then((why) =>
      lost.abort(new MeshproofError("ERR_CLUSTER_UNREACHABLE", `the cluster "${name}" has ended${why}`)),
    );
  });
  return await clusterOf(dir, facts, { lost: lost.signal });
}

/**
 * Ends a cluster, started by any process, and waits until all of it is gone; removes the remains of a dead one.
 * @returns whether it was running.
 * @throws ERR_CLUSTER_START if it does not end.
 */
export async function stopEmbedded(name: string): Promise<boolean> {
  const dir = findRunDir(name);
  if (dir === undefined) return false;
  let ran = false;
  for (const until = performance.now() + STOP_SECONDS * 1000; performance.now() < until; ran = true) {
    const gone = await claim(dir, ran ? 1 : 0);
    if (gone) {
      await removeRunDir(dir);
      gone.release();
      return ran;
    }
    const unshare = await readHolder(dir);
    if (unshare !== undefined) await killCluster(unshare);
  }
  throw new MeshproofError("ERR_CLUSTER_START", `the cluster "${name}" did not end within ${STOP_SECONDS} s`, {
    hint: `end the process that holds ${dir.lock}`,
  });
}

/** The running clusters. */
export async function listEmbedded(): Promise<{ name: string; startedAt: string }[]> {
  const found = await Promise.all(
    (await runDirNames()).map(async (name) => {
      const dir = findRunDir(name);
      const connection = dir && (await watchCluster(dir));
      connection?.destroy();
      const facts = connection && readFacts(dir);
      return facts ? [{ name, startedAt: facts.startedAt }] : [];
    }),
  );
  return found.flat();
}

async function claimAndLaunch(
  paths: RunPaths,
  installed: Installed,
  options: StartOptions,
): Promise<{ readonly dir: RunDir; readonly launched: Launched; readonly prepared: Prepared }> {
  const claimed = await claim(paths, 1);
  if (!claimed) {
    throw new MeshproofError("ERR_CLUSTER_START", `a cluster named "${paths.name}" is running already`, {
      hint: "use it, stop it with meshproof down, or choose another name",
    });
  }
  const { dir } = claimed;
  const starting = { ...options, base: dirname(dir.path), claim: claimed, installed };
  try {
    await sweep(dir);
    const prepared = await prepare(dir, starting);
    await sweep(dir); // what the making of the data left
    options.progress("Starting Kubernetes");
    const launched = await launch({ ...starting, data: prepared.data });
    void sweepDead().catch(() => undefined); // remains of other clusters must not fail this start
    return { dir, launched, prepared };
  } catch (error) {
    if (options.signal?.aborted) await removeRunDir(dir);
    throw error;
  } finally {
    claimed.release();
  }
}

async function install(
  dir: RunDir,
  launched: Launched,
  installed: Installed,
  options: StartOptions & Prepared,
): Promise<Facts> {
  const { manifests, data, progress } = options;
  const signal = options.signal ? { signal: options.signal } : {};
  // The client library loads while the API server starts, since that takes a second.
  const [istio, { connect }] = await Promise.all([
    import("../../harness/mesh/index.ts"),
    import("../../harness/mesh/client.ts"),
    launched.api,
  ]);
  const kube = connect(dir.kubeconfig);
  progress("Starting Istio");
  const certificate = await readFile(dir.jwksAuthority.certificate, "utf8");
  if (data === undefined) await istio.applyIstio(kube, istio.withAuthority(manifests, certificate), signal);
  await Promise.all([launched.ready, istio.waitForIstio(kube, signal)]);
  const [mesh] = installed.meshes;
  const facts: Facts = {
    envoy: mesh?.versions.envoy ?? "",
    ...digestsOf(installed),
    rootless: process.getuid?.() !== 0,
    startedAt: new Date().toISOString(),
  };
  await writeFile(dir.facts, JSON.stringify(facts), { mode: 0o600 });
  return facts;
}

/** The cluster starts with the first component of a name. Images that a component was taken from have their own names. */
function digestsOf({ components }: Installed): Required<Pick<Facts, "digests" | "verified">> {
  const digests: Record<string, string> = {};
  const verified: Record<string, string> = {};
  for (const component of components) {
    const { name, version, digest, builtAt, verifiedAt = builtAt } = component;
    digests[name] ??= digest;
    verified[name] ??= verifiedAt;
    digests[`${name}@${version}`] = digest;
    verified[`${name}@${version}`] = verifiedAt;
    // An image's layers were compared when the component was made from them.
    for (const [image, imageDigest] of Object.entries(imageDigestsOf(component))) {
      digests[image] = imageDigest;
      verified[image] = builtAt;
    }
  }
  return { digests, verified };
}

async function clusterOf(
  dir: RunDir,
  facts: Facts,
  own: { readonly lost: AbortSignal; readonly stop?: () => Promise<void> },
): Promise<Cluster> {
  const istio = await import("../../harness/mesh/index.ts");
  const { connect } = await import("../../harness/mesh/client.ts");
  const kube = connect(dir.kubeconfig);
  const [certificate, privateKey] = await Promise.all([
    readFile(dir.jwksAuthority.certificate, "utf8"),
    readFile(dir.jwksAuthority.privateKey, "utf8"),
  ]);
  return {
    kind: "embedded",
    name: dir.name,
    kubeconfig: dir.kubeconfig,
    ...OWN_NAMESPACES,
    ours: true,
    ingressUrl: istio.INGRESS_URL,
    injection: { "istio-injection": "enabled" },
    jwksAuthority: { certificate, privateKey },
    lost: own.lost,
    async describe(): Promise<ClusterInfo> {
      const [versions, proxies, gatewayApi] = await Promise.all([
        istio.versionsOf(kube),
        istio.gatewayEnvoys(kube),
        istio.gatewayApiOf(kube),
      ]);
      // Before the gateway is ready, the version comes from Envoy's program.
      const envoy = proxies[0] ?? facts.envoy;
      // If there are several Istios, the one that runs now counts.
      const istios = new Set(releaseImages(versions.istio));
      const components = Object.keys(facts.digests).filter((name) =>
        name.startsWith("docker.io/istio/") ? istios.has(name) : !name.includes("@"),
      );
      const running: Readonly<Record<string, string>> = { istio: versions.istio, envoy };
      const ofRunning = (facts: Readonly<Record<string, string>>): Record<string, string> =>
        Object.fromEntries(components.map((name) => [name, facts[`${name}@${running[name]}`] ?? facts[name] ?? ""]));
      return {
        kind: "embedded",
        name: dir.name,
        versions: { ...versions, envoy },
        ...gatewayApi,
        digests: ofRunning(facts.digests),
        ...(facts.verified && { verified: ofRunning(facts.verified) }),
        rootless: facts.rootless,
      };
    },
    ready: () => orLost(own.lost, istio.waitForGateway(kube)),
    setMesh: async (setting, options) => {
      await orLost(own.lost, istio.setMesh(kube, setting, options));
    },
    async [Symbol.asyncDispose](): Promise<void> {
      if (!own.stop) return;
      await own.stop();
      await forget(dir);
    },
  };
}

/** Removes the folder of a cluster that was stopped. */
async function forget(dir: RunDir): Promise<void> {
  const claimed = await claim(dir, STOP_SECONDS);
  if (claimed) await removeRunDir(dir);
  claimed?.release();
}

async function whyEnded(dir: RunDir): Promise<string> {
  const text = await readFile(dir.ended, "utf8").catch(() => undefined);
  return text === undefined ? "" : `: ${text}`;
}

function readFacts(dir: RunDir): Facts | undefined {
  const text = readOwnFile(dir.path, basename(dir.facts), { secret: true, hint: TEMP_HINT });
  return text === undefined ? undefined : (JSON.parse(text) as Facts);
}

/** Rejects as soon as the cluster is lost, since the work cannot succeed any more. */
async function orLost<T>(lost: AbortSignal, work: Promise<T>): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>();
  const lose = (): void => reject(lost.reason as MeshproofError);
  if (lost.aborted) lose();
  lost.addEventListener("abort", lose, { once: true });
  try {
    return await Promise.race([promise, work]);
  } finally {
    lost.removeEventListener("abort", lose);
    promise.catch(() => undefined);
    work.catch(() => undefined);
  }
}

function throwIfInterrupted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw new MeshproofError("ERR_INTERRUPTED", "interrupted", { cause: signal.reason });
}
