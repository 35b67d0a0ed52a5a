/** Lanes: scenarios that run side by side, each in namespaces and on workloads of its own. */

import { OWN_NAMESPACES, type ClusterHandle } from "../../clusters/cluster.ts";
import { inLanes } from "../lanes.ts";
import type { Manifest } from "../mesh/client.ts";
import { reachOf } from "../mesh/reach.ts";
import type { ManifestFile } from "../model/manifest.ts";
import type { Scenario } from "../model/scenario.ts";
import { mapTexts } from "../safe/map-texts.ts";
import { hasFixedJwksUri } from "./fresh-keys.ts";
import { hasDefaultMesh, inRunOrder } from "./plan.ts";
import { lanesFor, type RunSettings } from "./settings.ts";
import { readWorkload, workloadsOf } from "../scenario/workloads.ts";
import { GATEWAY_LABELS, ROOT_NAMESPACE } from "../model/cluster.ts";

type Namespaces = Pick<ClusterHandle, "namespace" | "outsideNamespace">;

/** The cluster as a lane has it. Lane 1 has the run's own namespaces, and all that concerns the whole mesh runs there. */
export function inLane<Handle extends Namespaces>(handle: Handle, lane: number): Handle {
  if (lane === 1) return handle;
  const name = (namespace: string): string => `${namespace}-lane-${lane}`;
  return { ...handle, namespace: name(handle.namespace), outsideNamespace: name(handle.outsideNamespace) };
}

/**
 * The lane to which the objects of a namespace belong. Those of a namespace that no lane has, and those without a namespace, belong to
 * lane 1, which runs every scenario that uses what the cluster has once.
 */
export function ownerOf({ namespace, outsideNamespace }: Namespaces, name: string): number {
  const [, base = "", lane = "1"] = /^(.*?)(?:-lane-(\d+))?$/.exec(name) ?? [];
  return base === namespace || base === outsideNamespace ? Number(lane) : 1;
}

/** Data in which the namespaces of lanes have the names that lane 1's have, so that a result does not depend on its lane. */
export function withoutLanes<Data>({ namespace, outsideNamespace }: Namespaces, data: Data): Data {
  const names = new RegExp(`(?<![\\w-])(${namespace}|${outsideNamespace})-lane-\\d+(?![\\w-])`, "g");
  return mapTexts(data, (text) => text.replaceAll(names, "$1"));
}

/** The run's own namespaces, as manifests write them. */
const OWN = new Set(["${ns}", "${outside.ns}"]);

/** What a cluster has once. */
const SHARED_FEATURES = new Set(["ingress-gateway", "outside-host", "jwks-authority"]);

/** Beside what a scenario does not run: beside none, or beside none that is in lane 1 as well. */
export type Alone = "in-mesh" | "in-lane-1";

/**
 * The scenarios that do not run in any lane: they change what the whole mesh shares, or use what lane 1 alone has, or name the run's
 * namespaces themselves and so mean lane 1's. Reads the manifests of all workloads.
 */
export async function findAlone(
  settings: Pick<RunSettings, "cluster" | "scenarios">,
  scenarios: readonly Scenario[],
): Promise<ReadonlyMap<string, Alone>> {
  // A run on a mesh of others has no more namespaces than it needs.
  if (settings.cluster.kind === "existing") return new Map(scenarios.map(({ id }) => [id, "in-mesh"]));
  const apps = workloadsOf(scenarios);
  const files = await inLanes(apps, async (app) => [app, await readWorkload(settings.scenarios, app)] as const);
  const manifests = new Map(files);
  const alone = scenarios.map((scenario) => {
    const workloads = workloadsOf([scenario]).flatMap((app) => manifests.get(app) ?? []);
    return [scenario.id, runsAlone(scenario, workloads, OWN_NAMESPACES)] as const;
  });
  return new Map(alone.flatMap(([id, kind]) => (kind === undefined ? [] : [[id, kind]])));
}

/**
 * Whether lane 1 is kept for scenarios that cannot run in any other, so that these run beside others, and each worker has another lane.
 * Not where it is not known which scenarios run (Playwright's own `--grep`): one that needs nothing of this finds lane 1 ready.
 */
