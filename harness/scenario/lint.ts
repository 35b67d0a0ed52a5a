/** Finds parts of a scenario that are valid, but probably a mistake. */

import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { inLanes } from "../lanes.ts";
import { workloadsDirsOf } from "./brought.ts";
import { foldersOf, readManifests } from "./folders.ts";
import { readManifest } from "./manifest.ts";
import { didYouMean, type Problem, sortProblems } from "./problem.ts";
import { entriesOf, parseSource, startOf, valueOf } from "./source.ts";
import type { ManifestFile } from "../model/manifest.ts";
import { isOfGatewayApiGroup, gatewayIn, isGateway, waypointIn } from "../model/target.ts";
import type { Feature, Position, Scenario } from "../model/scenario.ts";

/** The files around a scenario, by name. */
export interface LintFiles {
  /** The text of scenario.yaml. */
  readonly scenario: string;
  /** The manifests of its folder. */
  readonly manifests: ReadonlyMap<string, string>;
  /** What each folder of scenarios/workloads can be sent to: names of its Services, and `gateway/<name>` for its Gateways. */
  readonly services: ReadonlyMap<string, readonly string[]>;
}

/**
 * Finds probable mistakes in scenarios that load.
 * @param root the folder `scenarios`
 * @param base the base of the scenarios' positions, as given to `loadScenarios`
 * @param unsaved the text of the only scenario, if it is not in its file
 */
export async function lintScenarios(
  scenarios: readonly Scenario[],
  root: string,
  base: string = dirname(join(root)),
  unsaved?: string,
): Promise<Problem[]> {
  if (scenarios.length === 0) return [];
  const services = new Map((await inLanes(workloadsDirsOf(root), readServices)).flatMap((found) => [...found]));
  const problems = await inLanes(scenarios, async (scenario) => {
    const file = join(base, scenario.position.file);
    return lintScenario(scenario, {
      scenario: unsaved ?? (await readFile(file, "utf8")),
      manifests: await readManifests(dirname(file)),
      services,
    });
  });
  return sortProblems(problems.flat());
}

/** The workload whose replies `received` reads. */
const ECHO_WORKLOAD = "httpbin";
/** Its endpoints that return the path and headers of the request, and those that return the headers. */
const ECHOES_PATH = /^\/anything(?:[/?]|$)/;
const ECHOES_HEADERS = /^\/(?:headers(?:\?|$)|anything(?:[/?]|$))/;

/** Finds probable mistakes in one scenario. */
export function lintScenario(scenario: Scenario, { scenario: text, manifests, services }: LintFiles): Problem[] {
  const { file } = scenario.position;
  const folder = dirname(file);
  const source = parseSource(text, file);
  const root = source.documents[0]?.contents;
  const checks = scenario.steps.flatMap((step) => step.checks);
  const problems: Problem[] = [];

  const used = new Set(checks.flatMap(({ token }) => token.split("+")));
  for (const { key, keyNode } of entriesOf(valueOf(valueOf(root, "spec"), "tokens")))
    if (!used.has(key))
      problems.push({
        position: source.positionAt(startOf(keyNode)),
        message: `token "${key}" is never sent`,
        hint: "use it or remove it",
      });

  const named = new Set(
    scenario.steps.flatMap(({ apply, delete: removed, admission = [] }) =>
      [...apply, ...removed, ...admission.map(({ manifest }) => manifest)].map((manifest) => manifest.file),
    ),
  );
  for (const name of manifests.keys())
    if (name !== "scenario.yaml" && !named.has(`${folder}/${name}`))
      problems.push({
        position: { file: `${folder}/${name}`, line: 1, column: 1 },
        message: "no step applies this manifest",
        hint: "name it in a step or remove it",
      });

  const ownServices = [...manifests].flatMap(([name, manifest]) => servicesIn(readManifest(manifest, name).manifest));
  const targets = new Set([
    "ingress",
    ...scenario.workloads.flatMap((workload) => services.get(workload) ?? []),
    ...ownServices,
  ]);
  const known = new Set<string>();
  for (const { request, position } of checks) {
    const to = withoutListener(request.to);
    if (targets.has(to) || known.has(to)) continue;
    known.add(to);
    const owner = [...services].find(([, names]) => names.includes(to))?.[0];
    const hint =
      owner === undefined
        ? didYouMean(to, targets, `there are ${[...targets].join(", ")}`)
        : `add ${owner} to workloads`;
    problems.push({
      position,
      message: `no workload of this scenario has a ${isGateway(to) ? `Gateway "${gatewayIn(to)?.name}"` : `Service "${to}"`}`,
      ...(hint && { hint }),
    });
  }

  for (const { request, position } of checks) {
    const { to, through } = request;
    if (through === undefined) continue;
    const name = waypointIn(through) ?? "";
    if (!isGateway(to))
      problems.push({
        position,
        message: `a request to ${to} passes no waypoint: only a gateway sends requests through one`,
        hint: "send it to ingress or gateway/<name>, or leave through out",
      });
    if (!targets.has(`gateway/${name}`))
      problems.push({ position, message: `no workload of this scenario has a Gateway "${name}" for ${through}` });
  }

  const present = new Set<string>();
  const shared = new Set(["ingress", ...scenario.workloads.flatMap((workload) => services.get(workload) ?? [])]);
  const isAbsent = (to: string): boolean => ownServices.includes(to) && !shared.has(to) && !present.has(to);
  for (const step of scenario.steps) {
    for (const name of step.delete.flatMap(servicesIn)) present.delete(name);
    for (const name of step.apply.flatMap(servicesIn)) present.add(name);
    for (const { request, position } of step.checks) {
      const { to, through } = request;
      const waypoint = through === undefined ? [] : [`gateway/${waypointIn(through)}`];
      for (const name of [withoutListener(to), ...waypoint].filter(isAbsent))
        problems.push({
          position,
          message: `${isGateway(name) ? "the Gateway" : "the Service"} "${name === withoutListener(to) ? to : through}" is not there in this step`,
          hint: "apply its manifest in this step or in one before it",
        });
    }
  }

  const echoing = new Set(["ingress", ...(services.get(ECHO_WORKLOAD) ?? []), ...ownServices]);
  const echoes = (to: string): boolean => isGateway(to) || echoing.has(to);
  for (const { request, expect, position } of checks) {
    if (expect.received === undefined) continue;
    const { path: demanded } = expect.received;
    const wanted = demanded === undefined ? ECHOES_HEADERS : ECHOES_PATH;
    if (!echoes(request.to))
      problems.push({
        position,
        message: `received reads an echo of the request, and ${request.to} is not known to echo`,
        hint: `send it to ${[...echoing].join(", ")}`,
      });
    else if (!wanted.test(request.path))
      problems.push({
        position,
        message: `received reads httpbin's echo of the request, and ${request.path} is not one`,
        hint:
          demanded === undefined
            ? "use the path /headers, /anything, or one below /anything"
            : "use /anything or a path below it: it alone echoes the path",
      });
  }

  const metadata = valueOf(root, "metadata");
  const meshAt = source.positionAt(startOf(valueOf(valueOf(root, "spec"), "mesh")));
  const declared = new Set(scenario.features);
  for (const [feature, position, why] of neededFeatures(scenario, meshAt)) {
    if (declared.has(feature)) continue;
    declared.add(feature);
    const hint =
      valueOf(metadata, "features") === undefined
        ? `add features: [${feature}] to metadata`
        : `add ${feature} to features`;
    problems.push({ position, message: `${why} needs the feature ${feature}`, hint });
  }
  return sortProblems(problems);
}

