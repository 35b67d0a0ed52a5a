/** The workload that stands in for the ticket's: nginx that answers 200 to everything, with the ticket's labels and port. */

import { parseAllDocuments, stringify } from "yaml";
import { MeshproofError } from "../model/errors.ts";
import { ofFile } from "../user-file.ts";
import { withoutCredentials } from "./placeholders.ts";
import type { TicketRequest } from "./curl-line.ts";
import type { TicketObject } from "./translate.ts";

/** Name of its folder in scenarios/workloads and of every object of it. */
export const STAND_IN = "ticket";

/** Keeps its pods apart from others with the ticket's labels. */
const OWN_LABEL = { "meshproof.dev/stand-in": "ticket" } as const;

/** Labels `app` of pods of ours: a ticket's workload with one of them would be taken for it. */
const OURS = ["sleep", "neighbour", "nginx-proxy", "outside", "outside-host", "httpbin", "ext-authz"].concat(
  ["productpage", "details", "ratings", "reviews"], // bookinfo
);

/** Labels of a ticket as they are here, in selectors and on pods alike. */
export function ownLabels(labels: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(labels).map(([key, value]) => [
      key,
      key === "app" && OURS.includes(value) ? `${STAND_IN}-${value}` : value,
    ]),
  );
}

export interface StandIn {
  readonly yaml: string;
  readonly host: string;
  readonly port: number;
  readonly portName: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Which names of the ticket mean it. */
  readonly services: readonly string[];
  readonly changes: readonly string[];
  readonly left: readonly string[];
  /** A host name of the ticket as it is here; others stay. */
  rename(host: string, told: (change: string) => void): string;
}

interface ServicePort {
  readonly name?: string;
  readonly port: number;
  readonly targetPort?: number | string;
  readonly appProtocol?: string;
}

