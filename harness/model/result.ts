/**
 * The result of a run. Plain data: written as results.json, read by every report. Types, the check of a file and its JSON Schema
 * (reports/results.schema.json) come from the schemas here. Times are milliseconds unless named otherwise.
 */

import * as z from "zod";
import { admissionExpected, admissionGot } from "./admission.ts";
import { clusterInfo, meshSetting } from "./cluster.ts";
import { NO_ANSWERS } from "./expectation.ts";
import type { Explanation } from "./explanation.ts";
import type { CheckFinding, ObjectFinding, RunNote, ScenarioFinding, StepFinding } from "./finding.ts";
import type { PolicyChange } from "./own-policy.ts";
import type { Expectation } from "./scenario.ts";
import { count, texts, time, type Immutable } from "./schema.ts";

export const status = z.enum(["passed", "failed", "flaky", "error", "skipped", "known-failure"]).meta({ id: "status" });
export type Status = z.infer<typeof status>;

export const by = z
  .enum(["authentication", "authorization", "workload", "proxy", "nobody"])
  .meta({ id: "by", description: "Who answered." });

export const position = z
  .strictObject({ file: z.string(), line: count, column: count })
  .meta({ id: "position", description: "A place in a file, counted from 1; 0 where there is none." });

const finding = z
  .looseObject({ kind: z.string() })
  .meta({ id: "finding", description: "One fact, as data: harness/model/finding.ts and ticket.ts have all kinds." });
/** Findings whose shape only the compiler checks: a file from a newer meshproof may contain more kinds. */
export const facts = <F>(description: string) =>
  (z.array(finding) as unknown as z.ZodType<readonly F[]>).meta({ description });
export const findings = <F>(description: string) => facts<F>(description).optional();
const WHY = "Why it has this status, as data.";
export const reason = z.string().describe("The findings in words, for people.").optional();

const pattern = z.strictObject({ matches: z.string() });

const expectation = z
  .strictObject({
    status: z
      .int()
      .describe(
        "An HTTP status, or 0. With 0 and `by: nobody`, the client must get no answer. With 0 and `by: workload`, every status is right.",
      ),
    noAnswer: z
      .enum(NO_ANSWERS)
      .describe("What the client must see instead of an answer. Only a check with `by: nobody` has it.")
      .optional(),
    grpc: z.int().describe("The gRPC status.").optional(),
    by,
    body: z.union([z.string(), z.strictObject({ is: z.string() }), pattern]).optional(),
    headers: z
      .record(z.string(), z.union([z.string(), z.boolean(), z.null(), pattern]))
      .describe("Of the reply.")
      .optional(),
    jsonKey: z.string().optional(),
    details: z.string().optional(),
    policy: z.string().describe("The AuthorizationPolicy whose rule must have decided.").optional(),
    received: z
      .strictObject({ headers: z.record(z.string(), z.unknown()).optional(), path: z.string().optional() })
      .optional(),
  })
  .meta({ id: "expectation" }) as unknown as z.ZodType<Expectation>;

const answer = z
  .strictObject({
    status: count.describe("HTTP status; 0 where no answer came."),
    grpc: z.int().describe("The gRPC status of an answer that has one.").optional(),
    by,
    body: z
      .string()
      .describe("At most 2 KiB, then a note of what was cut. Of a gRPC answer without a body, its grpc-message."),
    headers: z
      .record(z.string(), z.string())
      .describe("Headers that explain the answer, by lower-case name; values of at most 2 KiB."),
    details: z.string().describe("Envoy's response code details from the access log.").optional(),
    error: z.string().describe("curl's error text.").optional(),
    noAnswer: z
      .enum(NO_ANSWERS)
      .describe(
        "What the client saw instead of an answer, where it is known: the other side closed the connection, reset it, or ended the TLS handshake, or the name of the host did not resolve.",
      )
      .optional(),
    userAgent: z.string().describe("What the request called itself, to find it in any access log.").optional(),
    totalMs: time,
  })
  .meta({ id: "answer" });
/** One answer as the probe received it. Hostile text: escape before showing. */
export type Answer = Immutable<z.infer<typeof answer>>;

