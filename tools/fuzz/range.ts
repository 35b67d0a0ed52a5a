/** Workloads of their own for sets of policies, in a mesh: each has a namespace and a sidecar, and the gateway and a waypoint are two more. */

import { toHandle, type Cluster } from "../../clusters/cluster.ts";
import { inLanes } from "../../harness/lanes.ts";
import { messageOf } from "../../harness/mesh/api-error.ts";
import { applyManifest, applyManifests, nameOf, parseManifests } from "../../harness/mesh/apply.ts";
import type { Kube, Manifest } from "../../harness/mesh/client.ts";
import { INGRESS_URL, setMesh } from "../../harness/mesh/index.ts";
import { readyPods, waitForDeployment } from "../../harness/mesh/wait.ts";
import { ROOT_NAMESPACE } from "../../harness/model/cluster.ts";
import { MeshproofError } from "../../harness/model/errors.ts";
import type { StepFinding } from "../../harness/model/finding.ts";
import { waitInForce, type Awaited } from "../../harness/run/in-force.ts";
import type { Change } from "../../harness/run/changes.ts";
import { proxyOf, type Place, type Proxy } from "../../harness/run/places.ts";
import { openSession, type Session } from "../../harness/run/session.ts";
import { servedBy, untilSentThrough, waypointProgrammed } from "../../harness/run/waypoints.ts";
import { deployWorkloads, publishKeys, runLabels } from "../../harness/run/workloads.ts";
import { GATEWAY_NAME } from "../../harness/verdict/attachment.ts";
import type { Policies } from "./arbitraries.ts";
import { KEYS_OF_NOBODY, manifestsOf, type Owner } from "./manifests.ts";
import { AMBIENT, ambientSite, ENTRY_PORTS, PORTS, ROUTES, siteOf } from "./workloads.ts";

export interface Site {
  readonly owner: Owner;
  readonly proxy: Proxy;
  /** A waypoint's: the gateway that sends to it, with {@link ports} of its listeners. */
  readonly entry?: Proxy;
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
  /** The config of the site's {@link Site.entry}. */
  readonly entryDump?: unknown;
  readonly manifests: readonly Manifest[];
  readonly refused: readonly string[];
  /** What the proxy lacks of them, and what it has logged; then its answers say nothing of them. */
  readonly problem?: string;
}

const ISSUERS = ["corp", "partner", "istio-sample"];
/** The workloads of the scenarios that are used. */
const APPS = ["sleep", "neighbour", "outside", "nginx-proxy", "ext-authz"];

/** @param count how many workloads, without the gateway */
export async function openRange(
  cluster: Cluster,
  {
    count,
    runId,
    scenariosRoot,
    progress,
    inForceLimitMs,
  }: {
    count: number;
    runId: string;
    scenariosRoot: string;
    progress: (words: string) => void;
    inForceLimitMs: number;
  },
): Promise<Range> {
  const handle = await toHandle(cluster);
  const plan = {
    ...{ runId, startedAt: Date.now(), scenariosRoot, podsDir: "", diagnosticsDir: "" },
    ...{ limitMs: 10_000, inForceLimitMs, unchosenIsNote: true },
  };
  const session = await openSession(plan, handle);
  const { kube, tokens } = session;
  const { waypoints = false } = await cluster.describe();
  progress(waypoints ? "deploying workloads" : "deploying workloads, without a waypoint: this mesh has none");
  const names = Array.from({ length: count }, (_, i) => `fuzz-${i}`);
  await Promise.all([
    deployWorkloads({ kube, handle, tokens, scenariosRoot, apps: APPS, progress }),
    cluster.ready(),
    applyManifests(kube, [...names.flatMap((name) => siteOf(name, handle.injection)), ...parseManifests(ROUTES)], {
      labels: runLabels(runId),
    }),
    waypoints && applyManifests(kube, ambientSite(), { labels: runLabels(runId) }),
  ]);
  await inLanes(names, (name) => waitForDeployment(kube, name, "site"));
  const keySets = new Map(await inLanes(ISSUERS, async (name) => [name, await tokens.jwks(name)] as const));
  const jwks = Object.fromEntries(keySets);
  await publishKeys(kube, handle, new Map([...keySets, [KEYS_OF_NOBODY, await tokens.jwks(KEYS_OF_NOBODY)]]));
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
      owner: {
        ...{ name, namespace: name, labels: { site: name }, kind: "sidecar" },
        ...{ host: `${host}:8000`, addresses, jwks, runId, lacksKeys: name === names[0] },
      },
      proxy,
      ports: Object.fromEntries(Object.entries(PORTS).map(([port, [, target]]) => [port, target])),
      url: (port) => `http://${host}:${PORTS[port as keyof typeof PORTS][0]}`,
    };
  });
  const [ingress] = await readyPods(kube, ROOT_NAMESPACE, "istio=ingressgateway");
  if (!ingress) throw new MeshproofError("ERR_WORKLOAD_NOT_READY", "no ingress gateway");
  const gateway: Site = {
    owner: {
      ...{ name: "fuzz-gateway", namespace: ROOT_NAMESPACE, labels: { istio: "ingressgateway" }, kind: "gateway" },
      ...{ host: "shop.example", addresses: { ...known, $site: ingress.status?.podIP ?? "" }, jwks, runId },
    },
    proxy: proxyOf(ingress, "gateway"),
    ports: {},
    url: () => INGRESS_URL,
  };
  const behind = waypoints ? await openAmbient(session, { addresses: known, jwks, runId }) : [];
  const sites = [...workloads, gateway, ...behind];
  session.accessLog.follow(sites.map(({ proxy }) => proxy));
  // What a run that was killed has left.
  for (const namespace of [...names, ROOT_NAMESPACE, ...behind.map(({ owner }) => owner.namespace)])
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

