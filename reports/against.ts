/** Formats a ticket's answers with several versions of Istio: for a terminal, as JSON and as a page. */

import {
  againstExitCode,
  agree,
  cellsThatDiffer,
  type Against,
  type AskedVersion,
  type VersionAnswer,
} from "../harness/model/against.ts";
import type { Status } from "../harness/model/result.ts";
import { visible } from "../harness/safe/visible.ts";
import { html, type Html } from "./html/escape.ts";
import { renderTop } from "./html/frame.ts";
import { copyable } from "./html/marks.ts";
import { renderPage } from "./html/shell.ts";
import { writerIn } from "./index.ts";
import { escapeJson } from "./json.ts";
import { prepareData } from "./prepare.ts";
import { alignColumns, formatTime } from "./text.ts";
import { describeNeed } from "./ticket-needs.ts";
import { describeDifference, describeReproduction, nameAnswer } from "./ticket-words.ts";
import { describeCause } from "./words.ts";

/** Removes token signatures and private keys, and cuts long text. */
export function prepareAgainst(against: Against): Against {
  return prepareData(against);
}

/** Writes against.html and against.json. */
export async function writeAgainst(against: Against, dir: string): Promise<{ readonly html: string }> {
  const write = await writerIn(dir);
  await write("against.json", formatAgainstJson(against));
  return { html: await write("against.html", formatAgainstHtml(against)) };
}

/** The answers as JSON (schema: against.schema.json); control characters are written as `\u` escapes. */
export function formatAgainstJson(found: Against): string {
  const against = prepareAgainst(found);
  const text = { verdict: describeAgainst(against), causes: against.versions.map(describeWhy) };
  return `${escapeJson(JSON.stringify({ ...against, text }, undefined, 2))}\n`;
}

