/**
 * The proxy that plays ztunnel for a client in ambient mode: a sidecar whose outbound TCP goes by HBONE to one waypoint, to the address
 * that the client connects to. Its certificate is that of the pod's service account, from istiod; the key stays in the proxy's memory.
 */

import { waypointIdentity } from "../model/identity.ts";
import { HBONE_PORT } from "../model/waypoint.ts";
import type { WaypointRef } from "./waypoints.ts";

export const CLUSTER = "meshproof-hbone";
const EXTENSIONS = "type.googleapis.com/envoy.extensions";

/** A secret of pilot-agent, as istiod's own clusters name it. */
function secret(name: string): object {
  return {
    name,
    sds_config: {
      api_config_source: {
        api_type: "GRPC",
        transport_api_version: "V3",
        grpc_services: [{ envoy_grpc: { cluster_name: "sds-grpc" } }],
      },
      resource_api_version: "V3",
      initial_fetch_timeout: "0s",
    },
  };
}

/** @param labels of the client's pods */
export function tunnelManifests(
  name: string,
  namespace: string,
  labels: Readonly<Record<string, string>>,
  waypoint: WaypointRef,
): object[] {
  const workloadSelector = { labels };
  const version = { tls_minimum_protocol_version: "TLSv1_3", tls_maximum_protocol_version: "TLSv1_3" };
  return [
    {
      ...{ apiVersion: "networking.istio.io/v1", kind: "Sidecar", metadata: { name, namespace } },
      // Without listeners of its own for Services, everything goes to the one for the rest.
      spec: { workloadSelector, egress: [{ hosts: ["~/*"] }] },
    },
    {
      ...{ apiVersion: "networking.istio.io/v1alpha3", kind: "EnvoyFilter", metadata: { name, namespace } },
      spec: {
        workloadSelector,
        configPatches: [
          {
            applyTo: "CLUSTER",
            match: { context: "SIDECAR_OUTBOUND" },
            patch: {
              operation: "ADD",
              value: {
                ...{ name: CLUSTER, type: "STRICT_DNS", connect_timeout: "5s" },
                // istiod makes the waypoint's Service when the Gateway is applied, which may be after this.
                dns_refresh_rate: "0.5s",
                dns_failure_refresh_rate: { base_interval: "0.1s", max_interval: "0.2s" },
                load_assignment: {
                  cluster_name: CLUSTER,
                  endpoints: [{ lb_endpoints: [{ endpoint: { address: { socket_address: addressOf(waypoint) } } }] }],
                },
                typed_extension_protocol_options: {
                  "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                    "@type": `${EXTENSIONS}.upstreams.http.v3.HttpProtocolOptions`,
                    explicit_http_config: { http2_protocol_options: { allow_connect: true } },
                  },
                },
                transport_socket: {
                  name: "envoy.transport_sockets.tls",
                  typed_config: {
                    "@type": `${EXTENSIONS}.transport_sockets.tls.v3.UpstreamTlsContext`,
                    common_tls_context: {
                      alpn_protocols: ["h2"],
                      tls_params: version,
                      tls_certificate_sds_secret_configs: [secret("default")],
                      combined_validation_context: {
                        default_validation_context: {
                          match_typed_subject_alt_names: [
                            { san_type: "URI", matcher: { exact: `spiffe://${waypointIdentity(waypoint)}` } },
                          ],
                        },
                        validation_context_sds_secret_config: secret("ROOTCA"),
                      },
                    },
                  },
                },
              },
            },
          },
          {
            applyTo: "NETWORK_FILTER",
            match: {
              context: "SIDECAR_OUTBOUND",
              listener: {
                name: "virtualOutbound",
                filterChain: {
                  name: "virtualOutbound-catchall-tcp",
                  filter: { name: "envoy.filters.network.tcp_proxy" },
                },
              },
            },
            patch: {
              operation: "MERGE",
              value: {
                name: "envoy.filters.network.tcp_proxy",
                typed_config: {
                  "@type": `${EXTENSIONS}.filters.network.tcp_proxy.v3.TcpProxy`,
                  cluster: CLUSTER,
                  // The address before the redirection, as ztunnel names it.
                  tunneling_config: { hostname: "%DOWNSTREAM_LOCAL_ADDRESS%" },
                },
              },
            },
          },
        ],
      },
    },
  ];
}

function addressOf({ namespace, name }: WaypointRef): object {
  return { address: `${name}.${namespace}.svc.cluster.local`, port_value: HBONE_PORT };
}
