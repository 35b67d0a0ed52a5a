/**
 * The facts that explain a result, as data: one closed union. They are stored in results.json, only reports/words.ts turns
 * them into English, and no code reads that English. Texts of Envoy, the API server, curl or a person are hostile: escape before showing.
 */

import type { AdmissionFinding } from "./admission.ts";
import type { NotAttached } from "./attachment.ts";
import type { RuleRef } from "./explanation.ts";
import type { Answer, Disturbance, Refusal } from "./result.ts";
import type { Answerer, NoAnswer } from "./scenario.ts";

/** The short form of an answer. */
export interface AnswerKind {
  readonly status: number;
  /** The gRPC status, where it matters. */
  readonly grpc?: number;
  readonly by: Answer["by"];
}

/** A Kubernetes object. */
export interface ObjectRef {
  readonly kind: string;
  /** Empty for a cluster-scoped object. */
  readonly namespace: string;
  readonly name: string;
}

/** An object that a step changed, and how. */
export interface ChangedObject extends ObjectRef {
  readonly deleted?: true;
}

export interface PodRef {
  readonly namespace: string;
  readonly pod: string;
}

export type Labels = Readonly<Record<string, string>>;

/** A policy that a proxy enforces although the scenario did not apply it: the object, or its trace in the proxy's config. */
export type Foreign =
  | { readonly kind: "object"; readonly object: ObjectRef }
  | { readonly kind: "rbac-rule"; readonly rule: string }
  | { readonly kind: "jwt-rule"; readonly issuer?: string };

/** Why an access log does not have a request. */
export type LogGap =
  /** No pod of the target has a sidecar. */
  | { readonly kind: "no-proxy" }
  | { readonly kind: "unreadable"; readonly proxy: PodRef; readonly error: string }
  | { readonly kind: "no-line"; readonly proxies: readonly PodRef[] };

/** A finding about an object that a step applied or deleted. */
export type ObjectFinding =
  /** A policy that selects no judging pod: the pods have other labels, or are in another namespace. */
  | {
      readonly kind: "selects-no-pod";
      readonly object: ObjectRef;
      /** Empty if it has no selector. */
      readonly selector: Labels;
      readonly pods: readonly (PodRef & { readonly labels: Labels })[];
    }
  /** A policy with `targetRefs` that holds at none of the judging proxies; it is accepted all the same. */
  | {
      readonly kind: "attached-to-no-proxy";
      readonly object: ObjectRef;
      readonly proxies: readonly (PodRef & { readonly because: readonly NotAttached[] })[];
    }
  /** The proxies have istiod's placeholder key instead. An issuer is empty if the rule names none. */
  | { readonly kind: "keys-not-fetched"; readonly issuers: readonly string[] }
  | RecordedText;

/** A proxy, and what a step changed that is not in force there as the step demands. */
interface NotInForce {
  readonly proxy: PodRef;
  readonly objects: readonly ChangedObject[];
}

/** Why a step cannot be judged. */
export type StepFinding =
  | ObjectFinding
  /** The step has `inForce: nowhere`, but each of its policies selects a judging pod. */
  | { readonly kind: "selects-a-pod" }
  /** The proxy still has an older configuration. */
  | (NotInForce & {
      readonly kind: "old-config";
      readonly afterMs: number;
      /** URIs of keys that istiod could not fetch in this time: it may hold back the config of a proxy that needs them. */
      readonly notFetched?: readonly string[];
    })
  | (NotInForce & { readonly kind: "warming"; readonly afterMs: number })
  /** The proxy has no listener at all, so that nothing can be in force there. A gateway has one only if a Gateway chooses it. */
  | (NotInForce & { readonly kind: "no-listener" })
  /** The answers were final so many milliseconds after the tokens were made, and the step's `until` is so many seconds. */
  | { readonly kind: "too-late"; readonly untilSeconds: number; readonly afterMs: number }
  | { readonly kind: "other-keys"; readonly proxy: PodRef; readonly issuer: string; readonly afterMs: number }
  /** Envoy's error message. */
  | (NotInForce & { readonly kind: "config-rejected"; readonly details: string })
  /** The step has `inForce: rejected`, but the proxy accepted the config. */
  | (NotInForce & { readonly kind: "config-not-rejected" })
  | {
      readonly kind: "not-in-force";
      readonly proxy: PodRef;
      readonly objects: readonly ObjectRef[];
      readonly afterMs: number;
    }
  | { readonly kind: "foreign-policies"; readonly proxy: PodRef; readonly policies: readonly Foreign[] };

