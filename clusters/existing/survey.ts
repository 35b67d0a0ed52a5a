import {
  AdmissionregistrationV1Api,
  AuthorizationV1Api,
  VersionApi,
  type V1Deployment,
  type V1Namespace,
  type V1ResourceAttributes,
} from "@kubernetes/client-node";
import { parse } from "yaml";
import { MeshproofError } from "../../harness/model/errors.ts";
import { messageOf, statusOf } from "../../harness/mesh/api-error.ts";
import type { Kube } from "../../harness/mesh/client.ts";
import { ISTIOD, type JwksFetcher } from "../../harness/model/cluster.ts";
import { GATEWAY_API_GROUP } from "../../harness/model/target.ts";
import {
  gatewayApiVersion,
  hasGatewayClass,
  hasWaypointClass,
  istiodVersions,
  jwksFetcherOf,
} from "../../harness/mesh/index.ts";

/** One istiod. */
export interface Revision {
  readonly name: string;
  readonly namespace: string;
  /** The version that its istiods report; the image's tag if they cannot be asked. */
  readonly version: string;
  readonly jwksFetch: JwksFetcher;
  /** Whether its mesh config enables Istio's JSON access log; false if this user may not read it. */
  readonly accessLog: boolean;
  readonly ready: boolean;
  /** Namespace labels for this revision's sidecars. */
  readonly injection: Readonly<Record<string, string>>;
  /** Whether an injection webhook exists for it. */
  readonly injects: boolean;
}

export interface Gateway {
  readonly namespace: string;
  readonly name: string;
}

export interface Permission {
  /** `create namespaces`. */
  readonly what: string;
  readonly allowed: boolean;
}

/** Facts about a cluster, found without creating anything. */
export interface Survey {
  readonly kubernetes: string;
  readonly revisions: readonly Revision[];
  /** Services that the documented selectors (`istio: ingressgateway`) match. */
  readonly gateways: readonly Gateway[];
  /** The version of the Gateway API's CRDs, where istiod uses them and this user may. */
  readonly gatewayApi?: string;
  /** Whether istiod makes waypoints. */
  readonly waypoints?: boolean;
  readonly permissions: readonly Permission[];
  /** Signs that other people use the cluster. */
  readonly others: readonly string[];
}

/** The permissions that a run needs, for SelfSubjectAccessReview; in any namespace, since its own do not exist yet. */
const NEEDS: readonly (readonly [verbs: readonly string[], group: string, resource: string, subresource?: string])[] = [
  [["create", "patch", "delete", "get", "list", "watch"], "", "namespaces"],
  [["create", "patch", "delete", "get", "list", "watch"], "apps", "deployments"],
  [["create", "patch", "delete"], "", "services"],
  [["create", "patch", "delete"], "", "serviceaccounts"],
  [["create", "patch", "delete"], "", "configmaps"],
  [["get", "list", "watch"], "", "pods"],
  [["create"], "", "pods", "exec"],
  [["get"], "", "pods", "log"],
  [["create", "patch", "delete", "get", "list"], "security.istio.io", "requestauthentications"],
  [["create", "patch", "delete", "get", "list"], "security.istio.io", "authorizationpolicies"],
  [["create", "patch", "delete", "get", "list"], "networking.istio.io", "serviceentries"],
  [["create", "patch", "delete", "get", "list"], "networking.istio.io", "destinationrules"],
  [["create", "update", "delete", "get"], "coordination.k8s.io", "leases"],
];

/** For scenarios of the Gateway API; without them the others still run. */
const GATEWAY_API_NEEDS: typeof NEEDS = [
  [["create", "patch", "delete", "get", "list"], GATEWAY_API_GROUP, "gateways"],
  [["create", "patch", "delete", "get", "list"], GATEWAY_API_GROUP, "httproutes"],
];

/**
 * Surveys a cluster.
 * @throws ERR_CLUSTER_UNREACHABLE if its API server does not answer, ERR_CLUSTER_REFUSED if it refuses the user.
 */
