/**
 * Findings in words: the one place that makes English of them. Each sentence is a clause without a full stop, so that several can be
 * joined; causes of tickets are whole sentences. Plain text that may hold hostile text: each format escapes it.
 */

import type {
  AnswerKind,
  Cause,
  ChangedObject,
  Foreign,
  Labels,
  ObjectFinding,
  ObjectRef,
  PodRef,
  StepFinding,
  TicketNote,
} from "../harness/model/finding.ts";
import {
  describeConditions,
  describeDecision,
  describeMatcher,
  describePolicy,
  describeReason,
} from "./explanation.ts";

/** A finding of an object or a step, a clause. */
export function sentence(finding: StepFinding): string {
  switch (finding.kind) {
    case "selects-no-pod":
      return `${nameObject(finding.object)} selects none of the pods that judge these requests: ${describeSelection(finding)}`;
    case "keys-not-fetched":
      return `istiod could not fetch the keys of ${finding.issuers.map((issuer) => issuer || "a rule without issuer").join(", ")}: the proxies hold its placeholder key, which rejects every token`;
    case "recorded":
      return finding.text;
    case "selects-a-pod":
      return "the step says `inForce: nowhere`, and each of its policies selects a pod that judges these requests";
    case "old-config":
      return `${namePod(finding.proxy)} has an older configuration ${seconds(finding.afterMs)} after the step was applied, so ${nameChanges(finding.objects)} is not in force there`;
    case "warming":
      return `${namePod(finding.proxy)} has received ${nameChanges(finding.objects)} and has not put it into force in ${seconds(finding.afterMs)}: its listener is still warming`;
    case "config-rejected":
      return `${namePod(finding.proxy)} rejects its configuration with ${nameChanges(finding.objects)}: ${finding.details}`;
    case "config-not-rejected":
      return `the step says \`inForce: rejected\`, and ${namePod(finding.proxy)} does not reject ${nameChanges(finding.objects)}`;
    case "not-in-force":
      return `${finding.objects.map(nameObject).join(", ")}: ${namePod(finding.proxy)} does not show what was done ${seconds(finding.afterMs)} ago`;
    case "foreign-policies":
      return `${namePod(finding.proxy)} enforces what this scenario did not apply: ${finding.policies.map(nameForeign).join(", ")}`;
  }
}

/** Findings as one text; empty without any. */
export function sentences(findings: readonly StepFinding[]): string {
  return findings.map(sentence).join("; ");
}

/** `RequestAuthentication foo/require-jwt` */
export function nameObject({ kind, namespace, name }: ObjectRef): string {
  return `${kind} ${namespace === "" ? "" : `${namespace}/`}${name}`;
}

function nameChanges(objects: readonly ChangedObject[]): string {
  const names = objects.map((object) => `${nameObject(object)}${object.deleted ? " (deleted)" : ""}`);
  return names.length === 0 ? "istiod's configuration" : [...new Set(names)].join(", ");
}

function nameForeign(foreign: Foreign): string {
  switch (foreign.kind) {
    case "object":
      return nameObject(foreign.object);
    case "rbac-rule":
      return `the RBAC rule ${foreign.rule}`;
    case "jwt-rule":
      return `a JWT rule for issuer ${foreign.issuer ?? "(any)"}`;
  }
}

function namePod({ namespace, pod }: PodRef): string {
  return `${namespace}/${pod}`;
}

function seconds(ms: number): string {
  return `${ms / 1000} s`;
}

function nameLabels(labels: Labels): string {
  return Object.entries(labels)
    .map(([name, value]) => `${name}=${value}`)
    .join(",");
}

function describeSelector(selector: Labels): string {
  return nameLabels(selector) === "" ? "no selector" : `selector ${nameLabels(selector)}`;
}

function describeSelection({ object, selector, pods }: Extract<ObjectFinding, { kind: "selects-no-pod" }>): string {
  const found = pods.map(({ labels, ...pod }) => `${namePod(pod)} (app=${labels["app"] ?? "?"})`);
  const where = found.length === 0 ? "they have no proxy" : `they are ${found.join(", ")}`;
  return `it has ${describeSelector(selector)} in namespace ${object.namespace || "default"}, ${where}`;
}

/** Why a ticket's request got its answer, one sentence or two. */
export function describeCause(cause: Cause): string {
  switch (cause.kind) {
    case "keys-not-fetched":
      return `The keys of ${cause.issuers.map((issuer) => issuer || "a rule without issuer").join(", ")} could not be fetched: the proxies hold istiod's placeholder key, which no token fits, so jwt_authn answers ${cause.status} to every token of this issuer.`;
    case "token-audience":
      return `The token is valid, but its audience ${JSON.stringify(cause.aud)} is not among ${JSON.stringify(cause.allowed)}, so jwt_authn answers ${cause.status}.`;
    case "policy-audience":
      return `The token is valid, but ${cause.policy === undefined ? "the policy" : nameObject(cause.policy)} looks at its audience ${JSON.stringify(cause.aud)} and refuses it: ${describeConditions(cause.conditions)}; without a token the answer is ${cause.without}.`;
    case "untrusted-issuer":
      return `The token's issuer ${JSON.stringify(cause.iss)} is not among the trusted ${JSON.stringify(cause.trusted)}, so jwt_authn answers ${cause.status}.`;
    case "token-refused":
      return `jwt_authn answers ${cause.status} "${cause.said}"${cause.reason === undefined ? "" : `: ${describeReason(cause.reason)}`}.`;
    case "path-bypass":
      return `The path bypasses the policy: the proxy compares it as ${cause.compared}${cause.reason === undefined ? "" : ` (${describeReason(cause.reason)})`} and lets it through, while ${cause.other}, which a server may take for the same, gets ${cause.status}.`;
    case "selects-no-pod":
      return `${nameObject(cause.object)} selects none of the pods: it has ${describeSelector(cause.selector)}, and the pods have ${nameLabels(cause.pods) || "no labels"}${cause.elsewhere ? " and are in another namespace" : ""}; nothing else refuses the request.`;
    case "tcp-port":
      return `Port ${cause.port} is named "${cause.name}", so the mesh takes its traffic for TCP and rules about tokens, paths and methods do not work as written there; the request got ${cause.status === 0 ? "no answer" : cause.status}.`;
    case "path-not-exempt":
      return `${describePolicy(cause.policy)} denies every path that its notPaths do not list, and ${cause.path} is not among them (${cause.exempt.map(describeMatcher).join(", ")}), so the answer is ${cause.status}.`;
    case "decision":
      return describeDecision(cause.decision);
    case "answer":
      return `${cause.lost ? "No rule or policy refuses the request, but it" : "The request"} got ${describeAnswer(cause.answer)}${cause.said === undefined ? "" : ` (${cause.said})`}.`;
  }
}

function describeAnswer({ status, by }: AnswerKind): string {
  return status === 0 ? "no answer" : `${status} by the ${by}`;
}

/** What is strange about a ticket. */
export function describeTicketNote(note: TicketNote): string {
  switch (note.kind) {
    case "not-settled":
      return `the answers to these requests went on to change, and the last ones are shown: ${note.requests.join(", ")}`;
    case "undecided":
      return describeDecision(note.decision);
    case "disputed":
      return `by its config, as meshproof reads it, the proxy would answer otherwise: ${describeDecision(note.decision)} What the mesh answered counts.`;
    default:
      return sentence(note);
  }
}
