/* eslint-disable max-lines -- each part is one switch over a closed union */
/**
 * Findings in words: the one place that makes English of them. Each sentence is a clause without a full stop, so that several can be
 * joined; causes of tickets are whole sentences. Plain text that may hold hostile text: each format escapes it.
 */

import type {
  AnswerKind,
  ChangedObject,
  Finding,
  Foreign,
  Labels,
  LogGap,
  ObjectFinding,
  ObjectRef,
  PodRef,
  RunNote,
  ThrownError,
  WantedText,
} from "../harness/model/finding.ts";
import type { Cause, TicketNote } from "../harness/model/cause.ts";
import type { CheckResult, Disturbance } from "../harness/model/result.ts";
import type { NoAnswer } from "../harness/model/scenario.ts";
import { isGateway, nameWay } from "../harness/model/target.ts";
import { describeAttachment, describeBypass } from "./attachment.ts";
import { describeReach } from "./reach.ts";
import {
  describeConditions,
  describeDecision,
  describeJudge,
  describeMatcher,
  describeField,
  describeFound,
  describePolicy,
  describeReason,
  describeRule,
  describeValue,
} from "./explanation.ts";

/** A finding, a clause. */
export function sentence(finding: Finding): string {
  switch (finding.kind) {
    case "selects-no-pod":
      return `${nameObject(finding.object)} selects none of the pods that judge these requests: ${describeSelection(finding)}`;
    case "attached-to-no-proxy":
      return `${nameObject(finding.object)} is accepted and holds at none of the proxies that judge these requests: ${describeAttachment(finding)}`;
    case "keys-not-fetched":
      return `istiod could not fetch the keys of ${finding.issuers.map((issuer) => issuer || "a rule without issuer").join(", ")}: the proxies hold its placeholder key, which rejects every token`;
    case "recorded":
      return finding.text;
    case "selects-a-pod":
      return "the step says `inForce: nowhere`, and each of its policies selects a pod that judges these requests";
    case "old-config":
      return `${namePod(finding.proxy)} has an older configuration ${seconds(finding.afterMs)} after the step was applied, so ${nameChanges(finding.objects)} is not in force there${describeNotFetched(finding.notFetched)}`;
    case "no-listener":
      return `${namePod(finding.proxy)} has no listener, so ${nameChanges(finding.objects)} is not in force there: a gateway has one where a Gateway chooses it`;
    case "warming":
      return `${namePod(finding.proxy)} has received ${nameChanges(finding.objects)} and has not put it into force in ${seconds(finding.afterMs)}: its listener is still warming`;
    case "too-late":
      return `the answers were final ${seconds(finding.afterMs)} after the tokens were made, and the step needs them within ${finding.untilSeconds} s: this machine was too slow for it`;
    case "other-keys":
      return `${namePod(finding.proxy)} does not have the keys of the issuer ${finding.issuer} ${seconds(finding.afterMs)} after the step was applied`;
    case "config-rejected":
      return `${namePod(finding.proxy)} rejects its configuration with ${nameChanges(finding.objects)}: ${finding.details}`;
    case "config-not-rejected":
      return `the step says \`inForce: rejected\`, and ${namePod(finding.proxy)} does not reject ${nameChanges(finding.objects)}`;
    case "not-in-force":
      return `${finding.objects.map(nameObject).join(", ")}: ${namePod(finding.proxy)} does not show what was done ${seconds(finding.afterMs)} ago`;
    case "unexpected-answer":
      return `expected ${describeAnswer({ noAnswer: "closed", ...finding.expected }, finding.to)}, got ${describeAnswer(finding.got, finding.to)}`;
    case "body-without-text":
      return `expected a body with ${quote(finding.text)}, got ${describeBody(finding.body)}`;
    case "other-body":
      return `expected a body that ${describeWanted(finding.wanted)}, got ${describeBody(finding.body)}`;
    case "other-reply-header": {
      const { header, wanted, got } = finding;
      const had = got === undefined ? "it has none" : `got ${quote(got)}`;
      if (typeof wanted === "boolean")
        return `expected a reply ${wanted ? "with" : "without"} the header ${header}, ${had}`;
      const value = typeof wanted === "string" ? `is ${quote(wanted)}` : describeWanted(wanted);
      return `expected a reply whose header ${header} ${value}, ${had}`;
    }
    case "body-without-key":
      return `expected a JSON object with the key ${quote(finding.key)}, got ${describeBody(finding.body)}`;
    case "other-details":
      return `expected response code details with ${quote(finding.text)}, got ${quote(finding.details)}`;
    case "other-policy":
      return `expected a rule of the AuthorizationPolicy ${quote(finding.policy)} to decide, got the response code details ${quote(finding.details)}`;
    case "no-echo":
      return `expected ${finding.to} to echo the request, the reply is not an echo of the request: ${describeBody(finding.body)}`;
    case "other-header":
      return describeOtherHeader(finding);
    case "other-path":
      return `expected ${finding.to} to receive the path ${quote(finding.path)}, ${finding.got === undefined ? "the reply does not say" : `got ${quote(finding.got)}`}`;
    case "no-witness":
      return `no admitted request reached ${isGateway(finding.to) ? `a workload behind ${nameWay(finding)}` : finding.to} in this round, so a denial proves nothing`;
    case "bypassed":
      return `the request did not pass ${finding.through}: the access log of ${finding.proxies.map(namePod).join(", ")} has no line for it`;
    case "denied-by-authentication":
      return `denied by authentication: ${describeJwtStatus(finding.status)}`;
    case "denied-by-rule": {
      const { policy, index, name } = finding.rule;
      return policy === undefined ? `denied by the rule ${name}` : `denied by ${describePolicy(policy)}, rule ${index}`;
    }
    case "denied-by-no-rule":
      return "denied because no rule of an ALLOW policy matches";
    case "denied-by-external-authorizer":
      return "denied by the external authorizer of a CUSTOM policy";
    case "denied-by-some-policy":
      return "denied by an AuthorizationPolicy";
    case "agreed-before":
      return `it had agreed in round ${finding.round}`;
    case "inconsistent":
      return `round ${finding.round}: ${sentence(finding.wrong)}, ${describeAlthough(finding.although)}`;
    case "no-ready-pod":
      return `${finding.workload} has no ready pod`;
    case "not-judged": {
      const demanded = [
        ...(finding.details === undefined ? [] : [`response code details with ${quote(finding.details)}`]),
        ...(finding.policy === undefined ? [] : [`a rule of the AuthorizationPolicy ${quote(finding.policy)}`]),
        ...(finding.through === undefined ? [] : [`the passage through ${finding.through}`]),
      ].join(" and ");
      return `could not be judged: it demands ${demanded}, and ${finding.because.map(describeLogGap).join("; ")}`;
    }
    case "unexpected-askers":
      return `expected ${finding.expected} to ask ${finding.server} for keys, its log shows ${finding.got.join(" and ") || "nobody"}`;
    case "other-admission": {
      const { object, expected, got } = finding;
      const wanted = expected.text === undefined ? "" : ` with ${quote(expected.text)}`;
      const at = expected.field === undefined ? "" : ` at ${expected.field}`;
      const said = got.texts.length === 0 ? "" : ` with ${got.texts.map(quote).join(", ")}`;
      const fields = got.fields.length === 0 ? "" : ` at ${got.fields.join(", ")}`;
      return `expected the API server ${describeVerdict(expected.verdict)} ${object}${wanted}${at}, got ${got.verdict}${said}${fields}`;
    }
    case "known-failure":
      return `known until ${finding.until}${finding.owner === undefined ? "" : `, ${finding.owner}`}: ${finding.reason}`;
    case "expired-known-failure":
      return `was a known failure${finding.owner === undefined ? "" : ` of ${finding.owner}`} until ${finding.until}: ${finding.reason}`;
    case "other-istio":
      return finding.readable
        ? `it holds for Istio ${finding.range}, and this mesh is ${finding.found}`
        : `it holds for Istio ${finding.range}, and this mesh does not say which it is${finding.found === "" ? "" : ` ("${finding.found}")`}`;
    case "other-jwks-fetch":
      return `it is for a mesh where jwksFetch is ${finding.wanted} (istiod's PILOT_JWT_ENABLE_REMOTE_JWKS), and here it is ${finding.found}`;
    case "fixed-mesh-setting":
      return `it needs the mesh setting ${finding.setting}: ${finding.value}, and meshproof does not change the settings of an existing mesh`;
    case "no-extension-provider":
      return `it needs the extension provider ${finding.provider}, and meshproof does not change the settings of an existing mesh`;
    case "no-jwks-trust":
      return "istiod of this mesh does not trust the certificate of meshproof's JWKS host";
    case "no-gateway-api":
      return "this cluster has no GatewayClass `istio` that istiod has accepted: the CRDs of the Gateway API are missing, or istiod does not use them, or this user may not see or create their objects";
    case "no-waypoint":
      return "this mesh has no waypoints: istiod has accepted no GatewayClass `istio-waypoint` (PILOT_ENABLE_AMBIENT), or, on a mesh that meshproof made, its proxies are an upstream Envoy before 1.38";
    case "no-ztunnel":
      return "not verified: ztunnel decides about these requests; meshproof starts none, and cannot read what one has in force (docs/ambient.md)";
    case "no-gateway":
      return "this mesh has no ingress gateway that the documented policies choose (istio: ingressgateway in istio-system)";
    case "no-access-log":
      return "it demands Envoy's response code details, and this mesh writes no JSON access log (meshConfig.accessLogFile, accessLogEncoding), or none that can be known of";
    case "reaches-beyond":
      return `${describeReach(finding)}; ${finding.permitted === "mesh" ? "--allow-mesh-wide permits it" : "no option allows that on an existing mesh"}`;
    case "waits":
      return `it waits until ${finding.seconds} s after its tokens were made, and a run skips what waits longer than ${finding.most} s (--max-wait)`;
    case "profile-algorithm":
      return `ASM before 1.13 verifies RSA signatures alone, and it needs ${finding.alg}`;
    case "profile-jwks-uri":
      return "ASM before 1.13 has no jwksUri";
    case "disturbance":
      return describeDisturbance(finding.disturbance);
    case "deaths-not-known":
      return `whether a container died while it ran is not known: ${finding.error}`;
    case "refused": {
      const { position, object, message } = finding.refusal;
      return `${position.file}:${position.line}:${position.column} the API server rejected ${object}: ${message}`;
    }
    case "error":
      return describeThrown(finding.error);
    case "clean-up-failed":
      return `cleaning up failed: ${describeThrown(finding.error)}`;
    case "mesh-setting-refused":
      return `the mesh did not take the setting: ${describeThrown(finding.error)}`;
    case "not-finished":
      if (finding.because === "not-begun") return "Playwright stopped before it began, as --max-failures asks, for one";
      return finding.because === "worker"
        ? `it did not run to its end; Playwright says: ${finding.said ?? "nothing"}`
        : `it did not run to its end: ${finding.said ?? "the run was interrupted"}`;
    case "foreign-policies":
      return `${namePod(finding.proxy)} enforces what this scenario did not apply: ${finding.policies.map(nameForeign).join(", ")}`;
  }
}

