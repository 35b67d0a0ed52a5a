/** What is not as in a ticket, and known traps, in words. Plain text that may hold hostile text: each format escapes it. */

import type { MeshSetting } from "../harness/model/cluster.ts";
import type { Labels, ObjectRef } from "../harness/model/finding.ts";
import type {
  Answered,
  Caller,
  Difference,
  LeftOut,
  Outcome,
  ReproAnswer,
  Seen,
  TokenState,
} from "../harness/model/ticket.ts";
import type { Hint } from "../harness/model/hint.ts";

/** Whether the answer is the ticket's: the first words of every report. */
export function describeReproduction({ reproduced, expected }: Pick<ReproAnswer, "reproduced" | "expected">): string {
  if (!reproduced) return "not reproduced";
  if (expected === undefined) return "reproduced";
  return expected.met
    ? "reproduced, and as expected"
    : `reproduced: the mesh does not give the expected ${describeOutcome(expected.outcome)}`;
}

export function describeSeen(seen: Seen): string {
  return typeof seen === "object" ? JSON.stringify(seen.text) : describeOutcome(seen);
}

const SENT: Readonly<Record<TokenState, string>> = {
  valid: "while it is valid",
  expired: "after it has expired",
  early: "before its nbf",
};

/** `given-expired`: the column of that time. */
function describeTimes({ was, main, or, other, decides }: Extract<Difference, { kind: "token-times" }>): string {
  const when =
    or === "expired"
      ? "the token has expired by now, and the ticket does not show whether it had when it was sent"
      : "the token was issued before its nbf, and the ticket does not show whether it was sent before it too";
  const [one, two] = [nameAnswer(main), nameAnswer(other)];
  if (one === two) return `${when}: ${SENT[or]} the answer is the same, ${two}`;
  const answers = `${SENT[was]} it gets ${one}, ${SENT[or]} ${two}`;
  return `${when}: ${answers}${decides === "no" ? ", which the reporter did not see" : ""}`;
}

export function describeOutcome(outcome: Outcome): string {
  return outcome === "closed" ? "a closed connection" : String(outcome);
}

