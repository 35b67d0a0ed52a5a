/** The answer to a ticket. Plain data: the reports draw it, `meshproof repro --json` prints it. Hostile text: escape before showing. */

import type { MeshSetting } from "./cluster.ts";
import type { Explanation } from "./explanation.ts";
import type { Cause, Labels, ObjectRef, TicketNote } from "./finding.ts";
import type { AppliedObject, CheckResult } from "./result.ts";

/** A request with what came back, of which nothing was expected. */
export interface Observation extends Pick<CheckResult, "request" | "got" | "explanation" | "curl" | "cell"> {
  /** Whether the answer stayed the same for some rounds; the last one otherwise. */
  readonly settled: boolean;
}

/** An answer, as far as a number and a place tell it. */
export interface Answered {
  readonly status: number;
  readonly by: CheckResult["got"]["by"];
}

/** One request of the matrix, and what came back. */
export interface Cell extends Answered {
  /** The token in words, `none` without one; never the token. */
  readonly token: string;
  /** The first bytes of the body. */
  readonly body: string;
  /** Envoy's response code details. */
  readonly details?: string;
  /** curl's error text where no answer came. */
  readonly error?: string;
  /** What the judging proxy's own config says about the request. */
  readonly explanation?: Explanation;
  /** The command that sends it again; the token stands as `$TOKEN`. */
  readonly curl: string;
}

/** What comes back: an HTTP status (200: it reaches the workload), or that the connection is closed without one. */
export type Outcome = number | "closed";

/** A well-known trap, with where it is. */
export type Hint =
  | { readonly kind: "principal-last-slash"; readonly value: string; readonly iss: string }
  | { readonly kind: "grpc-method"; readonly method: string }
  | { readonly kind: "grpc-answer"; readonly status: number }
  | { readonly kind: "star-inside"; readonly value: string; readonly field: string }
  | {
      readonly kind: "service-port";
      readonly object: ObjectRef;
      readonly port: number;
      readonly container: readonly number[];
    }
  | { readonly kind: "other-namespace"; readonly object: ObjectRef; readonly needed: string }
  | { readonly kind: "egress-not-checked"; readonly host: string }
  | { readonly kind: "token-before-policy" }
  | { readonly kind: "no-url-issuer"; readonly iss: string }
  | { readonly kind: "jwks-behind-mtls"; readonly iss: string; readonly service: string; readonly object: ObjectRef }
  | { readonly kind: "forwarded-for-at-sidecar"; readonly trusted: string }
  | { readonly kind: "custom-before-token"; readonly object: ObjectRef }
  | { readonly kind: "cookie-not-looked-at"; readonly cookie: string }
  | { readonly kind: "tcp-drops-http"; readonly object: ObjectRef; readonly fields: readonly string[] }
  | { readonly kind: "scope-is-split"; readonly claim: string }
  | { readonly kind: "claim-not-text"; readonly claim: string; readonly type: string }
  | { readonly kind: "preflight" }
  | { readonly kind: "allow-refuses-the-rest" }
  | { readonly kind: "hyphen-makes-or"; readonly object: ObjectRef };

/** Whether what differs between the ticket and what was asked can decide the answer. */
export type Decides = "yes" | "no" | "unknown";

/** Why an object of the ticket is not in the cluster. */
export type LeftOut =
  /** Nothing that judges a request looks at it. */
  | "irrelevant"
  | "not-supported"
  | "gateway-api"
  | "ambient"
  /** A CUSTOM policy: what its provider answers is not in the ticket. */
  | "external-authorizer"
  /** It is for a Service, a Gateway or another object that is attached by `targetRef`. */
  | "target-ref";

/** Who sends the request. */
export interface Caller {
  /** `gateway`: from outside the mesh to the ingress gateway. */
  readonly kind: "pod" | "gateway";
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly sidecar: boolean;
}

