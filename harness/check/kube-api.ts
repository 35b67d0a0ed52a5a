/**
 * As much of a Kubernetes API as istiod reads: lists and watches of objects that only {@link KubeApi.replace} changes. What istiod
 * would write (leases, statuses) is answered and forgotten.
 */

import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { ManifestObject } from "../model/manifest.ts";

export interface KubeApi extends AsyncDisposable {
  /** `http://127.0.0.1:<port>` */
  readonly url: string;
  /** Another version of an object that it has. */
  replace(object: ManifestObject): void;
}

interface Watch {
  readonly resource: string;
  send(type: string, object: ManifestObject): void;
}

/** The kinds that istiod watches only if their definition exists; their versions are those of Istio 1.30 and 1.31. */
const ISTIO_KINDS: Readonly<Record<string, readonly string[]>> = {
  "security.istio.io": ["AuthorizationPolicy", "PeerAuthentication", "RequestAuthentication"],
  "networking.istio.io": [
    ...["DestinationRule", "EnvoyFilter", "Gateway", "ProxyConfig", "ServiceEntry", "Sidecar"],
    ...["VirtualService", "WorkloadEntry", "WorkloadGroup"],
  ],
  "extensions.istio.io": ["WasmPlugin", "TrafficExtension"],
  "telemetry.istio.io": ["Telemetry"],
};

