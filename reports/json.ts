import type { AppliedObject, CheckResult, RunResult } from "../harness/model/result.ts";
import { describeConfig } from "./describe.ts";
import { prepare } from "./prepare.ts";
import { describeChange } from "./policy-words.ts";
import { describeNote, sentences } from "./words.ts";

/**
 * The result as JSON (schema: results.schema.json). Characters that control a terminal or reorder text are written as
 * `\u` escapes, so that it is safe to `cat` the file; the data is the same.
 */
export function formatJson(result: RunResult): string {
  return `${escapeJson(JSON.stringify(withTexts(prepare(result)), undefined, 2))}\n`;
}

/** Adds sentences for people to the findings. No code reads them. */
function withTexts(result: RunResult): unknown {
  const ofObject = ({ changes, ...object }: AppliedObject): unknown => ({
    ...object,
    ...(changes && { changes: changes.map((change) => ({ ...change, text: describeChange(change) })) }),
    ...(object.findings && { note: sentences(object.findings) }),
  });
  const ofCheck = (check: CheckResult): unknown => {
    const { explanation } = check;
    if (explanation === undefined) return check;
    return { ...check, explanation: { ...explanation, text: describeConfig(check, explanation) } };
  };
  return {
    ...result,
    ...(result.notes && { notes: result.notes.map((note) => ({ ...note, text: describeNote(note) })) }),
    scenarios: result.scenarios.map((scenario) => ({
      ...scenario,
      steps: scenario.steps.map((step) => ({
        ...step,
        objects: step.objects.map(ofObject),
        checks: step.checks.map(ofCheck),
      })),
    })),
  };
}

/** Writes characters that control a terminal or reorder text as `\\u` escapes. */
export function escapeJson(json: string): string {
  return json.replace(/[\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g, (character) => {
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
  });
}
