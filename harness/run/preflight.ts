import { MeshproofError } from "../model/errors.ts";
import { inLanes } from "../lanes.ts";
import { type Applying, applyManifest, nameOf } from "../mesh/apply.ts";
import { messageOf } from "../mesh/api-error.ts";
import type { Refusal } from "../model/result.ts";
import { substitute } from "../scenario/index.ts";
import type { Position, Scenario } from "../model/scenario.ts";
import { stepValues, type ValueSources } from "./substitution.ts";

/** What asking about manifests takes of a session. */
export interface CheckingMesh extends ValueSources {
  readonly kube: Applying;
}

/**
 * Asks the API server (dry run, webhooks included) about every manifest before anything is applied.
 * @returns what it refuses, by scenario: such a scenario cannot run, and the others can
 */
export async function preflight(
  mesh: CheckingMesh,
  scenarios: readonly Scenario[],
): Promise<ReadonlyMap<Scenario, readonly Refusal[]>> {
  const found = await inLanes(scenarios, async (scenario) => [scenario, await askAbout(mesh, scenario)] as const);
  return new Map(found.filter(([, refusals]) => refusals.length > 0));
}

async function askAbout(mesh: CheckingMesh, scenario: Scenario): Promise<Refusal[]> {
  const refusals: Refusal[] = [];
  for (const [index, step] of scenario.steps.entries()) {
    const values = await stepValues(mesh, scenario, index);
    for (const file of step.apply) {
      for (const [at, manifest] of substitute(file, values).objects.entries()) {
        const message = await applyManifest(mesh.kube, manifest, { dryRun: true }).then(() => undefined, refusalIn);
        const { position } = file.objects[at]!;
        if (message !== undefined && !refusals.some((known) => isSame(known.position, position)))
          refusals.push({ position, object: nameOf(manifest), message });
      }
    }
  }
  return refusals;
}

/** The API server's own words. @throws what is not a refusal */
function refusalIn(error: unknown): string {
  if (error instanceof MeshproofError && error.code === "ERR_MANIFEST_REJECTED") return messageOf(error.cause);
  throw error;
}

/** A file that two steps apply is refused once. */
function isSame(a: Position, b: Position): boolean {
  return a.file === b.file && a.line === b.line && a.column === b.column;
}
