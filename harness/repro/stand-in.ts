/** Stand-ins for a ticket's workloads and clients: nginx that answers 200 to everything, and pods with curl. */

import { stringify } from "yaml";
import { MeshproofError } from "../model/errors.ts";
import type { Caller } from "../model/ticket.ts";
import { isOf, targetPortsOf, type Service, type ServicePort, type Workload } from "./services.ts";
import type { Labels } from "../model/finding.ts";
import { INGRESS_USES, USES, USES_NAMESPACE } from "../model/waypoint.ts";
import type { TicketObject } from "./ticket.ts";
import type { Topology } from "./topology.ts";
import { tunnelManifests } from "./tunnel.ts";
import { isKind } from "./understood.ts";
import type { WaypointRef } from "./waypoints.ts";

/** Name of their folder in scenarios/workloads. */
export const STAND_IN = "ticket";

/** Label on every stand-in pod. */
export const STAND_IN_LABEL = "meshproof.dev/stand-in";

/** Label with the name of a client's Deployment. */
export const CALLER_LABEL = "meshproof.dev/caller";

/** Namespace of the pods outside the mesh. */
const OUTSIDE = "${outside.ns}";

/** Secret with a certificate for every host of the ticket. */
export const CERTIFICATE = "meshproof-ticket-tls";

/** Port of a stand-in's readiness probe. */
const READY_PORT = 59_321;

export interface KeySet {
  readonly namespace: string;
  /** Name of the Service that serves the keys. */
  readonly service: string;
  readonly path: string;
  /** Name of the issuer in the translated scenario. */
  readonly issuer: string;
}

/** Reads the nginx image from the workload nginx-proxy, which every kind of cluster has. */
export function imageIn(text: string): string {
  const image = /^\s*image: (\S*nginx\S*)$/m.exec(text)?.[1];
  if (image === undefined)
    throw new MeshproofError("ERR_SCENARIO_INVALID", "the workload nginx-proxy has no image of nginx");
  return image;
}

/** @param ports ports that use TLS, as `namespace/service:port` */
export function standIns(
  { namespaces, services, workloads, way, passage }: Topology,
  callers: readonly Caller[],
  keySets: readonly KeySet[],
  tls: (service: Service, port: ServicePort) => boolean,
  image: string,
  objects: readonly TicketObject[],
): object[] {
  const made: object[] = [];
  const tunnel = passage?.kind === "through" && passage.tunnel ? passage.waypoint : undefined;
  for (const [name, { sidecars }] of namespaces) {
    // Each pod says itself whether it has a sidecar, unless its namespace says that none has.
    const wanted = sidecars || (tunnel && callers.some((one) => one.ambient && one.namespace === name));
    const labels = { "istio-injection": wanted ? "enabled" : "disabled", ...waypointLabelsOf(name, objects) };
    made.push({ apiVersion: "v1", kind: "Namespace", metadata: { name, labels } });
  }
  for (const service of services) made.push(serviceManifest(service));
  for (const [index, workload] of workloads.entries()) {
    const own = services.filter((service) => isOf(service, workload));
    const listeners = new Map<number, Listener>();
    for (const { containerPort } of workload.ports) listeners.set(containerPort, {});
    for (const service of own) {
      const numbers = targetPortsOf(service, workload);
      for (const [at, port] of service.ports.entries())
        listeners.set(numbers[at]!, {
          http2:
            /^(grpc|http2)/.test(port.name ?? "") || /^(grpc|http2|kubernetes\.io\/h2c)/.test(port.appProtocol ?? ""),
          tls: tls(service, port),
        });
    }
    if (listeners.size === 0) listeners.set(8080, {});
    const keys = keySets.filter(({ namespace, service }) =>
      own.some((one) => one.name === service && one.namespace === namespace),
    );
    made.push(...serverManifests(`ticket-${index + 1}`, workload, listeners, keys, image));
  }
  if (way.kind === "egress")
    made.push(
      ...serverManifests(
        "ticket-elsewhere",
        {
          namespace: OUTSIDE,
          of: "",
          name: "",
          labels: {},
          annotations: {},
          serviceAccount: "default",
          sidecar: false,
          ports: [],
        },
        new Map([
          [80, {}],
          [443, { tls: true }],
        ]),
        [],
        image,
      ),
      {
        apiVersion: "v1",
        kind: "Service",
        metadata: { name: "ticket-elsewhere", namespace: OUTSIDE },
        spec: {
          selector: { [STAND_IN_LABEL]: "ticket-elsewhere" },
          ports: [
            { name: "http", port: 80 },
            { name: "https", port: 443 },
          ],
        },
      },
    );
  for (const [index, caller] of callers.entries())
    made.push(...callerManifests(`ticket-caller-${index + 1}`, caller, tunnel));
  return made;
}

function serviceManifest({ namespace, name, selector, ports, object }: Service): object {
  const headless = object?.spec?.["clusterIP"] === "None";
  const { labels, annotations = {} } = object?.metadata ?? {};
  const told = Object.fromEntries(Object.entries(annotations).filter(([key]) => key.includes("istio.io/")));
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: {
      name,
      namespace,
      ...(labels && { labels }),
      ...(Object.keys(told).length > 0 && { annotations: told }),
    },
    spec: {
      selector,
      ...(headless && { clusterIP: "None" }),
      ports: ports.map(({ name: portName, port, targetPort, protocol, appProtocol }, index) => ({
        ...(portName === undefined ? (ports.length > 1 ? { name: `p${index}` } : {}) : { name: portName }),
        ...{ port, targetPort: targetPort ?? port },
        ...(protocol && { protocol }),
        ...(appProtocol && { appProtocol }),
      })),
    },
  };
}

