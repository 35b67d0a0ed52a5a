/** Breaks a scenario on purpose, one policy at a time. Its result must then not be green. */

import path from "node:path";
import { isSeq, type Document } from "yaml";
import type { Finding } from "../harness/model/finding.ts";
import type { ScenarioResult } from "../harness/model/result.ts";
import type { Scenario } from "../harness/model/scenario.ts";
import { ROOT_NAMESPACE } from "../harness/model/cluster.ts";
import { parseSource } from "../harness/scenario/source.ts";

export interface Mutant {
  /** `drop RequestAuthentication jwt-example in policy.yaml`. */
  readonly words: string;
  /** Path of the manifest, as the scenario names it. */
  readonly file: string;
  readonly text: string;
}

interface Change {
  readonly verb: string;
  /** Changes the document; false where it would change nothing. */
  apply(document: Document): boolean;
}

/** An object without effect, where a file must hold one. */
const NOTHING = { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "meshproof-mutant", namespace: "${ns}" } };

const DROP: Change = {
  verb: "drop",
  apply(document) {
    document.contents = document.createNode(NOTHING);
    return true;
  },
};

const RETARGET: Change = {
  verb: "re-target",
  apply(document) {
    // A policy may have one of these alone.
    const references = document.getIn(["spec", "targetRefs"]);
    if (isSeq(references))
      for (const index of references.items.keys()) document.setIn(["spec", "targetRefs", index, "name"], "nobody");
    else if (document.hasIn(["spec", "targetRef"])) document.setIn(["spec", "targetRef", "name"], "nobody");
    else document.setIn(["spec", "selector"], document.createNode({ matchLabels: { app: "nobody" } }));
    return true;
  },
};

/** ALLOW (the default) for DENY and the other way round; AUDIT and CUSTOM decide nothing that could be inverted. */
const INVERT: Change = {
  verb: "invert",
  apply(document) {
    const action = document.getIn(["spec", "action"]) ?? "ALLOW";
    if (action !== "ALLOW" && action !== "DENY") return false;
    document.setIn(["spec", "action"], action === "ALLOW" ? "DENY" : "ALLOW");
    return true;
  },
};

const OTHER_ISSUER: Change = {
  verb: "change the issuer of",
  apply(document) {
    if (!document.hasIn(["spec", "jwtRules", 0, "issuer"])) return false;
    document.setIn(["spec", "jwtRules", 0, "issuer"], "https://mutant.example");
    return true;
  },
};

/** It holds at every sidecar and gateway of the mesh. */
const HOLD: Change = {
  verb: "make hold everywhere",
  apply(document) {
    document.setIn(["metadata", "namespace"], ROOT_NAMESPACE);
    for (const field of ["selector", "targetRef", "targetRefs"]) document.deleteIn(["spec", field]);
    return true;
  },
};

const DRY_RUN = ["metadata", "annotations", "istio.io/dry-run"];

const ENFORCE: Change = {
  verb: "enforce",
  apply(document) {
    if (document.hasIn(DRY_RUN)) document.deleteIn(DRY_RUN);
    if (document.getIn(["spec", "action"]) === "AUDIT") document.setIn(["spec", "action"], "DENY");
    return true;
  },
};

/** What must change an answer, of a policy that a scenario has in these steps. */
function changesOf(policy: Document, steps: Scenario["steps"]): readonly Change[] {
  const kind = String(policy.get("kind"));
  if (kind !== "RequestAuthentication" && kind !== "AuthorizationPolicy") return [];
  // It decides nothing, in whatever way it is changed: it must be seen when it does.
  if (steps.every(({ inForce }) => inForce === "nowhere")) return [HOLD];
  if (policy.hasIn(DRY_RUN) || policy.getIn(["spec", "action"]) === "AUDIT") return [RETARGET, ENFORCE];
  if (kind === "AuthorizationPolicy") return [DROP, RETARGET, INVERT];
  // Proxies reject its keys, whoever its issuer is.
  const isRejected = steps.every(({ inForce }) => inForce === "rejected");
  return [DROP, RETARGET, ...(isRejected ? [] : [OTHER_ISSUER])];
}

