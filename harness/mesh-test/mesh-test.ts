/**
 * A test of a mesh, built of the same functions as a scenario's step: what it applies is waited for, each expectation is a step with
 * one check and its witness, and what was found is a scenario's result.
 */

import path from "node:path";
import type { TestInfo } from "@playwright/test";
import { collectDiagnostics } from "../diagnostics/collect.ts";
import { MeshproofError } from "../model/errors.ts";
import type { ScenarioFinding } from "../model/finding.ts";
import type { ManifestFile } from "../model/manifest.ts";
import type { NamespaceMap } from "../model/own-policy.ts";
import type { AppliedObject, CheckResult, ScenarioResult, StepResult } from "../model/result.ts";
import type { CheckSpec, Expectation, Position, StepSpec } from "../model/scenario.ts";
import type { OwnPolicies } from "../model/scenario-file.ts";
import { readSource } from "../policies/source.ts";
import { translatePolicies } from "../policies/translate.ts";
import { issuersDirsOf } from "../scenario/brought.ts";
import { invalidScenarios, parseManifest } from "../scenario/index.ts";
import { readIssuers } from "../tokens/issuer.ts";
import { statusOfScenario } from "../verdict/index.ts";
import { describeSilence, sentences } from "../../reports/words.ts";
import { changesOf, leave, removeLeft, type Applied } from "../run/changes.ts";
import { openLookout } from "../run/restarts.ts";
import { thrown } from "../run/scenario.ts";
import { apply, runStep } from "../run/step.ts";
import { readKeySets, stepValues } from "../run/substitution.ts";
import type { WorkerLane } from "../run/worker-lane.ts";
import { publishKeys } from "../run/workloads.ts";
import { placeOf } from "./place.ts";
import { scenarioOfTest } from "./test-id.ts";
import { clientOf, type MeshRequest } from "./requests.ts";
import { ROOT_NAMESPACE } from "../model/cluster.ts";

/**
 * What a test applies: YAML text, in which `${ns}`, `${jwks.corp}` and the like are substituted; or the repository's own policies, by a
 * path that begins at the folder of the Playwright config, a kustomization, or what a command prints.
 */
export type MeshSource = string | OwnPolicies;

/** The mesh of a test. What it applies is removed at the end of the test. */
export interface Mesh {
  /** The namespace of the workloads: `${ns}`. */
  readonly namespace: string;
  /** Applies manifests, and returns when the proxies have them in force. */
  apply(...sources: readonly MeshSource[]): Promise<void>;
  /** Deletes what this test has applied, and returns when the proxies have let go of it. */
  delete(...sources: readonly MeshSource[]): Promise<void>;
}

export interface MeshTestOptions {
  readonly lane: WorkerLane;
  readonly info: TestInfo;
  readonly workloads: readonly string[];
  readonly scenariosRoot: string;
  readonly namespaces: NamespaceMap;
}

/** The outcome of an expectation. */
export interface Judged {
  /** The check that did not pass: the request's own, or its witness's. */
  readonly failed?: CheckResult;
  readonly redact: (text: string) => string;
}

export interface MeshTest {
  readonly mesh: Mesh;
  /** Sends a request in rounds until its answers are final. @throws where it cannot be judged */
  judge(asked: MeshRequest, expect: Expectation, witness?: MeshRequest): Promise<Judged>;
  /** Removes what was applied, and keeps the result. @throws what disturbed the test */
  close(): Promise<void>;
}

