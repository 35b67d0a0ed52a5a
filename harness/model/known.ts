/** What users know beforehand: behaviour that changes between versions, and failures that have an owner. */

import * as z from "zod";
import { answerKind } from "./scenario-file.ts";
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

export const knownFailuresFile = z.strictObject({
  knownFailures: z.array(
    z.strictObject({
      scenario: text(),
      step: text().optional(),
      check: text().optional(),
      got: answerKind.optional(),
      owner: text(),
      reason: text(),
      expires: form("a date such as 2027-01-31", /^\d{4}-\d\d-\d\d$/u),
    }),
  ),
});