export { describeReach };

/** What a reader must know of a run. */
export function describeNote(note: RunNote): string {
  switch (note.kind) {
    case "recorded":
      return note.text;
    case "merged":
      return `merged from the runs ${note.runs.join(", ")}`;
    case "known-failure-note": {
      const what = [note.scenario, note.step, note.check].filter((part) => part !== undefined).join(": ");
      return `known failure of ${note.owner} (${note.at}, ${what}) ${describeState(note)}`;
    }
  }
}

function describeState({ state, expires, got }: Extract<RunNote, { kind: "known-failure-note" }>): string {
  switch (state) {
    case "matches-nothing":
      return "matches nothing in this run";
    case "expired":
      return `expired on ${expires}: its failures count`;
    case "other-answer":
      return got === undefined
        ? "does not excuse a request that was admitted and must be refused: such a failure counts, unless got names the answer"
        : `names ${got.status} from ${got.by}, and there were other answers: they count`;
    case "passes":
      return "passes now: remove it";
    case "not-judged":
      return "was not judged";
  }
}

/** `forged (iss …)`, `no token`. */
export function describeTokens(tokens: CheckResult["request"]["tokens"]): string {
  return tokens.map(({ name, words }) => `${name} (${words})`).join(" and ") || "no token";
}

/** Findings as one text; empty without any. */
export function sentences(findings: readonly Finding[]): string {
  return findings.map(sentence).join("; ");
}