/** The stand-in of a ticket. */
export function standIn(objects: readonly TicketObject[], request: TicketRequest, imageOf: string): StandIn {
  const changes: string[] = [];
  const left: string[] = [];
  const wanted = /^([^.:]+)/.exec(request.host ?? "")?.[1];
  const services = objects.filter(({ kind }) => kind === "Service");
  const service = services.find(({ metadata }) => metadata.name === wanted) ?? services[0];
  for (const { metadata } of services.filter((one) => one !== service))
    left.push(`Service ${metadata.name}: there is one stand-in, for ${service!.metadata.name}`);

  const templates = objects.flatMap(({ kind, metadata, spec }) =>
    kind === "Pod"
      ? [{ what: `Pod ${metadata.name}`, labels: metadata.labels ?? {} }]
      : ["Deployment", "StatefulSet", "DaemonSet"].includes(kind)
        ? [{ what: `${kind} ${metadata.name}`, labels: labelsOf(spec?.["template"]) }]
        : [],
  );
  const serviceLabels = (service?.spec?.["selector"] ?? {}) as Record<string, string>;
  const template = templates.find(({ labels }) => fits(serviceLabels, labels)) ?? templates[0];
  for (const { what } of templates.filter((one) => one !== template))
    left.push(`${what}: there is one stand-in, for ${template!.what}`);
  const labels: Record<string, string> = { ...(template?.labels ?? serviceLabels) };
  if (template === undefined) {
    // Nobody said what the pods are labelled with: what policies choose is taken to exist, unless the Service says otherwise.
    for (const { kind, metadata, spec } of objects) {
      const chosen = (spec?.["selector"] as { matchLabels?: Record<string, string> } | undefined)?.matchLabels ?? {};
      if (/ingress/.test(JSON.stringify(chosen)) || !/^(Request|Authorization|Peer)/.test(kind)) continue;
      for (const [key, value] of Object.entries(chosen)) {
        if (labels[key] !== undefined) continue;
        labels[key] = value;
        changes.push(`the pods are taken to have the label ${key}=${value}, which ${kind} ${metadata.name} chooses`);
      }
    }
  }
  const { app } = labels;
  Object.assign(labels, ownLabels(labels));
  if (app !== labels["app"])
    changes.push(
      `the label app=${app} is that of a pod of ours: on the stand-in and in selectors it is app=${labels["app"]}`,
    );
  // istiod and the injector set these themselves.
  for (const key of Object.keys(labels)) if (/^(sidecar\.istio\.io|pod-template-hash)/.test(key)) delete labels[key];

  const ports = (service?.spec?.["ports"] ?? []) as ServicePort[];
  const asked = Number(/:(\d+)$/.exec(request.host ?? "")?.[1] ?? Number.NaN);
  const servicePort: ServicePort = ports.find(({ port }) => port === asked) ??
    ports[0] ?? { name: "http", port: portOf(objects) ?? 8000 };
  for (const { port } of ports.filter((one) => one !== servicePort))
    left.push(`port ${port} of Service ${service!.metadata.name}: the stand-in serves ${servicePort.port}`);
  const target =
    typeof servicePort.targetPort === "number"
      ? servicePort.targetPort
      : ports.length > 0 && servicePort.targetPort === undefined
        ? servicePort.port
        : (portOf(objects) ?? 8080);
  const host = `${STAND_IN}.\${ns}.svc.cluster.local`;
  const spaces = new Set(objects.map(({ metadata }) => metadata.namespace));
  const known = [...new Set(services.map(({ metadata }) => metadata.name))];
  changes.push(
    `${template?.what ?? (service ? `the pods of Service ${service.metadata.name}` : "the workload")} became a stand-in that answers 200 to every path: labels ${words(labels)}, port ${servicePort.port} named ${JSON.stringify(servicePort.name ?? "")}, container port ${target}`,
  );
  return {
    yaml: manifests(labels, servicePort, target, imageIn(imageOf)),
    host,
    port: servicePort.port,
    portName: servicePort.name ?? "",
    labels,
    services: known,
    changes,
    left,
    rename: (name, told) => {
      const [, bare = "", port = ""] = /^(.*?)(:(?:\d+|\*))?$/.exec(name) ?? [];
      const [service = "", namespace, svc] = bare.split(".");
      if (!known.includes(service) || (namespace !== undefined && svc !== "svc" && !spaces.has(namespace))) return name;
      told(`host ${name} became the stand-in's`);
      return `${bare.includes(".svc") ? host : bare.includes(".") ? `${STAND_IN}.\${ns}` : STAND_IN}${port}`;
    },
  };
}

export function words(labels: Readonly<Record<string, string>>): string {
  return (
    Object.entries(labels)
      .map(([key, value]) => `${key}=${value}`)
      .join(",") || "none"
  );
}

function labelsOf(template: unknown): Record<string, string> {
  return (template as { metadata?: { labels?: Record<string, string> } } | undefined)?.metadata?.labels ?? {};
}

function fits(selector: Readonly<Record<string, string>>, labels: Readonly<Record<string, string>>): boolean {
  return Object.entries(selector).every(([key, value]) => labels[key] === value);
}

/** The workload's port that a policy names. */
function portOf(objects: readonly TicketObject[]): number | undefined {
  for (const { kind, spec } of objects) {
    if (kind !== "AuthorizationPolicy") continue;
    const rules = (spec?.["rules"] ?? []) as { to?: { operation?: { ports?: string[] } }[] }[];
    const port = rules.flatMap((rule) => rule?.to ?? []).flatMap(({ operation }) => operation?.ports ?? [])[0];
    if (/^\d+$/.test(port ?? "")) return Number(port);
  }
  return undefined;
}

/** The image that the workload nginx-proxy has: the one that every kind of cluster has. */
function imageIn(text: string): string {
  const image = /^\s*image: (\S*nginx\S*)$/m.exec(text)?.[1];
  if (image === undefined)
    throw new MeshproofError("ERR_SCENARIO_INVALID", "the workload nginx-proxy has no image of nginx");
  return image;
}

