import { nameItem } from "../../harness/model/items.ts";
import type { AdmissionResult, AskedResult, CheckResult, Status } from "../../harness/model/result.ts";
import { nameWay } from "../../harness/model/target.ts";
import { formatBytes, formatDuration, isCut } from "../text.ts";
import {
  describeAdmission,
  describeAnswerer,
  describeAsked,
  describeChanges,
  describeConfig,
  describeExpected,
  describeExpectedAdmission,
  describeExpectedAsker,
  describeGot,
  describeSeenAskers,
  describeWhy,
  nameStatus,
} from "../describe.ts";
import { html, lines, type Html } from "./escape.ts";
import { copyable, mark } from "./marks.ts";
import { describeLine, describeSilence, describeTokens } from "../words.ts";

/** How a check is shown: differing checks are open, agreeing ones are shown when their cell is chosen. */
export interface CheckView {
  readonly id: string;
  readonly status: Status;
  readonly open: boolean;
}

/** Renders all facts about one check. */
export function renderCheck(check: CheckResult, view: CheckView): Html {
  const quiet = view.status === "passed" ? " quiet" : "";
  const seen = view.status === "flaky" ? "got it only after other answers" : `got ${describeGot(check)}`;
  const why = describeWhy(check.findings);
  return html`<details class="check ${view.status}${quiet}" id="${view.id}" ${view.open && html` open`}>
    <summary>
      ${mark(view.status)}<span class="name" data-find>${check.name}</span>
      <span class="verdict"
        >${
          view.status === "passed" ? describeGot(check) : html`expected <b>${describeExpected(check)}</b>, ${seen}`
        }</span
      >
    </summary>
    <dl>
      ${[
        why !== undefined && entry("why", html`<span class="reason" data-find>${why}</span>`),
        entry(
          "request",
          html`<code>${describeLine(check.request)}</code>
            <span class="aside">from ${check.request.from} to ${nameWay(check.request)}</span>`,
        ),
        entry("token", html`${describeTokens(check.request.tokens)}`),
        view.status === "passed" && entry("expected", html`${describeExpected(check)}`),
        entry("answered by", renderAnswerer(check)),
        check.explanation !== undefined &&
          entry("its config says", html`<pre tabindex="0">${lines(describeConfig(check, check.explanation))}</pre>`),
        check.got.error !== undefined && entry("curl says", html`<code>${check.got.error}</code>`),
        entry("answers", renderAnswers(check, view.status)),
        entry("repeat", copyable(check.curl)),
        check.got.userAgent !== undefined && entry("in the log", html`<code>${check.got.userAgent}</code>`),
        Object.keys(check.got.headers).length > 0 && entry("headers", renderHeaders(check.got.headers)),
        check.got.body !== "" &&
          entry(html`body ${bodySize(check.got.body)}`, html`<pre tabindex="0">${lines(check.got.body)}</pre>`),
      ]}
    </dl>
  </details>`;
}

function entry(term: string | Html, description: Html): Html {
  return html`<div>
    <dt>${term}</dt>
    <dd>${description}</dd>
  </div>`;
}

function renderAnswerer(check: CheckResult): Html {
  const { got } = check;
  if (got.status === 0 || got.by === "nobody")
    return html`${got.noAnswer === undefined ? "no answer" : `nobody: ${describeSilence(got.noAnswer)}`}`;
  const details = got.details === undefined ? "" : html` <code class="aside">${got.details}</code>`;
  return html`${describeAnswerer(check, got.by)} with ${nameStatus(got)}${details}`;
}

function renderHeaders(headers: Readonly<Record<string, string>>): Html {
  const rows = Object.entries(headers).map(
    ([name, value]) => html`<span class="header"><b>${name}</b>: ${value}</span>`,
  );
  return html`<pre tabindex="0">${rows}</pre>`;
}

/** The size, unless the text itself has the note of a cut. */
function bodySize(body: string): Html {
  if (isCut(body)) return html``;
  return html`<span class="size">${formatBytes(Buffer.byteLength(body))}</span>`;
}

/** The time of the final answer, and every earlier answer that differed. */
function renderAnswers(check: CheckResult, status: Status): Html {
  const final = status === "passed" || status === "flaky";
  const since =
    check.enforcedMs > 0 ? `${formatDuration(check.enforcedMs)} after the policies were applied` : "at once";
  const summary = final ? `as expected ${since}` : "not as expected within the limit";
  const changes = describeChanges(check);
  return html`${summary}; the last one took
  ${formatDuration(check.got.totalMs)}${
    changes.length > 0 &&
    html`<ol class="changes">
      ${changes.map((change) => html`<li>${change}</li>`)}
    </ol>`
  }`;
}

/** What the API server said of an object: a line if it agrees, a block if not. */
export function renderAdmission(admission: AdmissionResult, view: CheckView): Html {
  const said = describeAdmission(admission);
  if (view.status === "passed") {
    return html`<p class="asked" id="${view.id}">
      ${mark("passed")}<span data-find>${admission.object}</span>: ${said}, by the API server
    </p>`;
  }
  return html`<details class="check ${view.status}" id="${view.id}" open>
    <summary>
      ${mark(view.status)}<span class="name" data-find>${nameItem(admission)}</span>
      <span class="verdict">expected it <b>${describeExpectedAdmission(admission)}</b>; ${said}</span>
    </summary>
  </details>`;
}

/** Who fetched from a JWKS server: a line if it agrees, a block if not. */
export function renderAsked(asked: AskedResult, view: CheckView): Html {
  if (view.status === "passed") {
    return html`<p class="asked" id="${view.id}">
      ${mark("passed")}<span data-find>${describeAsked(asked)}</span>, by its own access log
    </p>`;
  }
  const why = describeWhy(asked.findings);
  return html`<details class="check ${view.status}" id="${view.id}" open>
    <summary>
      ${mark(view.status)}<span class="name" data-find>${describeAsked(asked)}</span>
      <span class="verdict">expected <b>${describeExpectedAsker(asked)}</b>; ${describeSeenAskers(asked)}</span>
    </summary>
    <dl>${why !== undefined && entry("why", html`<span class="reason" data-find>${why}</span>`)}</dl>
  </details>`;
}
