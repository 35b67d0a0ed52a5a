/** Asks the API server about objects, webhooks included, without applying them. */

import { inLanes } from "../lanes.ts";
import { fieldsOf, messageOf } from "../mesh/api-error.ts";
import type { ApiWarning } from "../mesh/api-warnings.ts";
import { applyManifest, type Applying } from "../mesh/apply.ts";
import type { Manifest } from "../mesh/client.ts";
import { MeshproofError } from "../model/errors.ts";
import type { AdmissionExpected, AdmissionGot } from "../model/admission.ts";
import type { AdmissionResult } from "../model/result.ts";
import type { StepSpec } from "../model/scenario.ts";
import { substitute, type SubstitutionValues } from "../scenario/index.ts";
import { explainedBy } from "../verdict/index.ts";

/** What asking takes of a session. */
export interface AdmittingMesh {
  readonly kube: Applying & { readonly objects: { readonly warnings: { list(): readonly ApiWarning[] } } };
}

/** @throws what is not a refusal, such as an API server that cannot be reached */
export async function judgeAdmission(
  mesh: AdmittingMesh,
  { admission = [] }: Pick<StepSpec, "admission">,
  values: SubstitutionValues,
): Promise<AdmissionResult[]> {
  return await inLanes(admission, async ({ position, name, manifest, at, expected }): Promise<AdmissionResult> => {
    const got = await ask(mesh, substitute(manifest, values).objects[at]!);
    return {
      ...{ position, object: name, expected, got },
      ...(agrees(expected, got)
        ? { status: "passed" }
        : { status: "failed", ...explainedBy([{ kind: "other-admission", object: name, expected, got }]) }),
    };
  });
}

async function ask({ kube }: AdmittingMesh, manifest: Manifest): Promise<AdmissionGot> {
  try {
    await applyManifest(kube, manifest, { dryRun: true });
  } catch (error) {
    if (!(error instanceof MeshproofError) || error.code !== "ERR_MANIFEST_REJECTED") throw error;
    return { verdict: "refused", texts: [messageOf(error.cause)], fields: fieldsOf(error.cause) };
  }
  const { kind, metadata } = manifest;
  const texts = kube.objects.warnings
    .list()
    .filter(({ object }) => object.kind === kind && object.name === metadata.name)
    .filter(({ object }) => object.namespace === (metadata.namespace ?? ""))
    .map(({ text }) => text);
  return { verdict: texts.length === 0 ? "accepted" : "warned", texts, fields: [] };
}

function agrees({ verdict, text = "", field }: AdmissionExpected, got: AdmissionGot): boolean {
  if (verdict !== got.verdict) return false;
  if (verdict === "accepted") return true;
  return got.texts.some((said) => said.includes(text)) && (field === undefined || got.fields.includes(field));
}