export async function openMeshTest(options: MeshTestOptions): Promise<MeshTest> {
  const { lane, info, workloads, scenariosRoot, namespaces } = options;
  const { session } = lane;
  const { redact } = session.tokens;
  const base = scenarioOfTest(info.titlePath, info, info.tags, workloads);
  const root = path.dirname(info.config.configFile ?? path.resolve("playwright.config.ts"));
  const { issuers } = await readIssuers(issuersDirsOf(scenariosRoot));
  const startedAt = new Date();
  const started = performance.now();
  const applied: Applied = new Map();
  const steps: StepResult[] = [];
  const findings: ScenarioFinding[] = [];
  const diagnostics: string[] = [];
  /** The last requests that were allowed since the last change, by target: they witness denials. */
  const allowed = new Map<string, { readonly asked: MeshRequest; readonly expect: Expectation }>();
  let objects: readonly AppliedObject[] = [];
  let isChanged = true;
  let changes = 0;
  session.forget();
  await removeLeft(session);
  const lookout = await openLookout(session, base);

  const read = (source: MeshSource, position: Position): ManifestFile => {
    if (typeof source === "string" && source.includes("\n"))
      return parseManifest(source, `${position.file}:${position.line} (YAML)`);
    const entry = typeof source === "string" ? { path: source } : source;
    const found = readSource(entry, root, (file) => path.relative("", file));
    if ("message" in found) throw invalidScenarios([{ position, ...found }]);
    const { manifest, problems } = translatePolicies(found.text, found.file, entry, { namespaces, issuers });
    if (problems.length > 0) throw invalidScenarios(problems);
    return manifest;
  };

  const change = async (verb: "apply" | "delete", sources: readonly MeshSource[]): Promise<void> => {
    const position = placeOf();
    const manifests = sources.map((source) => read(source, position));
    allowed.clear();
    isChanged = true;
    const wide = manifests.some((file) =>
      file.objects.some(({ object }) => object.metadata.namespace === ROOT_NAMESPACE),
    );
    const step = {
      ...{ name: verb, position, apply: [], delete: [], matrices: [], asked: [] },
      checks: await spots(wide ? ["ingress"] : []),
      [verb]: manifests,
    } satisfies StepSpec;
    await publishKeys(session.kube, session.handle, await readKeySets(session.tokens, manifests));
    // A key server is asked by an address that is new for each change.
    const values = await stepValues(session, { ...base, steps: [step] }, changes++);
    const found = await apply(session, { step, changes: changesOf(step, values), applied, changed: true });
    objects = [...objects, ...found.objects];
    if (found.problems.length === 0) return;
    findings.push(...found.problems);
    throw new MeshproofError("ERR_PROBE", sentences(found.problems));
  };

  /** A request to each Service: their proxies must have what is applied. */
  const spots = async (more: readonly string[]): Promise<CheckSpec[]> => {
    const { items } = await session.kube.core.listNamespacedService({ namespace: session.handle.namespace });
    const names = items.flatMap(({ metadata, spec }) => (spec?.selector && metadata?.name ? [metadata.name] : []));
    return [...names, ...more].map((to) => checkOf(clientOf("sleep").get(to, "/"), ALLOWED, base.position, to));
  };

  const judge: MeshTest["judge"] = async (asked, expect, witness) => {
    const position = placeOf();
    const { to } = asked.request;
    const beside = witness === undefined ? allowed.get(to) : { asked: witness, expect: ALLOWED };
    if (expect.by !== "workload" && beside === undefined)
      throw new MeshproofError(
        "ERR_USAGE",
        `a denial at ${to} has no witness: a stopped workload would look like one`,
        {
          hint: `before it, expect a request to ${to} toBeAllowed() with the same policies, or give { witness: request }`,
        },
      );
    const all = [{ asked, expect }, ...(expect.by === "workload" || beside === undefined ? [] : [beside])];
    const checks = all.map((one, index) =>
      checkOf(one.asked, one.expect, position, index === 0 ? nameOf(asked) : "witness"),
    );
    const tokens = Object.fromEntries(all.flatMap((one) => one.asked.tokens.map(({ name, spec }) => [name, spec])));
    const step: StepSpec = {
      ...{
        name: `${nameOf(asked)}: ${describe(expect)}`,
        position,
        apply: [],
        delete: [],
        checks,
        matrices: [],
        asked: [],
      },
    };
    const since = new Date();
    // The index is part of what requests are called in access logs.
    const before = steps.map(({ name, position: at }) => ({ ...step, name, position: at, checks: [] }));
    const scenario = { ...base, tokens, steps: [...before, step] };
    const found = await runStep(session, scenario, steps.length, applied, { changed: isChanged });
    isChanged = false;
    const [own, other] = found.checks;
    const result = session.shown({
      ...found,
      objects: [...objects, ...found.objects],
      // A witness is only told where it is the fault.
      checks: found.checks.filter((check, index) => index === 0 || check.status !== "passed"),
    });
    objects = [];
    steps.push(result);
    if (found.status !== "passed") {
      const failure = { scenario, index: steps.length - 1, since, manifests: [...applied.values()], step: found };
      const folder = await collectDiagnostics(session, failure);
      if (folder !== undefined) diagnostics.push(folder);
    }
    if (found.findings !== undefined) {
      findings.push(...found.findings);
      throw new MeshproofError("ERR_PROBE", sentences(found.findings));
    }
    const failed = [own, other].find((check) => check !== undefined && check.status !== "passed");
    if (failed !== undefined) return { failed, redact };
    if (expect.by === "workload") allowed.set(to, { asked, expect });
    return { redact };
  };

  return {
    mesh: {
      namespace: session.handle.namespace,
      apply: (...sources) => change("apply", sources),
      delete: (...sources) => change("delete", sources),
    },
    judge,
    async close() {
      try {
        await lookout.beforeRemoval();
        await leave(session, applied);
      } catch (error) {
        findings.push(thrown(error));
      }
      const disturbances = await lookout.close();
      findings.unshift(...disturbances.map((disturbance) => ({ kind: "disturbance", disturbance }) as const));
      // What a test found beside its steps: an expectation of its own, or an error of its code.
      if (findings.length === 0 && info.errors.length > 0 && steps.every(({ status }) => status === "passed"))
        findings.push({ kind: "error", error: { message: redact(info.errors[0]?.message ?? "the test failed") } });
      const own = findings.length > 0 ? { findings, reason: sentences(findings) } : {};
      const { id, title, source, level, tags, position, mesh } = base;
      const result: ScenarioResult = {
        ...{ id, title, source, level, tags, position, mesh, steps },
        status: statusOfScenario({ steps, ...own }),
        ...own,
        ...(disturbances.length > 0 && { disturbances }),
        repeat: `npx playwright test ${position.file}:${position.line}`,
        startedAt: startedAt.toISOString(),
        durationMs: Math.round(performance.now() - started),
        ...(diagnostics.length > 0 && { diagnostics }),
      };
      await lane.keep(session.shown(result), info);
      if (disturbances.length > 0) throw new MeshproofError("ERR_PROBE", sentences(findings));
    },
  };
}

export const ALLOWED: Expectation = { status: 200, by: "workload" };

function checkOf({ request, tokens }: MeshRequest, expect: Expectation, position: Position, name: string): CheckSpec {
  return { name, position, request, token: tokens.map((token) => token.name).join("+") || "none", expect };
}

function nameOf({ request: { method, path: asked, from, to }, tokens }: MeshRequest): string {
  const variant = tokens.map(({ spec }) => spec.variant ?? spec.issuer).join(" and ");
  return `${method} ${asked} from ${from} to ${to} with ${variant || "no token"}`;
}

function describe({ status, by, noAnswer }: Expectation): string {
  if (by === "nobody") return `gets ${describeSilence(noAnswer)}`;
  return by === "workload" ? `is answered ${status}` : `is denied by ${by}`;
}
