import type { MeshLimits } from "../../clusters/cluster.ts";
import satisfies from "semver/functions/satisfies.js";
import { inLanes } from "../lanes.ts";
import { parseManifests } from "../mesh/apply.ts";
import { reachOf } from "../mesh/reach.ts";
import type { Scenario } from "../model/scenario.ts";
import { needsAccessLog } from "../verdict/index.ts";
import type { Profile } from "./profile.ts";
import { readWorkload, workloadsOf } from "./workloads.ts";

interface ManifestText {
  readonly text: string;
}

/** The run's own namespaces, as manifests write them. */
const OWN = new Set(["${ns}", "${outside.ns}"]);

export interface Choice {
  readonly chosen: readonly Scenario[];
  readonly skipped: readonly { readonly scenario: Scenario; readonly reason: string }[];
}

/** Which scenarios can run on a mesh of this profile and these limits, and why the others cannot. */
export async function choose(
  scenarios: readonly Scenario[],
  scenariosRoot: string,
  profile: Profile,
  limits: MeshLimits | undefined,
  istio: string,
): Promise<Choice> {
  const reasons = await inLanes(scenarios, async (scenario) => {
    const files = await inLanes(workloadsOf([scenario]), (app) => readWorkload(scenariosRoot, app));
    return { scenario, reason: whyNot(scenario, files.flat(), profile, limits, istio) };
  });
  return {
    chosen: reasons.flatMap(({ scenario, reason }) => (reason === undefined ? [scenario] : [])),
    skipped: reasons.flatMap(({ scenario, reason }) => (reason === undefined ? [] : [{ scenario, reason }])),
  };
}

/**
 * Why a scenario cannot run where it would have to, as a sentence for the report; undefined where it can.
 * @param workloads the manifests of the workloads that the scenario lists
 * @param istio the mesh's version, as istiod says it
 */
export function whyNot(
  scenario: Scenario,
  workloads: readonly ManifestText[],
  profile: Profile,
  limits?: MeshLimits,
  istio?: string,
): string | undefined {
  return (
    profile.lacks(scenario) ?? whyNotVersion(scenario, istio) ?? (limits && whyNotHere(scenario, workloads, limits))
  );
}

function whyNotVersion({ istio: range }: Scenario, found = ""): string | undefined {
  if (range === undefined) return undefined;
  const version = releaseOf(found);
  if (version === undefined)
    return `it holds for Istio ${range}, and this mesh does not say which it is${found === "" ? "" : ` ("${found}")`}`;
  return satisfies(version, range) ? undefined : `it holds for Istio ${range}, and this mesh is ${found}`;
}

/**
 * The release that a version is of: a vendor's build (`1.22.6-asm.3`) and a release candidate promise what their release
 * does. Undefined for whatever else a tag may be (`sha-9f3c2b1`, `20261101.0`): a guess would skip or judge the wrong scenarios.
 */
function releaseOf(version: string): string | undefined {
  const [, major, minor, patch = "0"] = /^v?([1-9])\.(\d{1,3})(?:\.(\d{1,3}))?(?:[-+][\w.+-]+)?$/.exec(version) ?? [];
  return major === undefined ? undefined : `${major}.${minor}.${patch}`;
}

function whyNotHere(scenario: Scenario, workloads: readonly ManifestText[], limits: MeshLimits): string | undefined {
  const wanted = scenario.mesh.jwksFetch ?? "istiod";
  if (usesJwksUri(scenario) && wanted !== limits.jwksFetch)
    return `it is for a mesh where jwksFetch is ${wanted} (istiod's PILOT_JWT_ENABLE_REMOTE_JWKS), and here it is ${limits.jwksFetch}`;
  const { pathNormalization = "BASE", extAuthz = false } = scenario.mesh;
  if (pathNormalization !== "BASE")
    return `it needs the mesh setting pathNormalization: ${pathNormalization}, and this mesh is not ours to change`;
  if (extAuthz) return "it needs the extension provider sample-ext-authz-http, and this mesh is not ours to change";
  if (scenario.features.includes("jwks-authority"))
    return "istiod of this mesh does not trust the certificate of meshproof's JWKS host";
  if (scenario.features.includes("ingress-gateway") && !limits.gateway)
    return "this mesh has no ingress gateway that the documented policies choose (istio: ingressgateway in istio-system)";
  const checks = scenario.steps.flatMap((step) => step.checks);
  if (!limits.accessLog && checks.some(({ expect }) => needsAccessLog(expect)))
    return "it demands Envoy's response code details, and this mesh writes no JSON access log (meshConfig.accessLogFile, accessLogEncoding), or none that can be known of";
  const files = [...scenario.steps.flatMap((step) => step.apply), ...workloads];
  const reaches = files.flatMap(({ text }) => parseManifests(text).flatMap((manifest) => reachOf(manifest, OWN) ?? []));
  const never = reaches.find(({ permitted }) => permitted === "never");
  if (never !== undefined) return `${never.why}; nothing permits that on a mesh that is not ours`;
  const [beyond] = limits.meshWide ? [] : reaches;
  return beyond && `${beyond.why}; --allow-mesh-wide permits it`;
}

/** Whether a scenario lets somebody fetch keys. */
export function usesJwksUri(scenario: Scenario): boolean {
  return scenario.steps.some((step) => step.apply.some(({ text }) => /^[\s-]*jwksUri:/m.test(text)));
}
