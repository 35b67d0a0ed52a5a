import type { AppliedObject, ScenarioResult, Status, StepResult } from "../../harness/model/result.ts";
import { outcomesOf, policiesInForce, type Outcome } from "../outcome.ts";
import { formatDuration, plural } from "../text.ts";
import { describeForce, describeMesh, describeObject, repeatOf } from "../describe.ts";
import { renderAdmission, renderAsked, renderCheck } from "./check.ts";
import { describeChange, describeNotApplied } from "../policy-words.ts";
import { drawFingerprint, drawTiming } from "./drawing.ts";
import { html, lines, type Html } from "./escape.ts";
import { copyable, mark, sign, wordOf } from "./marks.ts";
import { renderList, renderMatrix, type CellView } from "./matrix.ts";

/** How many kinds of differing checks of a step are open; the others show their summary. */
const openChecks = 3;

/** Data of the whole page. */
export interface Page {
  /** The duration of the longest step of the run, the scale of all timing bars. */
  readonly longestMs: number;
  /** Details of agreeing checks by their anchor: markup that the page's script inserts on demand. */
  readonly onDemand: Map<string, string>;
}

/** Renders a scenario as a section that is open unless it passed or was skipped. */
export function renderScenario(scenario: ScenarioResult, page: Page): Html {
  const outcomes = outcomesOf(scenario);
  const { status } = scenario;
  const present = [...new Set([status, ...outcomes.map((outcome) => outcome.status)])];
  const open = status !== "passed" && status !== "skipped";
  return html`<details
    class="scenario ${status}"
    id="${scenario.id}"
    data-kinds="${present.join(" ")}"
    data-tags="${scenario.tags.join(" ")}"
    ${open && html` open`}
  >
    <summary>
      ${mark(status)}<span class="heading"
        ><h2 data-find>${scenario.title}</h2>
        <span class="id" data-find>${scenario.id}</span></span
      >${drawFingerprint(scenario.steps)}<span class="tally">${tally(outcomes)}</span>
    </summary>
    <div class="inside">
      ${scenario.reason !== undefined && html`<p class="reason ${status}" data-find><b>${capitalize(wordOf(status))}.</b> ${scenario.reason}</p>`}
      <p class="facts">
        <span>${scenario.level}</span><span data-find>${scenario.source}</span
        ><span>mesh: ${describeMesh(scenario.mesh)}</span
        ><span class="place">${scenario.position.file}:${scenario.position.line}</span
        >${scenario.tags.map((tag) => html`<span class="tag">${tag}</span>`)}<span>${formatDuration(scenario.durationMs)}</span>${copyable(repeatOf(scenario))}
      </p>
      ${
        scenario.diagnostics !== undefined &&
        html`<p class="facts">
          ${scenario.diagnostics.map((folder) => html`<a href="./${encodeURI(folder)}/collected.txt">${folder}</a>`)}
        </p>`
      }
      ${scenario.steps.map((step, index) => renderStep(scenario, step, index, outcomes, page))}
    </div>
  </details> `;
}

function renderStep(
  scenario: ScenarioResult,
  step: StepResult,
  index: number,
  all: readonly Outcome[],
  page: Page,
): Html {
  const id = `${scenario.id}/${index + 1}`;
  const outcomes = all.filter((outcome) => outcome.step === step);
  const cells = cellsOf(step, id);
  // A passed scenario is closed as a whole; when opened, it shows everything.
  const { status } = step;
  const open = scenario.status === "passed" || status !== "passed";
  const first = firstOfKind(cells);
  const shown = cells.flatMap((cell) => {
    const agrees = cell.status === "passed";
    const check = renderCheck(cell.check, { id: cell.id, status: cell.status, open: agrees || first.includes(cell) });
    if (agrees) page.onDemand.set(cell.id, check.markup);
    return agrees ? [] : [check];
  });
  const asked = step.asked.map((each, n) => {
    return renderAsked(each, { id: `${id}.a${n + 1}`, status: each.status, open: true });
  });
  const admission = (step.admission ?? []).map((each, n) => {
    return renderAdmission(each, { id: `${id}.s${n + 1}`, status: each.status, open: true });
  });
  return html`<details class="step ${status}" id="${id}" ${open && html` open`}>
    <summary>
      <span class="number">${index + 1}</span>
      <h3 data-find>${step.name}</h3>
      ${drawFingerprint([step])}
      <span class="tally">${status !== "passed" && sign(status)}${tally(outcomes)}</span>
    </summary>
    <div class="inside">
      ${renderPolicies(scenario, step, index)}
      ${step.matrices.map((matrix, n) =>
        renderMatrix(
          matrix,
          cells.filter(({ check }) => check.cell?.matrix === n),
        ),
      )}
      ${renderSingles(cells.filter(({ check }) => check.cell === undefined))}
      <div class="checks">${shown}${asked}${admission}</div>
      ${renderTiming(step, page.longestMs)}
    </div>
  </details>`;
}

