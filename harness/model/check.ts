/**
 * What `meshproof check` prints as JSON: answers that are evaluated by the proxies' own config, without a cluster. Types and the published
 * JSON Schema (reports/check.schema.json) come from the schemas here.
 */

import * as z from "zod";
import { NO_ANSWERS } from "./expectation.ts";
import type { Explanation, Missing } from "./explanation.ts";
import type { ObjectRef } from "./finding.ts";
import { by, facts, position } from "./result.ts";
import { count, texts, type Immutable } from "./schema.ts";

/** Why an answer is not known. */
export type CheckMissing =
  | Missing
  /** An object that may decide, of a kind whose effect on the way of a request is not evaluated. */
  | { readonly kind: "object-not-evaluated"; readonly object: ObjectRef }
  /** The client connects to a name of its own choice, which the cluster's DNS resolves or not. */
  | { readonly kind: "host-name" }
  /** The request passes a waypoint, or may pass one. */
  | { readonly kind: "waypoint" }
  /** The pod is in ambient mode: ztunnel decides, and not a proxy whose config is read. */
  | { readonly kind: "ztunnel" }
  /** No pod of the Service is ready: what answers is not the mesh. */
  | { readonly kind: "no-pod"; readonly workload: string }
  /** The pods of the Service judge differently. */
  | { readonly kind: "pods-differ"; readonly pods: readonly string[] }
  /** The step expects that Envoy rejects the config, which only Envoy knows. */
  | { readonly kind: "rejected-config" }
  /** istiod did not give the proxy the policies that hold there. */
  | { readonly kind: "unsettled"; readonly pod: string }
  /** No Service that is known here is behind a route. */
  | { readonly kind: "unknown-destination"; readonly cluster: string }
  /** A pod's annotation takes requests past its sidecar. */
  | { readonly kind: "annotation"; readonly name: string; readonly pod: string };

const missing = z.looseObject({ kind: z.string() }).meta({
  id: "missing",
  description: "The fact without which there is no answer.",
}) as unknown as z.ZodType<CheckMissing>;

const explanation = z.looseObject({ decision: z.looseObject({ verdict: z.string() }) }).meta({
  id: "explanation",
  description: "What the proxy's config says, as `meshproof explain --json` prints it.",
}) as unknown as z.ZodType<Explanation>;

const checked = z
  .strictObject({
    name: z.string(),
    position,
    request: z.strictObject({
      from: z.string(),
      to: z.string(),
      through: z.string().optional(),
      method: z.string(),
      path: z.string(),
      token: z.string(),
    }),
    expected: z.strictObject({ status: z.int(), by, noAnswer: z.enum(NO_ANSWERS).optional() }),
    status: z.enum(["agrees", "differs", "undecided"]),
    how: z.literal("evaluated").describe("By meshproof, from the config that istiod makes; no request was sent."),
    got: z
      .strictObject({
        by,
        status: count.describe("Left out where the workload answers: its status is its own.").optional(),
        noAnswer: z.enum(NO_ANSWERS).describe("What the client sees instead of an answer.").optional(),
        grpc: count.describe("The gRPC status, where a proxy answers a gRPC request.").optional(),
      })
      .describe("Left out where it is undecided.")
      .optional(),
    missing: missing.optional(),
    why: z.string().describe("In words, for people.").optional(),
    explanation: explanation.describe("Of the proxy that decides; left out where none does.").optional(),
    cell: z.strictObject({ matrix: count, row: count, column: count }).optional(),
  })
  .meta({ id: "check" });
export type Checked = Immutable<z.infer<typeof checked>>;

const object = z
  .strictObject({ kind: z.string(), namespace: z.string(), name: z.string(), position })
  .meta({ id: "object", description: "An object that is applied, with the file that it is written in." });
export type AppliedAt = Immutable<z.infer<typeof object>>;

const step = z
  .strictObject({
    name: z.string(),
    position,
    objects: z.array(object).describe("What the scenario has applied by then."),
    matrices: z.array(z.strictObject({ title: z.string(), rows: texts, columns: texts })),
    checks: z.array(checked),
    assumed: facts<Assumption>("What is taken for granted, and a run would prove."),
  })
  .meta({ id: "step" });
export type CheckedStep = Immutable<z.infer<typeof step>>;

/** What an answer takes for granted. */
export type Assumption =
  /** istiod can fetch the keys of an issuer from the server that meshproof runs in a cluster. */
  { readonly kind: "keys-fetched"; readonly issuer: string };

const scenario = z
  .strictObject({ id: z.string(), title: z.string(), position, steps: z.array(step) })
  .meta({ id: "scenario" });
export type CheckedScenario = Immutable<z.infer<typeof scenario>>;

const ref = z.strictObject({ kind: z.string(), namespace: z.string(), name: z.string() });

const coveragePart = z
  .strictObject({
    kind: z
      .enum(["rule", "condition", "jwt-rule", "audiences"])
      .describe("A rule of an AuthorizationPolicy, a condition of it, a jwtRule, or its audiences."),
    object: ref,
    field: z.string().describe("Such as `spec.rules[0].to[0].operation.paths`."),
    position,
    decisive: count.describe("For how many requests it was decisive."),
  })
  .meta({ id: "part" });
export type CoveragePart = Immutable<z.infer<typeof coveragePart>>;

const shadowed = z
  .strictObject({
    object: ref,
    rule: count.describe("From 0."),
    position,
    by: texts.describe("The rules that match whatever it matches, as Envoy names them."),
  })
  .meta({ id: "shadowed", description: "A rule that matches requests, each of which another rule decides as well." });
export type Shadowed = Immutable<z.infer<typeof shadowed>>;

const neverMatches = z
  .strictObject({
    object: ref,
    field: z.string(),
    position,
    value: z.string(),
    because: z.enum([
      "path-without-slash",
      "path-with-query",
      "path-not-normalized",
      "star-in-the-middle",
      "lower-case-method",
      "service-port",
      "spiffe-prefix",
      "request-principal-without-subject",
      "claim-is-not-text",
    ]),
  })
  .meta({ id: "neverMatches", description: "A value of a rule that no usual request has." });
export type NeverMatches = Immutable<z.infer<typeof neverMatches>>;

const counts = z.strictObject({ agrees: count, differs: count, undecided: count });
export type CheckCounts = z.infer<typeof counts>;

export const checkReport = z
  .strictObject({
    kind: z.literal("meshproof-check"),
    version: z.literal(1),
    istio: z.string().describe("The version of the istiod that made the config."),
    envoy: z
      .string()
      .optional()
      .describe("The Envoy whose behaviour is meant; without it, what a fix of Envoy changes is undecided."),
    counts,
    coverage: z.strictObject({
      percent: z
        .int()
        .min(0)
        .max(100)
        .describe("The share of the parts that are decisive for a request, rounded down."),
      parts: z.array(coveragePart),
    }),
    shadowed: z.array(shadowed),
    neverMatches: z.array(neverMatches),
    scenarios: z.array(scenario),
  })
  .describe("The output of `meshproof check --json`.");
export type CheckReport = Immutable<z.infer<typeof checkReport>>;