/** What is not as in the ticket, a clause. */
export function describeDifference(difference: Difference): string {
  switch (difference.kind) {
    case "object-left-out":
      return `${nameOf(difference.object)} was left out: ${describeLeftOut(difference.because, difference)}`;
    case "field-left-out":
      return `${difference.field} of ${nameOf(difference.object)} was left out: meshproof does not know what it does`;
    case "authorizer":
      return `a server of meshproof answers ${difference.status} in the place of the external authorizer ${difference.provider} of ${nameOf(difference.object)}`;
    case "mesh-setting":
      return `the setting ${difference.field} of ${nameOf(difference.object)} was left out: the mesh has Istio's default`;
    case "part-left-out":
      return `${difference.part} was left out of the request`;
    case "placeholder":
      return `the value of ${difference.part} became a placeholder${difference.decides === "no" ? ": no policy of the ticket compares it" : ", and a policy or a route compares it"}`;
    case "value-kept":
      return `${difference.part} keeps its value, which ${nameOf(difference.by)} looks at`;
    case "token-anew":
      return `the token was made again from its header and claims and signed by a key of meshproof, as if its signature were good${difference.moved.length === 0 ? "" : `; ${difference.moved.join(", ")} moved to now, and it is sent ${SENT[difference.was]}`}`;
    case "token-times":
      return describeTimes(difference);
    case "token-without-key":
      return `no key of the ticket's JWKS has the token's kid ${JSON.stringify(difference.kid)} and alg ${JSON.stringify(difference.alg)}: it is signed by a key that the proxy does not have either`;
    case "token-not-given":
      return `the ticket does not show what is in ${difference.part}: something that is not a JWT was sent there`;
    case "opaque-token":
      return `${difference.part} is not a JWT: other text that is not a JWT was sent there`;
    case "token-place":
      return `the ticket does not say where the request has its token: it was sent in the ${difference.place}, where ${difference.by} looks`;
    case "keys":
      return describeKeys(difference);
    case "stand-in":
      return `a stand-in that answers 200 replaces ${difference.of}: labels ${describeLabels(difference.labels)}, port ${difference.ports.join(", ") || "8080"}, ${difference.sidecar ? "with" : "without"} a sidecar`;
    case "label-assumed":
      return `the ticket does not show the pods: they were given the label ${difference.label}, which ${nameOf(difference.by)} selects`;
    case "service-assumed":
      return `the ticket does not show the Service ${difference.service}: it was added, with port ${difference.port}`;
    case "port-assumed":
      return `the ticket does not show the container's port: ${difference.port} was taken, which ${nameOf(difference.by)} names`;
    case "namespace-assumed":
      return `${nameOf(difference.object)} has no namespace: it was put into ${difference.namespace}`;
    case "workload-open":
      return `the ticket does not say which of these the request is for: ${difference.candidates.join(", ")}`;
    case "way-open":
      return `the ticket does not show what answers at ${difference.host}: the request went to Service ${difference.service}`;
    case "host-open":
      return `the ticket does not show what ${difference.variable} is: the request has another host${difference.decides === "no" ? ", and the ticket compares none" : ", and the ticket compares hosts"}`;
    case "host-assumed":
      return `the request has no host: it was sent to ${difference.host}, the only one that the ticket's routes name${difference.decides === "no" ? "" : ", and a policy compares hosts"}`;
    case "plain-tcp":
      return `a plain TCP connection to port ${difference.port} was opened, and an HTTP request sent on it, which the mesh does not read there: 200 means that it reaches the workload`;
    case "value-open":
      return `${difference.field} of ${nameOf(difference.object)} is ${JSON.stringify(difference.text)}, whose value the ticket does not show`;
    case "gateway-port":
      return `${nameOf(difference.object)} compares the port at the gateway: the gateway here listens on ${difference.here.join(" and ")}${difference.decides === "no" ? ", and another port gets the same answer" : ", and the ticket's may listen on others (such as 80 or 8080 for port 80 of its Service)"}`;
    case "no-endpoint":
      return `the mesh has no pod for this request (${difference.details}), and the ticket does not show the pods`;
    case "caller":
      return `the request comes from ${describeCaller(difference.caller)}${BECAUSE[difference.because]}`;
    case "other-caller":
      return describeOther(difference);
    case "sidecar-open":
      return describeSidecars(difference);
    case "address":
      return `${nameOf(difference.object)} compares addresses (${difference.fields.join(", ")}): the sender's is that of a pod of meshproof${difference.decides === "no" ? ", and any other that the ticket's sender may have gets the same answer" : ", and another address may get another answer"}`;
    case "gateway-account":
      return `${nameOf(difference.object)} compares who sends: the gateway here has the service account ${difference.account}${difference.decides === "no" ? "" : ", and that of the ticket's gateway may be another"}`;
    case "server-port":
      return `port ${difference.port} of ${nameOf(difference.object)} became ${difference.here}, which the gateway here serves`;
    case "route-added":
      return difference.gateway === undefined
        ? "the ticket shows no gateway: a Gateway and a VirtualService were added that route everything to the workload"
        : `the ticket shows no route of ${nameOf(difference.gateway)}: one was added that routes everything to the workload`;
    case "gateway-assumed":
      return `the ticket does not show ${nameOf(difference.object)}: one was added, of the class istio, with a listener for HTTP on port 80 and for routes of all namespaces`;
    case "gateway":
      return difference.elsewhere
        ? difference.decides === "no"
          ? `the gateway with ${describeLabels(difference.selector)} is meshproof's, in istio-system: ${nameOf(difference.object)} went there as well`
          : `${nameOf(difference.object)} selects a gateway (${describeLabels(difference.selector)}) in its own namespace, and the gateway here is in istio-system`
        : `the gateway with ${describeLabels(difference.selector)} is meshproof's, which ${nameOf(difference.object)} selects instead`;
    case "certificate":
      return `${nameOf(difference.object)} has a certificate of meshproof instead of its own`;
    case "leaves-mesh":
      return `${difference.host} is not in the cluster: a server of meshproof outside of the mesh answers for it`;
    case "row-added":
      return `${difference.requests.join(" and ")} was added: many servers take it for the same as the ticket's path`;
    case "ztunnel":
      return `ztunnel would enforce ${nameOf(difference.object)} where the workload is, and there is no ztunnel here`;
    case "sidecar-behind-waypoint":
      return `${difference.of} has a sidecar behind a waypoint, and ${nameOf(difference.object)} holds there: whether it sees the waypoint's identity depends on a setting of the mesh (ISTIO_META_ENABLE_HBONE)`;
    case "waypoint-open":
      return `the ticket does not show whether namespace ${difference.namespace} of Service ${difference.service} has the label ${difference.label}`;
    case "hbone":
      return `the client sends by HBONE to the waypoint ${difference.waypoint}, with the certificate of its service account: a proxy of meshproof beside it does that in the place of ztunnel`;
    case "not-through":
      return `the access log of the waypoint ${difference.waypoint} has no line for the request, which must pass it`;
    case "seen-otherwise":
      return `the reporter saw ${describeSeen(difference.seen)}, and the answer here is another one${difference.columns.length === 0 ? "" : ` (${difference.columns.join(", ")} in the table below: that answer)`}`;
  }
}

