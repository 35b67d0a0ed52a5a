import type { RunResult } from "../harness/model/result.ts";
import { outcomesOf, worstFirst } from "./outcome.ts";
import { prepare } from "./prepare.ts";
import { visible } from "../harness/safe/visible.ts";
import { notesOf } from "./describe.ts";

/** GitHub shows at most ten errors per step; more only lengthen the log. */
const limit = 10;

/**
 * Workflow commands that GitHub Actions turns into annotations at the failed checks: one line each, whose text cannot start
 * another command.
 */
export function formatAnnotations(result: RunResult): string[] {
  const outcomes = worstFirst(prepare(result).scenarios).flatMap(outcomesOf);
  const bad = outcomes.filter(({ status }) => status === "failed" || status === "flaky" || status === "error");
  const notice = result.interrupted === true ? [`::error title=interrupted::${data(notesOf(result)[0] ?? "")}`] : [];
  const errors = bad.slice(0, limit - notice.length).map(({ scenario, name, status, position, reason }) => {
    const properties = { file: position.file, line: String(position.line), title: `${scenario.id} ${status}` };
    const written = Object.entries(properties).map(([key, value]) => `${key}=${property(value)}`);
    return `::error ${written.join(",")}::${data(`${name}: ${reason ?? scenario.reason ?? status}`)}`;
  });
  return [...notice, ...errors];
}

/** A newline would end the command; GitHub reads percent escapes in it (actions/toolkit, command.ts). */
function data(text: string): string {
  return visible(text).replaceAll("%", "%25");
}

function property(text: string): string {
  return data(text).replaceAll(":", "%3A").replaceAll(",", "%2C");
}
