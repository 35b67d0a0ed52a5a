/** What generated policies hold at: nginx in a namespace of its own, with a sidecar or behind a waypoint, and the gateways' routes. */

import { createHash } from "node:crypto";
import { parseManifests } from "../../harness/mesh/apply.ts";
import type { Manifest } from "../../harness/mesh/client.ts";

/** Of the Service and of the pod, by name. */
export const PORTS = { http: [8000, 8080], grpc: [9090, 9090], tcp: [9000, 9000] } as const;

/** The namespace of the site behind a waypoint, and the names of what is in it. */
export const AMBIENT = { namespace: "fuzz-waypoint", waypoint: "waypoint", entry: "entry" } as const;

/**
 * The entry's listeners by the names of {@link PORTS}, and the Service that each leads to: in the place of TCP a second Service of the same
 * waypoint, for which no policy of the first one holds.
 */
export const ENTRY_PORTS: Readonly<
  Record<string, { readonly port: number; readonly service: string; readonly to: number }>
> = {
  http: { port: 8080, service: "site", to: 8000 },
  grpc: { port: 9090, service: "site", to: 9090 },
  tcp: { port: 9000, service: "other", to: 8001 },
};

/** Hosts and paths at the gateway: routes to a workload, redirects, fixed answers, and places without a route. */
export const ROUTES = `
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: { name: fuzz, namespace: foo }
spec:
  selector: { istio: ingressgateway }
  servers:
    - port: { number: 80, name: http, protocol: HTTP }
      hosts: ["*"]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: fuzz-shop, namespace: foo }
spec:
  hosts: [shop.example, "*.api.example"]
  gateways: [fuzz]
  http:
    - match: [{ uri: { prefix: /admin }, headers: { x-b: { exact: "yes" } } }]
      redirect: { uri: /elsewhere, redirectCode: 302 }
    - match: [{ uri: { exact: /a/b/z } }, { uri: { regex: "/x/(y|.)+" } }]
      directResponse: { status: 418 }
    - match: [{ uri: { prefix: /a } }, { uri: { prefix: /ADMIN }, ignoreUriCase: true }]
      route: [{ destination: { host: nginx-proxy, port: { number: 80 } } }]
    - match: [{ method: { exact: POST } }, { headers: { x-a: { regex: "[0-9]+" } } }]
      route: [{ destination: { host: nginx-proxy, port: { number: 80 } } }]
    - match: [{ headers: { "@request.auth.claims.groups": { exact: admin } } }]
      directResponse: { status: 299 }
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: fuzz-site, namespace: foo }
spec:
  hosts: [site.example, a.example]
  gateways: [fuzz]
  http:
    - route: [{ destination: { host: nginx-proxy, port: { number: 80 } } }]
`;

/** nginx answers 200 to everything, on a port for each protocol; HTTP on the TCP port, so that one client asks all. */
export function siteOf(name: string, injection: Readonly<Record<string, string>>): Manifest[] {
  const config = `
daemon off;
worker_processes 1;
pid /tmp/nginx.pid;
error_log stderr crit;
events {}
http {
  access_log off;
  keepalive_timeout 2h;
  server {
    listen 8080;
    listen 9000;
    listen 9090 http2;
    location = /ready { return 204; }
    location / { return 200 "ok"; }
  }
}`;
  const labels = { app: "site", site: name };
  return parseManifests(
    JSON.stringify({
      kind: "List",
      items: [
        { apiVersion: "v1", kind: "Namespace", metadata: { name, labels: injection } },
        {
          apiVersion: "v1",
          kind: "ConfigMap",
          metadata: { name: "site", namespace: name },
          data: { "nginx.conf": config },
        },
        {
          apiVersion: "v1",
          kind: "Service",
          metadata: { name: "site", namespace: name },
          spec: {
            selector: { app: "site" },
            ports: Object.entries(PORTS).map(([port, [number, target]]) => ({
              name: port,
              port: number,
              targetPort: target,
            })),
          },
        },
        {
          apiVersion: "apps/v1",
          kind: "Deployment",
          metadata: { name: "site", namespace: name },
          spec: {
            selector: { matchLabels: labels },
            template: {
              metadata: {
                labels,
                annotations: { "proxy.istio.io/config": "concurrency: 1", "meshproof.dev/config": hash(config) },
              },
              spec: {
                terminationGracePeriodSeconds: 1,
                containers: [
                  {
                    name: "nginx",
                    image: "docker.io/library/nginx:1.28.0",
                    command: ["nginx", "-e", "stderr", "-c", "/etc/meshproof/nginx.conf"],
                    readinessProbe: { httpGet: { path: "/ready", port: 8080 }, periodSeconds: 1 },
                    volumeMounts: [{ name: "config", mountPath: "/etc/meshproof", readOnly: true }],
                  },
                ],
                volumes: [{ name: "config", configMap: { name: "site" } }],
              },
            },
          },
        },
      ],
    }),
  );
}

/** A site without a sidecar and its waypoint, and a gateway of its own that sends to it, at which no policies hold. */
export function ambientSite(): Manifest[] {
  const { namespace, waypoint, entry } = AMBIENT;
  const api = { apiVersion: "gateway.networking.k8s.io/v1" };
  const through = { "istio.io/use-waypoint": waypoint, "istio.io/ingress-use-waypoint": "true" };
  const own = siteOf(namespace, {}).map((manifest) =>
    manifest.kind === "Service" ? { ...manifest, metadata: { ...manifest.metadata, labels: through } } : manifest,
  );
  return [
    ...own,
    {
      apiVersion: "v1",
      kind: "Service",
      metadata: { name: "other", namespace, labels: through },
      spec: { selector: { app: "site" }, ports: [{ name: "http", port: 8001, targetPort: 8080 }] },
    },
    {
      ...{ ...api, kind: "Gateway", metadata: { name: waypoint, namespace } },
      spec: { gatewayClassName: "istio-waypoint", listeners: [{ name: "mesh", port: 15008, protocol: "HBONE" }] },
    },
    {
      ...api,
      kind: "Gateway",
      metadata: { name: entry, namespace, annotations: { "networking.istio.io/service-type": "ClusterIP" } },
      spec: {
        gatewayClassName: "istio",
        listeners: Object.entries(ENTRY_PORTS).map(([name, { port }]) => ({ name, port, protocol: "HTTP" })),
      },
    },
    ...Object.entries(ENTRY_PORTS).map(([name, { service, to }]) => ({
      ...{ ...api, kind: "HTTPRoute", metadata: { name, namespace } },
      spec: {
        parentRefs: [{ name: entry, sectionName: name }],
        rules: [{ backendRefs: [{ name: service, port: to }] }],
      },
    })),
  ];
}

function hash(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, 16);
}
