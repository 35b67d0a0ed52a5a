/** Waypoints: istiod makes them for Gateways of the class `istio-waypoint`, without ztunnel and the CNI agent where only gateways use them. */

import gte from "semver/functions/gte.js";
import { GATEWAY_API_GROUP } from "../model/target.ts";
import { WAYPOINT_CLASS } from "../model/waypoint.ts";
import type { Kube, Manifest } from "./client.ts";
import { gatewayApiVersion } from "./gateway-api.ts";
import { type ClusterInfo, ISTIOD, ROOT_NAMESPACE } from "../model/cluster.ts";

/** istiod's setting for waypoints (pilot/pkg/features/ambient.go). */
const AMBIENT_ENV = "PILOT_ENABLE_AMBIENT";

/** Since this version upstream Envoy has `envoy.hashable_string`, without which connections of several peers would be shared. */
const FIRST_ENVOY = "1.38.0";

/** Whether proxies can be waypoints: each Envoy of Istio's, and upstream Envoy since 1.38. */
export function canBeWaypoints({ upstreamEnvoy, envoy }: { upstreamEnvoy: boolean; envoy: string }): boolean {
  return !upstreamEnvoy || gte(envoy, FIRST_ENVOY);
}

/** istiod's settings; the second for listeners that upstream Envoy rejects, which are made even without several networks. */
export function waypointSettings(upstreamEnvoy: boolean): string[] {
  return [
    `values.pilot.env.${AMBIENT_ENV}=true`,
    ...(upstreamEnvoy ? ["values.pilot.env.AMBIENT_ENABLE_MULTI_NETWORK_WAYPOINT=false"] : []),
  ];
}

/** What a mesh that meshproof made has of the Gateway API; nothing without its CRDs. */
export async function gatewayApiOf(kube: Kube): Promise<Pick<ClusterInfo, "gatewayApi" | "waypoints">> {
  const [gatewayApi, waypoints] = await Promise.all([gatewayApiVersion(kube), hasWaypoints(kube)]);
  return gatewayApi === undefined ? {} : { gatewayApi, waypoints };
}

/** Whether istiod makes waypoints, by its settings: their GatewayClass may be there a moment later. */
async function hasWaypoints({ apps }: Pick<Kube, "apps">): Promise<boolean> {
  const { items } = await apps.listNamespacedDeployment({ namespace: ROOT_NAMESPACE, labelSelector: ISTIOD });
  const env = items.flatMap(({ spec }) => spec?.template.spec?.containers.flatMap((one) => one.env ?? []) ?? []);
  return env.some(({ name, value }) => name === AMBIENT_ENV && value === "true");
}

/** What istiod sets in the filter state of a request that comes by HBONE, but for the factory that makes its values hashable. */
const STATE: readonly (readonly [key: string, value: string, factory?: string])[] = [
  ["envoy.filters.listener.original_dst.local_ip", "%REQ(:AUTHORITY)%"],
  ["io.istio.connect_authority", "%REQ(:AUTHORITY)%", "envoy.hashable_string"],
  ["envoy.filters.listener.original_dst.remote_ip", "%DOWNSTREAM_REMOTE_ADDRESS%"],
  ["io.istio.peer_principal", "%DOWNSTREAM_PEER_URI_SAN%", "envoy.hashable_string"],
  ["io.istio.local_principal", "%DOWNSTREAM_LOCAL_URI_SAN%", "envoy.hashable_string"],
];

/**
 * What istiod sends to waypoints, and to sidecars that take HBONE, so that upstream Envoy takes it: without the filters that exchange
 * metadata of peers, which no policy reads, and with upstream's hashable strings instead of Istio's (istio/istio
 * pilot/pkg/xds/filters/filters.go, ConnectAuthorityFilter).
 */
export function upstreamEnvoyFilters(): Manifest[] {
  const of = (subFilter: string, listener: Record<string, unknown> = {}) => ({
    context: "SIDECAR_INBOUND",
    listener: {
      ...listener,
      filterChain: {
        filter: { name: "envoy.filters.network.http_connection_manager", subFilter: { name: subFilter } },
      },
    },
  });
  const remove = (subFilter: string) => ({
    applyTo: "HTTP_FILTER",
    match: of(subFilter),
    patch: { operation: "REMOVE" },
  });
  const configPatches = [
    remove("waypoint_downstream_peer_metadata"),
    remove("waypoint_upstream_peer_metadata"),
    {
      applyTo: "HTTP_FILTER",
      match: of("connect_authority", { name: "connect_terminate" }),
      patch: {
        operation: "REPLACE",
        value: {
          name: "connect_authority",
          typed_config: {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.set_filter_state.v3.Config",
            on_request_headers: STATE.map(([key, value, factory]) => ({
              object_key: key,
              ...(factory !== undefined && { factory_key: factory }),
              format_string: { text_format_source: { inline_string: value } },
              shared_with_upstream: "ONCE",
            })),
          },
        },
      },
    },
  ];
  const filter = (name: string, where: Record<string, unknown>): Manifest => ({
    apiVersion: "networking.istio.io/v1alpha3",
    kind: "EnvoyFilter",
    metadata: { name, namespace: ROOT_NAMESPACE },
    spec: { ...where, configPatches },
  });
  const waypoints = { group: GATEWAY_API_GROUP, kind: "GatewayClass", name: WAYPOINT_CLASS };
  return [
    filter("meshproof-waypoints", { targetRefs: [waypoints] }),
    // The label that the injector gives to pods with ISTIO_META_ENABLE_HBONE.
    filter("meshproof-hbone", { workloadSelector: { labels: { "networking.istio.io/tunnel": "http" } } }),
  ];
}
