/** Files of known facts: behaviour that changes between versions, and failures with an owner. */

import * as z from "zod";
import { filled, form, text, type Immutable } from "./schema.ts";

const pattern = filled(
  z.strictObject({
    status: text().optional(),
    answer: z.int().min(0).max(599).optional(),
    by: text().optional(),
    body: text("Text that must be part of the reply.").optional(),
    details: text("Text that must be part of the response code details.").optional(),
    finding: text("The kind of a finding, such as config-not-rejected.").optional(),
  }),
).describe("A cell on one side of a change. A key that is left out matches anything.");

const version = form("a version such as 1.38.0, in quotes", /^\d+\.\d+(\.\d+)?$/u);
const range = z.strictObject({ since: version, until: version.optional() });
const exact = z
  .strictObject({ is: text("Such as 1.30-20260826.") })
  .describe("One version alone, for a build between releases.");
const ranges = z.union([range, exact, z.array(z.union([range, exact])).min(1)]);

const knownChange = z.strictObject({
  id: text(),
  sentence: text(),
  source: text(),
  versions: filled(z.strictObject({ istio: ranges.optional(), envoy: ranges.optional() })).describe(
    "The versions with the new behaviour: from `since` to before `until`. A list means any of them (a fix in several minor versions). If several components are named, each must be in its range.",
  ),
  cells: z
    .array(z.strictObject({ scenario: text(), step: text().optional(), check: text().optional() }))
    .min(1)
    .describe("Globs over the scenario's id, the step's and the check's name."),
  from: pattern,
  to: pattern,
});
export type KnownChange = Immutable<z.infer<typeof knownChange>>;

export const knownChangesFile = z.strictObject({ changes: z.array(knownChange) });

/** An answer that a known failure names. */
const answerKind = z
  .strictObject({
    status: z.int().min(0).max(599).describe("HTTP status; 0 for none."),
    by: z
      .enum(["authentication", "authorization", "workload", "proxy", "nobody"])
      .describe("Who answered, as in the reports."),
  })
  .describe(
    "The only answer that is excused. Without it every answer is excused, except that a request which must be denied was allowed.",
  );
export type AnswerKind = Immutable<z.infer<typeof answerKind>>;

const excuse = {
  owner: text("The team or person that is responsible for it."),
  reason: text("Why, one sentence."),
  expires: form(
    "a date such as 2027-01-31",
    /^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])$/u,
    "Last day (UTC) on which it may fail.",
  ),
  got: answerKind.optional(),
};

/** The known failure of a scenario, in its own file. */
export const knownFailure = z
  .strictObject(excuse)
  .describe("A failure that is known until a date, and counts as failed afterwards.");

const knownFailureEntry = z.strictObject({
  scenario: text("The scenario's id."),
  step: text("Only this step.").optional(),
  check: text("Only this check; names its step too.").optional(),
  ...excuse,
});

/** A file of known failures (`meshproof run --known-failures`). */
export const knownFailuresFile = z.strictObject({ knownFailures: z.array(knownFailureEntry) });

/** A failure with an owner. With `check` it excuses only that check, with `step` alone only that step. */
export type KnownFailure = Immutable<Omit<z.infer<typeof knownFailureEntry>, "scenario">>;
