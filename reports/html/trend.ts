import type { Status } from "../../harness/result.ts";
import type { Failing, Trend, TrendRun } from "../../harness/trend/types.ts";
import { nameCell } from "../diff.ts";
import { formatDuration } from "../text.ts";
import { dayOf, describeNew, describeSince, describeTrend } from "../trend.ts";
import { html, type Html } from "./escape.ts";
import { renderLists } from "./list.ts";
import { mark, sign } from "./marks.ts";
import { renderPage } from "./shell.ts";

/**
 * A trend as one HTML file in the design of a run's report; it needs no script.
 * @param linkTo gives the address of a run's report, relative to the page
 */
export function formatTrendHtml(trend: Trend, linkTo: (run: TrendRun) => string): string {
  const { runs, failing } = trend;
  const status: Status = failing.length === 0 ? "passed" : "failed";
  const bad = runs.map(({ counts }) => counts.failed + counts.flaky + counts.error);
  const seconds = (ms: number): string => formatDuration(ms);
  const body = html`<a class="skip" href="#results">Skip to the trend</a>
    <header class="top">
      <h1 class="${status}">
        <span class="product">meshproof trend</span> ${sign(status)} <span>${describeTrend(trend)}</span>
      </h1>
    </header>
    <div class="columns">
      <nav class="contents" aria-label="Trend">
        <ol>
          <li><a href="#failing">Failing since when</a></li>
          <li><a href="#counts">Checks that did not pass</a></li>
          <li><a href="#enforced">Time to enforce</a></li>
          <li><a href="#runs">Runs</a></li>
        </ol>
      </nav>
      <main id="results" tabindex="-1" class="diff">
        <section id="failing">
          <h2>Failing since when</h2>
          ${failing.length === 0 ? html`<p>Nothing fails.</p>` : renderFailing(failing, runs)}
        </section>
        <section id="counts">
          <h2>Checks that did not pass</h2>
          ${drawPlot("Checks that failed, flaked or were in error, run by run", runs, [{ name: "did not pass", values: bad }], String)}
        </section>
        <section id="enforced">
          <h2>Time to enforce</h2>
          <p>From the end of apply to the first of the final answers, over the checks that agreed.</p>
          ${drawPlot(
            "Median and 95th percentile of the time to enforce, run by run",
            runs,
            [
              { name: "95th percentile", values: runs.map(({ enforced }) => enforced?.p95Ms), dashed: true },
              { name: "median", values: runs.map(({ enforced }) => enforced?.medianMs) },
            ],
            seconds,
          )}
        </section>
        <section id="runs">
          <h2>Runs</h2>
          ${renderRuns(runs, linkTo)} ${trend.leftOut.map((line) => html`<p class="note">left out: ${line}</p>`)}
        </section>
      </main>
    </div>`;
  return renderPage({ title: `${describeTrend(trend)} – meshproof trend`, status, body });
}

function renderFailing(failing: readonly Failing[], runs: readonly TrendRun[]): Html {
  return renderLists(failing, {
    head: ["since", `last ${Math.min(SHOWN, runs.length)} runs`, "why"],
    row: (each) =>
      html`<tr>
        <th scope="row">${nameCell(each)}</th>
        <td class="request">${mark(each.status)}${describeSince(each)}</td>
        <td>${each.history.slice(-SHOWN).map((one) => (one === "absent" ? html`· ` : html`${mark(one)} `))}</td>
        <td class="request">${each.reason?.slice(0, 400)}</td>
      </tr> `,
  });
}

/** So many runs of a check's history fit beside it. */
const SHOWN = 14;