function describeLeftOut(because: LeftOut, { provider = "" }: { readonly provider?: string }): string {
  switch (because) {
    case "irrelevant":
      return "no proxy uses it to judge a request";
    case "not-supported":
      return "meshproof does not know what it does to a request";
    case "gateway-api":
      return "meshproof does not know this kind of the Gateway API";
    case "gateway-class":
      return "its gatewayClassName is not istio";
    case "gateway-addresses":
      return "its addresses name another gateway that serves it";
    case "made-by-istiod":
      return "istiod makes it for the Gateway";
    case "external-authorizer":
      return `the external authorizer ${provider === "" ? "" : `${provider} `}decides`;
    case "egress-gateway":
      return "it is for an egress gateway";
    case "target-ref":
      return "its targetRefs name a ServiceEntry";
  }
}

const BECAUSE: Readonly<Record<Extract<Difference, { kind: "caller" }>["because"], string>> = {
  asked: "",
  command: ", as the command says",
  policy: ", whom a policy names",
  default: "",
};

export function describeCaller({ kind, namespace, serviceAccount, sidecar, ambient, through }: Caller): string {
  if (kind === "gateway")
    return `a client outside of the mesh, through ${through === undefined ? "the ingress gateway" : nameOf(through)}`;
  if (ambient) return `a pod in ambient mode (namespace ${namespace}, service account ${serviceAccount})`;
  return sidecar
    ? `a pod with a sidecar (namespace ${namespace}, service account ${serviceAccount})`
    : `a pod without a sidecar (namespace ${namespace})`;
}

function describeOther({ caller, open, main, other, decides }: Extract<Difference, { kind: "other-caller" }>): string {
  const what = {
    identity: "who sends",
    sidecar: "whether the sender has a sidecar",
    ambient: "whether the sender is in ambient mode",
    way: "which way the request comes",
  };
  const who = open === "way" ? "directly from another pod" : `from ${describeCaller(caller)}`;
  if (decides === "no") return `the ticket does not say ${what[open]}: ${who} the answer is the same`;
  // Two answers with the same status differ in who gave them.
  const name = (answer: Answered): string =>
    answer.status === 0
      ? "a closed connection"
      : main.status === other.status && answer.by === "workload"
        ? `${answer.status} from the workload`
        : nameAnswer(answer);
  return `the ticket does not say ${what[open]}: ${who} the answer is ${name(other)}, and not ${name(main)}`;
}

/** Whether a difference was taken from what the reporter saw or did not expect, and the other possibility gets another answer. */
export function isAssumed(difference: Difference): boolean {
  return (
    difference.decides === "no" && "main" in difference && nameAnswer(difference.main) !== nameAnswer(difference.other)
  );
}

function describeSidecars({
  of,
  sidecar,
  main,
  other,
  decides,
}: Extract<Difference, { kind: "sidecar-open" }>): string {
  const asked = `the ticket does not show whether ${of.join(" and ")} have a sidecar`;
  const [one, two] = [nameAnswer(main), nameAnswer(other)];
  if (one === two) return `${asked}: with one and without one the answer is ${one}`;
  const answers = `${sidecar ? "with one" : "without one"} the answer is ${one}, ${sidecar ? "without one" : "with one"} ${two}`;
  return `${asked}: ${answers}${decides === "no" ? ", which is not what the reporter had (by --seen or --expect)" : ""}`;
}

