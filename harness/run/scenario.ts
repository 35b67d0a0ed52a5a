import { collectDiagnostics, type Failure } from "../diagnostics/collect.ts";
import { MeshproofError } from "../model/errors.ts";
import type { ScenarioFinding, ThrownError } from "../model/finding.ts";
import type { ScenarioResult, Status, StepResult } from "../model/result.ts";
import { isTimed, type Scenario, type StepSpec } from "../model/scenario.ts";
import { sentences } from "../../reports/words.ts";
import { statusOfScenario } from "../verdict/index.ts";
import { openLookout } from "./restarts.ts";
import type { Session } from "./session.ts";
import { leave, type Applied } from "./changes.ts";
import { runStep, type TokenClock } from "./step.ts";

/** What is around a step while it runs: Playwright's own step, for one. */
export type InStep = (step: StepSpec, run: () => Promise<StepResult>) => Promise<StepResult>;

/**
 * Runs one scenario and always removes its objects, or leaves that to the next one ({@link leave}). Never throws for a fault of the
 * mesh or the environment: an environment error is the scenario's status.
 * @param options.meshReloaded the mesh config has just changed, and it is not proved which proxies have it
 * @returns the result, before known failures are excused
 */
export async function runScenario(
  session: Session,
  scenario: Scenario,
  signal?: AbortSignal,
  inStep: InStep = (_, run) => run(),
  { meshReloaded = false }: { readonly meshReloaded?: boolean } = {},
): Promise<ScenarioResult> {
  const startedAt = new Date();
  const started = performance.now();
  const steps: StepResult[] = [];
  const applied: Applied = new Map();
  const clock: TokenClock | undefined = isTimed(scenario) ? {} : undefined;
  const findings: ScenarioFinding[] = [];
  const diagnostics: string[] = [];
  const lookInto = async (since: Date, found: Pick<Failure, "step" | "error">, index: number): Promise<void> => {
    const folder = await collectDiagnostics(session, {
      scenario,
      index,
      since,
      ...found,
      manifests: [...applied.values()],
    });
    if (folder !== undefined) diagnostics.push(folder);
  };
  session.forget();
  const lookout = await openLookout(session, scenario).catch((error: unknown) => void findings.push(thrown(error)));
  for (const [index, spec] of lookout ? scenario.steps.entries() : []) {
    const since = new Date();
    try {
      const step = await inStep(spec, async () =>
        session.shown(
          await runStep(session, scenario, index, applied, {
            ...(signal && { signal }),
            everywhere: meshReloaded && index === 0,
            clock,
          }),
        ),
      );
      steps.push(step);
      // A step with findings of its own could not be judged as a whole.
      if (step.findings !== undefined) {
        findings.push(...step.findings);
        await lookInto(since, { error: sentences(step.findings) }, index);
        break;
      }
      if (step.status !== "passed") await lookInto(since, { step }, index);
    } catch (error) {
      findings.push(thrown(error));
      if (signal?.aborted !== true) await lookInto(since, { error: describe(error) }, index);
      break;
    }
  }
  try {
    await lookout?.beforeRemoval();
    await leave(session, applied);
  } catch (error) {
    findings.push({ kind: "clean-up-failed", error: errorOf(error) });
  }
  const disturbances = await lookout?.close().catch((error: unknown) => void findings.push(thrown(error)));
  // What died is why the rest went wrong.
  findings.unshift(...(disturbances ?? []).map((disturbance) => ({ kind: "disturbance", disturbance }) as const));
  // On a mesh of others their policies are a reason not to run here, and none that anything is wrong.
  const foreign = findings.some(({ kind }) => kind === "foreign-policies");
  if (foreign && !session.handle.ours && (disturbances ?? []).length === 0) return unrun(scenario, "skipped", findings);
  const own = findings.length > 0 ? { findings, reason: sentences(findings) } : {};
  return session.shown<ScenarioResult>({
    id: scenario.id,
    title: scenario.title,
    source: scenario.source,
    level: scenario.level,
    tags: scenario.tags,
    position: scenario.position,
    mesh: scenario.mesh,
    status: statusOfScenario({ steps, ...own }),
    ...own,
    ...(disturbances?.length ? { disturbances } : {}),
    startedAt: startedAt.toISOString(),
    durationMs: Math.round(performance.now() - started),
    steps,
    ...(diagnostics.length > 0 ? { diagnostics } : {}),
  });
}

/** What was thrown, as a finding. */
export function thrown(error: unknown): ScenarioFinding {
  return { kind: "error", error: errorOf(error) };
}

export function errorOf(error: unknown): ThrownError {
  if (!(error instanceof MeshproofError))
    return { message: error instanceof Error ? (error.stack ?? error.message) : String(error) };
  const { code, message, hint } = error;
  return { code, message, ...(hint !== undefined && { hint }) };
}

export function describe(error: unknown): string {
  if (error instanceof MeshproofError) return error.hint ? `${error.message} (${error.hint})` : error.message;
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

/** The result of a scenario that did not run. */
export function unrun(scenario: Scenario, status: Status, findings: readonly ScenarioFinding[]): ScenarioResult {
  const { id, title, source, level, tags, position, mesh } = scenario;
  return {
    id,
    title,
    source,
    level,
    tags,
    position,
    mesh,
    status,
    findings,
    reason: sentences(findings),
    startedAt: new Date().toISOString(),
    durationMs: 0,
    steps: [],
  };
}
