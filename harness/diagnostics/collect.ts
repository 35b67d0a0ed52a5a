import { itemsOf, nameItem } from "../model/items.ts";
import path from "node:path";
import type { CoreV1Event, V1Pod } from "@kubernetes/client-node";
import { stringify } from "yaml";
import { messageOf } from "../mesh/api-error.ts";
import type { Kube, Manifest } from "../mesh/client.ts";
import { execIn, type ContainerRef } from "../mesh/exec.ts";
import { dumpProxy } from "../mesh/proxy-dump.ts";
import type { StepResult } from "../model/result.ts";
import { isGateway, nameWay } from "../model/target.ts";
import type { ClusterHandle } from "../../clusters/cluster.ts";
import { FLUSHED_MS } from "../run/access-log.ts";
import { findIstiods } from "../run/failed-fetches.ts";
import type { Places, Proxy } from "../run/places.ts";
import type { SessionPlan } from "../run/plan.ts";
import type { TokenFactory } from "../tokens/factory.ts";
import type { Scenario } from "../model/scenario.ts";
import { openBundle, type Bundle } from "./bundle.ts";
import { redactValue } from "../safe/redact.ts";
import { ROOT_NAMESPACE } from "../model/cluster.ts";

/** The parts of a mesh that collecting uses. */
export interface DiagnosableMesh extends Places {
  readonly plan: Pick<SessionPlan, "runId" | "diagnosticsDir">;
  readonly handle: Pick<ClusterHandle, "namespace" | "outsideNamespace">;
  readonly tokens: Pick<TokenFactory, "redact">;
  readonly kube: Kube;
  log(where: ContainerRef, since: Date): Promise<string>;
}

/** The known facts about a failure. */
export interface Failure {
  readonly scenario: Scenario;
  /** Index of the step, from 0. */
  readonly index: number;
  /** Start of the step. */
  readonly since: Date;
  /** The scenario's objects in the cluster. */
  readonly manifests: readonly Manifest[];
  /** Undefined if the step ended with an error. */
  readonly step?: StepResult;
  readonly error?: string;
}

/**
 * Keeps the data that explain a failed step, while they exist: manifests, the config, access log and sync state of the proxies
 * involved, istiod's log, events. Never throws.
 * @returns the folder below the results folder; undefined if it could not be written
 */
export async function collectDiagnostics(mesh: DiagnosableMesh, failure: Failure): Promise<string | undefined> {
  const { scenario, index, since, manifests, step } = failure;
  const folder = `${scenario.id.replaceAll("/", "__")}/${index + 1}`;
  return await collect(mesh, folder, headingOf(failure), async (bundle) => {
    const proxies = await involved(mesh, scenario, index);
    const mark = `meshproof/${mesh.plan.runId}/${scenario.id}/${index + 1}.`;
    const namespaces = [...new Set([mesh.handle.namespace, ...proxies.map(({ namespace }) => namespace)])];
    await Promise.all([
      bundle.add("applied.yaml", () => Promise.resolve(manifests.map(toYaml).join("---\n"))),
      ...proxies.flatMap((proxy) => [
        bundle.add(`config-${proxy.pod}.json`, () => readConfig(mesh, proxy)),
        bundle.add(`access-log-${proxy.pod}.jsonl`, () => readAccessLog(mesh, proxy, since, mark, lastOf(step, proxy))),
      ]),
      ...addIstiod(mesh, bundle, since, proxies),
      ...namespaces.map((namespace) => bundle.add(`events-${namespace}.txt`, () => readEvents(mesh, namespace))),
    ]);
  });
}

/** Keeps the data that explain why workloads do not become ready: pods, their logs, events, istiod's log. Never throws. */
export async function collectSetUp(mesh: DiagnosableMesh, since: Date, error: unknown): Promise<void> {
  await collect(mesh, "set-up", messageOf(error), async (bundle) => {
    const namespaces = [mesh.handle.namespace, mesh.handle.outsideNamespace];
    await Promise.all([
      ...namespaces.flatMap((namespace) => [
        bundle.add(`events-${namespace}.txt`, () => readEvents(mesh, namespace)),
        addPods(mesh, bundle, namespace),
      ]),
      ...addIstiod(mesh, bundle, since, []),
    ]);
  });
}

async function collect(
  mesh: DiagnosableMesh,
  folder: string,
  heading: string,
  fill: (bundle: Bundle) => Promise<unknown>,
): Promise<string | undefined> {
  const bundle = openBundle({
    root: mesh.plan.diagnosticsDir,
    folder,
    redact: (text) => mesh.tokens.redact(text),
  });
  let trouble = "";
  try {
    await fill(bundle);
  } catch (error) {
    trouble = `\ncollecting ended early: ${messageOf(error)}`;
  }
  try {
    await bundle.close(heading + trouble);
    return path.posix.join("diagnostics", folder);
  } catch {
    return undefined;
  }
}

function headingOf({ scenario, index, step, error }: Failure): string {
  const wrong = step === undefined ? [] : itemsOf(step).filter(({ status }) => status !== "passed");
  return [
    `${scenario.id}, step ${index + 1}: ${scenario.steps[index]?.name ?? ""}`,
    ...wrong.map((item) => `${nameItem(item)}: ${item.reason ?? item.status}`),
    ...(error === undefined ? [] : [error]),
  ].join("\n");
}

