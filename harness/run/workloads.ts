import type { V1Deployment, V1Pod } from "@kubernetes/client-node";
import type { CertificateAuthority, ClusterHandle } from "../../clusters/cluster.ts";
import { MeshproofError } from "../model/errors.ts";
import { applyManifests } from "../mesh/apply.ts";
import type { Kube, Manifest } from "../mesh/client.ts";
import { execIn, type ContainerRef } from "../mesh/exec.ts";
import { completeDeployments, readyPods, waitFor, waitForDeployment } from "../mesh/wait.ts";
import { inLanes } from "../lanes.ts";
import type { Progress } from "../progress.ts";
import { substitute } from "../scenario/index.ts";
import { readWorkload, workloadsOf } from "../scenario/workloads.ts";
import type { Scenario } from "../model/scenario.ts";
import type { TokenFactory } from "../tokens/factory.ts";
import { deploymentOf } from "./gateways.ts";
import type { SessionPlan } from "./plan.ts";
import { findTrouble, podTrouble } from "./pod-trouble.ts";
import { outsideHostOf, readKeySets } from "./substitution.ts";
import { ROOT_NAMESPACE } from "../model/cluster.ts";

/** On every object that meshproof makes. */
export const MANAGED_LABEL = { "app.kubernetes.io/managed-by": "meshproof" } as const;

/** On every object of a scenario: by it a sweep finds what a worker that ended early has left. */
export const RUN_LABEL = "meshproof.dev/run";

/** On every object of a workload. On a cluster that exists these have the run's label too, and a sweep leaves them. */
export const WORKLOAD_LABEL = "meshproof.dev/workload";

export function runLabels(runId: string): Record<string, string> {
  return { ...MANAGED_LABEL, [RUN_LABEL]: runId };
}

/** The servers that serve `/jwks/<issuer>/…` from files in /srv/jwks. */
const KEY_SERVERS = ["nginx-proxy", "outside-host"] as const;