/** The site behind the waypoint, once the gateway before it sends requests through it. */
async function openAmbient(session: Session, known: Pick<Owner, "addresses" | "jwks" | "runId">): Promise<Site[]> {
  const { kube } = session;
  const { namespace, waypoint, entry } = AMBIENT;
  await waypointProgrammed(kube, namespace, waypoint);
  await inLanes(["site", waypoint, `${entry}-istio`], (name) => waitForDeployment(kube, namespace, name));
  const pod = async (gateway: string): Promise<Proxy> => {
    const [found] = await readyPods(kube, namespace, `${GATEWAY_NAME}=${gateway}`);
    if (!found) throw new MeshproofError("ERR_WORKLOAD_NOT_READY", `no pod of ${gateway} in ${namespace}`);
    return proxyOf(found);
  };
  const [sends, judges] = await Promise.all([pod(entry), pod(waypoint)]);
  const proxy = { ...judges, serves: await servedBy(kube, namespace, waypoint) };
  await untilSentThrough(kube, [sends], [proxy]);
  // Its routes come last.
  const changes = ambientSite().map((manifest) => changeOf("apply", manifest));
  const { problems } = await waitInForce(session, { ...NOTHING, changes, clients: [sends] });
  if (problems.length > 0) throw new Error(await notInForce(session, problems));
  const host = `${entry}-istio.${namespace}`;
  return [
    {
      owner: { ...known, name: namespace, namespace, labels: {}, kind: "waypoint", host: `${host}:8080` },
      ...{ proxy, entry: sends },
      ports: Object.fromEntries(Object.entries(ENTRY_PORTS).map(([name, { port }]) => [name, port])),
      url: (port) => `http://${host}:${ENTRY_PORTS[port]?.port}`,
    },
  ];
}

const NOTHING: Awaited = { changes: [], applied: [], judges: { proxies: [], behind: [] }, clients: [] };

function changeOf(verb: "apply" | "delete", manifest: Manifest): Change {
  return { verb, manifest, file: "", line: 1, yaml: "" };
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
  const awaited: Awaited = {
    ...NOTHING,
    changes: [
      ...old.map((one) => changeOf("delete", one)),
      ...[...applied.values()].map((one) => changeOf("apply", one)),
    ],
    applied: [...applied.values()],
    judges: { proxies: [...all.keys()].map(({ proxy }) => proxy), behind: [] },
  };
  let failing: readonly StepFinding[] = [];
  // On a machine that does much else, a proxy may take longer than the limit; a new marker asks it again.
  for (let tries = 0; tries < 3; tries++) {
    const { problems } = await waitInForce(session, awaited);
    failing = problems.filter(({ kind }) => kind !== "selects-no-pod");
    if (failing.every(({ kind }) => kind !== "old-config")) break;
  }
  const lacking = new Map<Site, string>();
  for (const site of all.keys()) {
    const own = failing.filter((one) => "proxy" in one && one.proxy.pod === site.proxy.pod);
    if (own.length > 0) lacking.set(site, await notInForce(session, own));
  }
  if (failing.length > 0 && lacking.size === 0) throw new Error(await notInForce(session, failing));
  const result = await inLanes(all.keys(), async (site): Promise<readonly [Site, Enforced]> => [
    site,
    {
      dump: await session.dump(site.proxy),
      ...(site.entry && { entryDump: await session.dump(site.entry) }),
      manifests: wanted.get(site)!.filter((one) => applied.get(nameOf(one)) === one),
      refused: refused.get(site)!,
      ...(lacking.has(site) && { problem: lacking.get(site)! }),
    },
  ]);
  return new Map(result);
}

/** What a proxy lacks, how its containers are, and what it has logged. */
async function notInForce({ kube, log }: Session, failing: readonly StepFinding[]): Promise<string> {
  const since = new Date(Date.now() - 5 * 60_000);
  const logs = await inLanes(failing, async (one) => {
    if (!("proxy" in one)) return "";
    const { namespace, pod } = one.proxy;
    const found = await kube.core.readNamespacedPod({ namespace, name: pod }).catch(messageOf);
    if (typeof found === "string") return `${namespace}/${pod}: ${found}`;
    const all = [...(found.status?.initContainerStatuses ?? []), ...(found.status?.containerStatuses ?? [])];
    const states = all.map(({ name, ready, restartCount, lastState }) => {
      const last = lastState?.terminated && `, last ended with ${lastState.terminated.exitCode}`;
      return `${name}: ${ready ? "ready" : "not ready"}, ${restartCount} restarts${last ?? ""}`;
    });
    const text = await log({ namespace, pod, container: "istio-proxy" }, since).catch(messageOf);
    const lines = text.split("\n").filter((line) => !line.startsWith("{"));
    return [`${namespace}/${pod}:`, ...states, ...lines.slice(-20)].join("\n");
  });
  return `not in force: ${JSON.stringify(failing).slice(0, 2000)}\n${logs.join("\n")}`;
}
