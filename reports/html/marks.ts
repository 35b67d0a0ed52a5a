import type { Status } from "../../harness/model/result.ts";
import { html, type Html } from "./escape.ts";

/** A sign and a word for each status, so that no information is only in a colour. */
const signs: Record<Status, string> = {
  failed: "✕",
  flaky: "∿",
  error: "!",
  "known-failure": "◇",
  skipped: "–",
  passed: "✓",
};

export function wordOf(status: Status): string {
  return status === "known-failure" ? "known failure" : status;
}

/** The sign as text. */
export function signOf(status: Status): string {
  return signs[status];
}

/** The sign for the eye, the word for a screen reader. */
export function mark(status: Status): Html {
  return html`<span class="mark ${status}" aria-hidden="true">${signs[status]}</span
    ><span class="unseen">${wordOf(status)}: </span>`;
}

/** Only the sign, for use beside a word with the same meaning. */
export function sign(status: Status): Html {
  return html`<span class="mark ${status}" aria-hidden="true">${signs[status]}</span>`;
}

/** A line to copy, with its button. */
export function copyable(text: string): Html {
  return html`<span class="copyable"><code>${text}</code><button type="button" class="copy">Copy</button></span>`;
}
