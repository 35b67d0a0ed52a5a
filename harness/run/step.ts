/**
 * A step, put together: what it changes is applied until it is in force (changes, in-force), its requests are made (prepare) and
 * sent until their answers are final (probe), and what differs is explained (explain).
 */

import { setTimeout as delay } from "node:timers/promises";
import type { MeshSetting } from "../model/cluster.ts";
import type { StepFinding } from "../model/finding.ts";
import type { CheckResult, StepResult } from "../model/result.ts";
import type { Scenario, StepSpec } from "../model/scenario.ts";
import type { SubstitutionValues } from "../scenario/index.ts";
import { sentences } from "../../reports/words.ts";
import { explainedBy, startConvergence, statusOfStep, type CheckOutcome } from "../verdict/index.ts";
import { judgeAdmission } from "./admission.ts";
import { changesOf, makeChanges, removeLeft, type Applied, type Change } from "./changes.ts";
import { judgeDemands } from "./details.ts";
import { explain } from "./explain.ts";
import { judgesOf, waitInForce, type InForce } from "./in-force.ts";
import { judgeAsked, markServers } from "./key-servers.ts";
import { fillExpectation, locate, prepare, type Located, type Prepared } from "./prepare.ts";
import { BODY_KEPT, probe } from "./probe.ts";
import type { Session } from "./session.ts";
import { stepValues } from "./substitution.ts";

/** Rounds in a row that must agree before a step is judged. */
export const ROUNDS = 3;

export interface StepOptions {
  readonly signal?: AbortSignal;
  /** Also the proxies of the clients must have taken a new config. */
  readonly everywhere?: boolean;
  /** Whether something has changed before the step's own changes, so that the proxies are waited for; by default for the first step. */
  readonly changed?: boolean;
  /** The scenario's, where {@link isTimed}. */
  readonly clock?: TokenClock | undefined;
}

/** When a scenario's tokens were made, which is with its first requests. */
export interface TokenClock {
  made?: Made;
}

interface Made {
  /** Seconds since 1970, from which the times of tokens count. */
  readonly second: number;
  /** The same by `performance.now()`. */
  readonly at: number;
}

function secondNow(): Made {
  const now = Date.now();
  const second = Math.floor(now / 1000);
  return { second, at: performance.now() - (now - second * 1000) };
}

/** Applies, waits, probes and judges one step. @throws where the environment, not the mesh's answer, is at fault. */
export async function runStep(
  session: Session,
  scenario: Scenario,
  index: number,
  applied: Applied,
  { signal, everywhere = false, changed: before = index === 0, clock }: StepOptions = {},
): Promise<StepResult> {
  const started = performance.now();
  const values = await stepValues(session, scenario, index);
  const step = fillStep(scenario.steps[index] as StepSpec, values);
  const changes = changesOf(step, values);
  if (index === 0) await removeLeft(session);
  const unclean = index === 0 && needsCleanGround(step) ? await waitForCleanGround(session, step, signal) : undefined;
  if (unclean !== undefined && unclean.problems.length > 0)
    return unjudged(step, unclean, { started, appliedAt: performance.now() });
  const marks = await markServers(session, step);

  // A step that changes nothing finds what the one before it left; a scenario's first one, clean ground.
  const changed = changes.length > 0 || before;
  const found = await apply(session, { step, mesh: scenario.mesh, changes, applied, changed, everywhere }, signal);
  const { objects, located, appliedAt } = found;
  const inForceAt = performance.now();
  if (found.problems.length > 0) return unjudged(step, found, { started, appliedAt });

  const made = clock && (clock.made ??= secondNow());
  const checks = await prepare(session, located, scenario, values, made?.second);
  await untilAt(step, made, signal);
  const readyAt = performance.now();
  const inForceMs = readyAt - appliedAt;
  const { plan } = session;
  const limitMs = Math.min(inForceMs + plan.limitMs, lastRoundMs(step, made, appliedAt));
  const { outcomes, rounds } = await probe(
    session,
    checks,
    startConvergence({ checks: step.checks, rounds: ROUNDS, limitMs, inForceMs }),
    {
      prefix: `meshproof/${plan.runId}/${scenario.id}/${index + 1}`,
      ...{ changed, appliedAt, compared: comparedHeaders(step) },
    },
  );
  const probedAt = performance.now();
  const late = findLate(step, made);
  if (late !== undefined) return unjudged(step, { objects, problems: [late] }, { started, appliedAt });
  const judged = checks.map((check, i) => ({
    ...check,
    result: toResult(session, check, outcomes[i] as CheckOutcome, objects),
  }));
  const results = await explainFailures(session, await judgeDemands(session.accessLog, judged));
  const asked = await judgeAsked(session, step, marks, changes);
  const admission = await judgeAdmission(session, step, values);
  return {
    ...emptyResult(step),
    objects,
    checks: results,
    asked,
    ...(admission.length > 0 && { admission }),
    rounds,
    status: statusOfStep({ checks: results, asked, admission }),
    timing: timingOf({ started, appliedAt, inForceAt, readyAt, probedAt }, step.at !== undefined),
  };
}

