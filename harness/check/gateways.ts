/** What a cluster makes of gateways: Istio's ingress gateway, and what istiod makes for a Gateway of the Gateway API. */

import { MeshproofError } from "../model/errors.ts";
import { GATEWAY_LABELS, ROOT_NAMESPACE } from "../model/cluster.ts";
import type { ManifestObject } from "../model/manifest.ts";
import { isOfGatewayApiGroup, reachedAt, type Listener, type Reached } from "../model/target.ts";
import { GATEWAY_NAME } from "../verdict/attachment.ts";

/** A pod's own word on whether it gets a sidecar. */
export const INJECT = "sidecar.istio.io/inject";

/** Istio's ingress gateway, as its profile `default` installs it. */
export const INGRESS: readonly ManifestObject[] = [
  {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: "istio-ingressgateway", namespace: ROOT_NAMESPACE, labels: GATEWAY_LABELS },
    spec: {
      selector: GATEWAY_LABELS,
      ports: [
        { name: "status-port", port: 15021, targetPort: 15021 },
        { name: "http2", port: 80, targetPort: 8080 },
        { name: "https", port: 443, targetPort: 8443 },
      ],
    },
  },
  {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name: "istio-ingressgateway", namespace: ROOT_NAMESPACE },
    spec: {
      template: {
        metadata: { labels: { ...GATEWAY_LABELS, [INJECT]: "false" } },
        spec: {
          serviceAccountName: "istio-ingressgateway-service-account",
          containers: [{ ports: [15021, 8080, 8443].map((containerPort) => ({ containerPort })) }],
        },
      },
    },
  },
];

export function specOf<Spec>({ spec }: ManifestObject): Spec {
  return (spec ?? {}) as Spec;
}

/** What istiod makes for a Gateway of the class `istio`. */
export function gatewayParts(object: ManifestObject, usual: string): ManifestObject[] {
  const {
    gatewayClassName,
    addresses = [],
    listeners = [],
  } = specOf<{
    gatewayClassName?: string;
    addresses?: readonly unknown[];
    listeners?: readonly Listener[];
  }>(object);
  if (object.kind !== "Gateway" || !isOfGatewayApiGroup(object) || gatewayClassName !== "istio" || addresses.length > 0)
    return [];
  const { name: gateway, namespace = usual } = object.metadata;
  const name = `${gateway}-istio`;
  const labels = { [GATEWAY_NAME]: gateway, "gateway.istio.io/managed": "istio.io-gateway-controller" };
  const ports = [...new Set(listeners.map(({ port }) => port))];
  return [
    {
      apiVersion: "v1",
      kind: "Service",
      metadata: { name, namespace, labels },
      spec: {
        selector: { [GATEWAY_NAME]: gateway },
        ports: [{ name: "status-port", port: 15021 }, ...ports.map((port) => ({ name: `http-${port}`, port }))],
      },
    },
    {
      apiVersion: "apps/v1",
      kind: "Deployment",
      metadata: { name, namespace },
      spec: { template: { metadata: { labels }, spec: { serviceAccountName: name } } },
    },
  ];
}

export function reachListener(
  objects: readonly ManifestObject[],
  namespace: string,
  name: string,
  wanted: string | undefined,
): Reached {
  const gateway = objects.find(
    (one) =>
      one.kind === "Gateway" &&
      isOfGatewayApiGroup(one) &&
      one.metadata.name === name &&
      (one.metadata.namespace ?? namespace) === namespace,
  );
  const { listeners = [] } = gateway === undefined ? {} : specOf<{ listeners?: readonly Listener[] }>(gateway);
  const listener = listeners.find((one) => wanted === undefined || one.name === wanted);
  if (listener === undefined)
    throw new MeshproofError("ERR_SCENARIO_INVALID", `there is no Gateway ${namespace}/${name} with this listener`);
  return reachedAt(`${name}-istio.${namespace}`, listener);
}
