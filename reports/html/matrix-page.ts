import {
  matrixExitCode,
  STATES,
  type Matrix,
  type MatrixCell,
  type MatrixColumn,
  type MatrixRow,
  type State,
} from "../../harness/model/matrix.ts";
import type { Status } from "../../harness/model/result.ts";
import { nameCell, shorten } from "../diff.ts";
import { provenBy } from "../groups.ts";
import { groupRows, summarize, wordsOf } from "../matrix/text.ts";
import {
  cellsOf,
  countStates,
  describeMatrix,
  describeSince,
  detailsOf,
  nameColumn,
  nameColumns,
  notesOfMatrix,
  shareOf,
  skippedOf,
  STATE_WORDS,
  type Detail,
} from "../matrix/words.ts";
import { prepareData } from "../prepare.ts";
import { plural } from "../text.ts";
import { html, type Html } from "./escape.ts";
import { renderContents, renderNoScript, renderNothing, renderTop } from "./frame.ts";
import { wordOf } from "./list.ts";
import { sign } from "./marks.ts";
import { renderPage } from "./shell.ts";

type LinkTo = (run: MatrixColumn["runs"][number]) => string;

/** Whose colour and sign a state has. */
const STATUS_OF: Readonly<Record<State, Status>> = {
  ...{ passed: "passed", failed: "failed", flaky: "flaky", error: "error", skipped: "skipped" },
  ...{ known: "known-failure", "not-run": "skipped" },
};

/** So many lines of a scenario are shown; the JSON has all. */
const LINES = 40;

/**
 * Renders scenarios and versions as one HTML file in the design of a run's report; without a script it shows everything and has no filters.
 * @param linkTo returns the URL of a run's report, relative to the page
 */
export function formatMatrixHtml(found: Matrix, linkTo: LinkTo): string {
  const matrix = prepareData(found);
  const { rows } = matrix;
  const code = matrixExitCode(matrix);
  const status: Status = code === 0 ? "passed" : code === 1 ? "failed" : "error";
  const groups = groupRows(matrix);
  const skipped = skippedOf(matrix);
  const page = {
    matrix,
    details: Map.groupBy(detailsOf(matrix), ({ scenario }) => scenario),
    anchors: anchorsOf(rows),
  };
  const kinds = rows.map((row) => kindsOf(row, page));
  const body = html`<a class="skip" href="#results">Skip to the scenarios</a>
    ${renderTop({
      product: "meshproof matrix",
      status,
      verdict: describeMatrix(matrix),
      filter: {
        name: "state",
        label: "Show only scenarios with a version in which they are",
        kinds: [...STATES, "changed" as const].map((kind) => ({
          kind,
          words: kind === "changed" ? "changed" : STATE_WORDS[kind],
          count: kinds.filter((own) => own.includes(kind)).length,
          status: kind === "changed" ? "known-failure" : STATUS_OF[kind],
        })),
      },
      facts: [],
    })}
    <div class="columns">
      ${renderContents({
        label: "Matrix",
        filtered: { one: "scenario", count: rows.length },
        entries: html`<li class="part"><a href="#versions">Versions</a></li>
          <li class="part"><a href="#features">Features</a></li>
          ${groups.map(
            ([name, own]) =>
              html`<li data-for="${anchorOfGroup(name)}">
                <a href="#${anchorOfGroup(name)}"
                  ><span class="id">${nameGroup(name)}</span><span class="ratio">${own.length}</span></a
                >
              </li>`,
          )}
          ${skipped.length > 0 && html`<li class="part"><a href="#skipped">What was skipped</a></li>`}`,
      })}
      <main id="results" tabindex="-1" class="diff grid">
        <section id="versions">
          <h2>Versions</h2>
          ${notesOfMatrix(matrix).map((note) => html`<p class="note">${note}</p>`)} ${renderVersions(matrix, linkTo)}
        </section>
        <section id="features">
          <h2>Features</h2>
          <p class="aside">
            Each cell shows how many checks passed, of how many. Open a scenario below its row for what did not pass or
            changed.
          </p>
          ${groups.map(([name, own]) => renderFeature(name, own, page))} ${renderNothing("scenario")}
        </section>
        ${skipped.length > 0 && renderSkipped(page, skipped)}
      </main>
    </div>
    ${renderNoScript("Filters need JavaScript; all scenarios are shown.")}`;
  return renderPage({ title: `${describeMatrix(matrix)} – meshproof matrix`, status, body });
}

