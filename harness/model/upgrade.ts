/** The result of an upgrade. Plain data: written as upgrade.json, read by its reports. Times are milliseconds. */

import * as z from "zod";
import { clusterInfo } from "./cluster.ts";
import { counts } from "./result.ts";
import { count, texts, time, type Immutable } from "./schema.ts";

const phaseName = z.string().describe("The name of a phase.");
const clock = time.describe("Milliseconds since 1970, by a steady clock.");

const streamSpec = z.strictObject({
  name: z.string().describe("For people, such as `gateway, no token`."),
  expected: z.int().describe("The right status: 2xx from the workload, any other from the proxy."),
  perSecond: z.number().describe("Requests per second, sent one after the other; a slow answer delays the next."),
});
/** The request of a stream and its right answer. */
export type StreamSpec = Immutable<z.infer<typeof streamSpec>>;

const incident = z
  .strictObject({
    phase: phaseName,
    fromMs: clock,
    toMs: clock,
    count,
    status: count.describe("0 if no answer came."),
    by: z
      .enum(["proxy", "workload", "nobody"])
      .describe("The proxy itself, or `workload` for anything behind it: then the proxy admitted the request."),
    error: z.string().describe("curl's error text if no answer came, or not all of it.").optional(),
  })
  .meta({ id: "incident", description: "Wrong answers of one kind, without a right one in between." });
export type Incident = Immutable<z.infer<typeof incident>>;

const gap = z
  .strictObject({
    phases: z.array(phaseName),
    fromMs: clock,
    forMs: time,
    sent: count.describe("How many requests were sent in that time."),
  })
  .meta({ id: "gap", description: "A time without a right answer." });
export type Gap = Immutable<z.infer<typeof gap>>;

const streamProblem = z
  .discriminatedUnion("kind", [
    z.strictObject({ kind: z.literal("broken"), words: z.string().describe("How its client ended.") }),
    z.strictObject({
      kind: z.literal("phases"),
      phases: z.array(phaseName).describe("Whole phases without a right answer."),
    }),
    z.strictObject({ kind: z.literal("gap"), gap }),
    z.strictObject({ kind: z.literal("few"), right: count, due: count, phases: z.array(phaseName) }),
    z.strictObject({ kind: z.literal("end"), phase: phaseName, right: count }),
    z.strictObject({
      kind: z.literal("clock"),
      phase: phaseName,
      byMs: z.number().describe("By how much the machine's clock was changed."),
    }),
  ])
  .meta({ id: "streamProblem" });
/** Why a stream's counts prove nothing. */
export type StreamProblem = Immutable<z.infer<typeof streamProblem>>;

const stream = z
  .strictObject({
    ...streamSpec.shape,
    sent: count,
    due: count.describe(
      "From the rate, minus the time of slow answers; a request without an answer counts as time without observation.",
    ),
    right: count,
    perPhase: z
      .array(z.strictObject({ phase: phaseName, sent: count, right: count }))
      .describe("Counts for each whole phase."),
    longestGap: gap,
    breaches: z
      .array(incident)
      .describe(
        "Requests that were admitted and must be denied: answered with 2xx, or by the workload. Each one fails the upgrade.",
      ),
    failures: z.array(incident).describe("Requests with a wrong answer that are not breaches."),
    problems: z.array(streamProblem).describe("Why its counts prove nothing."),
  })
  .meta({ id: "stream" });
export type StreamResult = Immutable<z.infer<typeof stream>>;

const allowance = z.union([z.strictObject({ requests: count }), z.strictObject({ share: z.number().min(0).max(1) })]);
/** How many requests that must be admitted may fail: a number, or a share of the sent ones. */
export type Allowance = Immutable<z.infer<typeof allowance>>;

export const upgradeFile = z
  .strictObject({
    schemaVersion: z.literal(1),
    id: z.string(),
    tool: z.strictObject({ name: z.literal("meshproof"), version: z.string() }),
    command: z.string(),
    strategy: z.enum(["in-place", "revision"]),
    startedAt: z.iso.datetime(),
    finishedAt: z.iso.datetime(),
    from: clusterInfo,
    to: clusterInfo,
    phases: z
      .array(z.strictObject({ name: phaseName, startedAt: z.iso.datetime(), durationMs: time }))
      .describe("The phases from the streams' first request to their last."),
    streams: z.array(stream),
    meshWide: texts.describe(
      "Scenarios whose policies apply to every workload of the mesh, so that they may deny any request.",
    ),
    maxUnavailable: allowance.describe(
      "How many requests that must be admitted may fail: a number, or a share of the sent ones.",
    ),
    problems: texts.describe("Reasons why the streams prove nothing: pods that restarted."),
    checks: z.strictObject({ from: counts, to: counts }).describe("The scenarios' checks before and after."),
    unexpected: count.describe("Number of differences between the two runs that are not in the list of known changes."),
  })
  .meta({
    title: "meshproof upgrade",
    description:
      "What an upgrade did to requests and verdicts (upgrade.json). Times are milliseconds. Text from a mesh is hostile: escape it before showing.",
  });
export type UpgradeResult = Immutable<z.infer<typeof upgradeFile>>;
