/** What the API server says of an object: of scenario.yaml, and of a result. */

import * as z from "zod";
import { form, text, texts, type Immutable } from "./schema.ts";

const about = {
  manifest: form(
    "the name of a .yaml file in the scenario's folder",
    /^(?!\.)[A-Za-z0-9._-]+\.ya?ml$/u,
    "A manifest in the scenario's folder. It is sent as a dry run, so nothing of it is applied.",
  ),
  object: text("metadata.name of the object; needed where the manifest has several.").optional(),
};

/** One object and what the API server must say of it. */
export const admissionFile = z.union([
  z
    .strictObject({
      ...about,
      refuses: text("Text that its message must contain."),
      field: text("The field that it must name, such as `spec.jwtRules[0].issuer`.").optional(),
    })
    .describe("It refuses the object."),
  z.strictObject({ ...about, warns: text("Text that a warning must contain.") }).describe("It warns and accepts it."),
  z.strictObject({ ...about, accepts: z.literal(true) }).describe("It accepts the object without a warning."),
]);

const verdict = z.enum(["refused", "warned", "accepted"]);

export const admissionExpected = z.strictObject({ verdict, text: z.string().optional(), field: z.string().optional() });
/** What must be said of an object. */
export type AdmissionExpected = Immutable<z.infer<typeof admissionExpected>>;

export const admissionGot = z.strictObject({
  verdict,
  texts: texts.describe("Its message, or its warnings: the API server's own words."),
  fields: texts.describe("The fields that a refusal names."),
});
/** What was said. Hostile text. */
export type AdmissionGot = Immutable<z.infer<typeof admissionGot>>;

/** The API server says something else of an object. */
export interface AdmissionFinding {
  readonly kind: "other-admission";
  readonly object: string;
  readonly expected: AdmissionExpected;
  readonly got: AdmissionGot;
}
