/** What meshproof changed of a user's own policies, in words. Plain text that may hold hostile text: each format escapes it. */

import type { NotApplied, PolicyChange } from "../harness/model/own-policy.ts";
import type { AppliedObject, RunResult } from "../harness/model/result.ts";

/** A clause without a full stop. */
export function describeChange(change: PolicyChange): string {
  switch (change.kind) {
    case "namespace":
      if (change.from === "") return `it names no namespace, and is in ${change.to} here`;
      return change.field === "metadata.namespace"
        ? `namespace ${change.from} is ${change.to} here`
        : `${shortField(change.field)} "${change.from}" is "${change.to}" here`;
    case "keys":
      return `issuer ${change.iss}: ${describeServed(change)}`;
    case "metadata-left-out":
      return `left out: ${change.fields.join(", ")}`;
    case "kept":
      return `${shortField(change.field)} "${change.value}" is applied as it is, and may mean something else here (asIs: [${change.as}])`;
  }
}

function describeServed({ keys, served, uri }: Extract<PolicyChange, { kind: "keys" }>): string {
  const named = keys.map(({ kid, alg }) => `${kid} (${alg})`).join(", ");
  const signed = `tokens are signed by a test key, ${named}`;
  const from = uri === undefined ? "" : ` in place of ${uri}`;
  switch (served) {
    case "inline":
      return `${signed}, in place of the JWKS in the policy`;
    case "unreadable":
      return "its JWKS cannot be read, here as in the policy";
    case "no-url":
      return "it has no keys, here as in the policy: it names none, and istiod cannot ask an issuer that is not a URL";
    default:
      return `${signed}, which meshproof serves${from}`;
  }
}

/** `spec.rules[0].from[0].source.namespaces[0]` → `source.namespaces` */
function shortField(field: string): string {
  return field.replaceAll(/\[\d+\]/g, "").replace(/^spec\.(?:rules\.)?(?:(?:from|to|when)\.)?/, "");
}

/** Every change of an object, or undefined. */
export function describePolicyChanges({ changes = [] }: Pick<AppliedObject, "changes">): string | undefined {
  return changes.length === 0 ? undefined : changes.map(describeChange).join("; ");
}

/** What a run changed of policies, each once. */
export function changesIn({ scenarios }: Pick<RunResult, "scenarios">): string[] {
  const objects = scenarios.flatMap(({ steps }) => steps.flatMap((step) => step.objects));
  return [...new Set(objects.flatMap(({ changes = [] }) => changes.map(describeChange)))];
}

/** `Deployment shop/orders (deploy/all.yaml:3): the scenario's own workloads are in its place` */
export function describeNotApplied({ object, position, because }: NotApplied): string {
  const name = `${object.kind} ${object.namespace === "" ? "" : `${object.namespace}/`}${object.name}`;
  return `${name} (${position.file}:${position.line}): ${REASONS[because]}`;
}

const REASONS: Readonly<Record<NotApplied["because"], string>> = {
  workload: "the scenario's own workloads are in its place",
  irrelevant: "no proxy uses it to judge a request",
  chosen: "the scenario leaves it out",
};