export function keepsLane1(settings: RunSettings, alone: ReadonlyMap<string, Alone>): boolean {
  return lanesFor(settings) > 1 && (settings.ids ?? []).some((id) => alone.get(id) === "in-lane-1");
}

/**
 * The order in which scenarios run: those of lane 1 first, so that it is busy while the others run, and the long ones of these before
 * the short ones, so that the lanes end together. What needs the mesh for itself comes last, and of it what needs Istio's default
 * setting at the very end: a kept cluster has that setting for the next run.
 */
export function inTestOrder(scenarios: readonly Scenario[], alone: ReadonlyMap<string, Alone>): Scenario[] {
  const ordered = inRunOrder(scenarios);
  const of = (kind: Alone | undefined): Scenario[] => ordered.filter(({ id }) => alone.get(id) === kind);
  const inMesh = of("in-mesh");
  const isLast = ({ mesh }: Scenario): boolean => hasDefaultMesh(mesh);
  const length = ({ steps }: Scenario): number => steps.length;
  return [
    ...of("in-lane-1").sort((a, b) => length(a) - length(b)),
    ...of(undefined).sort((a, b) => length(b) - length(a)),
    ...inMesh.filter((scenario) => !isLast(scenario)),
    ...inMesh.filter(isLast),
  ];
}

/** Whether an object reaches the ingress gateway and no other proxy, whichever lane's. */
function isOfGateway({ kind, metadata, ...fields }: Manifest): boolean {
  const { selector, gateways = [] } = (fields["spec"] ?? {}) as {
    readonly selector?: { readonly matchLabels?: Readonly<Record<string, string>> };
    readonly gateways?: readonly string[];
  };
  if (kind === "Gateway") return isGateway(selector as Readonly<Record<string, string>> | undefined);
  // Without gateways it is for all sidecars, which are also called `mesh`.
  if (kind === "VirtualService") return gateways.length > 0 && !gateways.includes("mesh");
  const isPolicy = kind === "RequestAuthentication" || kind === "AuthorizationPolicy";
  return isPolicy && metadata.namespace === ROOT_NAMESPACE && isGateway(selector?.matchLabels);
}

function isGateway(labels: Readonly<Record<string, string>> = {}): boolean {
  return Object.entries(labels).some(([name, value]) => GATEWAY_LABELS[name] === value);
}

/** @param workloads the manifests of the workloads that the scenario needs; lane 1 has them from the start */
export function runsAlone(
  scenario: Scenario,
  workloads: readonly Pick<ManifestFile, "objects">[],
  namespaces: Namespaces,
): Alone | undefined {
  const { mesh, features, steps, tokens } = scenario;
  const checks = steps.flatMap((step) => step.checks);
  const files = steps.flatMap(({ apply, delete: deleted }) => [...apply, ...deleted]);
  const objectsOf = (all: readonly Pick<ManifestFile, "objects">[]) =>
    all.flatMap((file) => file.objects.map(({ object }) => object));
  const [own, theirs] = [objectsOf(files), objectsOf(workloads)];
  const reaching = own.filter((object) => reachOf(object, OWN) !== undefined);
  // istiod may have to be restarted, to forget keys.
  if (!hasDefaultMesh(mesh) || !reaching.every(isOfGateway) || hasFixedJwksUri(scenario)) return "in-mesh";
  const isShared =
    mesh.extAuthz === true || // the check server is in lane 1
    reaching.length > 0 ||
    features.some((feature) => SHARED_FEATURES.has(feature)) ||
    checks.some(({ request }) => request.to === "ingress") ||
    theirs.some((object) => reachOf(object, OWN) !== undefined) ||
    names([own, theirs, tokens, checks.map(({ request, expect }) => [request, expect])], namespaces);
  return isShared ? "in-lane-1" : undefined;
}

/** Whether data names one of the run's namespaces as it is, or by its end. */
function names(data: unknown, { namespace, outsideNamespace }: Namespaces): boolean {
  const text = JSON.stringify(data);
  const ends = [namespace, outsideNamespace].flatMap((name) => [...name].map((_, index) => `"*${name.slice(index)}"`));
  return (
    new RegExp(`(?<![\\w-])(${namespace}|${outsideNamespace})(?![\\w-])`).test(text) ||
    ends.some((end) => text.includes(end))
  );
}
