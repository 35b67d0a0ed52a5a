/** Answers the requests of scenarios without a cluster, and compares the answers with what the scenarios expect. */

import { mkdtemp } from "node:fs/promises";
import path from "node:path";
import { OWN_NAMESPACES } from "../../clusters/cluster.ts";
import { inLanes } from "../lanes.ts";
import type { Checked, CheckedScenario, CheckedStep, CheckMissing } from "../model/check.ts";
import type { Explanation } from "../model/explanation.ts";
import type { ManifestFile, ManifestObject } from "../model/manifest.ts";
import type { CheckSpec, Scenario, StepSpec } from "../model/scenario.ts";
import { secondsNow } from "../model/seconds.ts";
import { FRAGMENT_FLAG } from "../oracle/path.ts";
import type { Proxy } from "../run/places.ts";
import { locate, prepare } from "../run/prepare.ts";
import { substitutionValues } from "../run/substitution.ts";
import { mapTexts } from "../safe/map-texts.ts";
import { substitute, type SubstitutionValues } from "../scenario/index.ts";
import { readWorkload, workloadsOf } from "../scenario/workloads.ts";
import type { TokenFactory } from "../tokens/factory.ts";
import type { Evidence, Written } from "./coverage.ts";
import { nodeOf } from "../oracle/envoy.ts";
import { withDefaults } from "./defaults.ts";
import { evaluate, type Evaluated } from "./evaluate.ts";
import { startIstiod, type IstiodOptions } from "./istiod.ts";
import { rememberUris, type RememberedUris, withKeys, withoutUnknownKeys } from "./keys.ts";
import { istiodSettingOf } from "./mesh-config.ts";
import type { NeverContext } from "./never.ts";
import { settled } from "./settled.ts";
import { findUnread } from "./unread.ts";
import { buildWorld, inNamespace, type World } from "./world.ts";

export interface CheckOptions extends Pick<IstiodOptions, "program" | "crds" | "signal"> {
  /** istiod's version. */
  readonly istio: string;
  /** Of the Envoy whose behaviour is meant, `1.40.0`; undefined for Istio's own. */
  readonly envoy: string | undefined;
  /** The folder `scenarios`. */
  readonly scenariosRoot: string;
  readonly tokens: TokenFactory;
  /** A folder of this process's own. */
  readonly folder: string;
}

/** Where the pod outside the mesh would be: an address of TEST-NET-1 (RFC 5737). */
const OUTSIDE_IP = "192.0.2.1";

export interface CheckedWithEvidence {
  readonly scenario: CheckedScenario;
  /** One for each step. */
  readonly evidence: readonly (Evidence & { readonly context: NeverContext })[];
}

/** Each step has an istiod of its own, which starts within a fraction of a second. */
export async function checkScenario(options: CheckOptions, scenario: Scenario): Promise<CheckedWithEvidence> {
  const workloads = (await inLanes(workloadsOf([scenario]), (app) => readWorkload(options.scenariosRoot, app))).flat();
  const files = [...workloads, ...scenario.steps.flatMap((step) => [...step.apply, ...step.delete])];
  const place = { ns: OWN_NAMESPACES.namespace, outsideNs: OWN_NAMESPACES.outsideNamespace, outsideIp: OUTSIDE_IP };
  // Of the whole scenario: a step has what those before it have applied.
  const remembered = rememberUris(await substitutionValues(options.tokens, files, { ...place, fresh: "check" }));
  const applied = new Map<string, Written>();
  const steps: CheckedStep[] = [];
  const evidence: CheckedWithEvidence["evidence"][number][] = [];
  for (const step of scenario.steps) {
    options.signal?.throwIfAborted();
    const checked = await checkStep(options, scenario, step, { remembered, workloads, applied });
    steps.push(checked.step);
    evidence.push(checked.evidence);
  }
  const { id, title, position } = scenario;
  return { scenario: { id, title, position, steps }, evidence };
}

interface State {
  readonly remembered: RememberedUris;
  readonly workloads: readonly ManifestFile[];
  /** What the steps before have applied; kept true. */
  readonly applied: Map<string, Written>;
}

async function checkStep(
  options: CheckOptions,
  scenario: Scenario,
  step: StepSpec,
  { remembered, workloads, applied }: State,
): Promise<{ readonly step: CheckedStep; readonly evidence: CheckedWithEvidence["evidence"][number] }> {
  const { istio } = options;
  const { values } = remembered;
  const read = (files: readonly ManifestFile[]): Written[] =>
    files.flatMap((file) =>
      substitute(file, remembered.values).objects.map((object, index) => ({
        object,
        position: file.objects[index]?.position ?? file.position,
      })),
    );
  for (const { object } of read(step.delete)) applied.delete(identityOf(object));
  for (const one of read(step.apply)) applied.set(identityOf(one.object), one);
  const { name, position, matrices, checks } = step;
  const own = [...applied.values()].map(({ object }) => object);
  const there = [...applied.values()].map(({ object: { kind, metadata }, position: at }) => ({
    ...{ kind, namespace: metadata.namespace ?? values.ns, name: metadata.name },
    position: at,
  }));
  const { objects, assumed } = withKeys(own, remembered, scenario.mesh);
  const world = buildWorld([...read(workloads).map(({ object }) => object), ...objects], {
    namespace: values.ns,
    outsideNamespace: values.outsideNs,
    istio,
  });
  const evidence = {
    written: [...applied.values()].map((one) => ({ ...one, object: inNamespace(one.object, values.ns) })),
    context: {
      normalization: scenario.mesh.pathNormalization ?? ("BASE" as const),
      servicePorts: world.servicePorts,
      issuers: issuersIn(own),
    },
  };
  const made = { name, position, matrices, objects: there, assumed };
  if (checks.length === 0) return { step: { ...made, checks: [] }, evidence: { ...evidence, explanations: [] } };
  // Under load istiod may leave a Gateway out until something changes; a new one reads everything anew.
  for (let left = TRIES; ; left--) {
    const answered = await answerStep(options, scenario, step, { values, world, own });
    if (left > 1 && answered.checks.some(({ missing }) => missing?.kind === "unsettled")) continue;
    const { explanations } = answered;
    return { step: { ...made, checks: answered.checks }, evidence: { ...evidence, explanations } };
  }
}

