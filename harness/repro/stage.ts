/** Prepares a cluster for a ticket's request: its namespaces, stand-ins and certificates. */

import type { V1Pod } from "@kubernetes/client-node";
import { MeshproofError } from "../model/errors.ts";
import type { Labels } from "../model/finding.ts";
import type { ClusterHandle } from "../../clusters/cluster.ts";
import { applyManifest, parseManifests } from "../mesh/apply.ts";
import type { Manifest } from "../mesh/client.ts";
import { readyPods } from "../mesh/wait.ts";
import { isGateway } from "../model/target.ts";
import { issueLeaf } from "../run/certificate.ts";
import { podsOf, proxiesOf, proxyOf, type Place, type Places, type Proxy, type Target } from "../run/places.ts";
import type { Session } from "../run/session.ts";
import { untilNoneIsGone, untilResolved, untilSentThrough, waypointProgrammed } from "../run/waypoints.ts";
import { MANAGED_LABEL } from "../run/workloads.ts";
import { GATEWAY_NAME } from "../verdict/attachment.ts";
import type { ApiGateway } from "./gateway-api.ts";
import { CALLER_LABEL, CERTIFICATE, STAND_IN, STAND_IN_LABEL } from "./stand-in.ts";
import { isOf, targetPortsOf, type Service, type ServicePort } from "./services.ts";
import type { Ticket, Translation } from "./ticket.ts";
import { CLUSTER } from "./tunnel.ts";
import { hasProxyContainer } from "../mesh/proxy-container.ts";

const GATEWAY = "istio-ingressgateway.istio-system.svc.cluster.local";

/** Creates namespaces and self-signed certificates, which pods need before they can start. */
export async function makeReady({ kube, handle }: Session, translation: Translation): Promise<void> {
  const { certificate } = translation;
  const manifests = standInOf(translation, handle);
  const labels = { ...MANAGED_LABEL };
  const namespaces = manifests.filter(({ kind }) => kind === "Namespace");
  for (const namespace of namespaces) await applyManifest(kube, namespace, { labels });
  const secrets = secretsOf(translation, manifests);
  if (secrets.length === 0) return;
  const leaf = await issueLeaf(undefined, certificate.hosts.length > 0 ? certificate.hosts : ["ticket.example"]);
  const encoded = (value: string): string => Buffer.from(value).toString("base64");
  for (const { namespace, name } of secrets)
    await applyManifest(
      kube,
      {
        apiVersion: "v1",
        kind: "Secret",
        metadata: { name, namespace },
        type: "kubernetes.io/tls",
        data: { "tls.crt": encoded(leaf.certificate), "tls.key": encoded(leaf.privateKey) },
      },
      { labels },
    );
}

/** The manifests of the pods that replace the ticket's workloads. */
function standInOf({ files }: Pick<Translation, "files">, { outsideNamespace }: Namespaces): Manifest[] {
  return parseManifests(
    files.get(`workloads/${STAND_IN}/${STAND_IN}.yaml`)!.replaceAll("${outside.ns}", outsideNamespace),
  );
}

/** Everything that a ticket has in the cluster beside its policies; its namespaces stay, as removing one takes too long. */
export function removableOf(translation: Pick<Translation, "files" | "certificate">, handle: Namespaces): Manifest[] {
  const manifests = standInOf(translation, handle);
  const secrets = secretsOf(translation, manifests).map((metadata) => ({ apiVersion: "v1", kind: "Secret", metadata }));
  return [...manifests.filter(({ kind }) => kind !== "Namespace"), ...secrets];
}

type Namespaces = Pick<ClusterHandle, "outsideNamespace">;

/** The Secrets of certificates: of the ticket's gateways, and one in each namespace whose stand-in has a TLS port. */
function secretsOf({ certificate }: Pick<Translation, "certificate">, manifests: readonly Manifest[]) {
  const users = manifests.flatMap((manifest) =>
    JSON.stringify(manifest).includes(CERTIFICATE) ? (manifest.metadata.namespace ?? []) : [],
  );
  return [...certificate.secrets, ...[...new Set(users)].map((namespace) => ({ namespace, name: CERTIFICATE }))];
}

