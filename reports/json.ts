import type { RunResult } from "../harness/model/result.ts";
import { prepare } from "./prepare.ts";

/**
 * The result as JSON (schema: results.schema.json). Characters that act on a terminal or reorder text are written as
 * `\u` escapes, so that a person may `cat` the file; the data is the same.
 */
export function formatJson(result: RunResult): string {
  return `${escapeJson(JSON.stringify(prepare(result), undefined, 2))}\n`;
}

/** What acts on a terminal or reorders text, as `\\u` escapes. */
export function escapeJson(json: string): string {
  return json.replace(/[\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g, (character) => {
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
  });
}
