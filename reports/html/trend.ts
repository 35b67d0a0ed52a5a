import type { Status } from "../../harness/model/result.ts";
import type { Failing, Trend, TrendRun } from "../../harness/model/trend.ts";
import { shorten } from "../diff.ts";
import { prepareData } from "../prepare.ts";
import { formatDuration } from "../text.ts";
import { dayOf, describeNew, describeSince, describeTrend } from "../trend.ts";
import { html, type Html } from "./escape.ts";
import { renderContents, renderNoScript, renderNothing, renderTop } from "./frame.ts";
import { manyRows, renderListEntries, renderLists } from "./list.ts";
import { mark, signOf, wordOf } from "./marks.ts";
import { renderPage } from "./shell.ts";

/**
 * Renders a trend as one HTML file in the design of a run's report; without a script it shows everything and has no filters.
 * @param linkTo returns the URL of a run's report, relative to the page
 */
export function formatTrendHtml(found: Trend, linkTo: (run: TrendRun) => string): string {
  const trend = prepareData(found);
  const { runs, failing } = trend;
  const status: Status = failing.length === 0 ? "passed" : "failed";
  const bad = runs.map(({ counts }) => counts.failed + counts.flaky + counts.error);
  const seconds = (ms: number): string => formatDuration(ms);
  const body = html`<a class="skip" href="#results">Skip to the trend</a>
    ${renderTop({
      product: "meshproof trend",
      status,
      verdict: describeTrend(trend),
      filter: {
        name: "status",
        label: "Show only checks that are now",
        kinds: (["failed", "flaky", "error"] as const).map((kind) => ({
          kind,
          words: wordOf(kind),
          count: failing.filter((each) => each.status === kind).length,
          status: kind,
        })),
      },
      facts: [],
    })}
    <div class="columns">
      ${renderContents({
        label: "Trend",
        ...(failing.length === 0 ? {} : { filtered: { one: "check", count: failing.length } }),
        entries: html`<li class="part"><a href="#failing">Failing since when</a></li>
          ${renderListEntries("failing", failing)}
          <li class="part"><a href="#counts">Checks that did not pass</a></li>
          <li class="part"><a href="#enforced">Time to enforce</a></li>
          <li class="part"><a href="#runs">Runs</a></li>`,
      })}
      <main id="results" tabindex="-1" class="diff ${failing.length > manyRows && "many"}">
        <section id="failing">
          <h2>Failing since when</h2>
          ${failing.length === 0 ? html`<p>Nothing fails.</p>` : renderFailing(failing, runs)} ${renderNothing("check")}
        </section>
        <section id="counts">
          <h2>Checks that did not pass</h2>
          ${drawPlot("Checks that failed, flaked or were in error, run by run", runs, [{ name: "did not pass", values: bad }], String, true)}
        </section>
        <section id="enforced">
          <h2>Time to enforce</h2>
          <p class="aside">From the end of apply to the first of the final answers, over the checks that agreed.</p>
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
    </div>
    ${renderNoScript("Filters need JavaScript; all checks are shown.")}`;
  return renderPage({ title: `${describeTrend(trend)} – meshproof trend`, status, body });
}

function renderFailing(failing: readonly Failing[], runs: readonly TrendRun[]): Html {
  return renderLists(failing, {
    name: "failing",
    head: [["since"], [`last ${Math.min(SHOWN, runs.length)} runs`, "signs"], ["why"]],
    kind: ({ status }) => status,
    cells: (each) =>
      html`<td class="request" data-label="now">${mark(each.status)}${describeSince(each)}</td>
        <td class="history" data-label="runs">${renderHistory(each.history.slice(-SHOWN))}</td>
        <td class="request" data-label="why">${each.reason !== undefined && shorten(each.reason, 400)}</td>`,
  });
}

/** One sign per run; equal neighbours are one text node, so that pages with thousands of rows stay fast. */
function renderHistory(history: Failing["history"]): Html {
  const stretches: { status: Status | "absent"; count: number }[] = [];
  for (const status of history) {
    const last = stretches.at(-1);
    if (last?.status === status) last.count += 1;
    else stretches.push({ status, count: 1 });
  }
  const words = stretches.map(({ status, count }) => `${count} ${status === "absent" ? "without it" : wordOf(status)}`);
  return html`<span class="unseen">${words.join(", ")}</span>${stretches.map(
      ({ status, count }) =>
        html`<span class="${status}" aria-hidden="true"
          >${status === "absent" ? "·".repeat(count) : signOf(status).repeat(count)}</span
        >`,
    )}`;
}

/** How many runs of a check's history fit beside it. */
const SHOWN = 14;

function renderRuns(runs: readonly TrendRun[], linkTo: (run: TrendRun) => string): Html {
  return html`<figure class="matrix list">
    <div class="scroll">
      <table class="numbers">
        <thead>
          <tr>
            <td></td>
            <th scope="col">started</th>
            ${["passed", "failed", "flaky", "error", "enforced", "95 %"].map(
              (name) => html`<th scope="col" class="number">${name}</th>`,
            )}
            <th scope="col">what is new</th>
          </tr>
        </thead>
        <tbody>
          ${runs
            .map((run, index) => {
              const { counts, enforced } = run;
              const times = [enforced?.medianMs, enforced?.p95Ms];
              return html`<tr>
                <th scope="row">
                  <a href="${linkTo(run)}">${run.run}</a>${run.interrupted === true && " (interrupted)"}
                </th>
                <td class="number">${run.startedAt.slice(0, 16).replace("T", " ")}</td>
                <td class="number">${counts.passed}</td>
                ${[counts.failed, counts.flaky, counts.error].map(
                  (n) => html`<td class="number ${n > 0 && "failed"}">${n}</td>`,
                )}
                ${times.map((ms) => html`<td class="number">${ms === undefined ? "–" : formatDuration(ms)}</td>`)}
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
  /** One value per run; undefined if the run has none. */
  readonly values: readonly (number | undefined)[];
  readonly dashed?: boolean;
}

const WIDTH = 720;
const HEIGHT = 200;
const LEFT = 70;
const RIGHT = 20;
const TOP = 24;
const BOTTOM = 28;

/** Draws lines over the runs, from 0 up, with a labelled point per run. Uses attributes, because the page's CSP allows no styles. */
function drawPlot(
  label: string,
  runs: readonly TrendRun[],
  series: readonly Series[],
  format: (value: number) => string,
  bad = false,
): Html {
  const most = Math.max(1, ...series.flatMap(({ values }) => values.flatMap((value) => value ?? [])));
  const x = (index: number): number =>
    Math.round(LEFT + (runs.length === 1 ? 0.5 : index / (runs.length - 1)) * (WIDTH - LEFT - RIGHT));
  const y = (value: number): number => Math.round(HEIGHT - BOTTOM - (value / most) * (HEIGHT - TOP - BOTTOM));
  const lines = [0, most / 2, most].filter((value) => !Number.isInteger(most) || Number.isInteger(value) || most > 50);
  return html`<div class="scroll">
    <svg
      class="plot ${bad && "bad"}"
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
    </svg>
  </div>`;
}
