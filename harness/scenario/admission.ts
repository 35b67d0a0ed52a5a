/** Reads what a step expects the API server to say of objects. */

import type { Node } from "yaml";
import type { ManifestFile } from "../model/manifest.ts";
import type { AdmissionExpected } from "../model/admission.ts";
import type { AdmissionSpec } from "../model/scenario.ts";
import { didYouMean, type Problem } from "./problem.ts";
import { itemsOf, startOf, textOf, valueOf, type Source } from "./source.ts";

/**
 * @param node the value of `apiServer`, already validated
 * @param pick finds a manifest of the scenario's folder by the node that names it, and reports a missing one
 */
export function readAdmission(
  node: Node | undefined,
  source: Source,
  pick: (node: Node) => readonly ManifestFile[],
  problems: Problem[],
): AdmissionSpec[] {
  const specs: AdmissionSpec[] = [];
  for (const item of itemsOf(node)) {
    const report = (at: Node, message: string, hint?: string): void =>
      void problems.push({ position: source.positionAt(startOf(at)), message, ...(hint !== undefined && { hint }) });
    const named = valueOf(item, "object");
    for (const manifest of pick(valueOf(item, "manifest")!)) {
      const names = manifest.objects.map(({ object }) => object.metadata.name);
      if (named === undefined && names.length !== 1) {
        report(
          item,
          `${textOf(valueOf(item, "manifest"))} has ${names.length} objects`,
          "name one of them with object",
        );
        continue;
      }
      const at = named === undefined ? 0 : names.indexOf(textOf(named));
      if (named !== undefined && at < 0) {
        report(
          named,
          `${textOf(valueOf(item, "manifest"))} has no object "${textOf(named)}"`,
          didYouMean(textOf(named), names, `there are ${names.join(", ")}`),
        );
        continue;
      }
      const { kind, metadata } = manifest.objects[at]!.object;
      const name = `${kind} ${metadata.name}`;
      if (specs.some((earlier) => earlier.name === name)) report(item, `${name} is asked about twice in this step`);
      specs.push({ position: source.positionAt(startOf(item)), name, manifest, at, expected: expectedOf(item) });
    }
  }
  return specs;
}

function expectedOf(item: Node): AdmissionExpected {
  const [refuses, field, warns] = ["refuses", "field", "warns"].map((key) => valueOf(item, key));
  if (refuses !== undefined)
    return { verdict: "refused", text: textOf(refuses), ...(field !== undefined && { field: textOf(field) }) };
  return warns === undefined ? { verdict: "accepted" } : { verdict: "warned", text: textOf(warns) };
}