function fillStep(step: StepSpec, values: SubstitutionValues): StepSpec {
  return { ...step, checks: step.checks.map((check) => ({ ...check, expect: fillExpectation(check.expect, values) })) };
}

/** The headers of replies that checks compare, in lower case. */
function comparedHeaders({ checks }: StepSpec): ReadonlySet<string> {
  return new Set(
    checks.flatMap(({ expect: { headers = {} } }) => Object.keys(headers).map((name) => name.toLowerCase())),
  );
}

interface ToApply {
  readonly step: Pick<StepSpec, "checks" | "inForce" | "keysOf">;
  readonly mesh?: MeshSetting;
  readonly changes: readonly Change[];
  /** Everything that the scenario has in the cluster; kept true. */
  readonly applied: Applied;
  /** Whether there is anything to wait for. */
  readonly changed: boolean;
  readonly everywhere?: boolean;
}

/** Makes a step's changes, and waits until the proxies that judge its requests have them and nothing else. */
export async function apply(
  session: Session,
  { step, mesh, changes, applied, changed, everywhere = false }: ToApply,
  signal?: AbortSignal,
): Promise<InForce & { readonly located: Located[]; readonly appliedAt: number }> {
  await makeChanges(session, changes, applied, signal);
  const appliedAt = performance.now();
  // Not before: a step may bring the Service that it asks.
  const located = await locate(session, step.checks);
  const judges = judgesOf(
    located.map(({ target }) => target),
    mesh,
  );
  session.accessLog.follow(judges.proxies);
  const awaited = {
    changes,
    judges,
    applied: [...applied.values()],
    clients: located.flatMap(({ place }) => place.proxy ?? []),
    everywhere,
    ...(step.inForce && { expects: step.inForce }),
    ...(step.keysOf !== undefined && {
      keys: { issuer: step.keysOf, jwks: await session.tokens.jwks(step.keysOf) },
    }),
  };
  const found = changed ? await waitInForce(session, awaited, signal) : { objects: [], problems: [] };
  return { ...found, located, appliedAt };
}

/**
 * Whether the scenario before must be out of the proxies before this step changes anything, and not only when the step is judged: a
 * proxy that rejects a config keeps the one before, and what the proxies still have may ask for keys.
 */
function needsCleanGround({ inForce, asked }: StepSpec): boolean {
  return inForce === "rejected" || asked.length > 0;
}

async function waitForCleanGround(session: Session, step: StepSpec, signal?: AbortSignal): Promise<InForce> {
  const located = await locate(session, step.checks);
  const judges = judgesOf(located.map(({ target }) => target));
  return await waitInForce(session, { changes: [], applied: [], judges, clients: [] }, signal);
}

/** Adds to each check that did not pass what the judging proxy's config says about its request. */
async function explainFailures(
  session: Session,
  checks: readonly (Prepared & { readonly result: CheckResult })[],
): Promise<CheckResult[]> {
  const failed = checks.filter(({ result: { status } }) => status === "failed" || status === "flaky");
  const said = await explain(
    session,
    failed.map(({ result: { got }, request, place, target, spec }) => ({
      request,
      place,
      target,
      got,
      to: spec.request.to,
    })),
  );
  return checks.map((check) => {
    const explanation = said[failed.indexOf(check)];
    return explanation === undefined ? check.result : { ...check.result, explanation };
  });
}