function manifests(
  labels: Readonly<Record<string, string>>,
  servicePort: ServicePort,
  target: number,
  image: string,
): string {
  const metadata = { name: STAND_IN, namespace: "${ns}" };
  const config = `daemon off;
worker_processes 1;
pid /tmp/nginx.pid;
error_log stderr;
events {}
http {
  access_log off;
  default_type text/plain;
  server {
    listen ${target};
    location / { return 200 "the workload answers\\n"; }
  }
}
`;
  const objects = [
    { apiVersion: "v1", kind: "ServiceAccount", metadata },
    { apiVersion: "v1", kind: "ConfigMap", metadata, data: { "nginx.conf": config } },
    {
      apiVersion: "v1",
      kind: "Service",
      metadata,
      spec: {
        selector: OWN_LABEL,
        ports: [
          {
            ...(servicePort.name === undefined ? {} : { name: servicePort.name }),
            port: servicePort.port,
            targetPort: target,
            ...(servicePort.appProtocol === undefined ? {} : { appProtocol: servicePort.appProtocol }),
          },
        ],
      },
    },
    {
      apiVersion: "apps/v1",
      kind: "Deployment",
      metadata,
      spec: {
        selector: { matchLabels: OWN_LABEL },
        template: {
          metadata: { labels: { ...labels, ...OWN_LABEL } },
          spec: {
            serviceAccountName: STAND_IN,
            terminationGracePeriodSeconds: 1,
            containers: [
              {
                name: "nginx",
                image,
                imagePullPolicy: "IfNotPresent",
                command: ["nginx", "-e", "stderr", "-c", "/etc/meshproof/nginx.conf"],
                ports: [{ containerPort: target }],
                readinessProbe: { httpGet: { path: "/ready", port: target }, periodSeconds: 1 },
                resources: { requests: { cpu: "10m", memory: "16Mi" } },
                volumeMounts: [{ name: "config", mountPath: "/etc/meshproof", readOnly: true }],
              },
            ],
            volumes: [{ name: "config", configMap: { name: STAND_IN } }],
          },
        },
      },
    },
  ];
  return objects.map((object) => stringify(object, { aliasDuplicateObjects: false, lineWidth: 0 })).join("---\n");
}

/** Objects of YAML text; a List is taken apart. @throws MeshproofError ERR_USAGE naming the file */
export function readObjects(text: string, file: string): TicketObject[] {
  return ofFile(file, () => objectsOf(text, file));
}

function objectsOf(text: string, file: string): TicketObject[] {
  return parseAllDocuments(text).flatMap((document) => {
    const [problem] = document.errors;
    if (problem)
      throw new MeshproofError("ERR_USAGE", `${file} is no YAML: ${problem.message.split("\n")[0]}`, {
        hint: "give files with Kubernetes objects",
      });
    const value = document.toJS() as (TicketObject & { items?: TicketObject[] }) | null;
    if (value === null) return [];
    const found =
      typeof value.kind === "string" && value.kind.endsWith("List") && Array.isArray(value.items)
        ? value.items
        : [value];
    for (const one of found)
      if (typeof one?.kind !== "string" || typeof one.metadata?.name !== "string")
        throw new MeshproofError("ERR_USAGE", `${file} has a document without kind and metadata.name`, {
          hint: "give files with Kubernetes objects",
        });
    return found;
  });
}

/** Objects as YAML. Key sets are `…`, and a jwksUri has no user info and no query: no secret of a user's gets into a report. */
export function stringifyObjects(objects: readonly TicketObject[]): string {
  const blank = (key: unknown, value: unknown): unknown => {
    if (key === "jwks") return "…";
    return key === "jwksUri" || key === "jwks_uri" ? withoutCredentials(String(value)).uri : value;
  };
  return objects
    .map((object) => stringify(object, blank, { aliasDuplicateObjects: false, lineWidth: 0 }))
    .join("---\n");
}