function describeOtherHeader({ header, wanted, got }: Extract<Finding, { kind: "other-header" }>): string {
  const seen = got === undefined ? "got none" : `got ${describeBody(got)}`;
  if (wanted === false) return `expected the workload to receive no header ${header}, ${seen}`;
  const value =
    wanted === true
      ? ""
      : ` with ${quote(typeof wanted === "string" ? wanted : JSON.stringify({ [wanted.claim]: wanted.value }))}`;
  return `expected the workload to receive the header ${header}${value}, ${seen}`;
}

function describeAlthough(although: Extract<Finding, { kind: "inconsistent" }>["although"]): string {
  switch (although.kind) {
    case "agreed":
      return `after it had agreed in round ${although.round}`;
    case "in-force":
      return "although the proxies had the config";
    case "unsettled":
      return `and only the last ${although.agreeing} of ${although.rounds} agreed`;
  }
}

function describeLogGap(gap: LogGap): string {
  switch (gap.kind) {
    case "no-proxy":
      return "no proxy judged this request: its target has no pod with a sidecar";
    case "unreadable":
      return `the access log of ${namePod(gap.proxy)} cannot be read: ${gap.error}`;
    case "no-line":
      return `the access log of ${gap.proxies.map(namePod).join(", ")} has no line for this request`;
  }
}

