import { PatchStrategy, type V1ConfigMap, type V1Deployment, type V1Pod } from "@kubernetes/client-node";
import { createHash, randomUUID } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";
import { parseDocument } from "yaml";
import { MeshproofError } from "../model/errors.ts";
import { statusOf } from "./api-error.ts";
import type { Kube } from "./client.ts";
import { execIn, type ExecResult } from "./exec.ts";
import { readyPods, waitFor, waitForDeployment } from "./wait.ts";
import { PROVIDERS } from "./extension-providers.ts";
import { istiodEnvironment, JWKS_FETCH_ENV } from "./istiod-environment.ts";
import { hasProxyContainer } from "./proxy-container.ts";
import { ISTIOD, type JwksFetcher, type MeshSetting, ROOT_NAMESPACE } from "../model/cluster.ts";

const LIMIT_MS = 120_000;

/** How long a proxy may take to connect to a new istiod. */
const RECONNECT_MS = 60_000;

/** How long a running istiod may take to read a changed mesh config and to push it, before it is replaced instead. */
const RELOAD_MS = 5_000;

/**
 * Changes a mesh setting and waits until it applies everywhere: the new istiod is Ready, the old one is gone, and
 * every proxy has acknowledged the new one's configuration.
 * @param options.fixed throws instead of changing anything
 * @param options.reload lets a running istiod read the mesh config anew, which takes a tenth of the time. Proxies have acknowledged
 *   a push since then, which may still be one that was on its way before: who needs to know better has to ask them.
 * @returns whether it was reloaded so
 * @throws ERR_MESH_SETTING
 */
export async function setMesh(
  kube: Kube,
  setting: MeshSetting,
  options: { signal?: AbortSignal; restart?: boolean; fixed?: boolean; reload?: boolean } = {},
): Promise<boolean> {
  // The name ends with the revision if there is one; meshproof's own meshes have one istiod.
  const { items } = await kube.apps.listNamespacedDeployment({
    namespace: ROOT_NAMESPACE,
    labelSelector: ISTIOD,
  });
  const [istiod] = items;
  const name = istiod?.metadata?.name;
  if (!name) throw new MeshproofError("ERR_MESH_SETTING", "the mesh has no istiod");
  const where = { name: name.replace("istiod", "istio"), namespace: ROOT_NAMESPACE };
  const before = (await kube.core.readNamespacedConfigMap(where)).data?.["mesh"] ?? "";
  const mesh = withSetting(before, setting);
  const restart = options.restart === true;
  const fits = hasEnvironment(istiod, setting);
  if (fits && mesh === before && !restart) return false;
  if (options.fixed === true)
    throw new MeshproofError(
      "ERR_MESH_SETTING",
      "the mesh does not have the setting that this scenario needs, and cannot be changed while other scenarios run",
      { hint: "run it with --lanes 1" },
    );
  const configMap = { apiVersion: "v1", kind: "ConfigMap", metadata: where, data: { mesh } };
  const reload = options.reload === true && fits && !restart;
  if (reload && (await reloadMesh(kube, configMap, setting, options))) return true;
  if (mesh !== before) await patch(kube, configMap);
  // After a reload the annotation of the mesh config is not that of the pod's.
  await patch(kube, patchFor(name, setting, mesh, restart || reload));
  await waitForDeployment(kube, ROOT_NAMESPACE, name, { limitMs: LIMIT_MS, ...options });
  const pod = await untilAlone(kube, options);
  await untilMeshRead(kube, pod, setting, options);
  await untilProxiesSynced(kube, pod, options);
  return false;
}

/** Changes the mesh config of a running istiod; false if istiod or a proxy does not have it in time. */
async function reloadMesh(
  kube: Kube,
  configMap: V1ConfigMap,
  setting: MeshSetting,
  options: { signal?: AbortSignal },
): Promise<boolean> {
  const [pod, ...others] = await readyPods(kube, ROOT_NAMESPACE, ISTIOD);
  const istiod = pod?.metadata?.name;
  if (istiod === undefined || others.length > 0) return false;
  const { stdout } = await debug(kube, istiod, "/debug/syncz", options);
  const before = sentListeners(stdout.toString("utf8"));
  await patch(kube, configMap);
  try {
    await untilMeshRead(kube, istiod, setting, { ...options, limitMs: RELOAD_MS });
    await untilProxiesSynced(kube, istiod, { ...options, limitMs: RELOAD_MS, before });
    return true;
  } catch (error) {
    if (error instanceof MeshproofError && error.code === "ERR_MESH_SETTING") return false;
    throw error;
  }
}

/** Waits until one istiod is left and every proxy has all its configuration from it. */
export async function untilMeshSynced(kube: Kube, options: { signal?: AbortSignal } = {}): Promise<void> {
  const pod = await untilAlone(kube, options);
  await untilProxiesSynced(kube, pod, options);
}

