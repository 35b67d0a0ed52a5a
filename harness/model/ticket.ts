/** The answer to a ticket. Plain data: reports show it, `meshproof repro --json` prints it. Hostile text: escape before showing. */

import * as z from "zod";
import { meshSetting } from "./cluster.ts";
import type { Explanation } from "./explanation.ts";
import type { Cause, TicketNote } from "./cause.ts";
import type { Labels, ObjectRef } from "./finding.ts";
import type { Hint } from "./hint.ts";
import { appliedObject, by, facts, type CheckResult } from "./result.ts";
import { count, texts, type Immutable } from "./schema.ts";

/** A request with its answer, without an expectation. */
export interface Observation extends Pick<CheckResult, "request" | "got" | "explanation" | "curl" | "cell"> {
  /** Whether the answer stayed the same for several rounds; if not, `got` is the last answer. */
  readonly settled: boolean;
  /** Whether it passed the waypoint that it must pass, by that waypoint's access log; undefined where it must pass none. */
  readonly passed?: boolean;
}

const answered = z.strictObject({ status: count.describe("HTTP status; 0 where no answer came."), by });
/** The short form of an answer. */
export type Answered = Immutable<z.infer<typeof answered>>;

const body = z.string().describe("The first bytes of the body.");
const details = z.string().describe("Envoy's response code details.").optional();
const error = z.string().describe("curl's error text if no answer came.").optional();

const cell = z
  .strictObject({
    ...answered.shape,
    token: z.string().describe("Description of the token, `none` without one; never the token itself."),
    body,
    details,
    error,
    explanation: (z.looseObject({ decision: z.unknown() }) as unknown as z.ZodType<Explanation>)
      .meta({
        description:
          "What the judging proxy's config does with the request: Explanation in harness/model/explanation.ts, and the same in words in text.",
      })
      .optional(),
    curl: z.string().describe("The command that sends it again, with `$TOKEN` for the token."),
  })
  .meta({ id: "cell", description: "One request of the matrix, with its answer." });
export type Cell = Immutable<z.infer<typeof cell>>;

const outcome = z
  .union([count, z.literal("closed")])
  .describe(
    "An HTTP status (200: the request reaches the workload), or `closed`: the connection is closed without one.",
  );
export type Outcome = z.infer<typeof outcome>;

/**
 * What the server of a `jwksUri` does (`--jwks`). `unreachable`: it answers 500; `missing`: 404; `html`: a page instead of a JWKS;
 * `empty`: nothing; `slow`: bytes for longer than the 5 s that istiod and proxies wait; `wrong`: keys of the same kid that signed no
 * token; `rotated`: keys of another kid.
 */
export const JWKS_STATES = [
  "reachable",
  "unreachable",
  "missing",
  "html",
  "empty",
  "slow",
  "wrong",
  "rotated",
] as const;
export type JwksState = (typeof JWKS_STATES)[number];

/** What a token is at a time: `early` if its `nbf` is still to come. */
export const TOKEN_STATES = ["valid", "expired", "early"] as const;
export type TokenState = (typeof TOKEN_STATES)[number];

/** What the reporter saw: an answer, or the text of one (`Jwt is expired`). */
export type Seen = Outcome | { readonly text: string };

/** Whether a difference between the ticket and the request that was sent can decide the answer. */
export type Decides = "yes" | "no" | "unknown";

/** Why an object of the ticket is not in the cluster. */
export type LeftOut =
  /** No proxy uses it to judge a request. */
  | "irrelevant"
  | "not-supported"
  | "gateway-api"
  /** A Gateway of the Gateway API whose class is not Istio's. */
  | "gateway-class"
  /** A Gateway of the Gateway API with `addresses`: another gateway serves it. */
  | "gateway-addresses"
  /** istiod makes it for a Gateway, and does so again. */
  | "made-by-istiod"
  /** A CUSTOM policy: the ticket does not contain its provider's answers. */
  | "external-authorizer"
  /** It is for an egress gateway, which meshproof's mesh does not have. */
  | "egress-gateway"
  /** Its `targetRefs` name a ServiceEntry. */
  | "target-ref";

/** The client that sends the request. */
export interface Caller {
  /** `gateway`: from outside the mesh to the ingress gateway. */
  readonly kind: "pod" | "gateway";
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly sidecar: boolean;
  /** In ambient mode: ztunnel sends what it sends. */
  readonly ambient?: true;
  /** The Gateway of the Gateway API that it comes through. */
  readonly through?: ObjectRef;
}