const check = z
  .strictObject({
    name: z.string(),
    position,
    request: z.strictObject({
      from: z.string(),
      to: z.string(),
      through: z.string().describe("The waypoint that it must pass, `waypoint/<name>`.").optional(),
      method: z.string(),
      url: z.string(),
      requestTarget: z.string().describe("What was sent in the place of the URL's path and query.").optional(),
      tokens: z
        .array(z.strictObject({ name: z.string(), words: z.string() }))
        .describe("Its tokens by name, each in words; never the token."),
    }),
    expected: expectation,
    got: answer,
    status,
    findings: findings<CheckFinding>(WHY),
    reason,
    explanation: (z.looseObject({ decision: z.unknown() }) as unknown as z.ZodType<Explanation>)
      .meta({
        description:
          "What the judging proxy's own config says about the request: Explanation in harness/model/explanation.ts, and the same in words in text. Only where the check did not pass.",
      })
      .optional(),
    enforcedMs: time.describe("From the end of apply until the first of the final agreeing answers."),
    changes: z
      .array(z.strictObject({ round: count, atMs: time, status: count, by: z.string() }))
      .describe("Every answer that differed from its predecessor, after the flush round."),
    wrong: z
      .array(z.strictObject({ status: count, by }))
      .describe("Of a check that failed or flaked: every answer that counted and was wrong, each kind once.")
      .optional(),
    stale: z
      .strictObject({ status: count, by: z.string() })
      .describe("The flush round's answer where it differed from the final one (pooled connections on the old policy).")
      .optional(),
    curl: z.string().describe("Stand-alone equivalent, with $TOKEN in the token's place."),
    cell: z
      .strictObject({ matrix: count, row: count, column: count })
      .describe("Its place in the step's matrices, counted from 0.")
      .optional(),
  })
  .meta({ id: "check" });
export type CheckResult = Immutable<z.infer<typeof check>>;

const asked = z
  .strictObject({
    position,
    server: z.string(),
    expected: z.enum(["istiod", "proxy", "nobody"]),
    got: texts,
    status,
    findings: findings<CheckFinding>(WHY),
    reason,
  })
  .meta({ id: "asked", description: "Who asked a JWKS server, by its own access log." });
export type AskedResult = Immutable<z.infer<typeof asked>>;

const admission = z
  .strictObject({
    position,
    object: z.string().describe("Such as `RequestAuthentication both-keys`."),
    expected: admissionExpected,
    got: admissionGot,
    status,
    findings: findings<CheckFinding>(WHY),
    reason,
  })
  .meta({ id: "admission", description: "What the API server says of an object that is not applied." });
export type AdmissionResult = Immutable<z.infer<typeof admission>>;

export const appliedObject = z
  .strictObject({
    verb: z.enum(["apply", "delete"]),
    kind: z.string(),
    name: z.string(),
    namespace: z.string(),
    file: z.string(),
    line: z.int().min(1).describe("Where the object begins in the file.").optional(),
    yaml: z.string().describe("As sent, this object alone: substitutions made, secret keys removed."),
    inForceMs: time
      .describe(
        "When every involved proxy's own config showed it, from the end of apply; left out where that was never seen.",
      )
      .optional(),
    proxies: texts.describe("The proxies that have it (`foo/httpbin-…`)."),
    changes: findings<PolicyChange>(
      "What meshproof changed of a policy from elsewhere in the user's repository: PolicyChange in harness/model/own-policy.ts.",
    ),
    findings: findings<ObjectFinding>("What is strange about it."),
    note: z.string().describe("The findings in words, for people. Written to the file alone.").optional(),
  })
  .meta({ id: "object" });
/** An object that a step applied or deleted. */
export type AppliedObject = Immutable<z.infer<typeof appliedObject>>;

const step = z
  .strictObject({
    name: z.string(),
    position,
    status,
    findings: findings<StepFinding>("Why it could not be judged; such a step is in error and has no checks."),
    reason,
    objects: z.array(appliedObject),
    notApplied: z
      .array(
        z.strictObject({
          object: z.strictObject({ kind: z.string(), namespace: z.string(), name: z.string() }),
          position,
          because: z.enum(["workload", "irrelevant", "chosen"]),
        }),
      )
      .describe("Objects beside policies in files of the user's repository, which were not applied.")
      .optional(),
    checks: z.array(check),
    asked: z.array(asked),
    admission: z.array(admission).describe("Left out where nothing is expected of the API server.").optional(),
    matrices: z.array(z.strictObject({ title: z.string(), rows: texts, columns: texts })),
    rounds: count,
    timing: z.strictObject({
      applyMs: time,
      inForceMs: time,
      waitMs: time.describe("How long the step waited for the time `at`; left out if it did not.").optional(),
      probeMs: time,
      totalMs: time,
    }),
  })
  .meta({ id: "step" });
export type StepResult = Immutable<z.infer<typeof step>>;

const refusal = z.strictObject({
  position,
  object: z.string().describe("Such as `RequestAuthentication foo/broken`."),
  message: z.string().describe("The API server's own words."),
});
/** An object of a scenario's manifests that the API server rejects. Its message is hostile text. */
export type Refusal = Immutable<z.infer<typeof refusal>>;