/** A whole text, or a regular expression for all of it. */
export type WantedText = { readonly is: string } | { readonly matches: string };

/** What is wrong with one answer. `to` is the request's target: a workload's name, or `ingress`. */
export type Disagreement =
  | {
      readonly kind: "unexpected-answer";
      readonly expected: {
        readonly status: number;
        readonly grpc?: number;
        readonly by: Answerer;
        readonly noAnswer?: NoAnswer;
      };
      /** If no answer came, what came in its place, and curl's error text. */
      readonly got: AnswerKind & { readonly error?: string; readonly noAnswer?: NoAnswer };
      readonly to: string;
    }
  | { readonly kind: "body-without-text"; readonly text: string; readonly body: string }
  | { readonly kind: "other-body"; readonly wanted: WantedText; readonly body: string }
  /** A header of the reply. `got` is left out if it has none. */
  | {
      readonly kind: "other-reply-header";
      readonly header: string;
      readonly wanted: string | boolean | WantedText;
      readonly got?: string;
    }
  | { readonly kind: "body-without-key"; readonly key: string; readonly body: string }
  | { readonly kind: "other-details"; readonly text: string; readonly details: string }
  | { readonly kind: "other-policy"; readonly policy: string; readonly details: string }
  | { readonly kind: "no-echo"; readonly to: string; readonly body: string }
  /** `wanted`: a value, whether the header must be present, or a claim that it must contain. `got` is left out if it was not received. */
  | {
      readonly kind: "other-header";
      readonly header: string;
      readonly wanted: string | boolean | { readonly claim: string; readonly value: unknown };
      readonly got?: string;
    }
  | { readonly kind: "other-path"; readonly to: string; readonly path: string; readonly got?: string }
  /** A denial proves nothing where no admitted request reached the target in the same round. */
  | { readonly kind: "no-witness"; readonly to: string; readonly through?: string }
  /** The waypoint that a request must pass has no line about it. */
  | { readonly kind: "bypassed"; readonly through: string; readonly proxies: readonly PodRef[] };

/** Who denied a request, by its answer and Envoy's response code details. */
export type Denial =
  /** Envoy's message; empty if there is none. */
  | { readonly kind: "denied-by-authentication"; readonly status: string }
  | { readonly kind: "denied-by-rule"; readonly rule: RuleRef }
  /** There are ALLOW policies, and none of their rules matches. */
  | { readonly kind: "denied-by-no-rule" }
  | { readonly kind: "denied-by-external-authorizer" }
  | { readonly kind: "denied-by-some-policy" };

/** Why a check has its status. */
export type CheckFinding =
  | Disagreement
  | Denial
  | ObjectFinding
  /** The answer agreed in this round, but not in the last one. */
  | { readonly kind: "agreed-before"; readonly round: number }
  /** A wrong answer of a check that agreed in the end. */
  | {
      readonly kind: "inconsistent";
      readonly round: number;
      readonly wrong: Disagreement;
      readonly although:
        | { readonly kind: "agreed"; readonly round: number }
        | { readonly kind: "in-force" }
        /** Too few of the last rounds agreed. */
        | { readonly kind: "unsettled"; readonly agreeing: number; readonly rounds: number };
    }
  | { readonly kind: "no-ready-pod"; readonly workload: string }
  /** The check needs a fact that only the access log contains. */
  | {
      readonly kind: "not-judged";
      readonly details?: string;
      readonly policy?: string;
      readonly through?: string;
      readonly because: readonly LogGap[];
    }
  /** Who fetched keys from a JWKS server. */
  | {
      readonly kind: "unexpected-askers";
      readonly server: string;
      readonly expected: "istiod" | "proxy" | "nobody";
      readonly got: readonly string[];
    }
  | AdmissionFinding
  | Excusing;

