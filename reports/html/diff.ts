import type { Change, Comparison, OneSided } from "../../harness/compare/comparison.ts";
import type { Status } from "../../harness/result.ts";
import {
  describeMeaning,
  describeSeen,
  describeVerdict,
  diffExitCode,
  enforcement,
  nameCell,
  shorten,
  versionRows,
} from "../diff.ts";
import { plural } from "../text.ts";
import { html, type Html } from "./escape.ts";
import { renderLists } from "./list.ts";
import { sign } from "./marks.ts";
import { renderPage } from "./shell.ts";

/** A comparison as one HTML file in the design of a run's report; it needs no script. */
export function formatDiffHtml(comparison: Comparison): string {
  const { changes, added, removed, before, after } = comparison;
  const status: Status = diffExitCode(comparison) === 0 ? "passed" : "failed";
  const unexpected = changes.filter(({ known }) => known === undefined);
  const known = changes.filter((change) => change.known !== undefined);
  const parts: [string, string, Html][] = [
    ["unexpected", `Unexpected changes (${unexpected.length})`, renderChanges(unexpected)],
    ["known", `Known changes (${known.length})`, renderChanges(known)],
    ["removed", `Removed checks (${removed.length})`, renderOneSided(removed)],
    ["added", `Added checks (${added.length})`, renderOneSided(added)],
  ];
  const shown = parts.filter(([id]) => ({ unexpected, known, removed, added })[id as "known"].length > 0);
  const time = enforcement(comparison);
  const body = html`<a class="skip" href="#results">Skip to the changes</a>
    <header class="top">
      <h1 class="${status}">
        <span class="product">meshproof diff</span> ${sign(status)} <span>${describeVerdict(comparison)}</span>
      </h1>
      <dl class="versions">
        ${versionRows(comparison).map(
          ([name, old, fresh, differs]) =>
            html`<div>
              <dt>${name}</dt>
              <dd>${differs ? html`${old} → <b>${fresh}</b>` : old}</dd>
            </div>`,
        )}
      </dl>
    </header>
    <div class="columns">
      <nav class="contents" aria-label="Changes">
        <ol>
          ${shown.map(([id, title]) => html`<li><a href="#${id}">${title}</a></li>`)}
        </ol>
      </nav>
      <main id="results" tabindex="-1" class="diff">
        <p>
          From run <b>${before.run}</b> (${before.cluster}, ${plural(before.checks, "check")}) to run
          <b>${after.run}</b> (${after.cluster}, ${plural(after.checks, "check")}): ${comparison.same} are the
          same${comparison.unjudged > 0 && `, ${comparison.unjudged} were judged on neither side`}.
          ${time !== undefined && `Enforced ${time}.`}
        </p>
        ${shown.map(
          ([id, title, content]) =>
            html`<section id="${id}">
              <h2>${title}</h2>
              ${content}
            </section>`,
        )}
      </main>
    </div>`;
  return renderPage({ title: `${describeVerdict(comparison)} – meshproof diff`, status, body });
}

function renderChanges(changes: readonly Change[]): Html {
  return renderLists(changes, {
    head: ["before", "after", "why"],
    caption: (own) => html`<span class="tally">${plural(own.length, "change")}</span>`,
    row: (change) =>
      html`<tr>
        <th scope="row">${nameCell(change)}</th>
        <td class="seen">${describeSeen(change.before, change)}</td>
        <td class="seen differs ${change.known === undefined ? "failed" : "known-failure"}">
          ${describeSeen(change.after, change)}
        </td>
        <td class="request">${renderWhy(change)}</td>
      </tr> `,
  });
}

function renderWhy(change: Change): Html {
  if (change.known !== undefined) return html`${change.known.sentence} (${change.known.source})`;
  const meaning = describeMeaning(change);
  const reason = change.after.reason ?? (change.before.reason && `before: ${change.before.reason}`);
  return html`${meaning !== undefined && html`<b>${meaning}</b>. `}${reason !== undefined && shorten(reason, 400)}`;
}

function renderOneSided(cells: readonly OneSided[]): Html {
  return renderLists(cells, {
    caption: (own) => html`<span class="tally">${plural(own.length, "check")}</span>`,
    row: (cell) =>
      html`<tr>
        <th scope="row">${nameCell(cell)}</th>
        <td class="seen">${describeSeen(cell.seen)}</td>
      </tr> `,
  });
}