/** Plain text: the verdict, a table of versions, and the cause of each. */
export function formatAgainst(against: Against): string {
  const { request, given, versions } = against;
  const differs = cellsThatDiffer(against);
  const rows = differs.map(({ request: row, column, cells }) => [
    `${row}, ${column === given ? `${column} (the ticket's)` : column}`,
    ...cells.map((cell) => (cell === undefined ? "-" : named(cell))),
  ]);
  return [
    `${describeAgainst(against)}.`,
    "",
    `request    ${request}`,
    "",
    ...alignColumns([
      ["istio", "envoy", "answer", "verdict"],
      ...versions.map((one) => [...versionsOf(one), describeGot(one), verdictOf(one)]),
    ]),
    ...versions.flatMap((one) => [
      "",
      `Istio ${versionsOf(one)[0]}`,
      `  ${describeWhy(one)}`,
      ...openOf(one).flatMap(([what, need]) => [
        `  - ${what}`,
        ...(need === undefined ? [] : [`      To do: ${need}.`]),
      ]),
    ]),
    "",
    ...(rows.length === 0
      ? ["All requests of the matrix get the same answers."]
      : [
          "What is answered differently",
          ...alignColumns([
            ["  request", ...versions.map((one) => versionsOf(one)[0])],
            ...rows.map(([name = "", ...more]) => [`  ${name}`, ...more]),
          ]),
        ]),
  ]
    .map((line) => visible(line, { lines: true }))
    .join("\n");
}

/** `Istio 1.30.2 answers 200, and Istio 1.31.0 403 by authorization`. */
export function describeAgainst(against: Against): string {
  const { versions } = against;
  const missing = versions.filter(({ answer }) => answer === undefined).map(({ asked }) => `Istio ${asked}`);
  const known = versions.filter(({ answer }) => answer !== undefined);
  const without = missing.length === 0 ? "" : `; no answer with ${missing.join(" and ")}`;
  if (known.length === 0) return `No answer with ${missing.join(" or ")}`;
  const list = known.map((one) => versionsOf(one)[0]).join(" and ");
  const open = known.some(({ answer }) => answer?.reproduced === false) ? "Not reproduced: " : "";
  if (agree(against)) {
    const also = known.length > 1 && new Set(known.map(describeWhy)).size > 1 ? ", for other causes" : "";
    const words = known.length > 1 ? "give the same answer," : "answers";
    return `${open}Istio ${list} ${words} ${describeGot(known[0]!)}${also}${without}`;
  }
  return `${open}The answers differ: ${known.map((one) => `${describeGot(one)} with Istio ${versionsOf(one)[0]}`).join(", ")}${without}`;
}

function versionsOf({ asked, answer }: AskedVersion): [istio: string, envoy: string] {
  return [answer?.versions["istio"] ?? asked, answer?.versions["envoy"] ?? "-"];
}

function describeGot({ answer }: AskedVersion): string {
  return answer === undefined ? "none" : named(answer.verdict);
}

function named(answer: VersionAnswer["rows"][number]["cells"][number]): string {
  return answer.status === 0 ? "no answer" : nameAnswer(answer);
}

function verdictOf({ answer, problem }: AskedVersion): string {
  if (answer !== undefined) return describeReproduction(answer);
  return problem?.code === "ERR_MANIFEST_REJECTED" ? "the API server rejects the YAML" : "could not be asked";
}

function describeWhy({ answer, problem }: AskedVersion): string {
  return answer === undefined ? (problem?.message ?? "") : describeCause(answer.cause);
}

/** What keeps a version from being reproduced, with what to do about it. */
function openOf({ answer }: AskedVersion): [what: string, need: string | undefined][] {
  return (answer?.open ?? []).map((one) => [describeDifference(one), describeNeed(one)]);
}

const STATUSES: Readonly<Record<number, Status>> = { 0: "passed", 1: "failed" };

/** Renders one HTML file in the design of a run's report, with links to the page of each version beside it. */
export function formatAgainstHtml(found: Against): string {
  const against = prepareAgainst(found);
  const status = STATUSES[againstExitCode(against)] ?? "error";
  const expects = against.versions.some(({ answer }) => answer?.expected !== undefined);
  const verdict = describeAgainst(against);
  const body = html`<a class="skip" href="#results">Skip to the versions</a>
    ${renderTop({ product: "meshproof repro", status, signed: expects || status !== "passed", verdict, facts: [] })}
    <details class="run">
      <summary>
        <span>${against.request}</span>
        <span><time datetime="${against.startedAt}">${formatTime(against.startedAt)}</time></span>
        <span>ticket ${against.ticket}, ${against.id}</span>
      </summary>
      <dl>
        <div>
          <dt>repeat</dt>
          <dd>${copyable(against.command)}</dd>
        </div>
      </dl>
    </details>
    <main id="results" tabindex="-1" class="diff repro">
      ${renderVersions(against)} ${against.versions.map(renderVersion)} ${renderDiffering(against)}
    </main>`;
  return renderPage({ title: `${against.ticket}: ${verdict} – meshproof repro`, status, body });
}

function renderVersions({ versions }: Against): Html {
  return html`<figure class="compared versions">
    <div class="scroll">
      <table>
        <thead>
          <tr>
            ${["Istio", "Envoy", "answer", "verdict"].map((name) => html`<th scope="col">${name}</th>`)}
          </tr>
        </thead>
        <tbody>
          ${versions.map(
            (one) =>
              html`<tr>
                ${[...versionsOf(one), describeGot(one), verdictOf(one)].map((text) => html`<td>${text}</td>`)}
              </tr>`,
          )}
        </tbody>
      </table>
    </div>
  </figure>`;
}

function renderVersion(one: AskedVersion): Html {
  const open = openOf(one);
  return html`<section>
    <h2>Istio ${versionsOf(one)[0]} <span class="tally">${describeGot(one)}</span></h2>
    <p>${describeWhy(one)}</p>
    ${
      open.length > 0 &&
      html`<ul class="plain">
        ${open.map(([what, need]) => html`<li>${what}${need !== undefined && html`<br /><b>To do:</b> ${need}.`}</li>`)}
      </ul>`
    }
    ${one.answer !== undefined && html`<p><a href="${encodeURIComponent(one.folder)}/repro.html">The page of this version</a></p>`}
  </section>`;
}

function renderDiffering(against: Against): Html {
  const differs = cellsThatDiffer(against);
  if (differs.length === 0) return html`<p>All requests of the matrix get the same answers.</p>`;
  return html`<section>
    <h2>What is answered differently</h2>
    <figure class="compared versions">
      <div class="scroll">
        <table>
          <thead>
            <tr>
              <th scope="col">request</th>
              <th scope="col">token</th>
              ${against.versions.map((one) => html`<th scope="col">Istio ${versionsOf(one)[0]}</th>`)}
            </tr>
          </thead>
          <tbody>
            ${differs.map(
              ({ request, column, cells }) =>
                html`<tr>
                  <td>${request}</td>
                  <td>${column === against.given ? `${column} (the ticket's)` : column}</td>
                  ${cells.map((cell) => html`<td>${cell === undefined ? "none" : named(cell)}</td>`)}
                </tr>`,
            )}
          </tbody>
        </table>
      </div>
    </figure>
  </section>`;
}
