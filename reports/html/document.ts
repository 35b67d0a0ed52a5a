import type { RunResult, ScenarioResult, Status } from "../../harness/model/result.ts";
import { count, outcomesOf, STATUSES, worstFirst } from "../outcome.ts";
import { prepare } from "../prepare.ts";
import { formatDuration, formatTime } from "../text.ts";
import { notesOf } from "../describe.ts";
import { html, raw, type Html } from "./escape.ts";
import { renderContents, renderNoScript, renderNothing, renderTop } from "./frame.ts";
import { groupsOf } from "../groups.ts";
import { renderGroup } from "./groups.ts";
import { copyable, mark, wordOf } from "./marks.ts";
import { renderScenario } from "./scenario.ts";
import { renderPage } from "./shell.ts";

/** From this number of scenarios on, the browser lays out only those in view. */
const manyScenarios = 60;

/** Renders the run as one HTML file without dependencies: see {@link renderPage}. */
export function formatHtml(result: RunResult): string {
  const prepared = prepare(result);
  const all = worstFirst(prepared.scenarios);
  const groups = groupsOf(all.filter(({ status }) => status === "passed"));
  const others = all.filter(({ status }) => status !== "passed");
  const scenarios = [...others, ...groups.flatMap(([, members]) => members)];
  const longestMs = Math.max(0, ...scenarios.flatMap(({ steps }) => steps.map(({ timing }) => timing.totalMs)));
  const page = { longestMs, onDemand: new Map<string, string>() };
  const body = html`<a class="skip" href="#results">Skip to the results</a>
    ${renderHead(prepared)} ${renderRun(prepared)}
    <div class="columns">
      ${renderScenarios(scenarios)}
      <main id="results" tabindex="-1" class="${scenarios.length > manyScenarios && "many"}">
        ${notesOf(prepared).map((note) => html`<p class="note">${note}</p>`)}
        ${others.map((scenario) => renderScenario(scenario, page))}
        ${groups.map(([name, members]) =>
          renderGroup(
            name,
            members.map((one) => renderScenario(one, page)),
          ),
        )}
        ${renderNothing("scenario")}
      </main>
    </div>
    ${renderNoScript("Details of answers that agree, filters and copying need JavaScript.")}
    ${renderOnDemand(page.onDemand)}`;
  return renderPage({ title: title(prepared), status: verdictOf(prepared).status, body });
}

/** Data for the page's script. JSON with every `<` escaped cannot end its script element (HTML, 13.2.5.4, script data). */
function renderOnDemand(markup: ReadonlyMap<string, string>): Html {
  const json = JSON.stringify(Object.fromEntries(markup)).replace(
    /[<\u2028\u2029]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
  return raw(`<script type="application/json" id="on-demand">${json}</script>`);
}

interface Verdict {
  readonly status: Status;
  readonly words: string;
}

function verdictOf({ counts, interrupted }: RunResult): Verdict {
  if (counts.failed + counts.flaky > 0) return { status: "failed", words: "Not conformant" };
  if (counts.error > 0 || interrupted === true) return { status: "error", words: "Not judged" };
  if (counts["known-failure"] > 0) return { status: "known-failure", words: "Conformant but for known failures" };
  return counts.passed === 0
    ? { status: "skipped", words: "Nothing was checked" }
    : { status: "passed", words: "Conformant" };
}

function title(result: RunResult): string {
  const { failed, flaky, error, passed } = result.counts;
  const bad = failed + flaky + error;
  return `${bad > 0 ? `${bad} failed` : `${passed} passed`}, ${result.id} – meshproof`;
}

function renderHead(result: RunResult): Html {
  const { status, words } = verdictOf(result);
  return renderTop({
    product: "meshproof",
    status,
    verdict: words,
    filter: {
      name: "status",
      label: "Show only scenarios with a check that",
      kinds: STATUSES.map((each) => ({
        kind: each,
        words: wordOf(each),
        count: result.counts[each],
        status: each,
      })),
    },
    facts: facts(result),
  });
}

function facts({ cluster, timing }: RunResult): [string, string][] {
  const { istio, envoy, kubernetes } = cluster.versions;
  return [
    ["Istio", istio],
    ["Envoy", envoy],
    ["Kubernetes", kubernetes],
    ["took", formatDuration(timing.totalMs)],
  ];
}

/** Cluster, time and command of the run in one line, and the digests on demand. */
function renderRun(result: RunResult): Html {
  const { cluster, timing } = result;
  const by = cluster.rootless === undefined ? "" : cluster.rootless ? ", rootless" : ", as root";
  const started = formatTime(result.startedAt);
  return html`<details class="run">
    <summary>
      <span>${cluster.kind} cluster${by}</span>
      <span><time datetime="${result.startedAt}">${started}</time></span>
      <span>first verdict after ${formatDuration(timing.firstVerdictMs)}</span>
      <span>run ${result.id}</span>
    </summary>
    <dl>
      <div>
        <dt>repeat</dt>
        <dd>${copyable(result.command)}</dd>
      </div>
      <div>
        <dt>times</dt>
        <dd>
          mesh ready ${formatDuration(timing.meshReadyMs)}, workloads ready ${formatDuration(timing.workloadsReadyMs)},
          first verdict ${formatDuration(timing.firstVerdictMs)}, end ${formatDuration(timing.totalMs)}
        </dd>
      </div>
      <div>
        <dt>tool</dt>
        <dd>${result.tool.name} ${result.tool.version}</dd>
      </div>
      ${Object.entries(cluster.digests).map(
        ([name, digest]) =>
          html`<div>
            <dt>${name}</dt>
            <dd><code>${digest}</code></dd>
          </div>`,
      )}
    </dl>
  </details>`;
}

function renderScenarios(scenarios: readonly ScenarioResult[]): Html {
  const tags = [...new Set(scenarios.flatMap((scenario) => scenario.tags))].sort();
  return renderContents({
    label: "Scenarios",
    filtered: { one: "scenario", count: scenarios.length, tags },
    entries: scenarios.map((scenario) => {
      const counts = count(outcomesOf(scenario));
      const total = Object.values(counts).reduce((sum, n) => sum + n, 0);
      const ratio = scenario.status === "skipped" ? "" : `${counts.passed}/${total}`;
      return html`<li data-for="${scenario.id}">
        <a href="#${encodeURI(scenario.id)}"
          >${mark(scenario.status)}<span class="id">${scenario.id}</span><span class="ratio">${ratio}</span></a
        >
      </li>`;
    }),
  });
}
