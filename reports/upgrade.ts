/** Formats an upgrade for a terminal, as Markdown, as a page and as JSON. */

import {
  complaintsOf,
  describeProblem,
  refusedByScenarios,
  unavailableOf,
  upgradeExitCode,
} from "../harness/upgrade/upgrade.ts";
import type { Incident, StreamResult, UpgradeResult } from "../harness/model/upgrade.ts";
import { countOfIncidents } from "../harness/upgrade/verdict.ts";
import { html, type Html } from "./html/escape.ts";
import { renderTop } from "./html/frame.ts";
import { copyable } from "./html/marks.ts";
import { renderPage } from "./html/shell.ts";
import { writerIn } from "./index.ts";
import { escapeJson } from "./json.ts";
import { escapeMarkdown } from "./markdown.ts";
import { prepareData } from "./prepare.ts";
import { visible } from "../harness/safe/visible.ts";
import { formatDuration, formatTime, plural } from "./text.ts";

/** Writes upgrade.json, upgrade.md and upgrade.html. */
export async function writeUpgrade(result: UpgradeResult, dir: string): Promise<{ readonly html: string }> {
  const write = await writerIn(dir);
  await write("upgrade.json", formatUpgradeJson(result));
  await write("upgrade.md", formatUpgradeMarkdown(result));
  return { html: await write("upgrade.html", formatUpgradeHtml(result)) };
}

/** The result as JSON (schema: upgrade.schema.json). Control characters are written as `\u` escapes. */
export function formatUpgradeJson(result: UpgradeResult): string {
  return `${escapeJson(JSON.stringify(prepareData(result), undefined, 2))}\n`;
}

/** Formats for a terminal: the verdict, then each stream's counts. */
export function formatUpgrade(result: UpgradeResult): string {
  const streams = result.streams.flatMap((stream) => [
    `  ${stream.name}: ${describeStream(stream)}`,
    ...incidentsOf(stream).map((incident) => `    ${describeIncident(incident)}`),
  ]);
  return [
    `${describeTitle(result)}: ${describeVerdict(result)}`,
    ...notesOf(result).map((note) => `  ${visible(note)}`),
    "",
    `phases: ${result.phases.map(({ name, durationMs }) => `${name} ${formatDuration(durationMs)}`).join(", ")}`,
    ...streams,
    "",
  ].join("\n");
}