/** Each feature that the scenario needs, with the position and the reason. */
function neededFeatures({ steps, mesh }: Scenario, meshAt: Position): (readonly [Feature, Position, string])[] {
  const needed: (readonly [Feature, Position, string])[] = [];
  // Every mesh has Istio's default.
  if (mesh.jwksFetch !== undefined && mesh.jwksFetch !== "istiod")
    needed.push(["mesh-setting", meshAt, `jwksFetch: ${mesh.jwksFetch}`]);
  if (mesh.pathNormalization !== undefined && mesh.pathNormalization !== "BASE")
    needed.push(["mesh-setting", meshAt, `pathNormalization: ${mesh.pathNormalization}`]);
  if (mesh.jwksRefresh !== undefined) needed.push(["mesh-setting", meshAt, `jwksRefresh: ${mesh.jwksRefresh}`]);
  if (mesh.multipleExtAuthz) needed.push(["mesh-setting", meshAt, "multipleExtAuthz: true"]);
  if (mesh.gatewaySelectors === false) needed.push(["mesh-setting", meshAt, "gatewaySelectors: false"]);
  if (mesh.blockedJwksCidrs !== undefined) needed.push(["mesh-setting", meshAt, "blockedJwksCidrs"]);
  if (mesh.trustDomainAliases !== undefined) needed.push(["mesh-setting", meshAt, "trustDomainAliases"]);
  if (mesh.extAuthz) needed.push(["mesh-setting", meshAt, "extAuthz: true"]);
  for (const step of steps) {
    for (const { request, position } of step.checks) {
      if (request.to === "ingress") needed.push(["ingress-gateway", position, "to: ingress"]);
      else if (isGateway(request.to)) needed.push(["gateway-api", position, `to: ${request.to}`]);
      if (request.through !== undefined) needed.push(["waypoint", position, `through: ${request.through}`]);
    }
    for (const { server, position } of step.asked)
      if (server === "outside-host") needed.push(["outside-host", position, `server: ${server}`]);
    for (const { objects } of [...step.apply, ...step.delete])
      for (const { object, position } of objects)
        if (isOfGatewayApiGroup(object)) needed.push(["gateway-api", position, `${object.apiVersion} ${object.kind}`]);
    for (const manifest of [...step.apply, ...step.delete])
      for (const { name, via, written, position } of manifest.uses) {
        if (via !== undefined || name === "outside.ip" || name === "outside.host")
          needed.push(["outside-host", position, written]);
        if (via === "outside-https") needed.push(["jwks-authority", position, written]);
      }
  }
  return needed;
}

async function readServices(folder: string): Promise<Map<string, string[]>> {
  const services = await inLanes(await foldersOf(folder), async (name) => {
    const manifests = await readManifests(join(folder, name));
    return [name, [...manifests].flatMap(([file, text]) => servicesIn(readManifest(text, file).manifest))] as const;
  });
  return new Map(services);
}

function servicesIn({ objects }: ManifestFile): string[] {
  return objects.flatMap(({ object }) => {
    if (object.kind === "Service") return [object.metadata.name];
    return object.kind === "Gateway" && isOfGatewayApiGroup(object) ? [`gateway/${object.metadata.name}`] : [];
  });
}

function withoutListener(to: string): string {
  const gateway = gatewayIn(to);
  return gateway === undefined ? to : `gateway/${gateway.name}`;
}
