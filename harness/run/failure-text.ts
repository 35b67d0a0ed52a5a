/** What Playwright's reporters show of what did not pass, as text that they may print as it is: what comes from the mesh is hostile. */

import { isCheck, type ItemResult } from "../model/items.ts";
import type { CheckResult } from "../model/result.ts";
import { nameWay } from "../model/target.ts";
import { visible } from "../safe/visible.ts";
import { describeHeadline, formatExplanation } from "../../reports/explanation.ts";
import { describeLine, describeTokens } from "../../reports/words.ts";

/** Takes out what must not be written. */
export type Redact = (text: string) => string;

/** Text without secrets, whose invisible characters are shown. */
export function safeText(text: string, redact: Redact): string {
  return visible(redact(text), { lines: true });
}

/** What differs, and on the next line what the judging proxy's config says about it, where that is known. */
export function describeDifference(item: ItemResult, redact: Redact): string {
  const lines = [item.reason ?? item.status];
  if (isCheck(item) && item.explanation !== undefined) lines.push(describeHeadline(item.explanation, seenIn(item)));
  return lines.map((line) => wrap(safeText(line, redact))).join("\n");
}

/** Playwright's HTML report cuts long lines off. */
const wrap = (text: string): string => text.replace(/(.{60,100}) /g, "$1\n  ");

/** What a check sent, what came back, and what the judging proxy's config says about it. */
export function describeExchange(check: CheckResult, redact: Redact): string {
  const { request, curl, got, explanation } = check;
  const headers = Object.entries(got.headers).map(([name, value]) => `${name}: ${value}`);
  const answer = got.error === undefined ? `${got.status} from ${got.by}` : `no answer: ${got.error}`;
  const text = [
    ...[
      describeLine(request),
      `from ${request.from} to ${nameWay(request)} with ${describeTokens(request.tokens)}`,
      curl,
      "",
    ],
    ...[answer, ...headers, "", got.body],
    ...(explanation === undefined ? [] : ["", formatExplanation(explanation, seenIn(check))]),
  ];
  return safeText(text.join("\n"), redact);
}

const seenIn = ({ expected, got }: CheckResult) => ({ expected: expected.status, got });
