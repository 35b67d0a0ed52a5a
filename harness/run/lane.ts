/** Lanes: scenarios that run side by side, each in namespaces and on workloads of its own. */

import { OWN_NAMESPACES, type ClusterHandle } from "../../clusters/cluster.ts";
import { inLanes } from "../lanes.ts";
import { reachOf } from "../mesh/reach.ts";
import type { ManifestFile } from "../model/manifest.ts";
import type { Scenario } from "../model/scenario.ts";
import { mapTexts } from "../safe/map-texts.ts";
import { hasFixedJwksUri } from "./fresh-keys.ts";
import { hasDefaultMesh } from "./plan.ts";
import type { RunSettings } from "./settings.ts";
import { readWorkload, workloadsOf } from "./workloads.ts";

type Namespaces = Pick<ClusterHandle, "namespace" | "outsideNamespace">;

/** The cluster as a lane has it. Lane 1 has the run's own namespaces, and all that concerns the whole mesh runs there. */
export function inLane<Handle extends Namespaces>(handle: Handle, lane: number): Handle {
  if (lane === 1) return handle;
  const name = (namespace: string): string => `${namespace}-lane-${lane}`;
  return { ...handle, namespace: name(handle.namespace), outsideNamespace: name(handle.outsideNamespace) };
}

/** The lane whose namespace this is; undefined where it is not a lane's. */
export function laneOf({ namespace, outsideNamespace }: Namespaces, name: string): number | undefined {
  const [, base = "", lane = "1"] = /^(.*?)(?:-lane-(\d+))?$/.exec(name) ?? [];
  return base === namespace || base === outsideNamespace ? Number(lane) : undefined;
}

/** Data in which the namespaces of lanes have the names that lane 1's have, so that a result does not depend on its lane. */
export function withoutLanes<Data>({ namespace, outsideNamespace }: Namespaces, data: Data): Data {
  const names = new RegExp(`(?<![\\w-])(${namespace}|${outsideNamespace})-lane-\\d+(?![\\w-])`, "g");
  return mapTexts(data, (text) => text.replaceAll(names, "$1"));
}

/** The run's own namespaces, as manifests write them. */
const OWN = new Set(["${ns}", "${outside.ns}"]);

/** What a cluster has once. */
const SHARED_FEATURES = new Set(["ingress-gateway", "outside-host", "jwks-authority", "mesh-setting"]);

/**
 * The scenarios that must run while no other does: they change what the whole mesh shares, or name the run's namespaces
 * themselves and so mean lane 1's. Reads the manifests of all workloads.
 */
export async function findAlone(
  settings: Pick<RunSettings, "cluster" | "scenarios">,
  scenarios: readonly Scenario[],
): Promise<ReadonlySet<string>> {
  // A run on a mesh of others has no more namespaces than it needs.
  if (settings.cluster.kind === "existing") return new Set(scenarios.map(({ id }) => id));
  const apps = workloadsOf(scenarios);
  const files = await inLanes(apps, async (app) => [app, await readWorkload(settings.scenarios, app)] as const);
  const manifests = new Map(files);
  const alone = scenarios.filter((scenario) =>
    runsAlone(
      scenario,
      workloadsOf([scenario]).flatMap((app) => manifests.get(app) ?? []),
      OWN_NAMESPACES,
    ),
  );
  return new Set(alone.map(({ id }) => id));
}

/** @param workloads the manifests of the workloads that the scenario needs */
export function runsAlone(
  scenario: Scenario,
  workloads: readonly Pick<ManifestFile, "objects">[],
  namespaces: Namespaces,
): boolean {
  const { mesh, features, steps, tokens } = scenario;
  const checks = steps.flatMap((step) => step.checks);
  const files = steps.flatMap(({ apply, delete: deleted }) => [...apply, ...deleted]);
  const objects = [...files, ...workloads].flatMap((file) => file.objects.map(({ object }) => object));
  return (
    !hasDefaultMesh(mesh) ||
    features.some((feature) => SHARED_FEATURES.has(feature)) ||
    checks.some(({ request }) => request.to === "ingress") ||
    objects.some((object) => reachOf(object, OWN) !== undefined) ||
    // istiod may have to be restarted, to forget keys.
    hasFixedJwksUri(scenario) ||
    names([objects, tokens, checks.map(({ request, expect }) => [request, expect])], namespaces)
  );
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
