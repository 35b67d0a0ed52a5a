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
  }),
).describe("What a cell looks like on one side of a change; what is left out may be anything.");

const version = form("a version such as 1.38.0, in quotes", /^\d+\.\d+(\.\d+)?$/u);
const range = z.strictObject({ since: version, until: version.optional() });
const ranges = z.union([range, z.array(range).min(1)]);

const knownChange = z.strictObject({
  id: text(),
  sentence: text(),
  source: text(),
  versions: filled(z.strictObject({ istio: ranges.optional(), envoy: ranges.optional() })).describe(
    "The versions that behave the new way: from `since`, to before `until`; in a list any of them (a fix in several minor versions). Of several components, all must do so.",
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
      .describe("Who gave it, as reports say."),
  })
  .describe(
    "The only answer that is excused. Without it any is, but not a request that was admitted and must be refused.",
  );
export type AnswerKind = Immutable<z.infer<typeof answerKind>>;

const excuse = {
  owner: text("Who answers for it: a team or a person."),
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
  .describe("Expected to fail until a date, and counted as failed afterwards.");

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