/** A known failure, with its last day (YYYY-MM-DD), before or after that day. */
export type Excusing = {
  readonly kind: "known-failure" | "expired-known-failure";
  readonly until: string;
  readonly owner?: string;
  readonly reason: string;
};

/** The message of an error that was thrown. */
export interface ThrownError {
  readonly code?: string;
  readonly message: string;
  readonly hint?: string;
}

/** Why a scenario cannot run on this mesh. */
export type SkipFinding =
  | { readonly kind: "other-istio"; readonly range: string; readonly found: string; readonly readable: boolean }
  | { readonly kind: "other-jwks-fetch"; readonly wanted: string; readonly found: string }
  | { readonly kind: "fixed-mesh-setting"; readonly setting: string; readonly value: string }
  | { readonly kind: "no-extension-provider"; readonly provider: string }
  | {
      readonly kind: "no-jwks-trust" | "no-gateway" | "no-gateway-api" | "no-waypoint" | "no-ztunnel" | "no-access-log";
    }
  | ({ readonly kind: "reaches-beyond" } & Reach)
  | { readonly kind: "waits"; readonly seconds: number; readonly most: number }
  | { readonly kind: "profile-algorithm"; readonly alg: string }
  | { readonly kind: "profile-jwks-uri" };

/** An object that reaches beyond the run's namespaces: `mesh` is allowed with the flag `--allow-mesh-wide`, `never` is not. */
export interface Reach {
  readonly permitted: "mesh" | "never";
  readonly object: { readonly kind: string; readonly name: string };
  readonly beyond: Beyond;
}

/** How an object reaches beyond the run's namespaces. */
export type Beyond =
  /** A kind that a run does not create on an existing cluster. */
  | { readonly kind: "kind"; readonly group: string }
  | { readonly kind: "finalizers" | "owner-references" | "other-namespace" | "external-ips" | "load-balancer-ip" }
  | { readonly kind: "no-namespace" | "exported" | "mesh-gateway" | "load-balancer" | "host-port" }
  /** The object is in a namespace that is not the run's own. */
  | { readonly kind: "namespace"; readonly namespace: string }
  | { readonly kind: "service-type"; readonly type: string }
  /** A pod field for the node's own namespaces, such as hostNetwork. */
  | { readonly kind: "host-field"; readonly field: string }
  /** A pod field that changes scheduling, such as priorityClassName. */
  | { readonly kind: "place-field"; readonly field: string }
  | { readonly kind: "volume"; readonly volume: string; readonly type: string }
  | { readonly kind: "privileged" | "capabilities"; readonly container: string }
  | { readonly kind: "attached"; readonly parent: ObjectRef };

/** Facts about a run that a reader must know besides the statuses. */
export type RunNote =
  | { readonly kind: "merged"; readonly runs: readonly string[] }
  /** The outcome of a known failure that did not simply excuse a check: `at` is `file:line`. */
  | {
      readonly kind: "known-failure-note";
      readonly state: "matches-nothing" | "expired" | "other-answer" | "passes" | "not-judged";
      readonly at: string;
      readonly owner: string;
      readonly expires: string;
      readonly scenario: string;
      readonly step?: string;
      readonly check?: string;
      readonly got?: AnswerKind;
    }
  | RecordedText;

/** Why a scenario has its status, besides its steps. */
export type ScenarioFinding =
  | StepFinding
  | SkipFinding
  | Excusing
  | ({ readonly kind: "disturbance" } & { readonly disturbance: Disturbance })
  | { readonly kind: "deaths-not-known"; readonly error: string }
  | { readonly kind: "refused"; readonly refusal: Refusal }
  | { readonly kind: "error"; readonly error: ThrownError }
  | { readonly kind: "clean-up-failed"; readonly error: ThrownError }
  | { readonly kind: "mesh-setting-refused"; readonly error: ThrownError }
  /** The run was interrupted, lost its cluster, its worker ended, or Playwright stopped before. */
  | {
      readonly kind: "not-finished";
      readonly because: "interrupted" | "cluster" | "worker" | "not-begun";
      readonly said?: string;
    };

/** Text of a results.json of schema version 1, which had no findings. */
export interface RecordedText {
  readonly kind: "recorded";
  readonly text: string;
}

export type Finding = CheckFinding | ScenarioFinding | RecordedText;