/** A step that did not get as far as its requests. */
function unjudged(
  step: StepSpec,
  { problems, objects }: InForce,
  { started, appliedAt }: { readonly started: number; readonly appliedAt: number },
): StepResult {
  const now = performance.now();
  return {
    ...emptyResult(step),
    status: "error",
    findings: problems,
    reason: sentences(problems),
    objects,
    timing: timingOf({ started, appliedAt, inForceAt: now, readyAt: now, probedAt: now }),
  };
}

function emptyResult({ name, position, apply, matrices }: StepSpec): Omit<StepResult, "status" | "timing"> {
  const notApplied = apply.flatMap((file) => file.notApplied ?? []);
  return {
    ...{ name, position, objects: [], checks: [], asked: [], matrices, rounds: 0 },
    ...(notApplied.length > 0 && { notApplied }),
  };
}

/** Waits for the step's `at`. */
async function untilAt({ at }: StepSpec, made: Made | undefined, signal?: AbortSignal): Promise<void> {
  if (at === undefined || made === undefined) return;
  const left = made.at + at * 1000 - performance.now();
  if (left > 0) await delay(left, undefined, { ...(signal && { signal }) });
}

/** When the last round may begin, from the step's changes: wrong answers are final before `until`, and not an error for being late. */
function lastRoundMs({ until }: StepSpec, made: Made | undefined, appliedAt: number): number {
  if (until === undefined || made === undefined) return Infinity;
  return made.at + until * 1000 - ROUND_MS - appliedAt;
}

/** Longer than a round takes. */
const ROUND_MS = 1_000;

/** Where the step's `until` has passed. */
function findLate({ until }: StepSpec, made: Made | undefined): StepFinding | undefined {
  if (until === undefined || made === undefined) return undefined;
  const afterMs = Math.round(performance.now() - made.at);
  return afterMs > until * 1000 ? { kind: "too-late", untilSeconds: until, afterMs } : undefined;
}

function timingOf(
  at: Record<"started" | "appliedAt" | "inForceAt" | "readyAt" | "probedAt", number>,
  waited = false,
): StepResult["timing"] {
  return {
    applyMs: Math.round(at.appliedAt - at.started),
    inForceMs: Math.round(at.inForceAt - at.appliedAt),
    ...(waited && { waitMs: Math.round(at.readyAt - at.inForceAt) }),
    probeMs: Math.round(at.probedAt - at.readyAt),
    totalMs: Math.round(performance.now() - at.started),
  };
}

function toResult(
  { tokens }: Pick<Session, "tokens">,
  { spec, target, request, tokens: sent, curl }: Prepared,
  outcome: CheckOutcome,
  objects: StepResult["objects"],
): CheckResult {
  const { from, to, through, method } = spec.request;
  const { status, got, enforcedMs, changes, wrong, stale } = outcome;
  const upstream = target.readyPods === 0 ? [{ kind: "no-ready-pod", workload: to } as const] : [];
  const notes = objects.flatMap((object) => object.findings ?? []);
  const findings = status === "passed" ? [] : [...(outcome.findings ?? []), ...upstream, ...notes];
  return {
    name: spec.name,
    position: spec.position,
    request: {
      ...{ from, to, ...(through !== undefined && { through }), method },
      url: tokens.redact(request.url),
      ...(request.requestTarget !== undefined && { requestTarget: tokens.redact(request.requestTarget) }),
      tokens: sent,
    },
    expected: spec.expect,
    // A workload may echo the token: no signature may get into a report, not even a piece of one.
    got: { ...got, body: tokens.redact(got.body).slice(0, BODY_KEPT) },
    status,
    ...(findings.length > 0 && explainedBy(findings)),
    enforcedMs: Math.round(enforcedMs),
    changes,
    ...(wrong ? { wrong } : {}),
    ...(stale ? { stale } : {}),
    curl,
    ...(spec.cell ? { cell: spec.cell } : {}),
  };
}