/** `200` from the workload, `403 by authorization`. */
export function nameAnswer({ status, by }: Answered): string {
  return by === "workload" || by === "nobody" ? String(status) : `${status} by ${by}`;
}

function describeKeys({ iss, keys, served, uri }: Extract<Difference, { kind: "keys" }>): string {
  const named = keys.map(({ kid, alg }) => `kid ${kid} (${alg})`).join(", ");
  const at = uri === undefined ? "" : ` (${uri})`;
  const mine = `issuer ${iss} has keys of meshproof instead of its own, ${named}`;
  if (typeof served === "object")
    return `${mine}: the stand-in of Service ${served.service} serves them, under the policies of the ticket${at}`;
  switch (served) {
    case "inline":
      return `${mine}, in the jwtRule`;
    case "unreadable":
      return `the jwks of issuer ${iss} is not a JSON Web Key Set: other text that is not one replaces it`;
    case "outside":
      return `${mine}: a host outside of the mesh serves them${uri === undefined ? ", where istiod would look for them at the issuer's URL" : at}`;
    case "unreachable":
      return `the jwksUri of issuer ${iss}${at} answers 500, as --jwks unreachable asks`;
    case "missing":
      return `the jwksUri of issuer ${iss}${at} answers 404, as --jwks missing asks`;
    case "html":
      return `the jwksUri of issuer ${iss}${at} answers with a page of HTML, as --jwks html asks`;
    case "empty":
      return `the jwksUri of issuer ${iss}${at} answers with nothing, as --jwks empty asks`;
    case "slow":
      return `the jwksUri of issuer ${iss}${at} answers later than istiod and proxies wait, as --jwks slow asks`;
    case "wrong":
      return `the jwksUri of issuer ${iss}${at} serves keys of the same kid that signed no token, as --jwks wrong asks`;
    case "rotated":
      return `the jwksUri of issuer ${iss}${at} serves keys of another kid, as --jwks rotated asks`;
    case "no-host":
      return `istiod cannot resolve the host of ${uri ?? iss}, where the keys of issuer ${iss} are: it looks a name without a namespace up in istio-system`;
    case "no-url":
      return `issuer ${iss} has no keys, as in the ticket: it names none, and istiod cannot ask an issuer that is not a URL`;
  }
}