interface PageData {
  readonly matrix: Matrix;
  readonly details: ReadonlyMap<string, readonly Detail[]>;
  /** By scenario; names that look alike as an anchor have a number. */
  readonly anchors: ReadonlyMap<string, string>;
}

function anchorsOf(rows: readonly MatrixRow[]): Map<string, string> {
  const used = new Map<string, number>();
  return new Map(
    rows.map(({ scenario }) => {
      const word = wordOf(scenario);
      const count = (used.get(word) ?? 0) + 1;
      used.set(word, count);
      return [scenario, count === 1 ? word : `${word}~${count}`];
    }),
  );
}

const nameGroup = (name: string): string => (name === "" ? "other scenarios" : name);
const anchorOfGroup = (name: string): string => `feature-${wordOf(name)}`;

function kindsOf({ scenario, cells }: MatrixRow, { details }: PageData): string[] {
  const changed = details.get(scenario)?.some(({ kind }) => kind === "changed") === true;
  return [...new Set(cells.map(({ state }) => state)), ...(changed ? ["changed"] : [])];
}

function renderVersions(matrix: Matrix, linkTo: LinkTo): Html {
  const counted = matrix.columns.map((_, index) => countStates(cellsOf(matrix, index)));
  const present = STATES.filter((state) => counted.some((counts) => counts[state] > 0));
  return html`<figure class="matrix list">
    <div class="scroll">
      <table class="numbers">
        <thead>
          <tr>
            <td></td>
            <th scope="col">newest run</th>
            ${present.map((state) => html`<th scope="col" class="number">${STATE_WORDS[state]}</th>`)}
          </tr>
        </thead>
        <tbody>
          ${matrix.columns.map((column, index) => {
            const { versions, runs, interrupted } = column;
            const run = runs.at(-1);
            return html`<tr>
              <th scope="row">
                ${nameColumn(column)}
                ${versions.kubernetes !== undefined && html`<span class="title">Kubernetes ${versions.kubernetes}</span>`}
              </th>
              <td class="request run">
                ${run === undefined ? "none" : html`<a href="${linkTo(run)}">${run.run}</a>`}
                ${interrupted === true && "(interrupted)"}
                ${runs.length > 1 && html`<span class="size">of ${plural(runs.length, "run")} since ${runs[0]?.startedAt.slice(0, 10)}</span>`}
              </td>
              ${present.map((state) => {
                const count = counted[index]![state];
                const bad = count > 0 && (state === "failed" || state === "flaky" || state === "error");
                return html`<td class="number ${bad && "failed"}">${count}</td>`;
              })}
            </tr> `;
          })}
        </tbody>
      </table>
    </div>
  </figure>`;
}

/** The columns' names above the cells; neighbours with the same Istio share its name. */
function renderHead({ matrix: { columns } }: PageData, corner: string): Html {
  const stretches: { istio: string; span: number }[] = [];
  for (const { versions } of columns) {
    const istio = versions.istio ?? "?";
    const last = stretches.at(-1);
    if (last?.istio === istio) last.span += 1;
    else stretches.push({ istio, span: 1 });
  }
  return html`<thead>
    <tr>
      <td class="corner" rowspan="2">${corner}</td>
      ${stretches.map(({ istio, span }) => html`<th scope="colgroup" colspan="${span}"><span>Istio</span> ${istio}</th>`)}
    </tr>
    <tr>
      ${columns.map(({ versions }) => html`<th scope="col"><span>Envoy</span> ${versions.envoy ?? "–"}</th>`)}
    </tr>
  </thead>`;
}

function renderFeature(name: string, rows: readonly MatrixRow[], page: PageData): Html {
  const { columns } = page.matrix;
  const proven = provenBy(name);
  return html`<figure class="matrix" id="${anchorOfGroup(name)}" data-group data-words="${name}">
    <figcaption>
      <h3>${nameGroup(name)}</h3>
      ${proven !== undefined && html`<p>${proven}</p>`}
    </figcaption>
    <div class="scroll">
      <table>
        ${renderHead(page, plural(rows.length, "scenario"))}
        <tbody class="sum">
          <tr>
            <th scope="row">passed or known, of those that ran</th>
            ${columns.map((_, index) => {
              const { state, words } = summarize(rows, index);
              return html`<td class="${STATUS_OF[state]}">${sign(STATUS_OF[state])}${words}</td>`;
            })}
          </tr>
        </tbody>
        ${rows.map((row) => renderRow(row, page))}
      </table>
    </div>
  </figure>`;
}

