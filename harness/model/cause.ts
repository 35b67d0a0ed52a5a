/** Why a ticket's request got its answer, and what is odd besides: facts as data, like those of finding.ts. */

import type { Condition, Explanation, Judge, Matcher, Reason } from "./explanation.ts";
import type { AnswerKind, Labels, ObjectFinding, ObjectRef } from "./finding.ts";
import type { Bypass } from "./waypoint.ts";

/** What a proxy decided. */
type Deciding = Pick<Explanation, "decision" | "at" | "beyond">;

/** Why a ticket's request got its answer. */
export type Cause = CauseFact & {
  /** The proxy that decided, where the request passes several, or one that is not a sidecar. */
  readonly at?: Judge;
};

type CauseFact =
  | { readonly kind: "keys-not-fetched"; readonly issuers: readonly string[]; readonly status: number }
  | {
      readonly kind: "token-audience";
      readonly aud: readonly unknown[];
      readonly allowed: readonly string[];
      readonly status: number;
    }
  /** The status without a token shows that the token is the cause. */
  | {
      readonly kind: "policy-audience";
      readonly policy?: ObjectRef;
      readonly aud: readonly unknown[];
      readonly conditions: readonly Condition[];
      readonly without: number;
    }
  | {
      readonly kind: "untrusted-issuer";
      readonly iss?: unknown;
      readonly trusted: readonly unknown[];
      readonly status: number;
    }
  /** `said`: Envoy's message; the rest comes from the config. */
  | { readonly kind: "token-refused"; readonly status: number; readonly said: string; readonly reason?: Reason }
  /** Two spellings of a path: the proxy lets one through. */
  | {
      readonly kind: "path-bypass";
      readonly compared: string;
      readonly reason?: Reason;
      readonly other: string;
      readonly status: number;
    }
  | {
      readonly kind: "selects-no-pod";
      readonly object: ObjectRef;
      readonly selector: Labels;
      /** The namespaces of the pods whose proxies judge, if the policy is in another one. */
      readonly elsewhere: readonly string[];
      readonly pods: Labels;
    }
  /** A policy with `targetRefs` that holds at none of the proxies. */
  | Extract<ObjectFinding, { kind: "attached-to-no-proxy" }>
  /** No policy of a waypoint holds for a request that does not pass one. */
  | {
      readonly kind: "bypasses-waypoint";
      readonly service: string;
      /** The one that the labels name. */
      readonly waypoint?: string;
      readonly because: Bypass;
      readonly policies: readonly ObjectRef[];
    }
  /** The host is not in the mesh, and no policy is enforced on egress. */
  | { readonly kind: "leaves-mesh"; readonly host: string }
  /** What the external authorizer of a CUSTOM policy answers goes to the client. */
  | { readonly kind: "authorizer-answers"; readonly policies: readonly ObjectRef[]; readonly status: number }
  | { readonly kind: "tcp-port"; readonly port: number; readonly name: string; readonly status: number }
  | {
      readonly kind: "path-not-exempt";
      readonly policy: ObjectRef;
      readonly path: string;
      readonly exempt: readonly Matcher[];
      readonly status: number;
    }
  /** `before`: what let the request through before. */
  | ({ readonly kind: "decision" } & Deciding & { readonly before?: readonly Deciding[] })
  /** `lost`: no rule or policy denies it, but it did not reach the workload. `said`: Envoy's details or curl's error text. */
  | { readonly kind: "answer"; readonly answer: AnswerKind; readonly lost: boolean; readonly said?: string };

/** Oddities of a ticket besides the cause of its answer. */
export type TicketNote =
  | ObjectFinding
  /** The answers to these requests, by row and column, kept changing; the last ones are shown. */
  | { readonly kind: "not-settled"; readonly requests: readonly string[] }
  /** In the API server's words. */
  | { readonly kind: "api-warning"; readonly object: ObjectRef; readonly text: string }
  /** The config does not decide the request. */
  | ({ readonly kind: "undecided" } & Deciding)
  /** Meshproof's reading of the config contradicts the mesh's answer. */
  | ({ readonly kind: "disputed" } & Deciding);