export async function survey(kube: Kube): Promise<Survey> {
  const { gitVersion } = await reach(kube);
  const [istiods, webhooks, services, namespaces, permissions, gatewayApi, waypoints] = await Promise.all([
    allowed(async () => (await kube.apps.listDeploymentForAllNamespaces({ labelSelector: ISTIOD })).items),
    allowed(async () => {
      const api = kube.config.makeApiClient(AdmissionregistrationV1Api);
      return (await api.listMutatingWebhookConfiguration()).items;
    }),
    allowed(async () => (await kube.core.listServiceForAllNamespaces({ labelSelector: "istio=ingressgateway" })).items),
    allowed(async () => (await kube.core.listNamespace()).items),
    askPermissions(kube, NEEDS),
    findGatewayApi(kube),
    hasWaypointClass(kube),
  ]);
  const injectors = (webhooks ?? []).filter(({ metadata }) => metadata?.labels?.["app"] === "sidecar-injector");
  const lookAtIstiod = async (istiod: V1Deployment): Promise<Revision> => {
    const name = istiod.metadata?.labels?.["istio.io/rev"] ?? "default";
    const namespace = istiod.metadata?.namespace ?? "";
    const labels = Object.entries(istiod.spec?.selector.matchLabels ?? {}).map(([key, value]) => `${key}=${value}`);
    const hook = injectors.find(({ metadata }) => (metadata?.labels?.["istio.io/rev"] ?? "default") === name);
    return {
      name,
      namespace,
      version: (await istiodVersions(kube, namespace, labels.join(","))) ?? tagOf(istiod),
      jwksFetch: jwksFetcherOf(istiod),
      accessLog: writesJson(await allowed(() => readMeshConfig(kube, namespace, name))),
      ready: (istiod.status?.availableReplicas ?? 0) > 0,
      injection: name === "default" ? { "istio-injection": "enabled" } : { "istio.io/rev": name },
      // If the user may not list webhooks, a dry-run pod shows it later.
      injects: webhooks === undefined || (hook?.webhooks ?? []).length > 0,
    };
  };
  const revisions = await Promise.all((istiods ?? []).map(lookAtIstiod));
  return {
    kubernetes: gitVersion,
    revisions,
    gateways: (services ?? []).map(({ metadata }) => ({
      namespace: metadata?.namespace ?? "",
      name: metadata?.name ?? "",
    })),
    ...(gatewayApi !== undefined && { gatewayApi }),
    waypoints: gatewayApi !== undefined && waypoints,
    permissions,
    others: (namespaces ?? []).flatMap(otherWork),
  };
}

async function reach(kube: Kube): Promise<{ gitVersion: string }> {
  try {
    return await kube.config.makeApiClient(VersionApi).getCode();
  } catch (cause) {
    const status = statusOf(cause);
    const server = kube.config.getCurrentCluster()?.server ?? "";
    if (status === 401 || status === 403)
      throw new MeshproofError("ERR_CLUSTER_REFUSED", `${server} refuses this user: ${messageOf(cause)}`, { cause });
    throw new MeshproofError("ERR_CLUSTER_UNREACHABLE", `${server} does not answer: ${messageOf(cause)}`, {
      hint: "is the cluster running, and is this machine in its network?",
      cause,
    });
  }
}

/** Undefined if this user is not permitted: the objects are unknown, not absent. */
async function allowed<T>(ask: () => Promise<T>): Promise<T | undefined> {
  try {
    return await ask();
  } catch (error) {
    if (statusOf(error) === 403) return undefined;
    throw error;
  }
}

/** The text of a revision's mesh config (`istio`, or `istio-<revision>`), if there is one. */
async function readMeshConfig(kube: Kube, namespace: string, revision: string): Promise<string | undefined> {
  const name = revision === "default" ? "istio" : `istio-${revision}`;
  try {
    return (await kube.core.readNamespacedConfigMap({ name, namespace })).data?.["mesh"];
  } catch (error) {
    if (statusOf(error) === 404) return undefined;
    throw error;
  }
}

/** Whether proxies write JSON (Istio, "Global Mesh Options": accessLogFile, accessLogEncoding). */
export function writesJson(meshConfig: string | undefined): boolean {
  const { accessLogFile, accessLogEncoding } = (parse(meshConfig ?? "") ?? {}) as Record<string, unknown>;
  return Boolean(accessLogFile) && accessLogEncoding === "JSON";
}

/** Whether scenarios of the Gateway API can run here. */
async function findGatewayApi(kube: Kube): Promise<string | undefined> {
  if (!(await hasGatewayClass(kube))) return undefined;
  const permissions = await askPermissions(kube, GATEWAY_API_NEEDS);
  if (permissions.some((one) => !one.allowed)) return undefined;
  return (await gatewayApiVersion(kube)) ?? "unknown";
}

async function askPermissions(kube: Kube, needs: typeof NEEDS): Promise<Permission[]> {
  const api = kube.config.makeApiClient(AuthorizationV1Api);
  return await Promise.all(
    needs.flatMap(([verbs, group, resource, subresource]) =>
      verbs.map(async (verb): Promise<Permission> => {
        const resourceAttributes: V1ResourceAttributes = { verb, group, resource, ...(subresource && { subresource }) };
        const review = await api.createSelfSubjectAccessReview({ body: { spec: { resourceAttributes } } });
        const full = [resource, subresource].filter(Boolean).join("/");
        return {
          what: `${verb} ${group === "" ? full : `${full}.${group}`}`,
          allowed: review.status?.allowed === true,
        };
      }),
    ),
  );
}

function otherWork({ metadata }: V1Namespace): string[] {
  const labels = metadata?.labels ?? {};
  if (labels["app.kubernetes.io/managed-by"] === "meshproof") return [];
  if (labels["istio-injection"] !== "enabled" && !labels["istio.io/rev"]) return [];
  return [metadata?.name ?? ""];
}

function tagOf(istiod: V1Deployment): string {
  const image = istiod.spec?.template.spec?.containers.find(({ name }) => name === "discovery")?.image ?? "";
  return /:([^:/@]+)(@|$)/.exec(image)?.[1] ?? "unknown";
}