function describeThrown({ message, hint }: ThrownError): string {
  return hint === undefined ? message : `${message} (${hint})`;
}

/** @param ran the scenario that ran at that time */
export function describeDisturbance(disturbance: Disturbance, ran = "the scenario"): string {
  const { kind, container, last } = disturbance;
  const where = namePod(disturbance);
  switch (kind) {
    case "died": {
      const facts = [
        ...(last?.reason === undefined ? [] : [last.reason]),
        ...(last?.exitCode === undefined ? [] : [`exit code ${last.exitCode}`]),
        ...(last?.signal === undefined ? [] : [`signal ${last.signal}`]),
        ...(last?.finishedAt === undefined ? [] : [`at ${last.finishedAt}`]),
      ];
      return `the container ${container} of ${where} died while ${ran} ran (${facts.join(", ") || "its last state is not known"})`;
    }
    case "gone":
      return `the pod ${where} was deleted, evicted or replaced while ${ran} ran, and not by it`;
    case "came":
      return `the pod ${where} came while ${ran} ran, and not by it`;
  }
}

/** Texts of Envoy's source/common/jwt/status.cc, older wordings too, and what they mean. */
const JWT_STATUSES: readonly (readonly [text: string, words: string])[] = [
  ["Jwt is missing", "there is no token where one is required"],
  ["Jwt is expired", "the token has expired"],
  ["Jwt not yet valid", "the token is not valid yet (nbf)"],
  ["Jwt is not in the form of Header.Payload.Signature", "what was sent is not a JWT"],
  ["Jwt issuer is not configured", "no RequestAuthentication at the proxy names the token's issuer"],
  ["Audiences in Jwt are not allowed", "the rule does not allow the token's aud"],
  ["Jwt verification fails", "the token's signature fits none of the keys that the proxy has for its issuer"],
  [
    "Jwks doesn't have key to match kid or alg from Jwt",
    "the proxy has no key with the token's kid and alg for its issuer",
  ],
  ["Jwks doesn't have any valid public key", "the proxy has no usable key for the token's issuer"],
  ["Jwks remote fetch is failed", "the proxy could not fetch the keys from the jwksUri"],
  ["Found multiple Jwt tokens", "the request has more than one token"],
  ["Jwt header [alg] is not supported", "the proxy does not know the token's alg"],
];

function describeJwtStatus(status: string): string {
  return JWT_STATUSES.find(([text]) => status.startsWith(text))?.[1] ?? (status === "" ? "no reason given" : status);
}

function describeVerdict(verdict: "refused" | "warned" | "accepted"): string {
  return { refused: "to refuse", warned: "to warn about", accepted: "to accept" }[verdict];
}

function describeWanted(wanted: WantedText): string {
  return "is" in wanted ? `is ${quote(wanted.is)}` : `matches ${quote(wanted.matches)}`;
}

/** `200 from httpbin`, or why there is none. */
function describeAnswer(
  { status, grpc, by, error, noAnswer }: AnswerKind & { readonly error?: string; readonly noAnswer?: NoAnswer },
  to: string,
): string {
  if (by === "nobody") return `${describeSilence(noAnswer)}${error === undefined ? "" : ` (${error})`}`;
  if (status === 0) return `any answer of ${nameAnswerer(by, to)}`;
  return `${grpc === undefined ? status : `the gRPC status ${grpc}`} from ${nameAnswerer(by, to)}`;
}

/** Method and URL, with the request target where another one was sent. */
export function describeLine({ method, url, requestTarget }: CheckResult["request"]): string {
  return `${method} ${url}${requestTarget === undefined ? "" : ` (request target ${requestTarget})`}`;
}