/** One difference from the ticket, or one assumption about something that the ticket does not contain. */
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
  /** A value that a policy or route compares. */
  | { readonly kind: "value-kept"; readonly part: string; readonly by: ObjectRef }
  | { readonly kind: "token-anew"; readonly moved: readonly string[]; readonly was: TokenState }
  /** The token may have been valid when it was sent, or had expired, or was not valid yet. */
  | {
      readonly kind: "token-times";
      readonly was: TokenState;
      readonly main: Answered;
      readonly or: TokenState;
      readonly other: Answered;
    }
  /** The ticket's JWKS has no key with the token's kid and alg. */
  | { readonly kind: "token-without-key"; readonly kid?: unknown; readonly alg?: unknown }
  /** The request has a variable in place of a token or a secret, and its value is not given. */
  | { readonly kind: "token-not-given"; readonly part: string }
  | { readonly kind: "opaque-token"; readonly part: string }
  /** The place of the token in the request is not given. */
  | { readonly kind: "token-place"; readonly place: string; readonly by: string }
  | {
      readonly kind: "keys";
      readonly iss: string;
      readonly keys: readonly { readonly kid: string; readonly alg: string }[];
      /** The source of the keys: the jwtRule itself (perhaps with text that is not a JWKS), a host outside the mesh, a Service of the ticket, or none (`no-host`: of a name that istiod cannot resolve). */
      readonly served:
        | "inline"
        | "unreadable"
        | "outside"
        | "no-url"
        | "no-host"
        | Exclude<JwksState, "reachable">
        | { readonly service: string };
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
  /** The ticket does not show what answers at the request's host; the request goes to a Service. */
  | { readonly kind: "way-open"; readonly host: string; readonly service: string }
  /** The request's host is a variable, whose value the ticket does not contain. */
  | { readonly kind: "host-open"; readonly variable: string }
  /** The request has no host, and this is the only one that the ticket's routes name. */
  | { readonly kind: "host-assumed"; readonly host: string }
  /** A plain TCP connection: an HTTP request is sent on it, which the mesh does not read. */
  | { readonly kind: "plain-tcp"; readonly port: number }
  /** A field of an object is a variable or a placeholder: `{{ .Values.issuer }}`. */
  | { readonly kind: "value-open"; readonly object: ObjectRef; readonly field: string; readonly text: string }
  | { readonly kind: "caller"; readonly caller: Caller; readonly because: "asked" | "command" | "policy" | "default" }
  /** The same request from another client, or on another path. */
  | {
      readonly kind: "other-caller";
      readonly caller: Caller;
      readonly open: "identity" | "sidecar" | "ambient" | "way";
      readonly main: Answered;
      readonly other: Answered;
    }
  /** Whether the workloads behind a gateway have sidecars: `main` is the answer if they have (`sidecar`), or have not. */
  | {
      readonly kind: "sidecar-open";
      readonly of: readonly string[];
      readonly sidecar: boolean;
      readonly main: Answered;
      readonly other: Answered;
    }
  /** Rules compare IP addresses, and the reporter's is not known. */
  | { readonly kind: "address"; readonly object: ObjectRef; readonly fields: readonly string[] }
  /** Rules compare identities, and the identity of the ticket's gateway is not known. */
  | { readonly kind: "gateway-account"; readonly object: ObjectRef; readonly account: string }
  /** Rules compare the port at a gateway, which differs from installation to installation. */
  | { readonly kind: "gateway-port"; readonly object: ObjectRef; readonly here: readonly number[] }
  /** The mesh has no endpoint for the request, and the pods are assumed. */
  | { readonly kind: "no-endpoint"; readonly details: string }
  | { readonly kind: "server-port"; readonly object: ObjectRef; readonly port: number; readonly here: number }
  | { readonly kind: "route-added"; readonly gateway?: ObjectRef }
  /** A Gateway of the Gateway API that routes or policies name and the ticket does not show. */
  | { readonly kind: "gateway-assumed"; readonly object: ObjectRef }
  /** A gateway that the ticket names and does not describe: the mesh's ingress gateway replaces it. */
  | { readonly kind: "gateway"; readonly object: ObjectRef; readonly selector: Labels; readonly elsewhere: boolean }
  | { readonly kind: "certificate"; readonly object: ObjectRef }
  | { readonly kind: "leaves-mesh"; readonly host: string }
  | { readonly kind: "row-added"; readonly requests: readonly string[] }
  /** ztunnel would enforce this on the way to the workload, and is not here. */
  | { readonly kind: "ztunnel"; readonly object: ObjectRef }
  /** The workload behind a waypoint has a sidecar with policies: Istio sends it HBONE or plain text, as it is set. */
  | { readonly kind: "sidecar-behind-waypoint"; readonly of: string; readonly object: ObjectRef }
  /** The ticket does not show whether a Service uses a waypoint: its namespace's labels are not there. */
  | { readonly kind: "waypoint-open"; readonly service: string; readonly namespace: string; readonly label: string }
  /** The client in ambient mode sends through this waypoint, by a proxy of meshproof in the place of ztunnel. */
  | { readonly kind: "hbone"; readonly waypoint: string }
  /** The access log of the waypoint has no line for the request, which must pass it. */
  | { readonly kind: "not-through"; readonly waypoint: string }
  /** @param columns other tokens that get what the reporter saw */
  | { readonly kind: "seen-otherwise"; readonly seen: Seen; readonly columns: readonly string[] }
);