export interface Listener {
  readonly http2?: boolean;
  readonly tls?: boolean;
}

/** Pods with nginx that answer 200 to everything on these ports, for a workload. */
export function serverManifests(
  name: string,
  { namespace, labels, annotations, serviceAccount, sidecar, ports }: Workload,
  listeners: ReadonlyMap<number, Listener>,
  keys: readonly KeySet[],
  image: string,
): object[] {
  const metadata = { name, namespace };
  const own = { [STAND_IN_LABEL]: name };
  const secured = [...listeners.values()].some(({ tls }) => tls);
  const config = `daemon off;
worker_processes 1;
pid /tmp/nginx.pid;
error_log stderr;
events {}
http {
  access_log off;
  default_type text/plain;
${secured ? "  ssl_certificate /etc/meshproof-tls/tls.crt;\n  ssl_certificate_key /etc/meshproof-tls/tls.key;\n" : ""}  map $http_authorization $token { default "with"; "" "without"; }
  server { listen ${READY_PORT}; location / { return 204; } }
${[...listeners]
  .map(
    ([port, { tls, http2 }]) => `  server {
    listen ${port}${tls ? " ssl" : ""}${http2 ? " http2" : ""};
${keys.map(({ path, issuer }) => `    location = ${path} { default_type application/json; alias /etc/meshproof/${issuer}.json; }\n`).join("")}    location / { return 200 "the workload answers\\nreceived $request_method $request_uri, $token the header Authorization\\n"; }
  }`,
  )
  .join("\n")}
}
`;
  const named = (port: number): { name?: string } => {
    const known = ports.find(({ containerPort }) => containerPort === port)?.name;
    return known === undefined ? {} : { name: known };
  };
  return [
    ...accountOf(namespace, serviceAccount),
    {
      ...{ apiVersion: "v1", kind: "ConfigMap", metadata },
      data: {
        "nginx.conf": config,
        ...Object.fromEntries(keys.map(({ issuer }) => [`${issuer}.json`, `\${jwks.${issuer}}`])),
      },
    },
    {
      apiVersion: "apps/v1",
      kind: "Deployment",
      metadata,
      spec: {
        selector: { matchLabels: own },
        template: {
          metadata: {
            labels: { ...labels, ...injected(sidecar), ...own },
            ...(Object.keys(annotations).length > 0 && { annotations }),
          },
          spec: {
            serviceAccountName: serviceAccount,
            terminationGracePeriodSeconds: 1,
            containers: [
              {
                name: "nginx",
                image,
                imagePullPolicy: "IfNotPresent",
                command: ["nginx", "-e", "stderr", "-c", "/etc/meshproof/nginx.conf"],
                ports: [...listeners.keys()].map((containerPort) => ({ ...named(containerPort), containerPort })),
                readinessProbe: { httpGet: { path: "/", port: READY_PORT }, periodSeconds: 1 },
                resources: { requests: { cpu: "10m", memory: "16Mi" } },
                volumeMounts: [
                  { name: "config", mountPath: "/etc/meshproof", readOnly: true },
                  ...(secured ? [{ name: "tls", mountPath: "/etc/meshproof-tls", readOnly: true }] : []),
                ],
              },
            ],
            volumes: [
              { name: "config", configMap: { name } },
              ...(secured ? [{ name: "tls", secret: { secretName: CERTIFICATE } }] : []),
            ],
          },
        },
      },
    },
  ];
}

/** Label that requests or refuses a sidecar for a pod. */
function injected(sidecar: boolean): Record<string, string> {
  return { "sidecar.istio.io/inject": String(sidecar) };
}

function accountOf(namespace: string, name: string): object[] {
  return name === "default" ? [] : [{ apiVersion: "v1", kind: "ServiceAccount", metadata: { name, namespace } }];
}

/** What a namespace says about the waypoint of its Services. */
function waypointLabelsOf(name: string, objects: readonly TicketObject[]): Labels {
  const shown = objects.find((one) => isKind(one, "Namespace") && one.metadata.name === name)?.metadata.labels ?? {};
  return Object.fromEntries(
    Object.entries(shown).filter(([label]) => [USES, USES_NAMESPACE, INGRESS_USES].includes(label)),
  );
}

/** @param waypoint where a client in ambient mode sends to */
function callerManifests(
  name: string,
  { namespace, serviceAccount, sidecar, ambient }: Caller,
  waypoint: WaypointRef | undefined,
): object[] {
  const own = { [CALLER_LABEL]: name };
  const tunnel = ambient ? waypoint : undefined;
  return [
    ...accountOf(namespace, serviceAccount),
    ...(tunnel === undefined ? [] : tunnelManifests(name, namespace, own, tunnel)),
    {
      apiVersion: "apps/v1",
      kind: "Deployment",
      metadata: { name, namespace },
      spec: {
        selector: { matchLabels: own },
        template: {
          metadata: { labels: { ...own, ...injected(sidecar || tunnel !== undefined) } },
          spec: {
            serviceAccountName: serviceAccount,
            terminationGracePeriodSeconds: 1,
            containers: [
              {
                name: "curl",
                image: "docker.io/curlimages/curl:8.16.0",
                imagePullPolicy: "IfNotPresent",
                command: ["/bin/sleep", "infinity"],
                resources: { requests: { cpu: "10m", memory: "16Mi" } },
              },
            ],
          },
        },
      },
    },
  ];
}

export function toYaml(value: unknown): string {
  return stringify(value, { aliasDuplicateObjects: false, lineWidth: 0 });
}