function renderRow(row: MatrixRow, page: PageData): Html {
  const { scenario, title, cells } = row;
  const { columns } = page.matrix;
  const anchor = page.anchors.get(scenario) ?? "";
  const details = page.details.get(scenario) ?? [];
  return html`<tbody data-kinds="${kindsOf(row, page).join(" ")}" data-tags="${row.tags.join(" ")}" data-find>
    <tr>
      <th scope="row">
        <span class="id">${scenario.slice(scenario.lastIndexOf("/") + 1)}</span><span class="title">${title}</span>
      </th>
      ${cells.map((cell, index) => {
        const { state } = cell;
        const aim = state === "skipped" ? "skipped" : details.length > 0 ? anchor : undefined;
        const shown = renderShare(cell, columns[index]!);
        return html`<td class="${STATUS_OF[state]}">
          ${aim === undefined ? html`<span class="share">${shown}</span>` : html`<a href="#${aim}">${shown}</a>`}
        </td>`;
      })}
    </tr>
    ${details.length > 0 && renderDetails(details, anchor, page)}
  </tbody>`;
}

/** The sign and the share for the eye, and the state in words for a screen reader. */
function renderShare(cell: MatrixCell, column: MatrixColumn): Html {
  const { state, of } = cell;
  const since = describeSince(cell, column);
  return html`${state === "not-run" ? html`<span class="mark" aria-hidden="true">·</span>` : sign(STATUS_OF[state])}
  ${of !== undefined && html`<span>${shareOf(cell)}</span>`}
  ${state !== "passed" && html`<span class="unseen">${STATE_WORDS[state]}</span>`}
  ${since !== undefined && html`<span class="by">${since}</span>`}`;
}

function renderDetails(details: readonly Detail[], anchor: string, { matrix }: PageData): Html {
  const isUnknown = ({ kind, change }: Detail): boolean =>
    kind === "failed" || kind === "flaky" || kind === "error" || (change !== undefined && change.known === undefined);
  const changed = details.filter(({ kind }) => kind === "changed").length;
  const counts = [
    ...(details.length > changed ? [`${plural(details.length - changed, "check")} did not pass`] : []),
    ...(changed > 0 ? [`${plural(changed, "change")} between versions`] : []),
  ];
  return html`<tr class="details">
    <td colspan="${matrix.columns.length + 1}">
      <details id="${anchor}" ${details.some(isUnknown) && html` open`}>
        <summary>${counts.join(", ")}</summary>
        <ul>
          ${details.slice(0, LINES).map((detail) => {
            const { what, where, why } = wordsOf(matrix, detail);
            const status =
              detail.kind !== "changed"
                ? STATUS_OF[detail.kind]
                : detail.change?.known === undefined
                  ? "failed"
                  : "known-failure";
            return html`<li>
              <span class="${status}"
                >${detail.kind === "changed" ? html`<span class="mark" aria-hidden="true">≠</span>` : sign(status)}</span
              >
              <b>${nameCell(detail)}</b> ${what}<span class="aside"
                >${detail.kind === "changed" && "between "}${where}</span
              >
              ${why !== undefined && html`<p>${shorten(why, 600)}</p>`}
            </li> `;
          })}
        </ul>
        ${details.length > LINES && html`<p class="size">${details.length - LINES} more are in matrix.json.</p>`}
      </details>
    </td>
  </tr>`;
}

function renderSkipped({ matrix }: PageData, skipped: ReturnType<typeof skippedOf>): Html {
  return html`<section id="skipped">
    <h2>What was skipped</h2>
    ${skipped.map(
      ({ because, where, scenarios }) =>
        html`<details class="reason" open>
          <summary>
            <b>${nameColumns(matrix, where)}</b>: ${plural(scenarios.length, "scenario")}, since ${because}
          </summary>
          <p class="id">${scenarios.map(({ scenario }) => scenario).join(", ")}</p>
        </details>`,
    )}
  </section>`;
}