/** The steps in which the objects of a file are in the mesh. */
function stepsWith({ steps }: Scenario, file: string): Scenario["steps"] {
  let isThere = false;
  return steps.filter(({ apply, delete: deleted }) => {
    if (deleted.some((one) => one.file === file)) isThere = false;
    if (apply.some((one) => one.file === file)) isThere = true;
    return isThere;
  });
}

/** Every single change of every policy that a scenario applies. */
export function mutantsOf(scenario: Scenario): Mutant[] {
  const files = new Map(scenario.steps.flatMap(({ apply }) => apply.map(({ file, text }) => [file, text])));
  return [...files].flatMap(([file, text]) =>
    parseSource(text, file).documents.flatMap((original, index, originals) => {
      const kind = String(original.get("kind"));
      const name = String(original.getIn(["metadata", "name"]));
      const steps = stepsWith(scenario, file);
      return changesOf(original, steps).flatMap((change): Mutant[] => {
        const documents = originals.map((each) => each.clone());
        const document = documents[index];
        if (!document || !change.apply(document)) return [];
        return [{ words: `${change.verb} ${kind} ${name}`, file, text: documents.map(print).join("---\n") }];
      });
    }),
  );
}

/**
 * What a run says of a mutant. `invalid`: Istio's validation refuses it, so a mesh could not have it. `skipped`: the cluster does not
 * have what the scenario needs. `undecided`: the run could not judge it, for a reason that is not the mutant's, such as a pod that
 * crashed or a proxy that took too long.
 */
export type Fate = "killed" | "survived" | "invalid" | "skipped" | "undecided";

type Judged = Pick<ScenarioResult, "status" | "refused" | "findings"> & {
  readonly steps: readonly Pick<ScenarioResult["steps"][number], "findings">[];
};

/** Findings that say of a step's policies what the mutant changed: where they hold, or what Envoy makes of them. */
const OF_A_MUTANT: ReadonlySet<Finding["kind"]> = new Set<Finding["kind"]>([
  "selects-no-pod",
  "attached-to-no-proxy",
  "selects-a-pod",
  "config-rejected",
  "config-not-rejected",
]);

/** Findings that time alone may cause, too: they count after the time that every run has. */
const OF_ENOUGH_TIME: ReadonlySet<Finding["kind"]> = new Set<Finding["kind"]>([
  "not-in-force",
  "other-keys",
  "foreign-policies",
]);

/** @param isPatient whether the run waited as long as every run does */
export function fateOf(
  { status, refused, findings, steps }: Judged,
  { isPatient = false }: { readonly isPatient?: boolean } = {},
): Fate {
  if (refused !== undefined) return "invalid";
  if (status === "skipped") return "skipped";
  if (status === "passed") return "survived";
  if (status === "failed") return "killed";
  const said = [...(findings ?? []), ...steps.flatMap((step) => step.findings ?? [])];
  const counts = ({ kind }: Finding): boolean => OF_A_MUTANT.has(kind) || (isPatient && OF_ENOUGH_TIME.has(kind));
  return status === "error" && said.length > 0 && said.every(counts) ? "killed" : "undecided";
}

/** `<scenario>/<file>: <change>`, a key of survivors.yaml. */
export function nameOf({ id }: Pick<Scenario, "id">, { file, words }: Pick<Mutant, "file" | "words">): string {
  return `${id}/${path.basename(file)}: ${words}`;
}

/** Of that name, `<scenario>/<file>`: the key for each mutant of a file. */
export function fileOf(name: string): string {
  return name.split(": ")[0] ?? "";
}

function print(document: Document): string {
  if (document.directives) document.directives.docStart = null;
  return document.toString({ lineWidth: 0 });
}