/** The proxies of the ticket's Services that serve keys. */
export async function keyServersOf(
  { kube }: Pick<Session, "kube">,
  { topology, differences }: Pick<Translation, "topology" | "differences">,
): Promise<Proxy[]> {
  const names = new Set(
    differences.flatMap((one) => (one.kind === "keys" && typeof one.served === "object" ? one.served.service : [])),
  );
  const servers = topology.services.filter(({ namespace, name }) => names.has(`${namespace}/${name}`));
  const pods = await Promise.all(servers.map((service) => podsBehind(kube, service)));
  return proxiesOf(pods.flat());
}

/** The ready stand-ins in a namespace; those of a Service if it has a selector. */
async function podsBehind(
  kube: Session["kube"],
  { namespace, selector = {} }: { readonly namespace: string; readonly selector?: Labels },
): Promise<V1Pod[]> {
  return (await readyPods(kube, namespace, STAND_IN_LABEL)).filter(({ metadata }) =>
    Object.entries(selector).every(([key, value]) => metadata?.labels?.[key] === value),
  );
}

/** Maps the places of a scenario to the ticket's pods. */
export function placed(session: Session, { topology, callers }: Translation, { request }: Ticket): Places {
  const { kube } = session;
  const { way, services, workloads, others, routed, passage } = topology;
  /** The waypoint that the request passes before what it is sent to. */
  const through = async (target: Target): Promise<Target> => {
    if (passage?.kind !== "through") return target;
    const { waypoint, serves, service, port, tunnel } = passage;
    const { namespace, name } = waypoint;
    await waypointProgrammed(kube, namespace, name);
    const pods = await readyPods(kube, namespace, `${GATEWAY_NAME}=${name}`);
    const proxies = pods.map((pod) => ({ ...proxyOf(pod), serves }));
    if (proxies.length === 0)
      throw new MeshproofError("ERR_WORKLOAD_NOT_READY", `the waypoint ${namespace}/${name} has no ready pod`);
    await untilNoneIsGone(kube, target.proxies, service.namespace);
    await untilSentThrough(kube, target.proxies, proxies);
    return {
      ...{ ...target, proxies: [...proxies, ...target.proxies] },
      through: {
        ...{ name: `waypoint/${name}`, proxies },
        ...(tunnel && { fromClient: `outbound|${port}||${service.name}.${service.namespace}.svc.cluster.local` }),
      },
    };
  };
  const toService = async (service: Service, port: ServicePort, named: boolean): Promise<Target> => {
    const judging =
      named && routed.length > 0 && way.kind === "service" && way.service === service ? routed : [service];
    const pods = (await Promise.all(judging.map((one) => podsBehind(kube, one)))).flat();
    const workload = workloads.find((one) => isOf(service, one));
    const number = workload && targetPortsOf(service, workload)[service.ports.indexOf(port)];
    const [bare = ""] = (request.authority ?? "").split(":");
    const alone = others.length === 0 && topology.caller.namespace === service.namespace;
    const host = named && bare !== "" && (bare.includes(".") || alone) ? bare : `${service.name}.${service.namespace}`;
    // What a request to a gateway may pass instead, such as a load balancer, ends its TLS.
    const scheme = way.kind === "gateway" ? "http" : request.scheme;
    const usual = scheme === "https" ? 443 : 80;
    return {
      url: `${scheme}://${host}${port.port === usual ? "" : `:${port.port}`}`,
      connectTo: `${service.name}.${service.namespace}.svc.cluster.local:${port.port}`,
      ...(number === undefined ? {} : { port: number }),
      readyPods: pods.length,
      proxies: proxiesOf(pods),
      behind: [],
    };
  };
  const apiGateway = async ({ namespace, name, port }: ApiGateway): Promise<Target> => {
    const pods = await readyPods(kube, namespace, `${GATEWAY_NAME}=${name}`);
    if (pods.length === 0)
      throw new MeshproofError("ERR_WORKLOAD_NOT_READY", `the Gateway ${namespace}/${name} has no ready pod`);
    const proxies = pods.map((pod) => proxyOf(pod));
    const url = `http://${name}-istio.${namespace}${port === 80 ? "" : `:${port}`}`;
    return { url, port, readyPods: pods.length, proxies, behind: [] };
  };
  return {
    place: async (name): Promise<Place> => {
      const at = callers.findIndex(({ place }) => place === name);
      const caller = callers[at]?.caller;
      if (caller === undefined || caller.kind === "gateway" || caller.namespace === "meshproof-outside") {
        const found = await session.place(name);
        const { namespace, pod } = found.container;
        const { status } = await kube.core.readNamespacedPod({ namespace, name: pod });
        return { ...found, ...(status?.podIP === undefined ? {} : { ip: status.podIP }) };
      }
      const own = callers.filter(({ caller: one }) => one.kind === "pod" && one.namespace !== "meshproof-outside");
      const workload = `ticket-caller-${own.indexOf(callers[at]!) + 1}`;
      const [pod] = await readyPods(kube, caller.namespace, `${CALLER_LABEL}=${workload}`);
      if (pod === undefined)
        throw new MeshproofError(
          "ERR_WORKLOAD_NOT_READY",
          `the caller ${workload} has no ready pod in ${caller.namespace}`,
        );
      if (passage?.kind === "through" && passage.tunnel && caller.ambient === true)
        await untilResolved(kube, proxyOf(pod), CLUSTER);
      return {
        container: { namespace: caller.namespace, pod: pod.metadata?.name ?? "", container: "curl" },
        workload: `deploy/${workload}`,
        ...(pod.status?.podIP === undefined ? {} : { ip: pod.status.podIP }),
        ...(hasProxyContainer(pod) ? { proxy: proxyOf(pod) } : {}),
      };
    },
    target: async ({ to: name }): Promise<Target> => {
      if (way.kind === "gateway" && isGateway(name)) {
        const found = way.api === undefined ? await session.target({ to: "ingress" }) : await apiGateway(way.api);
        const service =
          way.api === undefined ? GATEWAY : `${way.api.name}-istio.${way.api.namespace}.svc.cluster.local`;
        const spaces = [...new Set(workloads.map(({ namespace }) => namespace))];
        const standIns = (await Promise.all(spaces.map((namespace) => podsBehind(kube, { namespace })))).flat();
        const behind = { behind: proxiesOf(standIns), pods: () => Promise.resolve(podsOf(services, standIns)) };
        const authority = request.authority ?? "ticket.example";
        return await through(
          way.tls
            ? {
                ...{ ...found, ...behind, url: `https://${authority}` },
                ...{ connectTo: `${service}:${way.api?.port ?? 443}`, port: way.api?.port ?? 8443 },
              }
            : { ...found, ...behind },
        );
      }
      if (way.kind === "egress") {
        const [pod] = await readyPods(kube, session.handle.outsideNamespace, `${STAND_IN_LABEL}=ticket-elsewhere`);
        const port = request.scheme === "https" ? 443 : 80;
        return {
          url: `${request.scheme}://${request.authority ?? way.host}`,
          connectTo: `${pod?.status?.podIP ?? "127.0.0.1"}:${port}`,
          readyPods: pod === undefined ? 0 : 1,
          proxies: [],
          behind: [],
        };
      }
      const main = way.kind === "service" && way.service.name === name ? way : undefined;
      const service = main?.service ?? services.find((one) => one.name === name);
      if (service === undefined)
        throw new MeshproofError("ERR_SCENARIO_INVALID", `there is no Service ${name} to send to`);
      const target = await toService(service, main?.port ?? service.ports[0] ?? { port: 80 }, true);
      return main === undefined ? target : await through(target);
    },
  };
}