const minimization = z
  .strictObject({
    confirmed: z
      .boolean()
      .describe("Whether the remaining YAML gave the same answer by itself; if not, the ticket is not reduced."),
    complete: z
      .boolean()
      .describe("False if the limit of attempts was reached: the rest may contain more that is not needed."),
    tries: count,
    refused: count.describe(
      "Attempts that could not run, mostly because the API server rejected the remaining objects.",
    ),
    dropped: texts.describe("`AuthorizationPolicy shop/a rules[1]`, in the order of removal."),
    yaml: z.string().describe("The remaining YAML, without keys."),
  })
  .describe("The smallest part of the ticket's YAML that gives the same answer (`--minimize`).");
export type Minimization = Immutable<z.infer<typeof minimization>>;

const filters = z.strictObject({
  at: z.strictObject({ kind: z.string(), namespace: z.string(), name: z.string() }).optional(),
  providers: z.array(z.looseObject({ name: z.string() })),
  rules: z.array(z.looseObject({ name: z.string() })),
});
export type InForce = Pick<Explanation, "providers" | "rules" | "at"> & { readonly before?: readonly InForce[] };

export const reproFile = z
  .strictObject({
    schemaVersion: z.literal(3),
    id: z.string().describe("The name of its results folder."),
    tool: z.strictObject({ name: z.string(), version: z.string() }),
    startedAt: z.iso.datetime(),
    command: z.string().describe("The command that repeats this; tokens are without their signatures."),
    cause: (z.looseObject({ kind: z.string() }) as unknown as z.ZodType<Cause>).meta({
      description: "Why the ticket's request got its answer: Cause in harness/model/cause.ts.",
    }),
    verdict: z
      .strictObject({ ...answered.shape, details, body, error })
      .describe("The answer to the ticket's request."),
    request: z.string(),
    reproduced: z
      .boolean()
      .describe(
        "False if a difference from the ticket decides the answer, or may: `verdict` is then that of the reduced ticket.",
      ),
    ticket: z.string().describe("The ticket's name."),
    expected: z
      .strictObject({ outcome, met: z.boolean() })
      .describe("The answer that the reporter expected, and whether the mesh gives it.")
      .optional(),
    matrix: z.strictObject({
      columns: texts,
      rows: z.array(z.strictObject({ request: z.string(), cells: z.array(cell) })),
      given: z.string().describe("The column of the ticket's request; its row is the first."),
    }),
    inForce: (
      z.strictObject({ ...filters.shape, before: z.array(filters).optional() }) as unknown as z.ZodType<InForce>
    )
      .meta({
        description:
          "The active jwtRules and policies of the proxy that decided, in Envoy's order, compared with the ticket's request; in `before`, those of the proxies that let the request through before.",
      })
      .optional(),
    notes: facts<TicketNote>(
      "Policies that are in none of the proxies that judge the request, and other oddities of the applied objects: TicketNote in harness/model/cause.ts.",
    ),
    differences: facts<Difference>(
      "Differences from the ticket (Difference in harness/model/ticket.ts); those that decide, or may, come first.",
    ),
    hints: facts<Hint>("Well-known pitfalls that the ticket may have: Hint in harness/model/hint.ts."),
    versions: z.record(z.string(), z.string()),
    mesh: meshSetting
      .describe("Settings of the mesh that are as in the ticket; the others are Istio's defaults.")
      .optional(),
    minimized: minimization.optional(),
    applied: z
      .array(appliedObject)
      .describe("The ticket's objects as they were applied, with meshproof's namespaces, names and keys."),
    standIn: z.string().describe("YAML of the workload that replaces the ticket's."),
    text: z
      .strictObject({
        verdict: z.string(),
        cause: z.string(),
        notes: texts,
        hints: texts,
        differences: texts,
        needs: texts.describe("What to give for a difference that may decide."),
      })
      .describe("The same in words, for people. Written to the file alone.")
      .optional(),
  })
  .meta({
    title: "meshproof repro",
    description:
      "The answer to a ticket (repro.json, `meshproof repro --json`). Text from a mesh or a ticket is hostile: escape it before showing.",
  });
export type ReproAnswer = Immutable<z.infer<typeof reproFile>>;