export interface DeployOptions {
  readonly kube: Kube;
  readonly handle: ClusterHandle;
  readonly tokens: TokenFactory;
  /** The folder `scenarios`. */
  readonly scenariosRoot: string;
  readonly apps: readonly string[];
  readonly progress: Progress;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Applies the workloads and waits until they are ready. Idempotent: on a warm cluster it changes nothing.
 * @throws ERR_WORKLOAD_NOT_READY with what the pods say, ERR_MANIFEST_REJECTED.
 */
export async function deployWorkloads(options: DeployOptions): Promise<void> {
  const { kube, handle, signal } = options;
  const { namespace, jwksAuthority: authority } = handle;
  const workload = { [WORKLOAD_LABEL]: "true" };
  const applyOptions = {
    labels: { ...MANAGED_LABEL, ...workload, ...handle.journal?.labels },
    ...(signal ? { signal } : {}),
  };
  await applyManifests(
    kube,
    [
      { apiVersion: "v1", kind: "Namespace", metadata: { name: namespace, labels: handle.injection } },
      ...(authority ? [rootsOf(namespace, authority)] : []),
    ],
    applyOptions,
  );
  const manifests = (await Promise.all(options.apps.map((app) => renderWorkload(options, app)))).flat();
  await applyManifests(kube, manifests, applyOptions);
  if (options.apps.includes("outside-host")) await startOutsideHost(options);
  const deployments = manifests.flatMap((manifest): Made[] => {
    const name = deploymentOf(manifest);
    return name === undefined ? [] : [{ namespace: manifest.metadata.namespace ?? namespace, name }];
  });
  const pending = handle.ours ? await withoutComplete(kube, deployments) : deployments;
  if (pending.length === 0) return;
  options.progress(`waiting for ${pending.length} workloads in ${namespace}`);
  await inLanes(pending, (one) => waitForWorkload(kube, one.namespace, one.name, signal));
}

/** On a warm cluster all Deployments are ready: a request for each namespace knows it. */
async function withoutComplete(kube: Pick<Kube, "apps">, deployments: readonly Made[]): Promise<Made[]> {
  const byNamespace = [...Map.groupBy(deployments, ({ namespace }) => namespace)];
  const pending = await inLanes(byNamespace, async ([where, there]) => {
    const complete = await completeDeployments(kube, where);
    return there.filter(({ name }) => !complete.has(name));
  });
  return pending.flat();
}

/** A Deployment of the workloads, or one that istiod makes for a Gateway. */
interface Made {
  readonly namespace: string;
  readonly name: string;
}

/** What setting up takes of a session. */
export interface SettingUp extends Pick<DeployOptions, "kube" | "handle" | "tokens"> {
  readonly plan: Pick<SessionPlan, "scenariosRoot">;
}

/** Deploys what scenarios need, and serves their keys. @throws ERR_WORKLOAD_NOT_READY */
export async function setUpWorkloads(
  { kube, handle, tokens, plan }: SettingUp,
  scenarios: readonly Scenario[],
  { progress, signal }: Pick<DeployOptions, "progress" | "signal">,
): Promise<void> {
  const throughGateway = scenarios.some(({ steps }) =>
    steps.some(({ checks }) => checks.some(({ request }) => request.to === "ingress")),
  );
  const { scenariosRoot } = plan;
  await Promise.all([
    deployWorkloads({ kube, handle, tokens, scenariosRoot, apps: workloadsOf(scenarios), progress, signal }),
    throughGateway && waitForDeployment(kube, ROOT_NAMESPACE, "istio-ingressgateway"),
  ]);
  const files = scenarios.flatMap(({ steps }) => steps.flatMap(({ apply }) => apply));
  await publishKeys(kube, handle, await readKeySets(tokens, files));
}

/** Puts key sets where the JWKS servers serve them: `/jwks/<issuer>/<anything>`. */
export async function publishKeys(
  kube: Kube,
  handle: ClusterHandle,
  keySets: ReadonlyMap<string, string>,
): Promise<void> {
  if (keySets.size === 0) return;
  await Promise.all(
    KEY_SERVERS.map(async (app) => {
      const server = await findServer(kube, handle, app);
      if (!server) return;
      for (const [issuer, jwks] of keySets) await writeFileIn(kube, server, `/srv/jwks/${issuer}.json`, jwks);
    }),
  );
}

/** The JWKS server's pod, ready or not there at all. */
export async function findServer(
  kube: Kube,
  handle: ClusterHandle,
  app: string,
): Promise<(ContainerRef & { ip: string }) | undefined> {
  const where = app === "outside-host" ? handle.outsideNamespace : handle.namespace;
  const [pod] = await readyPods(kube, where, `app=${app}`);
  return pod ? { ...containerOf(pod, "nginx"), ip: pod.status?.podIP ?? "" } : undefined;
}

async function renderWorkload(options: DeployOptions, app: string): Promise<Manifest[]> {
  const sources = await readWorkload(options.scenariosRoot, app);
  const keySets = await readKeySets(options.tokens, sources);
  const refuse = (): never => {
    throw new MeshproofError(
      "ERR_SCENARIO_INVALID",
      `workload ${app}: a workload may use \${ns}, \${outside.ns} and \${jwks.<issuer>} only`,
    );
  };
  const values = {
    ns: options.handle.namespace,
    jwks: (issuer: string) => keySets.get(issuer) ?? "",
    jwksUri: refuse,
    fresh: "",
    outsideIp: "",
    outsideNs: options.handle.outsideNamespace,
    outsideHost: "",
  };
  return sources.flatMap((file) =>
    substitute(file, values).objects.map((manifest) => withRevision(manifest, options.handle.injection)),
  );
}

/** A pod that asks for a sidecar itself (`sidecar.istio.io/inject`) must say of which revision, where that is not the default one. */
function withRevision(manifest: Manifest, injection: ClusterHandle["injection"]): Manifest {
  const revision = injection["istio.io/rev"];
  const { spec } = manifest as { spec?: V1Deployment["spec"] };
  const labels = spec?.template?.metadata?.labels;
  if (revision === undefined || labels?.["sidecar.istio.io/inject"] !== "true") return manifest;
  const changed = structuredClone(manifest) as Manifest & { spec: NonNullable<V1Deployment["spec"]> };
  changed.spec.template.metadata = {
    ...changed.spec.template.metadata,
    labels: { ...labels, "istio.io/rev": revision },
  };
  return changed;
}

/** Replaces the proxies' root certificates, so that their own TLS origination trusts the run's JWKS host and nothing else. */
function rootsOf(namespace: string, authority: CertificateAuthority): Manifest {
  return {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { name: "meshproof-roots", namespace },
    data: { "ca-certificates.crt": authority.certificate },
  };
}

/** Its certificate names the pod's address, so it waits for its files; one that is ready has them. */
async function startOutsideHost(options: DeployOptions): Promise<void> {
  const { kube, signal } = options;
  const { outsideNamespace, jwksAuthority: authority } = options.handle;
  if (await findServer(kube, options.handle, "outside-host")) return;
  const pod = await waitFor<V1Pod, V1Pod>(
    kube,
    `/api/v1/namespaces/${outsideNamespace}/pods`,
    { labelSelector: "app=outside-host" },
    (pods) =>
      [...pods.values()].find(
        (p) =>
          !p.metadata?.deletionTimestamp &&
          p.status?.podIP &&
          p.status.containerStatuses?.some((c) => c.state?.running),
      ),
    {
      limitMs: 60_000,
      code: "ERR_WORKLOAD_NOT_READY",
      explain: (pods) =>
        `outside-host does not start: ${[...pods.values()].map(podTrouble).join("; ") || "it has no pod"}`,
      ...(signal ? { signal } : {}),
    },
  );
  const container = containerOf(pod, "nginx");
  const ip = pod.status?.podIP ?? "";
  const { issueLeaf } = await import("./certificate.ts"); // its library takes time to load, and a warm cluster needs none
  const leaf = await issueLeaf(authority, [outsideHostOf(ip, outsideNamespace), ip]);
  await writeFileIn(kube, container, "/tls/tls.crt", leaf.certificate);
  await writeFileIn(kube, container, "/tls/tls.key", leaf.privateKey);
  await writeFileIn(kube, container, "/tls/ready", "yes");
}

async function waitForWorkload(kube: Kube, namespace: string, name: string, signal?: AbortSignal): Promise<void> {
  try {
    await waitForDeployment(kube, namespace, name, signal ? { signal } : {});
  } catch (error) {
    if (!(error instanceof MeshproofError) || error.code !== "ERR_WORKLOAD_NOT_READY") throw error;
    const pods = await kube.core.listNamespacedPod({ namespace });
    const its = pods.items.filter((p) => p.metadata?.name?.startsWith(`${name}-`));
    const troubles = await inLanes(its, (pod) => findTrouble(kube, pod));
    throw new MeshproofError("ERR_WORKLOAD_NOT_READY", [error.message, ...troubles].join("; "), { cause: error });
  }
}

async function writeFileIn(kube: Kube, container: ContainerRef, file: string, text: string): Promise<void> {
  const result = await execIn(kube, container, ["sh", "-c", `cat > ${file}.new && mv ${file}.new ${file}`], {
    stdin: text,
  });
  if (result.exitCode !== 0) {
    throw new MeshproofError(
      "ERR_PROBE",
      `writing ${file} in ${container.namespace}/${container.pod} failed: ${result.stderr.trim()}`,
    );
  }
}

function containerOf(pod: V1Pod, container: string): ContainerRef {
  return { namespace: pod.metadata?.namespace ?? "", pod: pod.metadata?.name ?? "", container };
}