export function formatUpgradeMarkdown(result: UpgradeResult): string {
  const rows = result.streams.map(({ name, sent, right, breaches, failures }) =>
    [name, sent, right, countOfIncidents(breaches), countOfIncidents(failures)].join(" | "),
  );
  const incidents = result.streams.flatMap((stream) =>
    incidentsOf(stream).map((incident) => `- ${escapeMarkdown(`${stream.name}: ${describeIncident(incident)}`)}`),
  );
  return `${[
    `## meshproof upgrade: ${escapeMarkdown(describeVerdict(result))}`,
    `${escapeMarkdown(describeTitle(result))}.`,
    notesOf(result)
      .map((note) => `- ${escapeMarkdown(note)}`)
      .join("\n"),
    `| stream | sent | right | let through | failed |\n| --- | --: | --: | --: | --: |\n${rows.map((row) => `| ${row} |`).join("\n")}`,
    incidents.join("\n"),
    `Repeat with \`${result.command}\`.`,
  ]
    .filter((part) => part !== "")
    .join("\n\n")}\n`;
}

/** Renders one HTML file in the design of a run's report, with links to the two runs and their comparison beside it. */
export function formatUpgradeHtml(found: UpgradeResult): string {
  const result = prepareData(found);
  const status = upgradeExitCode(result) === 0 ? "passed" : upgradeExitCode(result) === 1 ? "failed" : "error";
  const { from, to } = result;
  const body = html`<a class="skip" href="#results">Skip to the streams</a>
    ${renderTop({
      product: "meshproof upgrade",
      status,
      verdict: describeVerdict(result),
      facts: (["kubernetes", "istio", "envoy"] as const).map((name) => [
        `${name[0]?.toUpperCase() ?? ""}${name.slice(1)}`,
        from.versions[name] === to.versions[name]
          ? to.versions[name]
          : html`${from.versions[name]} → <b>${to.versions[name]}</b>`,
      ]),
    })}
    <main id="results" tabindex="-1" class="diff">
      <p class="lead">
        ${describeTitle(result)}. ${plural(result.unexpected, "unexpected change")} between the two runs.
      </p>
      <ul class="plain">
        ${notesOf(result).map((note) => html`<li>${note}</li>`)}
      </ul>
      <p class="links">
        <a href="diff.html">What changed</a> <a href="from/report.html">The run before</a>
        <a href="to/report.html">The run after</a>
      </p>
      ${table(
        "Streams of requests",
        ["stream", "must get", "sent", "right", "let through", "failed"],
        result.streams.map((stream) => [
          stream.name,
          `${stream.expected}`,
          `${stream.sent} of ${stream.due}`,
          `${stream.right}`,
          `${countOfIncidents(stream.breaches)}`,
          `${countOfIncidents(stream.failures)}`,
        ]),
      )}
      ${table(
        "What went wrong, by time",
        ["stream", "what"],
        result.streams.flatMap((stream) =>
          incidentsOf(stream).map((incident) => [stream.name, describeIncident(incident)]),
        ),
      )}
      ${table(
        "Phases",
        ["phase", "from", "took"],
        result.phases.map(({ name, startedAt, durationMs }) => [
          name,
          formatTime(startedAt),
          formatDuration(durationMs),
        ]),
      )}
      <section>
        <h2>Repeat</h2>
        <p>${copyable(result.command)}</p>
      </section>
    </main>`;
  return renderPage({ title: `${describeVerdict(result)} – meshproof upgrade`, status, body });
}

function table(title: string, columns: readonly string[], rows: readonly (readonly string[])[]): Html {
  if (rows.length === 0) return html``;
  return html`<section>
    <h2>${title}</h2>
    <figure class="matrix list">
      <div class="scroll">
        <table class="narrow">
          <thead>
            <tr>
              ${columns.map((column) => html`<th scope="col">${column}</th>`)}
            </tr>
          </thead>
          <tbody>
            ${rows.map(
              ([first, ...others]) =>
                html`<tr>
                  <th scope="row">${first ?? ""}</th>
                  ${others.map((cell) => html`<td class="request">${cell}</td>`)}
                </tr>`,
            )}
          </tbody>
        </table>
      </div>
    </figure>
  </section>`;
}

function describeTitle({ from, to, strategy }: UpgradeResult): string {
  const words = ({ versions }: UpgradeResult["from"]): string => `Istio ${versions.istio} with Envoy ${versions.envoy}`;
  return `${words(from)} to ${words(to)}, ${strategy === "in-place" ? "in place" : "by revision"}`;
}

function describeVerdict(result: UpgradeResult): string {
  const breaches = result.streams.reduce((sum, stream) => sum + countOfIncidents(stream.breaches), 0);
  if (breaches > 0)
    return `${plural(breaches, "request")} that must be refused ${breaches === 1 ? "was" : "were"} let through`;
  if (upgradeExitCode(result) === 3) return "not judged: the streams of requests prove nothing";
  if (upgradeExitCode(result) === 1) return "the upgrade changed what it must not";
  const failed = unavailableOf(result);
  const lost = failed === 0 ? "none failed" : `${failed} that must be admitted failed`;
  return `nothing that must be refused was let through, ${lost}`;
}

/** Complaints, and notes about denials that are not complaints. */
function notesOf(result: UpgradeResult): string[] {
  const refused = refusedByScenarios(result);
  const which = `policies that hold for the whole mesh: ${result.meshWide.join(", ")}`;
  const was = refused === 1 ? "was" : "were";
  return [
    ...complaintsOf(result),
    ...(refused > 0 ? [`${refused} more ${was} refused during the runs by ${which}`] : []),
  ];
}

function describeStream({ sent, due, right, expected, longestGap, problems }: StreamResult): string {
  const { forMs, phases } = longestGap;
  const gap = `at most ${formatDuration(forMs)} without one${phases.length === 0 ? "" : ` (${phases.join(", ")})`}`;
  const counts = `${sent} sent (${due} due), ${right} rightly answered ${expected}, ${gap}`;
  return [counts, ...problems.map(describeProblem)].map((words) => visible(words)).join("; ");
}

const incidentsOf = ({ breaches, failures }: StreamResult): Incident[] =>
  [...breaches, ...failures].sort((a, b) => a.fromMs - b.fromMs);

function describeIncident({ phase, fromMs, toMs, count, status, by, error }: Incident): string {
  const because = error === undefined ? "" : ` (${visible(error)})`;
  const what = status === 0 ? `no answer${because}` : `${status} from the ${by}${because}`;
  const when = new Date(fromMs).toISOString().slice(11, 23);
  return `${when}, ${phase}: ${plural(count, "request")} got ${what} within ${formatDuration(toMs - fromMs)}`;
}
