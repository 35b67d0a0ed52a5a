import type { Explanation } from "../../harness/model/explanation.ts";
import type { Answered, Cell, Minimization, ReproAnswer } from "../../harness/model/ticket.ts";
import type { Status } from "../../harness/model/result.ts";
import { prepareData } from "../prepare.ts";
import { cut, formatTime, plural } from "../text.ts";
import { firstLine } from "../describe.ts";
import { describeHeadline, formatExplanation, formatFilters } from "../explanation.ts";
import { describeDifference, describeMesh, describeHint, describeOutcome, isAssumed } from "../ticket-words.ts";
import { describeNeed } from "../ticket-needs.ts";
import { comparisonsOf, describeCause, describeTicketNote } from "../words.ts";
import { html, lines, type Html } from "./escape.ts";
import { renderContents, renderNoScript, renderTop } from "./frame.ts";
import { copyable, sign } from "./marks.ts";
import { renderObject } from "./scenario.ts";
import { renderPage } from "./shell.ts";

/** Maximum length of the headline: a longer one would push the matrix off the screen. */
const headline = 1000;

/** Renders the answer to a ticket as one HTML file in the design of a run's report: cause and matrix first, the rest on demand. */
export function formatReproHtml(result: ReproAnswer): string {
  const answer = prepareData(result);
  const status = statusOf(answer);
  const sections = sectionsOf(answer);
  const body = html`<a class="skip" href="#results">Skip to the answer</a>
    ${renderTop({
      product: "meshproof repro",
      status,
      signed: answer.expected !== undefined,
      verdict: describeVerdict(answer),
      facts: [
        ...Object.entries(answer.versions).map(([name, version]) => [properName(name), version] as const),
        ...(answer.mesh === undefined ? [] : [["Mesh, as in the ticket", describeMesh(answer.mesh)] as const]),
      ],
    })}
    ${renderRun(answer)}
    <div class="columns">
      ${renderContents({
        label: "The ticket",
        entries: [["requests", "Requests"] as const, ...sections.map(({ id, title }) => [id, title] as const)].map(
          ([id, title]) => html`<li class="part"><a href="#${id}">${title}</a></li>`,
        ),
      })}
      <main id="results" tabindex="-1" class="diff repro">
        ${renderOpen(answer)}
        <h2 class="cause">${cut(describeCause(answer.cause), headline)}</h2>
        ${answer.hints.map((hint) => html`<p class="hint">${describeHint(hint)}</p>`)} ${renderReasons(answer)}
        <section id="requests">
          ${renderCells(answer, status)}
          <div class="checks">
            ${answer.matrix.rows.map((row, index) => row.cells.map((_, column) => renderCell(answer, index, column, status)))}
          </div>
        </section>
        ${sections.map(
          ({ id, title, aside, content }) =>
            html`<section id="${id}">
              <h2>${title} ${aside !== undefined && html`<span class="tally">${aside}</span>`}</h2>
              ${content}
            </section>`,
        )}
      </main>
    </div>
    ${renderNoScript("Copying needs JavaScript; all answers are here.")}`;
  return renderPage({ title: `${answer.ticket}: ${describeVerdict(answer)} – meshproof repro`, status, body });
}

/** The differences that decide, or may, and what would make the ticket reproducible. */
function renderOpen({ reproduced, differences }: ReproAnswer): Html | false {
  if (reproduced) return false;
  const open = differences.filter(({ decides }) => decides !== "no");
  return html`<section id="open" class="open">
    <h2>Not reproduced: this decides the answer, or may</h2>
    <ul class="plain">
      ${open.map((difference) => {
        const need = describeNeed(difference);
        return html`<li>
          ${describeDifference(difference)}${need !== undefined && html`<br /><b>To do:</b> ${need}.`}
        </li>`;
      })}
      ${open.length === 0 && html`<li>the answers went on to change</li>`}
    </ul>
    <p>Below is the answer of the reduced ticket, without all that.</p>
  </section>`;
}

/** What decides, and what was assumed of it. */
function renderReasons(answer: ReproAnswer): Html[] {
  const assumed = answer.differences.filter(isAssumed).map(describeDifference);
  const told = assumed.map((one) => html`<p class="hint">Assumed, as the reporter had this answer: ${one}</p>`);
  return [...renderComparisons(answer), ...told];
}

/** The conditions that decide, as a table. */
function renderComparisons({ cause }: ReproAnswer): Html[] {
  return comparisonsOf(cause).map(
    ({ rule, rows }) =>
      html`<figure class="compared">
        <figcaption>${cut(rule, headline)}</figcaption>
        <div class="scroll">
          <table>
            <thead>
              <tr>
                <th scope="col">field</th>
                <th scope="col">rule requires</th>
                <th scope="col">request has</th>
              </tr>
            </thead>
            <tbody>
              ${rows.map(
                (row) =>
                  html`<tr>
                    ${row.map((text) => html`<td>${cut(text, headline)}</td>`)}
                  </tr>`,
              )}
            </tbody>
          </table>
        </div>
      </figure>`,
  );
}

