/** Workloads of their own for sets of policies, in a mesh: each has a namespace and a sidecar, and the gateway is one more. */

import { createHash } from "node:crypto";
import { toHandle, type Cluster } from "../../clusters/cluster.ts";
import { inLanes } from "../../harness/lanes.ts";
import { applyManifest, applyManifests, nameOf, parseManifests } from "../../harness/mesh/apply.ts";
import type { Kube, Manifest } from "../../harness/mesh/client.ts";
import { INGRESS_URL, setMesh } from "../../harness/mesh/index.ts";
import { readyPods, waitForDeployment } from "../../harness/mesh/wait.ts";
import { MeshproofError } from "../../harness/model/errors.ts";
import type { StepFinding } from "../../harness/model/finding.ts";
import { waitInForce, type Awaited } from "../../harness/run/in-force.ts";
import { proxyOf, type Place, type Proxy } from "../../harness/run/places.ts";
import { openSession, type Session } from "../../harness/run/session.ts";
import { deployWorkloads, publishKeys, runLabels } from "../../harness/run/workloads.ts";
import type { Policies } from "./arbitraries.ts";
import { manifestsOf, type Owner } from "./manifests.ts";

export interface Site {
  readonly owner: Owner;
  readonly proxy: Proxy;
  /** The port of the pod, by the name of the Service's. */
  readonly ports: Readonly<Record<string, number>>;
  url(port: string): string;
}

export type PlaceName = "sleep" | "neighbour" | "outside";

export interface Range {
  readonly session: Session;
  readonly sites: readonly Site[];
  readonly places: Readonly<Record<PlaceName, Place>>;
  /**
   * Gives each site its policies and waits until its proxy has them in force.
   * @returns for each site what the API server refused, and why the proxy does not have the rest
   */
  enforce(all: ReadonlyMap<Site, Policies>): Promise<ReadonlyMap<Site, Enforced>>;
  /** Removes all policies. */
  close(): Promise<void>;
}

export interface Enforced {
  /** The config of the site's proxy. */
  readonly dump: unknown;
  readonly manifests: readonly Manifest[];
  readonly refused: readonly string[];
}

const PORTS = { http: [8000, 8080], grpc: [9090, 9090], tcp: [9000, 9000] } as const;
const ISSUERS = ["corp", "partner", "istio-sample"];
/** The workloads of the scenarios that are used. */
const APPS = ["sleep", "neighbour", "outside", "nginx-proxy", "httpbin", "bookinfo", "ext-authz"];