const TRIES = 3;

interface Prepared {
  readonly values: SubstitutionValues;
  readonly world: World;
  readonly own: readonly ManifestObject[];
}

async function answerStep(
  options: CheckOptions,
  scenario: Scenario,
  { checks, inForce, at = 0 }: StepSpec,
  { values, world, own }: Prepared,
): Promise<{ readonly checks: Checked[]; readonly explanations: Explanation[] }> {
  const { tokens, folder } = options;
  await using istiod = await startIstiod({
    ...options,
    folder: await mkdtemp(path.join(folder, "istiod-")),
    setting: istiodSettingOf(scenario.mesh),
    objects: world.objects.map((object) => withDefaults(object, options.crds)),
  });
  const dumps = new Map<string, Promise<unknown>>();
  const dump = (proxy: Proxy): Promise<unknown> => {
    const node = world.nodeOf(proxy);
    const found =
      dumps.get(node.id) ??
      settled(
        () => istiod.dump(node),
        () => istiod.push(),
        { ...proxy, targetRefsOnly: scenario.mesh.gatewaySelectors === false },
        world.objects,
      ).then((read) => read && withBootstrap(withoutUnknownKeys(read), options.envoy));
    dumps.set(node.id, found);
    return found;
  };
  const located = await locate(
    world,
    checks.filter(({ request }) => request.through === undefined),
  );
  const now = secondsNow();
  const prepared = await prepare({ tokens }, located, scenario, values, now);
  const bySpec = new Map(prepared.map((one) => [one.spec, one]));
  const explanations: Explanation[] = [];
  const results = await inLanes(checks, async (spec): Promise<Checked> => {
    const one = bySpec.get(spec);
    const missing = scenario.features.includes("ambient")
      ? ({ kind: "ztunnel" } as const)
      : inForce === "rejected"
        ? ({ kind: "rejected-config" } as const)
        : one && findUnread(own, spec.request, one.place);
    const checked = (found: Evaluated): Checked => {
      explanations.push(...found.judged.map(({ explanation }) => explanation));
      return mapTexts(toChecked(spec, found), (text) => tokens.redact(text));
    };
    if (missing !== undefined) return checked({ missing, judged: [] });
    if (one === undefined) return checked({ missing: { kind: "waypoint" }, judged: [] });
    return checked(await evaluate({ world, dump, now: now + at }, one));
  });
  return { checks: results, explanations };
}

/** What pilot-agent writes into a proxy's bootstrap (istio/istio pkg/bootstrap/config.go, extractRuntimeFlags); istiod does not know it. */
const RUNTIME = { layers: [{ name: "global config", static_layer: { [FRAGMENT_FLAG]: "false" } }] };

/** With the bootstrap that a proxy's dump has, of an Envoy of this version. */
function withBootstrap(dump: unknown, envoy: string | undefined): unknown {
  const type = "type.googleapis.com/envoy.admin.v3.BootstrapConfigDump";
  const { configs = [] } = dump as { readonly configs?: readonly Readonly<Record<string, unknown>>[] };
  const bootstrap = { layered_runtime: RUNTIME, ...(envoy !== undefined && { node: nodeOf(envoy) }) };
  return { configs: [{ "@type": type, bootstrap }, ...configs.filter((one) => one["@type"] !== type)] };
}

function toChecked(spec: CheckSpec, { got, missing, judged }: Evaluated): Checked {
  const { name, position, request, token, expect, cell } = spec;
  const { from, to, through, method, path: asked } = request;
  const explanation = judged.at(-1)?.explanation;
  const open: CheckMissing | undefined = got === undefined ? missing : undefined;
  return {
    name,
    position,
    request: { from, to, ...(through !== undefined && { through }), method, path: asked, token },
    expected: { status: expect.status, by: expect.by, ...(expect.noAnswer && { noAnswer: expect.noAnswer }) },
    status: got === undefined ? "undecided" : agrees(expect, got) ? "agrees" : "differs",
    how: "evaluated",
    ...(got && { got }),
    ...(open && { missing: open }),
    ...(explanation && { explanation }),
    ...(cell && { cell }),
  };
}

/** A workload's status is its own, and not the mesh's. */
function agrees(expected: CheckSpec["expect"], got: NonNullable<Evaluated["got"]>): boolean {
  if (expected.by !== got.by || got.by === "workload") return expected.by === got.by;
  // A config does not say how a connection is closed.
  if (got.noAnswer !== undefined && (got.noAnswer === "tls-refused") !== (expected.noAnswer === "tls-refused"))
    return false;
  return expected.status === got.status && (expected.grpc === undefined || expected.grpc === got.grpc);
}

function issuersIn(objects: readonly ManifestObject[]): Set<string> {
  const rules = objects.flatMap(
    ({ spec }) => (spec as { jwtRules?: readonly { issuer?: string }[] } | undefined)?.jwtRules ?? [],
  );
  return new Set(rules.flatMap(({ issuer }) => issuer ?? []));
}

function identityOf({ kind, metadata }: ManifestObject): string {
  return `${kind} ${metadata.namespace ?? ""}/${metadata.name}`;
}