const disturbance = z.strictObject({
  kind: z
    .enum(["died", "gone", "came"])
    .describe(
      "A container died; a pod went, or came beside others of its Deployment, and not because of the scenario.",
    ),
  namespace: z.string(),
  pod: z.string(),
  container: z.string().describe("Of a death.").optional(),
  last: z
    .strictObject({
      reason: z.string().optional(),
      exitCode: z.int().optional(),
      signal: z.int().optional(),
      finishedAt: z.string().describe("By the clock of its node, in whole seconds.").optional(),
    })
    .describe("How the container ended, as its pod's status says (`lastState.terminated`).")
    .optional(),
});
/** An event of a pod during a scenario, such as a crash, that makes its answers worthless. */
export type Disturbance = Immutable<z.infer<typeof disturbance>>;

const scenario = z
  .strictObject({
    id: z.string(),
    title: z.string(),
    source: z.string(),
    level: z.enum(["core", "extended", "provisional"]),
    tags: texts,
    position,
    mesh: meshSetting,
    status,
    findings: findings<ScenarioFinding>("Why it is skipped or in error, as data."),
    reason,
    refused: z
      .array(refusal)
      .describe(
        "What the API server refused of its manifests before anything ran: such a scenario is in error and has no steps.",
      )
      .optional(),
    disturbances: z
      .array(disturbance)
      .describe("Crashes and the like while it ran: each makes it an error.")
      .optional(),
    repeat: z.string().describe("The command that repeats it; default `meshproof run <id> --keep`.").optional(),
    startedAt: z.iso.datetime(),
    durationMs: time,
    steps: z.array(step),
    diagnostics: texts
      .describe("Folders beside results.json with what was kept of the steps that failed: `diagnostics/jwt__x/1`.")
      .optional(),
  })
  .meta({ id: "scenario" });
export type ScenarioResult = Immutable<z.infer<typeof scenario>>;

export const counts = z
  .strictObject({ passed: count, failed: count, flaky: count, error: count, skipped: count, "known-failure": count })
  .describe("Checks by status; a skipped or broken scenario counts as one.");
export type Counts = Immutable<z.infer<typeof counts>>;

const shard = z
  .strictObject({
    index: z.int().min(1),
    count: z.int().min(1),
    selection: z.string(),
    of: z
      .literal("arguments")
      .describe("Playwright made the parts: selection is of its arguments, and not of the scenarios' ids.")
      .optional(),
  })
  .describe("Which part of a selection this was (--shard); selection is the same for all parts of one.");
export type Shard = Immutable<z.infer<typeof shard>>;

const inputs = z
  .strictObject({
    scenarios: z.string().describe("Of all files below the folder of the scenarios."),
    profile: z.string(),
    knownFailures: z.string().describe("Of the file of known failures.").optional(),
    runSet: z.string().describe("What the runs of one pipeline have in common.").optional(),
  })
  .describe("What the verdicts depend on beside the cluster. Runs that differ in it cannot be merged.");
export type Inputs = Immutable<z.infer<typeof inputs>>;

export const runResult = z
  .strictObject({
    schemaVersion: z.literal(2),
    id: z.string(),
    tool: z.strictObject({ name: z.literal("meshproof"), version: z.string() }),
    startedAt: z.iso.datetime(),
    finishedAt: z.iso.datetime(),
    command: z.string().describe("How to run this again, one command."),
    cluster: clusterInfo,
    timing: z
      .strictObject({ meshReadyMs: time, workloadsReadyMs: time, firstVerdictMs: time, totalMs: time })
      .describe("From the start of the command."),
    scenarios: z.array(scenario),
    counts,
    interrupted: z
      .literal(true)
      .describe("It ended before its end; scenarios that did not run are in error, without steps, and say why.")
      .optional(),
    notes: findings<RunNote>("What a reader must know beside the statuses, each in words in text."),
    shard: shard.optional(),
    inputs: inputs.optional(),
  })
  .meta({
    title: "meshproof results",
    description:
      "What a run found (results.json). Times are milliseconds unless named otherwise. Text from a mesh is hostile: escape it before showing.",
  });
export type RunResult = Immutable<z.infer<typeof runResult>>;

/** The scenarios that an interrupted run did not start or did not finish: they have no result. */
export function unfinishedOf({ interrupted, scenarios }: RunResult): ScenarioResult[] {
  return interrupted === true ? scenarios.filter(({ status, steps }) => status === "error" && steps.length === 0) : [];
}