/** @param count how many workloads, without the gateway */
export async function openRange(
  cluster: Cluster,
  {
    count,
    runId,
    scenariosRoot,
    progress,
  }: { count: number; runId: string; scenariosRoot: string; progress: (words: string) => void },
): Promise<Range> {
  const handle = await toHandle(cluster);
  const plan = {
    ...{ runId, startedAt: Date.now(), scenariosRoot, podsDir: "", diagnosticsDir: "" },
    ...{ limitMs: 10_000, inForceLimitMs: 60_000, unchosenIsNote: true },
  };
  const session = await openSession(plan, handle);
  const { kube, tokens } = session;
  progress("deploying workloads");
  const names = Array.from({ length: count }, (_, i) => `fuzz-${i}`);
  await Promise.all([
    deployWorkloads({ kube, handle, tokens, scenariosRoot, apps: APPS, progress }),
    cluster.ready(),
    applyManifests(kube, [...names.flatMap((name) => siteOf(name, handle.injection)), ...parseManifests(ROUTES)], {
      labels: runLabels(runId),
    }),
  ]);
  await inLanes(names, (name) => waitForDeployment(kube, name, "site"));
  const keySets = new Map(await inLanes(ISSUERS, async (name) => [name, await tokens.jwks(name)] as const));
  const jwks = Object.fromEntries(keySets);
  await publishKeys(kube, handle, keySets);
  await setMesh(kube, {}, { reload: true });
  const [sleep, neighbour, outside, away] = await Promise.all([
    session.place("sleep"),
    session.place("neighbour"),
    session.place("outside"),
    podIp(kube, handle.outsideNamespace, "app=outside"),
  ]);
  const places = { sleep, neighbour, outside: { ...outside, ip: away } };
  const known = { $sleep: sleep.proxy?.ip ?? "", $neighbour: neighbour.proxy?.ip ?? "", $outside: away };
  const workloads = await inLanes(names, async (name): Promise<Site> => {
    const [pod] = await readyPods(kube, name, "app=site");
    if (!pod) throw new MeshproofError("ERR_WORKLOAD_NOT_READY", `no pod in ${name}`);
    const proxy = proxyOf(pod);
    const host = `site.${name}`;
    const addresses = { ...known, $site: proxy.ip };
    return {
      owner: { name, namespace: name, labels: { site: name }, gateway: false, host: `${host}:8000`, addresses, jwks },
      proxy,
      ports: Object.fromEntries(Object.entries(PORTS).map(([port, [, target]]) => [port, target])),
      url: (port) => `http://${host}:${PORTS[port as keyof typeof PORTS][0]}`,
    };
  });
  const [ingress] = await readyPods(kube, "istio-system", "istio=ingressgateway");
  if (!ingress) throw new MeshproofError("ERR_WORKLOAD_NOT_READY", "no ingress gateway");
  const gateway: Site = {
    owner: {
      ...{ name: "fuzz-gateway", namespace: "istio-system", labels: { istio: "ingressgateway" }, gateway: true },
      ...{ host: "shop.example", addresses: { ...known, $site: ingress.status?.podIP ?? "" }, jwks },
    },
    proxy: proxyOf(ingress, "gateway"),
    ports: {},
    url: () => INGRESS_URL,
  };
  const sites = [...workloads, gateway];
  session.accessLog.follow(sites.map(({ proxy }) => proxy));
  // What a run that was killed has left.
  for (const namespace of [...names, "istio-system"])
    for (const kind of ["RequestAuthentication", "AuthorizationPolicy"])
      for (const old of (await kube.objects.list<Manifest>("security.istio.io/v1", kind, namespace)).items)
        if (old.metadata.name.startsWith("fuzz-"))
          await kube.objects.remove({ ...old, apiVersion: "security.istio.io/v1", kind });
  const applied = new Map<string, Manifest>();
  return {
    session,
    sites,
    places,
    enforce: async (all) => await enforce(session, applied, all),
    close: async () => {
      await inLanes([...applied.values()], (one) => kube.objects.remove(one));
      session.close();
    },
  };
}

async function podIp(kube: Kube, namespace: string, selector: string): Promise<string> {
  const [pod] = await readyPods(kube, namespace, selector);
  return pod?.status?.podIP ?? "";
}