interface Section {
  readonly id: string;
  readonly title: string;
  readonly aside?: string;
  readonly content: Html;
}

/** The sections of the page, without empty ones. */
function sectionsOf(answer: ReproAnswer): Section[] {
  const { inForce, notes, differences, minimized, applied, standIn } = answer;
  return [
    ...(inForce === undefined
      ? []
      : [
          {
            id: "in-force",
            title: "In force",
            aside: "as the proxy has it, compared with the request as given",
            content: html`<pre tabindex="0">${lines(formatFilters(inForce).join("\n"))}</pre>`,
          },
        ]),
    ...listed("findings", "Policies without effect and other findings", notes.map(describeTicketNote)),
    ...(minimized === undefined ? [] : [renderMinimized(minimized)]),
    ...listed(
      "changed",
      "What is not as in the ticket, without an effect on the answer",
      differences.filter((one) => one.decides === "no" && !isAssumed(one)).map(describeDifference),
    ),
    {
      id: "applied",
      title: "Manifests as applied",
      aside: "with namespaces and keys of meshproof",
      content: html`<div class="policies">
        ${applied.map(renderObject)}
        ${
          standIn !== "" &&
          html`<details class="object">
            <summary>
              <span class="verb">apply</span><span class="what"><b>the stand-in</b> for the ticket’s workload</span>
            </summary>
            <pre tabindex="0" aria-label="the stand-in">${lines(standIn)}</pre>
          </details>`
        }
      </div>`,
    },
  ];
}

function listed(id: string, title: string, items: readonly string[]): Section[] {
  if (items.length === 0) return [];
  const content = html`<ul class="plain">
    ${items.map((item) => html`<li>${item}</li>`)}
  </ul>`;
  return [{ id, title, content }];
}

function renderMinimized({ confirmed, complete, tries, refused, dropped, yaml }: Minimization): Section {
  const effort = `${plural(tries, "try", "tries")}${refused === 0 ? "" : `, ${refused} of them refused`}`;
  const told = !confirmed
    ? "Nothing was dropped: what was left gave another answer when it was asked by itself."
    : dropped.length === 0
      ? "Nothing is needless for this answer."
      : `Not needed for this answer${complete ? "" : ", and as no try was left, more may be"}:`;
  const content = html`<p>${told}</p>
    ${
      dropped.length > 0 &&
      confirmed &&
      html`<ul class="plain">
        ${dropped.map((item) => html`<li>${item}</li>`)}
      </ul>`
    }
    <pre tabindex="0">${lines(yaml)}</pre>`;
  return { id: "minimized", title: "What of the ticket’s YAML decides", aside: effort, content };
}

/** The time, and the command that repeats this. */
function renderRun(answer: ReproAnswer): Html {
  const started = formatTime(answer.startedAt);
  return html`<details class="run">
    <summary>
      <span>${answer.request}</span>
      <span><time datetime="${answer.startedAt}">${started}</time></span>
      <span>ticket ${answer.ticket}, ${answer.id}</span>
    </summary>
    <dl>
      ${entry("repeat", copyable(answer.command))} ${entry("tool", html`${answer.tool.name} ${answer.tool.version}`)}
    </dl>
  </details>`;
}

function renderCells({ matrix: { columns, rows, given }, expected }: ReproAnswer, status: Status): Html {
  return html`<figure class="matrix">
    <figcaption>
      <span class="tally"
        >Framed is the request as given; the others are the same with other tokens. Grey is denied.</span
      >
    </figcaption>
    <div class="scroll">
      <table>
        <thead>
          <tr>
            <td></td>
            ${columns.map((column) => html`<th scope="col">${column}</th>`)}
          </tr>
        </thead>
        <tbody>
          ${rows.map(
            ({ request, cells }, row) =>
              html`<tr>
                <th scope="row">${request}</th>
                ${cells.map((cell, column) => {
                  const name = columns[column] ?? "";
                  const href = `#${placeOf(row, name)}`;
                  if (row > 0 || name !== given)
                    return html`<td class="agrees ${cell.by === "workload" ? "admitted" : "denied"}">
                      <a href="${href}">${numberOf(cell)}</a>
                    </td>`;
                  return html`<td class="differs ${status}">
                    <a href="${href}"
                      ><span class="seen"><span class="unseen">the request as given, got </span>${numberOf(cell)}</span
                      ><span class="by">${describeAnswerer(cell)}</span
                      >${expected !== undefined && html`<span class="want">expected <b>${describeOutcome(expected.outcome)}</b></span>`}</a
                    >
                  </td>`;
                })}
              </tr> `,
          )}
        </tbody>
      </table>
    </div>
  </figure>`;
}

