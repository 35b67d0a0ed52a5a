import { existsSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { MeshproofError } from "../../harness/model/errors.ts";
import { applyManifest } from "../../harness/mesh/apply.ts";
import { messageOf } from "../../harness/mesh/api-error.ts";
import { connectWith, type Kube } from "../../harness/mesh/client.ts";
import { MANAGED_BY, RUN_LABEL } from "../../harness/mesh/ledger.ts";
import type { Progress } from "../../harness/progress.ts";
import type { Cluster, MeshLimits } from "../cluster.ts";
import { takeLease } from "../lease.ts";
import { makeTempDir } from "../temp-dir.ts";
import { findLeftovers, joinJournals, removeLeftRun, unprovenWords, type LeftRun } from "./clean-up.ts";
import { beginClusterJournal, clusterJournalOf, listClusterJournals } from "./cluster-journal.ts";
import { beginJournal, endJournal, identify, listJournals, openJournal, type ClusterIdentity } from "./journal.ts";
import { pinContext, type KubeconfigOptions, type PinnedContext } from "./kubeconfig.ts";
import { survey, type Gateway, type Revision, type Survey } from "./survey.ts";
import { proxyContainerOf } from "../../harness/mesh/proxy-container.ts";
import { ISTIOD, type MeshSetting, ROOT_NAMESPACE } from "../../harness/model/cluster.ts";

export interface ExistingOptions extends KubeconfigOptions {
  readonly runId: string;
  /** istiod's revision, if the mesh has several. */
  readonly revision?: string;
  readonly allowMeshWide: boolean;
  readonly progress: Progress;
  readonly signal?: AbortSignal | undefined;
}

/** The namespaces that a run creates. */
export function namespacesOf(runId: string): { readonly namespace: string; readonly outsideNamespace: string } {
  return { namespace: `meshproof-${runId}`, outsideNamespace: `meshproof-${runId}-outside` };
}

/** Surveys a cluster without creating anything. @throws like {@link pinContext} and {@link survey}. */
export async function look(options: KubeconfigOptions): Promise<{ pinned: PinnedContext; found: Survey }> {
  const pinned = pinContext(options);
  return { pinned, found: await survey(connectWith(pinned.config)) };
}

/**
 * Why a cluster cannot be used, with a hint; undefined if it can.
 * @param wanted the requested revision
 */
export function refusalOf(found: Survey, wanted?: string): { message: string; hint: string } | undefined {
  const names = found.revisions.map(({ name }) => name).join(", ");
  if (found.revisions.length === 0)
    return {
      message: "there is no Istio on this cluster: no Deployment is labelled app=istiod",
      hint: "install Istio, or run on meshproof's own cluster: meshproof run",
    };
  if (wanted === undefined && found.revisions.length > 1)
    return {
      message: `this mesh has ${found.revisions.length} revisions: ${names}`,
      hint: "choose one: --revision NAME",
    };
  const revision = revisionOf(found, wanted);
  if (!revision)
    return { message: `there is no revision "${wanted}": this mesh has ${names}`, hint: "choose one of them" };
  if (!revision.ready)
    return {
      message: `istiod ${revision.namespace}/${revision.name} has no available pod`,
      hint: "kubectl get pods -A -l app=istiod shows why",
    };
  if (!revision.injects)
    return {
      message: `injection is off: no webhook injects sidecars for revision ${revision.name}`,
      hint: "turn on Istio's sidecar injector; meshproof needs sidecars",
    };
  const missing = found.permissions.filter((permission) => !permission.allowed).map(({ what }) => what);
  if (missing.length > 0)
    return {
      message: `this user may not ${missing.join(", ")}`,
      hint: "use a user with these permissions, or have them granted to this one",
    };
  return undefined;
}

export function revisionOf(found: Survey, wanted?: string): Revision | undefined {
  return wanted === undefined ? found.revisions[0] : found.revisions.find(({ name }) => name === wanted);
}

/** The limits of this mesh for scenarios. */
export function limitsOf(found: Survey, revision: Revision, meshWide: boolean): MeshLimits {
  const gateway = documentedGateway(found) !== undefined && revision.namespace === ROOT_NAMESPACE;
  const { jwksFetch, accessLog } = revision;
  return { jwksFetch, meshWide, gateway, accessLog };
}

/** The gateway that the documented policies select: they name `istio-system` and `istio: ingressgateway`. */
function documentedGateway(found: Survey): Gateway | undefined {
  return found.gateways.find(({ namespace }) => namespace === ROOT_NAMESPACE);
}

/**
 * Uses an existing cluster for one run: takes a Lease, creates the run's own two namespaces with sidecars of the right revision,
 * and keeps a journal of all created objects. Disposing of it removes all of that and proves it.
 * @throws ERR_CLUSTER_REFUSED, ERR_CLUSTER_UNREACHABLE; nothing is left on the cluster then.
 */
export async function openExisting(options: ExistingOptions): Promise<Cluster> {
  const { runId, progress } = options;
  const { pinned, found } = await look(options);
  const refusal = refusalOf(found, options.revision);
  if (refusal) throw new MeshproofError("ERR_CLUSTER_REFUSED", refusal.message, { hint: refusal.hint });
  const revision = revisionOf(found, options.revision) as Revision;
  for (const told of pinned.told) progress(`the context "${pinned.context}": ${told}`);
  const plain = connectWith(pinned.config);
  const scope = {
    run: runId,
    namespaces: Object.values(namespacesOf(runId)),
    meshWide: options.allowMeshWide,
    inCluster: clusterJournalOf(runId),
  };
  const cluster = await identify(plain);
  const head = {
    ...scope,
    ...(options.kubeconfig === undefined ? {} : { kubeconfig: path.resolve(options.kubeconfig) }),
    context: pinned.context,
    allowExec: options.allowExec,
    cluster,
  };
  // Before the Lease, so that a trace is left if this process is killed.
  const file = beginJournal(head);
  // Without the Lease nothing is created.
  const lease = await takeLease(plain, { id: runId, verb: "run", progress, signal: options.signal }).catch(
    (error: unknown) => {
      endJournal(file);
      throw error;
    },
  );
  // The previous holder may have removed the journal in a cleanup.
  if (!existsSync(file)) beginJournal(head);
  const kubeconfig = writePinned(pinned.text);
  const close = async (): Promise<void> => {
    try {
      const [own] = joinJournals([openJournal(file)], await listClusterJournals(plain)).filter(
        ({ made }) => made.run === runId,
      );
      const { created, kinds, told } = await removeLeftRun(plain, own as LeftRun, progress);
      for (const each of told) progress(each);
      progress(`nothing is left on the cluster: ${created} objects were created and are gone, ${kinds} kinds listed`);
    } finally {
      rmSync(path.dirname(kubeconfig), { recursive: true, force: true });
      await lease.release();
    }
  };
  try {
    await removeLeftovers(plain, cluster, runId, progress);
    await beginClusterJournal(plain, scope);
    const kube = connectWith(pinned.config, file);
    const names = namespacesOf(runId);
    const namespace = { name: names.namespace, labels: { ...revision.injection } };
    await applyManifest(kube, { apiVersion: "v1", kind: "Namespace", metadata: namespace });
    const proxyImage = await injectedProxy(kube, names.namespace);
    const gateway = documentedGateway(found);
    const digests = await imageDigests(kube, revision);
    return {
      kind: "existing",
      name: pinned.context,
      kubeconfig,
      ...names,
      ours: false,
      ingressUrl: gateway ? `http://${gateway.name}.${gateway.namespace}.svc.cluster.local` : "",
      limits: limitsOf(found, revision, options.allowMeshWide),
      injection: revision.injection,
      journal: { file, labels: { ...MANAGED_BY, [RUN_LABEL]: runId } },
      lost: lease.lost,
      ready: () => Promise.resolve(),
      describe: () =>
        Promise.resolve({
          kind: "existing",
          name: pinned.context,
          versions: { kubernetes: found.kubernetes, istio: revision.version, envoy: proxyImage },
          ...(found.gatewayApi !== undefined && { gatewayApi: found.gatewayApi, waypoints: found.waypoints === true }),
          digests,
        }),
      setMesh(setting: MeshSetting): Promise<void> {
        const wanted = setting.jwksFetch ?? revision.jwksFetch;
        if (wanted === revision.jwksFetch) return Promise.resolve();
        return Promise.reject(
          new MeshproofError("ERR_MESH_SETTING", `${wanted} cannot be set on a mesh that meshproof did not create`),
        );
      },
      [Symbol.asyncDispose]: close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Removes the objects of dead runs, which would affect this run's requests. The Lease proves that they are dead. */
async function removeLeftovers(kube: Kube, cluster: ClusterIdentity, runId: string, progress: Progress): Promise<void> {
  for (const why of listJournals().broken) progress(`not a journal, and not removed: ${why}`);
  const { runs, unproven } = await findLeftovers(kube, cluster, [runId]);
  for (const line of unprovenWords(unproven)) progress(line);
  for (const left of runs) {
    progress(`run ${left.made.run} was killed and left objects here: removing them`);
    await removeLeftRun(kube, left, progress);
  }
}

/**
 * Sends a pod as a dry run.
 * @returns the image of its sidecar.
 * @throws ERR_CLUSTER_REFUSED if it gets none.
 */
async function injectedProxy(kube: Kube, namespace: string): Promise<string> {
  const body = { metadata: { generateName: "meshproof-" }, spec: { containers: [{ name: "app", image: "app" }] } };
  let problem = "its pods get no sidecar";
  try {
    // eslint-disable-next-line no-restricted-syntax -- a dry run creates nothing
    const pod = await kube.core.createNamespacedPod({ namespace, body, dryRun: "All" });
    const image = proxyContainerOf(pod)?.image;
    if (image !== undefined) return image.split("/").slice(-1)[0] ?? image;
  } catch (error) {
    problem = messageOf(error);
  }
  throw new MeshproofError("ERR_CLUSTER_REFUSED", `injection is off in a namespace labelled for it: ${problem}`, {
    hint: "turn Istio's sidecar injector on, or choose another revision: --revision NAME",
  });
}

/** Image digests of istiod's pods, from their status. */
async function imageDigests(kube: Kube, revision: Revision): Promise<Record<string, string>> {
  const { items } = await kube.core.listNamespacedPod({ namespace: revision.namespace, labelSelector: ISTIOD });
  return Object.fromEntries(
    items.flatMap(({ status }) =>
      (status?.containerStatuses ?? []).flatMap(({ name, imageID }) => {
        const digest = /sha256:[0-9a-f]{64}/.exec(imageID)?.[0];
        return digest === undefined ? [] : [[`istiod/${name}`, digest]];
      }),
    ),
  );
}

/** Writes the kubeconfig for the run's processes; it contains credentials. */
function writePinned(text: string): string {
  const file = path.join(makeTempDir(), "kubeconfig");
  writeFileSync(file, text, { mode: 0o600 });
  return file;
}