async function patch(kube: Kube, object: V1ConfigMap | V1Deployment): Promise<void> {
  const how = PatchStrategy.StrategicMergePatch;
  await kube.objects.patch(object, undefined, undefined, undefined, undefined, how);
}

/**
 * The mesh config (YAML) with this setting, otherwise unchanged; the same text if it has the setting already. The extension providers
 * are always there: only a CUSTOM policy that names one reads them.
 */
export function withSetting(
  mesh: string,
  { pathNormalization = "BASE", trustDomainAliases = [] }: MeshSetting,
): string {
  const document = parseDocument(mesh);
  if (trustDomainAliases.length === 0) document.delete("trustDomainAliases");
  else document.set("trustDomainAliases", trustDomainAliases);
  if (pathNormalization === "BASE") document.delete("pathNormalization");
  else document.set("pathNormalization", { normalization: pathNormalization });
  document.set("extensionProviders", PROVIDERS);
  return isDeepStrictEqual(document.toJS(), parseDocument(mesh).toJS()) ? mesh : document.toString();
}

/** A mounted ConfigMap is updated with a delay, so this waits until istiod's own mesh config has the setting. */
async function untilMeshRead(
  kube: Kube,
  istiod: string,
  setting: MeshSetting,
  options: { signal?: AbortSignal; limitMs?: number },
): Promise<void> {
  const until = performance.now() + (options.limitMs ?? LIMIT_MS);
  for (;;) {
    options.signal?.throwIfAborted();
    const { exitCode, stdout, stderr } = await debug(kube, istiod, "/debug/mesh", options);
    const text = stdout.toString("utf8");
    if (exitCode === 0 && hasSetting(text, setting)) return;
    if (performance.now() > until)
      throw new MeshproofError("ERR_MESH_SETTING", `istiod does not read the mesh config: ${stderr.trim() || text}`);
    await delay(200);
  }
}

/** Whether istiod's `/debug/mesh` shows a setting. */
export function hasSetting(
  json: string,
  { pathNormalization = "BASE", trustDomainAliases = [] }: MeshSetting,
): boolean {
  const mesh = JSON.parse(json) as MeshConfig;
  const found = mesh.pathNormalization?.normalization ?? "DEFAULT";
  const names = new Set(mesh.extensionProviders?.map(({ name }) => name));
  return (
    (found === "DEFAULT" ? "BASE" : found) === pathNormalization &&
    isDeepStrictEqual(mesh.trustDomainAliases ?? [], trustDomainAliases) &&
    PROVIDERS.every(({ name }) => names.has(name))
  );
}

/** The part of istiod's `/debug/mesh` that matters here. */
interface MeshConfig {
  readonly pathNormalization?: { readonly normalization?: string };
  readonly extensionProviders?: readonly { readonly name: string }[];
  readonly trustDomainAliases?: readonly string[];
}

/** Who fetches key sets, from istiod's environment. */
export function jwksFetcherOf(istiod: V1Deployment): JwksFetcher {
  const value = envOf(istiod, JWKS_FETCH_ENV);
  if (value === "hybrid" || value === "true") return "hybrid";
  return value === "envoy" ? "envoy" : "istiod";
}

/** Whether istiod has the environment that a setting needs; where a variable is missing, it has Istio's default. */
export function hasEnvironment(istiod: V1Deployment, setting: MeshSetting): boolean {
  const defaults = istiodEnvironment({});
  return Object.entries(istiodEnvironment(setting)).every(
    ([name, value]) => (envOf(istiod, name) ?? defaults[name]) === value,
  );
}

function envOf(istiod: V1Deployment, variable: string): string | undefined {
  const env = istiod.spec?.template.spec?.containers.find(({ name }) => name === "discovery")?.env;
  return env?.find(({ name }) => name === variable)?.value;
}

/** The annotation forces a new pod if only the mesh config has changed. */
function patchFor(
  name: string,
  setting: MeshSetting,
  mesh: string,
  restart: boolean,
): V1Deployment & { metadata: { name: string } } {
  const annotations = {
    "meshproof.dev/mesh-config": createHash("sha256").update(mesh).digest("hex"),
    ...(restart && { "meshproof.dev/restarted": randomUUID() }),
  };
  const env = Object.entries(istiodEnvironment(setting)).map(([variable, value]) => ({ name: variable, value }));
  const container = { name: "discovery", env };
  return {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name, namespace: ROOT_NAMESPACE },
    spec: { template: { metadata: { annotations }, spec: { containers: [container] } } } as V1Deployment["spec"] &
      object,
  };
}

/**
 * Waits until one istiod pod is left. An old one drains its connections for ten seconds and answers proxies during that
 * time, so its grace period is one second.
 */