function renderRuns(runs: readonly TrendRun[], linkTo: (run: TrendRun) => string): Html {
  return html`<figure class="matrix list">
    <div class="scroll">
      <table>
        <thead>
          <tr>
            <td></td>
            ${["started", "passed", "failed", "flaky", "error", "enforced", "95 %", "what is new"].map(
              (name) => html`<th scope="col">${name}</th>`,
            )}
          </tr>
        </thead>
        <tbody>
          ${runs
            .map((run, index) => {
              const { counts, enforced } = run;
              const times = [enforced?.medianMs, enforced?.p95Ms];
              return html`<tr>
                <th scope="row"><a href="${linkTo(run)}">${run.run}</a></th>
                <td class="request">${run.startedAt.slice(0, 16).replace("T", " ")}</td>
                ${[counts.passed, counts.failed, counts.flaky, counts.error].map((n) => html`<td class="request">${n}</td>`)}
                ${times.map((ms) => html`<td class="request">${ms === undefined ? "–" : formatDuration(ms)}</td>`)}
                <td class="request">${describeNew(run, runs[index - 1])}</td>
              </tr> `;
            })
            .reverse()}
        </tbody>
      </table>
    </div>
  </figure>`;
}

interface Series {
  readonly name: string;
  /** One for each run; undefined where it has none. */
  readonly values: readonly (number | undefined)[];
  readonly dashed?: boolean;
}

const WIDTH = 720;
const HEIGHT = 200;
const LEFT = 70;
const RIGHT = 20;
const TOP = 24;
const BOTTOM = 28;

/** Lines over runs, from 0 up, with a point for each run that tells its value. Presentation by attributes: the page's policy allows no style. */
function drawPlot(
  label: string,
  runs: readonly TrendRun[],
  series: readonly Series[],
  format: (value: number) => string,
): Html {
  const most = Math.max(1, ...series.flatMap(({ values }) => values.flatMap((value) => value ?? [])));
  const x = (index: number): number =>
    Math.round(LEFT + (runs.length === 1 ? 0.5 : index / (runs.length - 1)) * (WIDTH - LEFT - RIGHT));
  const y = (value: number): number => Math.round(HEIGHT - BOTTOM - (value / most) * (HEIGHT - TOP - BOTTOM));
  const lines = [0, most / 2, most].filter((value) => !Number.isInteger(most) || Number.isInteger(value) || most > 50);
  return html`<svg
    viewBox="0 0 ${WIDTH} ${HEIGHT}"
    width="${WIDTH}"
    height="${HEIGHT}"
    role="img"
    aria-label="${label}"
    font-size="12"
    fill="currentColor"
  >
    ${lines.map(
      (value) =>
        html`<line
            x1="${LEFT}"
            x2="${WIDTH - RIGHT}"
            y1="${y(value)}"
            y2="${y(value)}"
            stroke="currentColor"
            stroke-opacity="0.2"
          /><text x="${LEFT - 8}" y="${y(value) + 4}" text-anchor="end">${format(value)}</text>`,
    )}
    ${series.map(
      ({ values, dashed, name }, n) =>
        html`<polyline
            points="${values.flatMap((value, i) => (value === undefined ? [] : [`${x(i)},${y(value)}`])).join(" ")}"
            fill="none"
            stroke="currentColor"
            stroke-width="2"
            ${dashed === true && html` stroke-dasharray="4 4"`}
          />
          ${values.map(
            (value, i) =>
              value !== undefined &&
              html`<circle cx="${x(i)}" cy="${y(value)}" r="3.5">
                <title>${runs[i]?.run}: ${name} ${format(value)}</title>
              </circle>`,
          )}
          ${
            series.length > 1 &&
            html`<line
                x1="${LEFT + n * 160}"
                x2="${LEFT + n * 160 + 28}"
                y1="9"
                y2="9"
                stroke="currentColor"
                stroke-width="2"
                ${dashed === true && html` stroke-dasharray="4 4"`}
              /><text x="${LEFT + n * 160 + 36}" y="13">${name}</text>`
          }`,
    )}
    <text x="${LEFT}" y="${HEIGHT - 8}">${dayOf(runs[0]?.startedAt ?? "")}</text>
    <text x="${WIDTH - RIGHT}" y="${HEIGHT - 8}" text-anchor="end">${dayOf(runs.at(-1)?.startedAt ?? "")}</text>
  </svg>`;
}