/** A known trap, a sentence. */
export function describeHint(hint: Hint): string {
  switch (hint.kind) {
    case "principal-last-slash":
      return `Istio splits a request principal at its last slash: ${JSON.stringify(hint.value)} requires the issuer ${JSON.stringify(hint.value.slice(0, hint.value.lastIndexOf("/")))}, and the token's is ${JSON.stringify(hint.iss)}. ${JSON.stringify(`${hint.iss}/*`)} matches it.`;
    case "grpc-method":
      return `The HTTP method of a gRPC call is always POST. ${JSON.stringify(hint.method)} is its path and belongs in paths.`;
    case "grpc-answer":
      return `The request says content-type: application/grpc, so Envoy answers with HTTP 200 and grpc-status ${hint.status} (PermissionDenied) instead of 403.`;
    case "star-inside":
      return `${JSON.stringify(hint.value)} in ${hint.field}: a * counts as a wildcard only at the beginning or the end.`;
    case "service-port":
      return `${nameOf(hint.object)} names port ${hint.port}, which is the Service's. Ports of policies are those of the container (${hint.container.join(", ")}), so the rule for ${hint.port} has no effect.`;
    case "other-namespace":
      return `${nameOf(hint.object)} holds for pods of its own namespace only. For the gateway it has to be in ${hint.needed === "the gateway's" ? "the gateway's namespace" : `namespace ${hint.needed}`}.`;
    case "egress-not-checked":
      return `An AuthorizationPolicy is enforced where a request arrives. What a pod sends to ${hint.host} passes its own sidecar unchecked; an egress gateway with a policy, REGISTRY_ONLY or a NetworkPolicy can limit it.`;
    case "token-before-policy":
      return "Tokens are checked before policies: an AuthorizationPolicy that allows the request does not excuse a token that is not valid.";
    case "no-url-issuer":
      return `The jwtRule of ${JSON.stringify(hint.iss)} has neither jwks nor jwksUri, and istiod can look for keys only where the issuer is a URL. It pushes a placeholder key, so every token of this issuer is refused. No setting leaves a listed issuer unverified.`;
    case "jwks-behind-mtls":
      return `The keys of ${JSON.stringify(hint.iss)} are served by Service ${hint.service}, and ${nameOf(hint.object)} demands mTLS there. istiod has no sidecar and asks in plain text, so it cannot fetch them.`;
    case "forwarded-for-at-sidecar":
      return `A sidecar compares remoteIpBlocks with the last address of X-Forwarded-For (${hint.trusted}), which the gateway added: that of the gateway's own client, such as a load balancer. numTrustedProxies holds for gateways only, so the policy belongs at the gateway.`;
    case "custom-before-token":
      return `${nameOf(hint.object)} is a CUSTOM policy: the external authorizer is asked before the token is looked at, and what it answers (such as a redirect to a login) counts.`;
    case "cookie-not-looked-at":
      return `No jwtRule looks for a token in the cookie ${hint.cookie}; fromCookies (Istio 1.23 and later) names one.`;
    case "tcp-drops-http":
      return `There is no HTTP on this connection. In an ALLOW policy a rule with ${hint.fields.join(", ")} never matches there; a DENY rule loses these fields and denies more (${nameOf(hint.object)}).`;
    case "claim-is-nested":
      return `request.auth.claims[${hint.claim}] is one claim with a dot in its name. A claim inside of another one is request.auth.claims[${hint.claim.split(".").join("][")}].`;
    case "path-without-query":
      return `Policies compare the path without its query: ${JSON.stringify(hint.path)} never matches, ${JSON.stringify(hint.path.replace(/\?.*$/, ""))} does.`;
    case "method-case":
      return `Policies compare methods as they are written: ${JSON.stringify(hint.method)} is not ${JSON.stringify(hint.method.toUpperCase())}.`;
    case "scope-is-split":
      return `The claim ${hint.claim} is compared as a list only if it is "scope" (split at blanks), a JSON list, or named in spaceDelimitedClaims.`;
    case "claim-not-text":
      return `The claim ${hint.claim} is a ${hint.type}: conditions match text and lists of text only.`;
    case "preflight":
      return "A CORS preflight (OPTIONS) carries no token: jwt_authn lets it pass, and a policy that requires a token refuses it.";
    case "allow-refuses-the-rest":
      return "As soon as one ALLOW policy selects a workload, what none of their rules matches is refused.";
    case "tls-against-mtls":
      return `${nameOf(hint.object)} sets tls.mode ${hint.mode} for this host, so a sidecar does not use Istio's mTLS, which ${nameOf(hint.strict)} demands. ISTIO_MUTUAL, or no tls at all, does.`;
    case "token-not-forwarded":
      return `${nameOf(hint.object)} at the gateway removes the token of ${JSON.stringify(hint.iss)} after the check, so the workload gets none. forwardOriginalToken: true keeps it.`;
    case "not-at-waypoint":
      return `${nameOf(hint.object)} is for pods, by its selector or for its namespace. The waypoint ${hint.waypoint} enforces only policies whose targetRefs name the Service, the waypoint's Gateway, or (in istio-system) the GatewayClass.`;
    case "ztunnel-drops-http":
      return `${nameOf(hint.object)} is enforced by ztunnel where the pod is in ambient mode, and ztunnel does not read ${hint.fields.join(", ")}: an ALLOW rule with such a field never matches. With targetRefs a waypoint enforces it.`;
    case "hyphen-makes-or":
      return `Each entry with a hyphen in from, to or rules of ${nameOf(hint.object)} is an alternative: conditions that must hold together belong in one entry.`;
  }
}

function nameOf({ kind, namespace, name }: ObjectRef): string {
  return `${kind} ${namespace === "" ? "" : `${namespace}/`}${name}`;
}

function describeLabels(labels: Labels): string {
  return (
    Object.entries(labels)
      .map(([name, value]) => `${name}=${value}`)
      .join(",") || "none"
  );
}

/** `pathNormalization MERGE_SLASHES, jwksFetch envoy` */
export function describeMesh(mesh: MeshSetting): string {
  return Object.entries(mesh)
    .map(([name, value]) => `${name} ${String(value)}`)
    .join(", ");
}