/** One thing that is not as in the ticket, or that the ticket does not say and was assumed. */
export type Difference = { readonly decides: Decides } & (
  | {
      readonly kind: "object-left-out";
      readonly object: ObjectRef;
      readonly apiVersion: string;
      readonly because: LeftOut;
      readonly provider?: string;
    }
  | { readonly kind: "field-left-out"; readonly object: ObjectRef; readonly field: string }
  /** The authorizer of a CUSTOM policy is a server that gives every request this answer (`--authorizer`). */
  | { readonly kind: "authorizer"; readonly object: ObjectRef; readonly provider: string; readonly status: number }
  | { readonly kind: "mesh-setting"; readonly object: ObjectRef; readonly field: string }
  /** A part of the request that is not sent: `curl --proxy`, `the body`. */
  | { readonly kind: "part-left-out"; readonly part: string }
  /** A value that may be a secret: `header X-Api-Key`. */
  | { readonly kind: "placeholder"; readonly part: string }
  /** A value that a policy or route compares with something. */
  | { readonly kind: "value-kept"; readonly part: string; readonly by: ObjectRef }
  | { readonly kind: "token-anew"; readonly moved: readonly string[]; readonly expired: boolean }
  /** No key of the ticket's JWKS has the token's kid and alg. */
  | { readonly kind: "token-without-key"; readonly kid?: unknown; readonly alg?: unknown }
  /** The request has a variable where a token or a secret is, and nothing says what is in it. */
  | { readonly kind: "token-not-given"; readonly part: string }
  | { readonly kind: "opaque-token"; readonly part: string }
  /** Where the request has its token is not said. */
  | { readonly kind: "token-place"; readonly place: string; readonly by: string }
  | {
      readonly kind: "keys";
      readonly iss: string;
      readonly keys: readonly { readonly kid: string; readonly alg: string }[];
      /** Who serves them: the jwtRule itself, a host outside of the mesh, a Service of the ticket, or nobody. */
      readonly served: "inline" | "outside" | "unreachable" | "no-url" | { readonly service: string };
      /** The jwksUri without user info and query. */
      readonly uri?: string;
    }
  | {
      readonly kind: "stand-in";
      readonly of: string;
      readonly labels: Labels;
      readonly ports: readonly number[];
      readonly sidecar: boolean;
    }
  | { readonly kind: "label-assumed"; readonly label: string; readonly by: ObjectRef }
  | { readonly kind: "service-assumed"; readonly service: string; readonly port: number }
  | { readonly kind: "port-assumed"; readonly port: number; readonly by: ObjectRef }
  | { readonly kind: "namespace-assumed"; readonly object: ObjectRef; readonly namespace: string }
  | { readonly kind: "workload-open"; readonly candidates: readonly string[] }
  | { readonly kind: "caller"; readonly caller: Caller; readonly because: "asked" | "command" | "policy" | "default" }
  /** The same request of another caller, or on another way. */
  | {
      readonly kind: "other-caller";
      readonly caller: Caller;
      readonly open: "identity" | "sidecar" | "way";
      readonly main: Answered;
      readonly other: Answered;
    }
  /** Rules compare addresses, and the reporter's is not known. */
  | { readonly kind: "address"; readonly object: ObjectRef; readonly fields: readonly string[] }
  /** Rules compare identities, and that of the ticket's gateway is not known. */
  | { readonly kind: "gateway-account"; readonly object: ObjectRef; readonly account: string }
  | { readonly kind: "server-port"; readonly object: ObjectRef; readonly port: number; readonly here: number }
  | { readonly kind: "route-added"; readonly gateway?: ObjectRef }
  /** A gateway that the ticket names and does not describe: that of the mesh serves for it. */
  | { readonly kind: "gateway"; readonly object: ObjectRef; readonly selector: Labels; readonly elsewhere: boolean }
  | { readonly kind: "certificate"; readonly object: ObjectRef }
  | { readonly kind: "leaves-mesh"; readonly host: string }
  | { readonly kind: "row-added"; readonly requests: readonly string[] }
  | { readonly kind: "seen-otherwise"; readonly seen: Outcome }
);

export interface ReproAnswer {
  readonly schemaVersion: 3;
  /** The name of its folder of results. */
  readonly id: string;
  readonly tool: { readonly name: string; readonly version: string };
  readonly startedAt: string;
  /** How to ask this again, one command; a token stands without its signature. */
  readonly command: string;
  readonly cause: Cause;
  /** The answer to the request as given. */
  readonly verdict: Answered & { readonly details?: string; readonly body: string; readonly error?: string };
  readonly request: string;
  /** False where something that is not as in the ticket decides the answer, or may: `verdict` is then that of the reduced ticket. */
  readonly reproduced: boolean;
  /** The ticket's name. */
  readonly ticket: string;
  /** What the reporter expected, and whether the mesh answers so. */
  readonly expected?: { readonly outcome: Outcome; readonly met: boolean };
  readonly matrix: {
    readonly columns: readonly string[];
    readonly rows: readonly { readonly request: string; readonly cells: readonly Cell[] }[];
    /** The column of the request as given; its row is the first. */
    readonly given: string;
  };
  /** The rules for tokens and the policies in force, in Envoy's order, compared with the request as given. */
  readonly inForce?: Pick<Explanation, "providers" | "rules">;
  /** Policies that are in none of the proxies that judge the request, and other oddities of what was applied. */
  readonly notes: readonly TicketNote[];
  /** What is not as in the ticket; what decides, or may, first. */
  readonly differences: readonly Difference[];
  /** Well-known traps that the ticket may have met. */
  readonly hints: readonly Hint[];
  readonly versions: Readonly<Record<string, string>>;
  /** Settings of the mesh that are as in the ticket; the others are Istio's defaults. */
  readonly mesh?: MeshSetting;
  /** What of the ticket's YAML gives the same answer (`--minimize`). */
  readonly minimized?: Minimization;
  /** The ticket's objects as the API server got them: namespaces, names and keys are ours. */
  readonly applied: readonly AppliedObject[];
  /** YAML of the workload that stands in for the ticket's. */
  readonly standIn: string;
}

export interface Minimization {
  /** Whether what is left gave the same answer when it was asked by itself; the ticket stays as it is otherwise. */
  readonly confirmed: boolean;
  /** False where the tries ran out: something left may be needless. */
  readonly complete: boolean;
  readonly tries: number;
  /** Tries that could not be run, mostly as the API server refuses what would be left. */
  readonly refused: number;
  /** `AuthorizationPolicy shop/a rules[1]`, in the order in which they went. */
  readonly dropped: readonly string[];
  /** What is left, without keys. */
  readonly yaml: string;
}
