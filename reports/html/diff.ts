import type { Change, Comparison, OneSided } from "../../harness/model/comparison.ts";
import type { Status } from "../../harness/model/result.ts";
import {
  describeMeaning,
  describeSeen,
  describeVerdict,
  diffExitCode,
  describeInterrupted,
  enforcement,
  shorten,
  versionRows,
} from "../diff.ts";
import { prepareData } from "../prepare.ts";
import { plural } from "../text.ts";
import { describeWhy } from "../describe.ts";
import { html, type Html } from "./escape.ts";
import { renderContents, renderNoScript, renderNothing, renderTop } from "./frame.ts";
import { manyRows, renderListEntries, renderLists } from "./list.ts";
import { renderPage } from "./shell.ts";

/** Renders a comparison as one HTML file in the design of a run's report; without a script it shows everything and has no filters. */
export function formatDiffHtml(found: Comparison): string {
  const comparison = prepareData(found);
  const { changes, added, removed, unseen, before, after } = comparison;
  const status: Status = diffExitCode(comparison) === 0 ? "passed" : "failed";
  const unexpected = changes.filter(({ known }) => known === undefined);
  const known = changes.filter((change) => change.known !== undefined);
  const parts: Part[] = [
    {
      kind: "unexpected",
      title: "Unexpected changes",
      status: "failed",
      cells: unexpected,
      content: renderChanges("unexpected", unexpected),
    },
    {
      kind: "known",
      title: "Known changes",
      status: "known-failure",
      cells: known,
      content: renderChanges("known", known),
    },
    {
      kind: "removed",
      title: "Removed checks",
      status: "failed",
      cells: removed,
      content: renderOneSided("removed", removed),
    },
    {
      kind: "added",
      title: "Added checks",
      status: addedStatus(added),
      cells: added,
      content: renderOneSided("added", added),
    },
  ];
  const present = parts.filter(({ cells }) => cells.length > 0);
  const count = present.reduce((sum, { cells }) => sum + cells.length, 0);
  const time = enforcement(comparison);
  const interrupted = describeInterrupted(comparison);
  const body = html`<a class="skip" href="#results">Skip to the changes</a>
    ${renderTop({
      product: "meshproof diff",
      status,
      verdict: describeVerdict(comparison),
      filter: {
        name: "kind",
        label: "Show only what is",
        kinds: parts.map(({ kind, cells, status }) => ({ kind, words: kind, count: cells.length, status })),
      },
      facts: versionRows(comparison).map(([name, old, fresh, differs]) => [
        name,
        differs ? html`${old} → <b>${fresh}</b>` : old,
      ]),
    })}
    <div class="columns">
      ${renderContents({
        label: "Changes",
        filtered: { one: "change", count },
        entries: present.map(
          ({ kind, title, cells }) =>
            html`<li class="part" data-for="${kind}"><a href="#${kind}">${title}</a></li>
              ${renderListEntries(kind, cells)}`,
        ),
      })}
      <main id="results" tabindex="-1" class="diff ${count > manyRows && "many"}">
        <p class="lead">
          From run <b>${before.run}</b> (${before.cluster}, ${plural(before.checks, "check")}) to run
          <b>${after.run}</b> (${after.cluster}, ${plural(after.checks, "check")}): ${comparison.same} are the
          same${comparison.unjudged > 0 && `, ${comparison.unjudged} were judged on neither side`}.
          ${time !== undefined && `Enforced ${time}.`}
        </p>
        ${interrupted !== undefined && html`<p class="note">${interrupted}</p>`}
        ${present.map(
          ({ kind, title, content, cells }) =>
            html`<section id="${kind}" data-group>
              <h2>${title} <span class="tally">${cells.length}</span></h2>
              ${content}
            </section>`,
        )}
        ${renderNothing("change")}
        ${
          unseen.length > 0 &&
          html`<section id="unseen">
            <h2>Known changes of these versions that no check shows</h2>
            <ul class="plain">
              ${unseen.map((id) => html`<li><code>${id}</code></li>`)}
            </ul>
          </section>`
        }
      </main>
    </div>
    ${renderNoScript("Filters need JavaScript; all changes are shown.")}`;
  return renderPage({ title: `${describeVerdict(comparison)} – meshproof diff`, status, body });
}

interface Part {
  readonly kind: string;
  readonly title: string;
  readonly status: Status;
  readonly cells: readonly { readonly scenario: string }[];
  readonly content: Html;
}

function addedStatus(added: readonly OneSided[]): Status {
  return added.every(({ seen }) => seen.status === "passed" || seen.status === "skipped") ? "passed" : "failed";
}

function renderChanges(name: string, changes: readonly Change[]): Html {
  return renderLists(changes, {
    name,
    head: [["before"], ["after"], ["why", "wide"]],
    caption: (own) => html`<span class="tally">${plural(own.length, "change")}</span>`,
    kind: () => name,
    cells: (change) =>
      html`<td class="seen" data-label="before">${describeSeen(change.before, change)}</td>
        <td data-label="after" class="seen differs ${change.known === undefined ? "failed" : "known-failure"}">
          ${describeSeen(change.after, change)}
        </td>
        <td class="request" data-label="why">${renderWhy(change)}</td>`,
  });
}

function renderWhy(change: Change): Html {
  if (change.known !== undefined) return html`${change.known.sentence} (${change.known.source})`;
  const meaning = describeMeaning(change);
  // The columns before have the expected and the actual answer.
  const before = describeWhy(change.before.findings);
  const reason = describeWhy(change.after.findings) ?? (before && `before: ${before}`);
  return html`${meaning !== undefined && html`<b>${meaning}</b>. `}${reason !== undefined && shorten(reason, 400)}`;
}

function renderOneSided(name: string, cells: readonly OneSided[]): Html {
  return renderLists(cells, {
    name,
    caption: (own) => html`<span class="tally">${plural(own.length, "check")}</span>`,
    kind: () => name,
    cells: (cell) => html`<td class="seen">${describeSeen(cell.seen)}</td>`,
  });
}
