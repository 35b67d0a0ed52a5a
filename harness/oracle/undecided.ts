/** Results for requests that cannot be decided. */

import type { Admission, Decision, Field, Missing, Unsupported } from "../model/explanation.ts";

export function notRead(what: Unsupported, name?: string, field?: Field): Missing {
  return { kind: "unsupported", what, ...(name !== undefined && { name }), ...(field && { field }) };
}

/** @param admission the policies' result, if only a later step is not known */
export function undecidedBy(missing: Missing, admission?: Admission): Decision {
  const reason = { kind: "undecided", missing, ...(admission && { admission }) } as const;
  return { verdict: "undecided", by: "nobody", reason };
}