async function untilAlone(kube: Kube, options: { signal?: AbortSignal }): Promise<string> {
  const [current] = (await readyPods(kube, ROOT_NAMESPACE, ISTIOD)).slice(-1);
  const name = current?.metadata?.name ?? "";
  const { items } = await kube.core.listNamespacedPod({ namespace: ROOT_NAMESPACE, labelSelector: ISTIOD });
  for (const pod of items) {
    const old = pod.metadata?.name ?? "";
    if (old !== name)
      await kube.core
        .deleteNamespacedPod({ name: old, namespace: ROOT_NAMESPACE, gracePeriodSeconds: 1 })
        .catch((error: unknown) => {
          if (statusOf(error) !== 404) throw error;
        });
  }
  return await waitFor<V1Pod, string>(
    kube,
    `/api/v1/namespaces/${ROOT_NAMESPACE}/pods`,
    { labelSelector: ISTIOD },
    (pods) => (pods.size === 1 ? name : undefined),
    {
      limitMs: LIMIT_MS,
      code: "ERR_MESH_SETTING",
      explain: (pods) => `an old istiod does not end: ${[...pods.keys()].join(", ")}`,
      ...options,
    },
  );
}

/**
 * Waits until every pod with a proxy is connected to this istiod and has acknowledged all its configuration.
 * @param options.before the listeners that each proxy had been sent before: newer ones are required
 */
async function untilProxiesSynced(
  kube: Kube,
  istiod: string,
  { limitMs = RECONNECT_MS, before = new Map(), ...options }: SyncOptions,
): Promise<void> {
  const until = performance.now() + limitMs;
  for (;;) {
    options.signal?.throwIfAborted();
    const { items } = await kube.core.listPodForAllNamespaces();
    const proxies = items.filter(hasProxy).map(({ metadata }) => `${metadata?.name}.${metadata?.namespace}`);
    // An istiod that has just become ready may not answer its debug port yet.
    const { exitCode, stdout, stderr } = await debug(kube, istiod, "/debug/syncz", options);
    const synced = exitCode === 0 ? syncedProxies(stdout.toString("utf8"), before) : new Set<string>();
    const missing = proxies.filter((proxy) => !synced.has(proxy));
    if (missing.length === 0) return;
    if (performance.now() > until) {
      const words = exitCode === 0 ? "" : ` (its /debug/syncz answers: ${stderr.trim()})`;
      throw new MeshproofError("ERR_MESH_SETTING", `not in sync with the new istiod: ${missing.join(", ")}${words}`);
    }
    await delay(100);
  }
}

/** Whether a pod has a proxy that takes requests: a gateway or an injected pod (also with a native sidecar). */
export function hasProxy(pod: V1Pod): boolean {
  const { metadata, status } = pod;
  const ready = status?.conditions?.some((condition) => condition.type === "Ready" && condition.status === "True");
  return ready === true && !metadata?.deletionTimestamp && hasProxyContainer(pod);
}

/** One entry of istiod's `/debug/syncz`: the nonces that were sent to a proxy and that it acknowledged. */
interface SyncStatus {
  readonly proxy?: string;
  readonly [nonce: `${string}_sent` | `${string}_acked`]: string | undefined;
}

interface SyncOptions {
  readonly signal?: AbortSignal;
  readonly limitMs?: number;
  readonly before?: ReadonlyMap<string, string>;
}

/** What each proxy (`pod.namespace`) was sent last as listeners, as a nonce. */
export function sentListeners(text: string): ReadonlyMap<string, string> {
  const entries = JSON.parse(text) as readonly SyncStatus[] | null;
  return new Map((entries ?? []).flatMap(({ proxy, listener_sent: sent }) => (proxy && sent ? [[proxy, sent]] : [])));
}

/**
 * The proxies (`pod.namespace`) that have clusters, listeners and routes, all acknowledged.
 * @param before those that still have these listeners are none of them
 */
export function syncedProxies(text: string, before: ReadonlyMap<string, string> = new Map()): ReadonlySet<string> {
  const entries = JSON.parse(text) as readonly SyncStatus[] | null;
  const synced = (entries ?? []).filter(
    (entry) =>
      (entry.listener_sent === undefined || before.get(entry.proxy ?? "") !== entry.listener_sent) &&
      (["cluster", "listener", "route", "endpoint"] as const).every(
        (kind) => entry[`${kind}_sent`] === entry[`${kind}_acked`],
      ) &&
      Boolean(entry.cluster_acked && entry.listener_acked),
  );
  return new Set(synced.flatMap(({ proxy }) => (proxy === undefined ? [] : [proxy])));
}

function debug(kube: Kube, istiod: string, path: string, options: { signal?: AbortSignal }): Promise<ExecResult> {
  const where = { namespace: ROOT_NAMESPACE, pod: istiod, container: "discovery" };
  return execIn(kube, where, ["/usr/local/bin/pilot-discovery", "request", "GET", path], options);
}