const VERSION = "1";
/** @param crds more definitions, such as those of the Gateway API */
export async function startKubeApi(
  objects: readonly ManifestObject[],
  crds: readonly ManifestObject[],
): Promise<KubeApi> {
  const istio = Object.entries(ISTIO_KINDS).flatMap(([group, kinds]) =>
    kinds.map((kind): ManifestObject => ({
      apiVersion: "apiextensions.k8s.io/v1",
      kind: "CustomResourceDefinition",
      metadata: { name: `${pluralOf(kind)}.${group}` },
    })),
  );
  const byResource = Map.groupBy([...istio, ...crds, ...objects].map(stored), resourceOf);
  const watches = new Set<Watch>();
  let version = Number(VERSION);
  const server = createServer((request, response) => answer(byResource, watches, request, response));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (typeof address !== "object" || address === null) throw new Error("a TCP server has a port");
  return {
    url: `http://127.0.0.1:${address.port}`,
    replace(object) {
      const resource = resourceOf(object);
      const all = byResource.get(resource) ?? [];
      const { name, namespace } = object.metadata;
      const index = all.findIndex(({ metadata }) => metadata.name === name && metadata.namespace === namespace);
      const { metadata = object.metadata } = all[index] ?? {};
      version++;
      const changed = { ...object, metadata: { ...metadata, ...object.metadata, resourceVersion: String(version) } };
      all[index] = changed;
      for (const watch of watches) if (watch.resource === resource) watch.send("MODIFIED", changed);
    },
    async [Symbol.asyncDispose]() {
      const closed = once(server, "close");
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

function stored(object: ManifestObject, index: number): ManifestObject {
  const { metadata } = object;
  const made = { creationTimestamp: "2026-01-01T00:00:00Z", resourceVersion: VERSION, uid: `meshproof-${index}` };
  return { ...object, metadata: { ...made, ...metadata } };
}

function answer(
  byResource: ReadonlyMap<string, readonly ManifestObject[]>,
  watches: Set<Watch>,
  request: IncomingMessage,
  response: ServerResponse,
): void {
  const url = new URL(request.url ?? "/", "http://localhost");
  const [, group = "", version = "", namespace, plural = "", name] =
    /^\/(?:api|apis\/([^/]+))\/([^/]+)(?:\/namespaces\/([^/]+)(?=\/))?\/([^/]+)(?:\/([^/]+))?/.exec(url.pathname) ?? [];
  const send = (status: number, body: unknown): void => {
    response.writeHead(status, { "Content-Type": "application/json" });
    response.end(JSON.stringify(body));
  };
  if (url.pathname === "/version") {
    send(200, { major: "1", minor: "36", gitVersion: "v1.36.0" });
    return;
  }
  if (request.method !== "GET") {
    // It is nobody's: whatever istiod writes is as it says.
    void readBody(request).then((body) => send(request.method === "POST" ? 201 : 200, body));
    return;
  }
  const isPartial = request.headers.accept?.includes("as=PartialObjectMetadata") === true;
  const apiVersion = group === "" ? version : `${group}/${version}`;
  const shown = (object: ManifestObject): unknown =>
    isPartial
      ? { apiVersion: "meta.k8s.io/v1", kind: "PartialObjectMetadata", metadata: object.metadata }
      : { ...object, apiVersion };
  const all = (byResource.get(`${group}/${plural}`) ?? []).filter(
    ({ metadata }) =>
      (namespace === undefined || metadata.namespace === namespace) && selects(url.searchParams, metadata),
  );
  if (name !== undefined) {
    const found = all.find(({ metadata }) => metadata.name === name);
    if (found === undefined) send(404, statusOf(404, "NotFound", `${plural} "${name}" not found`));
    else send(200, shown(found));
    return;
  }
  if (url.searchParams.get("sendInitialEvents") === "true") {
    // client-go lists instead, as it does with an API server that has no watch lists.
    send(422, statusOf(422, "Invalid", "sendInitialEvents is not supported"));
    return;
  }
  if (url.searchParams.get("watch") !== "true") {
    // A reader knows what it has asked for: an empty list needs no kind.
    const list = isPartial
      ? { apiVersion: "meta.k8s.io/v1", kind: "PartialObjectMetadataList" }
      : all[0] && { apiVersion, kind: `${all[0].kind}List` };
    send(200, { ...list, metadata: { resourceVersion: VERSION }, items: all.map(shown) });
    return;
  }
  response.writeHead(200, { "Content-Type": "application/json" });
  response.flushHeaders();
  const watch: Watch = {
    resource: `${group}/${plural}`,
    send: (type, object) => void response.write(`${JSON.stringify({ type, object: shown(object) })}\n`),
  };
  watches.add(watch);
  response.once("close", () => watches.delete(watch));
}

async function readBody(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  try {
    return JSON.parse(Buffer.concat(chunks).toString("utf8"));
  } catch {
    return {};
  }
}

function statusOf(code: number, reason: string, message: string): unknown {
  return { apiVersion: "v1", kind: "Status", status: "Failure", code, reason, message };
}

/** Selectors of the forms that istiod uses: `name`, `!name`, `name=value`, `name!=value`. */
function selects(query: URLSearchParams, { name, labels = {} }: ManifestObject["metadata"]): boolean {
  const terms = (key: string): string[] => (query.get(key) ?? "").split(",").filter((term) => term !== "");
  const fits = (term: string, values: Readonly<Record<string, string>>): boolean => {
    const [, not = "", key = "", operator = "", value = ""] = /^(!?)([^=!]+)(?:(==?|!=)(.*))?$/.exec(term) ?? [];
    if (operator === "") return key in values === (not === "");
    return (values[key] === value) === (operator !== "!=");
  };
  return (
    terms("labelSelector").every((term) => fits(term, labels)) &&
    terms("fieldSelector").every((term) => !term.startsWith("metadata.name") || fits(term, { "metadata.name": name }))
  );
}

function resourceOf({ apiVersion, kind }: ManifestObject): string {
  const [group = ""] = apiVersion.includes("/") ? apiVersion.split("/") : [];
  return `${group}/${pluralOf(kind)}`;
}

export function pluralOf(kind: string): string {
  const name = kind.toLowerCase();
  if (name.endsWith("s")) return `${name}es`;
  return /[^aeiou]y$/.test(name) ? `${name.slice(0, -1)}ies` : `${name}s`;
}