function renderSingles(cells: readonly CellView[]): Html {
  return cells.length === 0 ? html`` : renderList(cells);
}

function cellsOf(step: StepResult, id: string): CellView[] {
  return step.checks.map((check, n) => ({ check, id: `${id}.${n + 1}`, status: check.status }));
}

/** The first differing check of each kind (same answer, same reason), which stands for all of its kind. */
function firstOfKind(cells: readonly CellView[]): CellView[] {
  const kinds = new Map<string, CellView>();
  for (const cell of cells) {
    const { expected, got, findings } = cell.check;
    const kind = JSON.stringify([cell.status, expected.status, expected.by, got.status, got.by, findings]);
    if (cell.status !== "passed" && !kinds.has(kind)) kinds.set(kind, cell);
  }
  return [...kinds.values()].slice(0, openChecks);
}

/** The objects that this step changed, with their YAML, and the policies of earlier steps that are still in force. */
function renderPolicies(scenario: ScenarioResult, step: StepResult, index: number): Html {
  const earlier = policiesInForce(scenario, step).filter((policy) => policy.step !== index);
  if (step.objects.length + earlier.length === 0) return html`<p class="policies none">No policy is applied.</p>`;
  return html`<div class="policies">
    ${step.objects.map(renderObject)}${(step.notApplied ?? []).map(
      (one) =>
        html`<p class="object">
          <span class="verb">not applied</span><span class="what" data-find>${describeNotApplied(one)}</span>
        </p>`,
    )}${earlier.map(
      ({ object, step: from }) =>
        html`<p class="object">
          <span class="verb">in force</span>
          <span class="what"
            >${object.kind} <b>${where(object)}</b>
            <span class="force">since <a href="#${encodeURI(scenario.id)}/${from + 1}">step ${from + 1}</a></span></span
          >
        </p>`,
    )}
  </div>`;
}

/** An object with its state in one line and its YAML on demand. */
export function renderObject(object: AppliedObject): Html {
  const strange = object.findings === undefined ? "" : " strange";
  return html`<details class="object${strange}">
    <summary>
      <span class="verb">${object.verb}</span>
      <span class="what"
        ><span data-find>${object.kind} <b>${where(object)}</b></span>
        <span class="force">${describeState(object)}</span></span
      >
    </summary>
    <p class="facts">
      <span class="place">${placeOf(object)}</span>${[...renderProxies(object), ...renderChanges(object)]}
    </p>
    <pre tabindex="0" aria-label="${describeObject(object)}">${lines(object.yaml)}</pre>
  </details>`;
}

function describeState(object: AppliedObject): string {
  const { changes = [] } = object;
  const changed = changes.length > 0 ? `, ${plural(changes.length, "change")} by meshproof` : "";
  return `${describeForce(object)}${changed}`;
}

/** With the line, where the file is the user's own. */
function placeOf({ file, line, changes }: AppliedObject): string {
  return changes === undefined ? file : `${file}:${line}`;
}

function renderProxies({ proxies }: AppliedObject): Html[] {
  return proxies.length === 0
    ? []
    : [html`<span>${plural(proxies.length, "proxy", "proxies")}: ${proxies.join(", ")}</span>`];
}

function renderChanges({ changes = [] }: AppliedObject): Html[] {
  return changes.map((change) => html`<span data-find>changed: ${describeChange(change)}</span>`);
}

function where(object: AppliedObject): string {
  return object.namespace === "" ? object.name : `${object.namespace}/${object.name}`;
}

function renderTiming(step: StepResult, longestMs: number): Html {
  const { applyMs, inForceMs, waitMs, probeMs, totalMs } = step.timing;
  const waited = waitMs === undefined ? "" : `, waited ${formatDuration(waitMs)} for the time of tokens`;
  return html`<p class="times">
    ${drawTiming(step, longestMs)}<span>${formatDuration(totalMs)}</span
    ><span class="apply">apply ${formatDuration(applyMs)}</span
    ><span class="wait">in force ${formatDuration(inForceMs)}${waited}</span
    ><span class="probe">probe ${formatDuration(probeMs)}, ${plural(step.rounds, "round")}</span
    ><span class="place">${step.position.file}:${step.position.line}</span>
  </p>`;
}

/** `9 passed`, `2 of 9 differ`, `skipped`. */
function tally(outcomes: readonly Outcome[]): string {
  const passed = outcomes.filter(({ status }) => status === "passed").length;
  if (outcomes.length === 0) return "no checks";
  if (passed === outcomes.length) return `${passed} passed`;
  const others = outcomes.filter(({ status }) => status !== "passed");
  const kinds = new Set<Status>(others.map(({ status }) => status));
  const [only] = kinds;
  const word = kinds.size === 1 && only !== undefined ? wordOf(only) : "differ";
  return outcomes.length === 1 ? word : `${others.length} of ${outcomes.length} ${word}`;
}

function capitalize(word: string): string {
  return `${word[0]?.toUpperCase() ?? ""}${word.slice(1)}`;
}