function renderCell({ matrix, expected, ...answer }: ReproAnswer, row: number, column: number, status: Status): Html {
  const { columns, rows, given } = matrix;
  const name = columns[column] ?? "";
  const cell = rows[row]?.cells[column];
  if (cell === undefined) return html``;
  const asked = row === 0 && name === given;
  const wanted = asked && expected !== undefined;
  const inForce = answer.inForce !== undefined;
  return html`<details class="check ${asked ? status : "plain"}" id="${placeOf(row, name)}" ${asked && html` open`}>
    <summary>
      ${wanted && sign(status)}<span class="name">${rows.length > 1 && `${rows[row]?.request ?? ""} `}${name}</span>
      <span class="verdict"
        >${wanted && html`expected <b>${describeOutcome(expected.outcome)}</b>, got `}${describeAnswered(cell)}${asked && ", the request as given"}</span
      >
    </summary>
    <dl>
      ${[
        entry("request", html`<code>${rows[row]?.request}</code>`),
        entry("token", html`${cell.token === "none" || cell.token === "" ? "no token" : cell.token}`),
        entry("answered by", html`${nameAnswerer(cell)}`),
        cell.details !== undefined && entry("Envoy says", html`<code>${cell.details}</code>`),
        cell.error !== undefined && entry("curl says", html`<code>${cell.error}</code>`),
        cell.body !== "" && entry("body", html`<pre tabindex="0">${lines(cell.body)}</pre>`),
        cell.explanation !== undefined &&
          entry("its config says", renderExplanation(cell, cell.explanation, asked && inForce)),
        entry("send again", copyable(cell.curl)),
      ]}
    </dl>
  </details>`;
}

/** @param told whether another section of the page has the rest */
function renderExplanation(got: Cell, explanation: Explanation, told: boolean): Html {
  if (!told) return html`<pre tabindex="0">${lines(formatExplanation(explanation, { got }))}</pre>`;
  return html`${describeHeadline(explanation, { got })} <a href="#in-force">Rules and policies</a>`;
}

function entry(term: string, description: Html): Html {
  return html`<div>
    <dt>${term}</dt>
    <dd>${description}</dd>
  </div>`;
}

/** `cell-none`, `cell-2-expired`: meshproof names the columns, and the ticket decides the order of the few rows. */
function placeOf(row: number, column: string): string {
  const name = column.replace(/[^\w-]+/g, "-");
  return row === 0 ? `cell-${name}` : `cell-${row + 1}-${name}`;
}

/** Without an expectation nothing is right or wrong; a ticket that was not reproduced is never green. */
function statusOf({ expected, reproduced }: ReproAnswer): Status {
  if (!reproduced) return "error";
  if (expected === undefined) return "skipped";
  return expected.met ? "passed" : "failed";
}

/** `403 from authorization, expected 200`. */
function describeVerdict({ verdict, expected, reproduced }: ReproAnswer): string {
  const denied = verdict.status === 200 && verdict.by === "authorization" ? " with grpc-status 7" : "";
  const got = verdict.status === 0 ? "no answer" : `${verdict.status}${denied} ${describeAnswerer(verdict)}`;
  if (!reproduced) return `not reproduced; the reduced ticket gets ${got}`;
  if (expected === undefined) return got;
  return expected.met ? `${got}, as expected` : `${got}, expected ${describeOutcome(expected.outcome)}`;
}

/** `401 from authentication ("Jwt is missing")`. */
function describeAnswered(cell: Cell): string {
  if (cell.status === 0 || cell.by === "nobody") return `no answer${cell.error ? `: ${firstLine(cell.error)}` : ""}`;
  const said = cell.by === "workload" ? "" : firstLine(cell.body);
  return `${cell.status} ${describeAnswerer(cell)}${said === "" ? "" : ` ("${said}")`}`;
}

function describeAnswerer(answer: Answered): string {
  const name = nameAnswerer(answer);
  return name === "nobody" ? name : `from ${name}`;
}

function nameAnswerer({ status, by }: Answered): string {
  if (status === 0) return "nobody";
  return by === "workload" || by === "proxy" ? `the ${by}` : by;
}

function numberOf({ status }: Answered): string {
  return status === 0 ? "none" : String(status);
}

function properName(name: string): string {
  return `${name[0]?.toUpperCase() ?? ""}${name.slice(1)}`;
}