/** What came in the place of an answer. */
export function describeSilence(noAnswer?: NoAnswer): string {
  switch (noAnswer) {
    case undefined:
      return "no answer";
    case "closed":
      return "the connection closed without an answer";
    case "reset":
      return "the connection reset without an answer";
    case "tls-refused":
      return "the TLS handshake refused";
    case "dns":
      return "a name that does not resolve";
  }
}

function nameAnswerer(by: AnswerKind["by"], to: string): string {
  if (by === "workload") return isGateway(to) ? `the workload behind ${to}` : to;
  return by === "proxy" ? "a proxy" : by;
}

function describeBody(body: string): string {
  return body === "" ? "an empty one" : quote(body);
}

function quote(text: string): string {
  return JSON.stringify(text);
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

function describeNotFetched(uris: readonly string[] = []): string {
  if (uris.length === 0) return "";
  return `. In this time istiod could not fetch the keys of ${uris.join(", ")}: a proxy that needs such keys may get its configuration late`;
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
  const found = pods.map(({ labels, ...pod }) => {
    const asked = Object.keys(selector).map((name) =>
      labels[name] === undefined ? `without ${name}` : `${name}=${labels[name]}`,
    );
    return asked.length === 0 ? namePod(pod) : `${namePod(pod)} (${asked.join(", ")})`;
  });
  const where = found.length === 0 ? "they have no proxy" : `they are ${found.join(", ")}`;
  return `it has ${describeSelector(selector)} in namespace ${object.namespace || "default"}, ${where}`;
}

/** Why a ticket's request got its answer, one sentence or two. */
export function describeCause(cause: Cause): string {
  switch (cause.kind) {
    case "keys-not-fetched":
      return `The keys of ${cause.issuers.map((issuer) => issuer || "a rule without issuer").join(", ")} could not be fetched: the proxies hold istiod's placeholder key, which no token fits, so jwt_authn answers ${cause.status}${place(cause)} to every token of this issuer.`;
    case "token-audience":
      return `The token is valid, but its audience ${JSON.stringify(cause.aud)} is not among ${JSON.stringify(cause.allowed)}, so jwt_authn answers ${cause.status}${place(cause)}.`;
    case "policy-audience":
      return `The token is valid, but ${cause.policy === undefined ? "the policy" : nameObject(cause.policy)} compares its audience ${JSON.stringify(cause.aud)} and refuses it${place(cause)}: ${describeConditions(cause.conditions)}; without a token the answer is ${cause.without}.`;
    case "untrusted-issuer":
      return `The token's issuer ${JSON.stringify(cause.iss)} is not among the trusted ${JSON.stringify(cause.trusted)}, so jwt_authn answers ${cause.status}${place(cause)}.`;
    case "token-refused":
      return `jwt_authn answers ${cause.status} "${cause.said}"${place(cause)}${describeRefusals(cause)}.`;
    case "path-bypass":
      return `The path bypasses the policy: the proxy compares it as ${cause.compared}${cause.reason === undefined ? "" : ` (${describeReason(cause.reason)})`} and lets it through, while ${cause.other}, which a server may take for the same, gets ${cause.status}.`;
    case "selects-no-pod":
      return `${nameObject(cause.object)} selects none of the pods: it has ${describeSelector(cause.selector)}${cause.elsewhere.length > 0 ? ` in namespace ${cause.object.namespace}, and the proxies that judge the request are in ${cause.elsewhere.join(", ")}` : `, and the pods have ${nameLabels(cause.pods) || "no labels"}`}; nothing else refuses the request.`;
    case "attached-to-no-proxy":
      return `${nameObject(cause.object)} is accepted and enforced nowhere here: ${describeAttachment(cause)}; nothing else refuses the request.`;
    case "bypasses-waypoint":
      return describeBypass(cause);
    case "leaves-mesh":
      return `The request goes through: ${cause.host} is outside of the mesh, and AuthorizationPolicies are enforced where requests arrive, not where they leave.`;
    case "authorizer-answers":
      return `The external authorizer of ${cause.policies.map(nameObject).join(" and ")} answers ${cause.status}, and the client gets this answer: a CUSTOM policy decides before any token is looked at.`;
    case "tcp-port":
      return `Port ${cause.port} is named "${cause.name}", so the mesh takes its traffic for TCP and rules about tokens, paths and methods do not work as written there; the request got ${cause.status === 0 ? "no answer" : cause.status}.`;
    case "path-not-exempt":
      return `${describePolicy(cause.policy)} denies every path that its notPaths do not list, and ${cause.path} is not among them (${cause.exempt.map(describeMatcher).join(", ")}), ${soAnswered(cause.status)}${place(cause)}.`;
    case "decision":
      return describeTicketDecision(cause);
    case "answer": {
      const said = cause.said === undefined ? "" : ` (${cause.said})`;
      if (cause.lost)
        return `No rule or policy refuses the request, but it got ${describeCaused(cause.answer)}${said}.`;
      return `${nameCaused(cause.answer)}${said}.`;
    }
  }
}

/** The proxy that decided, where the request passes several. */
function place({ at }: Cause): string {
  return at === undefined ? "" : ` at ${describeJudge(at)}`;
}

/** What each provider says beside Envoy's own text. */
function describeRefusals({ said, reason }: Extract<Cause, { kind: "token-refused" }>): string {
  if (reason?.kind !== "token-refused") return reason === undefined ? "" : `: ${describeReason(reason)}`;
  const more = reason.providers.flatMap(({ issuer, found }) =>
    found.kind === "refused" && found.status === said
      ? []
      : [`${issuer ?? "any issuer"}: ${describeFound(found, issuer)}`],
  );
  return more.length === 0 ? "" : `: ${more.join("; ")}`;
}

/** What decided, in short: {@link comparisonsOf} has the conditions. */
function describeTicketDecision(cause: Extract<Cause, { kind: "decision" }>): string {
  const { reason, status } = cause.decision;
  const where = cause.at === undefined || (cause.at.kind === "sidecar" && !cause.before?.length) ? "" : place(cause);
  if (reason.kind === "denied")
    return `${describeRule(reason.rule)} denies the request${where}, ${soAnswered(status)}.`.replace(/^r/, "R");
  if (reason.kind === "not-allowed") {
    const names = [
      ...new Set(reason.rules.map(({ policy, name }) => (policy === undefined ? name : describePolicy(policy)))),
    ];
    if (names.length === 0)
      return `An ALLOW policy without rules refuses every request${where}, ${soAnswered(status)}.`;
    return `No rule of an ALLOW policy matches the request${where} (${names.join(", ")}), ${soAnswered(status)}.`;
  }
  return describeDecision(cause);
}

function soAnswered(status: number | undefined): string {
  if (status === 0) return "so the connection is closed without an answer";
  // Envoy refuses a gRPC request so.
  return status === 200 ? "so the answer is 200 with grpc-status 7 (PermissionDenied)" : `so the answer is ${status}`;
}

/** For each rule that decides, its conditions: field, what the rule requires, what the request has. */
export function comparisonsOf(
  cause: Cause,
): { readonly rule: string; readonly rows: readonly (readonly string[])[] }[] {
  const reason =
    cause.kind === "decision" ? cause.decision.reason : cause.kind === "token-refused" ? cause.reason : undefined;
  const rules = reason?.kind === "denied" ? [reason.rule] : reason?.kind === "not-allowed" ? reason.rules : [];
  return rules.flatMap((rule) =>
    rule.conditions.length === 0
      ? []
      : [
          {
            rule: `${describeRule(rule)} ${reason?.kind === "denied" ? "matches by" : "does not match by"}`.replace(
              /^r/,
              "R",
            ),
            rows: rule.conditions.map(({ field, requires, got }) => [
              describeField(field),
              describeMatcher(requires),
              describeValue(got),
            ]),
          },
        ],
  );
}

/** An answer whose reason is not known: a sentence without its full stop. */
function nameCaused({ status, by }: AnswerKind): string {
  if (status === 0) return "The request got no answer";
  if (by === "workload") return `The request reached the workload, which answered ${status}`;
  return by === "proxy" ? `The proxy itself answered ${status}` : `The request got ${status} by ${by}`;
}

function describeCaused({ status, by }: AnswerKind): string {
  return status === 0 ? "no answer" : `${status} by the ${by}`;
}

/** What is strange about a ticket. */
export function describeTicketNote(note: TicketNote): string {
  switch (note.kind) {
    case "not-settled":
      return `the answers to these requests went on to change, and the last ones are shown: ${note.requests.join(", ")}`;
    case "api-warning":
      return `the API server warns about ${note.object.kind} ${note.object.namespace}/${note.object.name}: ${note.text}`;
    case "undecided":
      return describeDecision(note);
    case "disputed":
      return `by its config, as meshproof reads it, the proxy would answer otherwise: ${describeDecision(note)} What the mesh answered counts.`;
    default:
      return sentence(note);
  }
}