async function enforce(
  session: Session,
  applied: Map<string, Manifest>,
  all: ReadonlyMap<Site, Policies>,
): Promise<ReadonlyMap<Site, Enforced>> {
  const { kube, plan } = session;
  const wanted = new Map([...all].map(([site, policies]) => [site, manifestsOf(policies, site.owner)] as const));
  const refused = new Map<Site, string[]>([...all.keys()].map((site) => [site, []]));
  const here = new Map<Manifest, Site>([...wanted].flatMap(([site, own]) => own.map((one) => [one, site] as const)));
  const names = new Set([...here.keys()].map(nameOf));
  const old = [...applied].filter(([name]) => !names.has(name)).map(([, manifest]) => manifest);
  await inLanes(old, (one) => kube.objects.remove(one));
  for (const one of old) applied.delete(nameOf(one));
  await inLanes(here, async ([manifest, site]) => {
    try {
      await applyManifest(kube, manifest, { labels: runLabels(plan.runId) });
      applied.set(nameOf(manifest), manifest);
    } catch (error) {
      if (!(error instanceof MeshproofError) || error.code !== "ERR_MANIFEST_REJECTED") throw error;
      refused.get(site)!.push(error.message);
      // What had the name before would stay.
      if (applied.delete(nameOf(manifest))) await kube.objects.remove(manifest);
    }
  });
  const change = (verb: "apply" | "delete") => (manifest: Manifest) => ({
    verb,
    manifest,
    file: "",
    line: 1,
    yaml: "",
  });
  const awaited: Awaited = {
    changes: [...old.map(change("delete")), ...[...applied.values()].map(change("apply"))],
    applied: [...applied.values()],
    judges: { proxies: [...all.keys()].map(({ proxy }) => proxy), behind: [] },
    clients: [],
  };
  let failing: readonly StepFinding[] = [];
  // On a machine that does much else, a proxy may take longer than the limit; a new marker asks it again.
  for (let tries = 0; tries < 3; tries++) {
    const { problems } = await waitInForce(session, awaited);
    failing = problems.filter(({ kind }) => kind !== "selects-no-pod");
    if (failing.every(({ kind }) => kind !== "old-config")) break;
  }
  if (failing.length > 0) throw new Error(await notInForce(session, failing));
  const result = await inLanes(all.keys(), async (site): Promise<readonly [Site, Enforced]> => [
    site,
    {
      dump: await session.dump(site.proxy),
      manifests: wanted.get(site)!.filter((one) => applied.get(nameOf(one)) === one),
      refused: refused.get(site)!,
    },
  ]);
  return new Map(result);
}

/** What a proxy lacks, and what it has logged. */
async function notInForce({ log }: Session, failing: readonly StepFinding[]): Promise<string> {
  const since = new Date(Date.now() - 5 * 60_000);
  const logs = await inLanes(failing, async (one) => {
    if (!("proxy" in one)) return "";
    const { namespace, pod } = one.proxy;
    const text = await log({ namespace, pod, container: "istio-proxy" }, since);
    const lines = text.split("\n").filter((line) => !line.startsWith("{"));
    return `${namespace}/${pod}:\n${lines.slice(-20).join("\n")}`;
  });
  return `not in force: ${JSON.stringify(failing).slice(0, 2000)}\n${logs.join("\n")}`;
}

/** Hosts and paths at the gateway: routes to a workload, redirects, fixed answers, and places without a route. */
const ROUTES = `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: fuzz-shop, namespace: foo }
spec:
  hosts: [shop.example, "*.api.example"]
  gateways: [bookinfo-gateway]
  http:
    - match: [{ uri: { prefix: /admin }, headers: { x-b: { exact: "yes" } } }]
      redirect: { uri: /elsewhere, redirectCode: 302 }
    - match: [{ uri: { exact: /a/b/z } }, { uri: { regex: "/x/(y|.)+" } }]
      directResponse: { status: 418 }
    - match: [{ uri: { prefix: /a } }, { uri: { prefix: /ADMIN }, ignoreUriCase: true }]
      route: [{ destination: { host: httpbin, port: { number: 8000 } } }]
    - match: [{ method: { exact: POST } }, { headers: { x-a: { regex: "[0-9]+" } } }]
      route: [{ destination: { host: httpbin, port: { number: 8000 } } }]
    - match: [{ headers: { "@request.auth.claims.groups": { exact: admin } } }]
      directResponse: { status: 299 }
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: fuzz-site, namespace: foo }
spec:
  hosts: [site.example, a.example]
  gateways: [bookinfo-gateway]
  http:
    - route: [{ destination: { host: httpbin, port: { number: 8000 } } }]
`;

/** nginx answers 200 to everything, on a port for each protocol; HTTP on the TCP port, so that one client asks all. */
function siteOf(name: string, injection: Readonly<Record<string, string>>): Manifest[] {
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

function hash(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, 16);
}
