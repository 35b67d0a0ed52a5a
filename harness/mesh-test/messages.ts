/** What a matcher says where the mesh does not answer as expected: the finding, the exchange, and what the proxy's config decides. */

import type { CheckResult } from "../model/result.ts";
import { describeDifference, describeExchange, type Redact } from "../run/failure-text.ts";

export function failureOf(check: CheckResult, redact: Redact): string {
  return `${describeDifference(check, redact)}\n\n${describeExchange(check, redact)}`;
}