/** The client and server proxies of a step's requests. */
async function involved(mesh: DiagnosableMesh, scenario: Scenario, index: number): Promise<Proxy[]> {
  const requests = scenario.steps[index]?.checks.map(({ request }) => request) ?? [];
  const found = await Promise.allSettled([
    ...[...new Map(requests.map((way) => [nameWay(way), way])).values()].map(
      async (way) => (await mesh.target(way)).proxies,
    ),
    ...[...new Set(requests.map(({ from }) => from))].map(async (from) => (await mesh.place(from)).proxy ?? []),
  ]);
  const proxies = found.flatMap((each) => (each.status === "fulfilled" ? each.value : []));
  return [...new Map(proxies.map((proxy) => [`${proxy.namespace}/${proxy.pod}`, proxy])).values()];
}

function toYaml(manifest: Manifest): string {
  return stringify(redactValue(manifest), { lineWidth: 0 });
}

/** Reads listeners, routes and clusters, but not Envoy's secrets or its bootstrap. */
async function readConfig(mesh: DiagnosableMesh, proxy: Proxy): Promise<string> {
  const dump = (await dumpProxy(mesh.kube, proxy, "")) as { readonly configs?: readonly { "@type"?: string }[] };
  const configs = (dump.configs ?? []).filter((config) =>
    /\.(Listeners|Routes|Clusters)ConfigDump$/.test(config["@type"] ?? ""),
  );
  return JSON.stringify(redactValue({ configs }), undefined, 1);
}

/** The User-Agent of the last request that this proxy judged. */
function lastOf(step: StepResult | undefined, proxy: Proxy): string | undefined {
  const atGateway = proxy.kind === "gateway";
  const involved = step?.checks.filter(({ request }) => atGateway === isGateway(request.to)) ?? [];
  return involved.findLast(({ request }) => atGateway || proxy.pod.startsWith(`${request.to}-`))?.got.userAgent;
}

async function readAccessLog(
  mesh: DiagnosableMesh,
  proxy: Proxy,
  since: Date,
  mark: string,
  last: string | undefined,
): Promise<string> {
  const where = { namespace: proxy.namespace, pod: proxy.pod, container: "istio-proxy" };
  for (const until = performance.now() + FLUSHED_MS; ;) {
    const log = await mesh.log(where, since);
    if (last === undefined || log.includes(last) || performance.now() > until)
      return log
        .split("\n")
        .filter((line) => line.includes(mark))
        .map((line) => `${line}\n`)
        .join("");
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

function addIstiod(mesh: DiagnosableMesh, bundle: Bundle, since: Date, proxies: readonly Proxy[]): Promise<void>[] {
  const istiod = async (): Promise<ContainerRef[]> => {
    const found = await findIstiods(mesh.kube);
    if (found.length === 0) throw new Error(`${ROOT_NAMESPACE} has no pod with the label app=istiod`);
    return found;
  };
  const each = async (read: (where: ContainerRef) => Promise<string>): Promise<string> =>
    (await Promise.all((await istiod()).map(read))).join("");
  return [
    bundle.add("istiod.log", () => each((where) => mesh.log(where, since))),
    ...(proxies.length === 0
      ? []
      : [bundle.add("sync-state.json", () => each((where) => readSyncState(mesh, where, proxies)))]),
  ];
}

/** Reads what istiod sent to these proxies and what they acknowledged (`/debug/syncz`). */
async function readSyncState(mesh: DiagnosableMesh, where: ContainerRef, proxies: readonly Proxy[]): Promise<string> {
  const { stdout, stderr } = await execIn(mesh.kube, where, ["pilot-discovery", "request", "GET", "/debug/syncz"]);
  const text = stdout.toString("utf8");
  let all: unknown;
  try {
    // pilot-discovery may print warnings to standard output first.
    all = JSON.parse(text.slice(Math.max(0, text.search(/^[[{]/m))));
  } catch {
    throw new Error(`istiod said: ${`${text}${stderr}`.trim().slice(0, 300)}`);
  }
  const names = proxies.map(({ pod, namespace }) => `${pod}.${namespace}`);
  const own = Array.isArray(all) ? all.filter((one) => names.some((name) => JSON.stringify(one).includes(name))) : all;
  return `${JSON.stringify(redactValue(own), undefined, 1)}\n`;
}

async function readEvents(mesh: DiagnosableMesh, namespace: string): Promise<string> {
  const { items } = await mesh.kube.core.listNamespacedEvent({ namespace });
  const timeOf = (event: CoreV1Event): string =>
    new Date(event.lastTimestamp ?? event.eventTime ?? event.metadata.creationTimestamp ?? 0).toISOString();
  return items
    .map((event) => {
      const what = `${event.involvedObject.kind ?? "?"}/${event.involvedObject.name ?? "?"}`;
      return `${timeOf(event)} ${event.type ?? ""} ${event.reason ?? ""} ${what}: ${event.message ?? ""}\n`;
    })
    .sort()
    .join("");
}

/** Adds every pod's status, and the logs of pods that are not ready. */
async function addPods(mesh: DiagnosableMesh, bundle: Bundle, namespace: string): Promise<void> {
  let pods: V1Pod[] = [];
  await bundle.add(`pods-${namespace}.yaml`, async () => {
    pods = (await mesh.kube.core.listNamespacedPod({ namespace })).items;
    return pods.map(({ metadata, status }) => stringify({ name: metadata?.name, status })).join("---\n");
  });
  const isReady = ({ status }: V1Pod): boolean =>
    status?.conditions?.some(({ type, status: is }) => type === "Ready" && is === "True") ?? false;
  await Promise.all(
    pods
      .filter((pod) => !isReady(pod))
      .flatMap(({ metadata, spec }) =>
        [...(spec?.initContainers ?? []), ...(spec?.containers ?? [])].map(({ name: container }) => {
          const pod = metadata?.name ?? "";
          return bundle.add(`log-${pod}-${container}.txt`, () => mesh.log({ namespace, pod, container }, new Date(0)));
        }),
      ),
  );
}
