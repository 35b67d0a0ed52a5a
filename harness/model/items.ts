/** What a step is judged by: its checks, who fetched keys, and what the API server said. */

import type { AdmissionResult, AskedResult, CheckResult, StepResult } from "./result.ts";
import type { StepSpec } from "./scenario.ts";

export type ItemResult = CheckResult | AskedResult | AdmissionResult;

/** All items of a step, in the order of reports. */
export function itemsOf({
  checks,
  asked,
  admission = [],
}: Pick<StepResult, "checks" | "asked" | "admission">): ItemResult[] {
  return [...checks, ...asked, ...admission];
}

/** The name of an item, unique in its step. It is an id. */
export function nameItem(item: ItemResult): string {
  if (isCheck(item)) return item.name;
  return isAdmission(item)
    ? `${item.object} ${item.expected.verdict} by the API server`
    : `${item.server} asked by ${item.expected}`;
}

export function isCheck(item: ItemResult): item is CheckResult {
  return "request" in item;
}

export function isAdmission(item: ItemResult): item is AdmissionResult {
  return "object" in item;
}

/** How many items a step has. */
export function countItems(steps: readonly Pick<StepSpec, "checks" | "asked" | "admission">[]): number {
  return steps.reduce(
    (sum, { checks, asked, admission = [] }) => sum + checks.length + asked.length + admission.length,
    0,
  );
}
