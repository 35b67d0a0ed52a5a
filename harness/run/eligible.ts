import type { MeshLimits } from "../../clusters/cluster.ts";
import satisfies from "semver/functions/satisfies.js";
import { inLanes } from "../lanes.ts";
import { reachOf } from "../mesh/reach.ts";
import type { SkipFinding } from "../model/finding.ts";
import type { ManifestFile } from "../model/manifest.ts";
import { waitOf, type Scenario } from "../model/scenario.ts";
import { needsAccessLog } from "../verdict/index.ts";
import type { Profile } from "./profile.ts";
import { readWorkload, workloadsOf } from "../scenario/workloads.ts";

type Objects = Pick<ManifestFile, "objects">;

/** The run's own namespaces, as manifests write them. */
const OWN = new Set(["${ns}", "${outside.ns}"]);

export interface Choice {
  readonly chosen: readonly Scenario[];
  readonly skipped: readonly { readonly scenario: Scenario; readonly finding: SkipFinding }[];
}

/** What a mesh has, as it says itself. */
export interface MeshFacts {
  /** istiod's version. */
  readonly istio?: string;
  /** The version of the Gateway API's CRDs, where istiod uses them. */
  readonly gatewayApi?: string | undefined;
  /** Whether istiod makes waypoints. */
  readonly waypoints?: boolean | undefined;
}

/** Which scenarios can run on a mesh of this profile and these limits, and why the others cannot. */
export async function choose(
  scenarios: readonly Scenario[],
  scenariosRoot: string,
  profile: Profile,
  limits: MeshLimits | undefined,
  mesh: MeshFacts,
  maxWaitSeconds = MAX_WAIT_SECONDS,
): Promise<Choice> {
  const found = await inLanes(scenarios, async (scenario) => {
    const files = await inLanes(workloadsOf([scenario]), (app) => readWorkload(scenariosRoot, app));
    return {
      scenario,
      finding: whyNot(scenario, files.flat(), profile, limits, mesh) ?? whyNotNow(scenario, maxWaitSeconds),
    };
  });
  return {
    chosen: found.flatMap(({ scenario, finding }) => (finding === undefined ? [scenario] : [])),
    skipped: found.flatMap(({ scenario, finding }) => (finding === undefined ? [] : [{ scenario, finding }])),
  };
}

/**
 * Why a scenario cannot run where it would have to; undefined where it can.
 * @param workloads the manifests of the workloads that the scenario lists
 */
export function whyNot(
  scenario: Scenario,
  workloads: readonly Objects[],
  profile: Profile,
  limits?: MeshLimits,
  { istio, gatewayApi, waypoints = false }: MeshFacts = {},
): SkipFinding | undefined {
  const { features } = scenario;
  const unversioned = profile.lacks(scenario) ?? whyNotVersion(scenario, istio);
  if (unversioned !== undefined) return unversioned;
  if (gatewayApi === undefined && features.includes("gateway-api")) return { kind: "no-gateway-api" };
  if (!waypoints && features.includes("waypoint")) return { kind: "no-waypoint" };
  // Of no mesh it is known what a ztunnel has in force, so that an answer would prove nothing.
  if (features.includes("ambient")) return { kind: "no-ztunnel" };
  return limits && whyNotHere(scenario, workloads, limits);
}

/** How long a scenario's steps may wait by default for the time `at`, in seconds. */
export const MAX_WAIT_SECONDS = 30;

/** A scenario that waits longer is left to runs that ask for it. */
function whyNotNow(scenario: Scenario, most: number): SkipFinding | undefined {
  const seconds = waitOf(scenario);
  return seconds > most ? { kind: "waits", seconds, most } : undefined;
}

function whyNotVersion({ istio: range }: Scenario, found = ""): SkipFinding | undefined {
  if (range === undefined) return undefined;
  const version = releaseOf(found);
  if (version !== undefined && satisfies(version, range)) return undefined;
  return { kind: "other-istio", range, found, readable: version !== undefined };
}

/**
 * The release of a version: a vendor's build (`1.22.6-asm.3`) and a release candidate behave like their release. Undefined
 * for any other tag (`sha-9f3c2b1`, `20261101.0`): a guess would skip or judge the wrong scenarios.
 */
function releaseOf(version: string): string | undefined {
  const [, major, minor, patch = "0"] = /^v?([1-9])\.(\d{1,3})(?:\.(\d{1,3}))?(?:[-+][\w.+-]+)?$/.exec(version) ?? [];
  return major === undefined ? undefined : `${major}.${minor}.${patch}`;
}

function whyNotHere(scenario: Scenario, workloads: readonly Objects[], limits: MeshLimits): SkipFinding | undefined {
  const wanted = scenario.mesh.jwksFetch ?? "istiod";
  if (usesJwksUri(scenario) && wanted !== limits.jwksFetch)
    return { kind: "other-jwks-fetch", wanted, found: limits.jwksFetch };
  const { pathNormalization = "BASE", trustDomainAliases = [], extAuthz, ...own } = scenario.mesh;
  const fixed = Object.entries({
    pathNormalization: pathNormalization === "BASE" ? "" : pathNormalization,
    multipleExtAuthz: own.multipleExtAuthz ? "true" : "",
    gatewaySelectors: own.gatewaySelectors === false ? "false" : "",
    blockedJwksCidrs: (own.blockedJwksCidrs ?? []).join(", "),
    jwksRefresh: own.jwksRefresh ?? "",
    trustDomainAliases: trustDomainAliases.join(", "),
  }).find(([, value]) => value !== "");
  if (fixed !== undefined) return { kind: "fixed-mesh-setting", setting: fixed[0], value: fixed[1] };
  if (extAuthz) return { kind: "no-extension-provider", provider: "sample-ext-authz-http" };
  if (scenario.features.includes("jwks-authority")) return { kind: "no-jwks-trust" };
  if (scenario.features.includes("ingress-gateway") && !limits.gateway) return { kind: "no-gateway" };
  const checks = scenario.steps.flatMap((step) => step.checks);
  if (!limits.accessLog && checks.some(({ expect }) => needsAccessLog(expect))) return { kind: "no-access-log" };
  const files = [...scenario.steps.flatMap((step) => step.apply), ...workloads];
  const reaches = files.flatMap(({ objects }) => objects.flatMap(({ object }) => reachOf(object, OWN) ?? []));
  const [beyond] = [...reaches.filter(({ permitted }) => permitted === "never"), ...(limits.meshWide ? [] : reaches)];
  return beyond && { kind: "reaches-beyond", ...beyond };
}

/** Whether a scenario makes istiod or a proxy fetch keys. */
export function usesJwksUri(scenario: Scenario): boolean {
  return scenario.steps.some((step) =>
    step.apply.some(({ objects }) => objects.some(({ object }) => hasKey(object, "jwksUri"))),
  );
}

function hasKey(value: unknown, key: string): boolean {
  if (typeof value !== "object" || value === null) return false;
  return key in value || Object.values(value).some((inner) => hasKey(inner, key));
}
