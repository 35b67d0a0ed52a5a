import { createHash } from "node:crypto";
import { nameCell } from "../diff.ts";
import { html, type Html } from "./escape.ts";

/** From this number of rows on, the browser lays out only the tables in view. */
export const manyRows = 200;

/** A cell of a scenario, or the scenario as a whole. */
interface Place {
  readonly scenario: string;
  readonly step?: string;
  readonly check?: string;
}

interface Lists<Row> {
  /** Prefix of the tables' anchors: `<name>/<scenario>`. */
  readonly name: string;
  /** Names and classes of the columns after the first, which has the rows' names; without them the table has no head. */
  readonly head?: readonly (readonly [name: string, width?: "wide" | "signs"])[];
  readonly caption?: (rows: readonly Row[]) => Html;
  /** The row's kind for the filter. */
  readonly kind: (row: Row) => string;
  /** The `td` elements after the row's name. */
  readonly cells: (row: Row) => Html;
}

/** Renders one table per scenario, in the order of their first rows; each row has its own anchor. */
export function renderLists<Row extends Place>(
  rows: readonly Row[],
  { name, head, caption, kind, cells }: Lists<Row>,
): Html {
  return html`${[...Map.groupBy(rows, ({ scenario }) => scenario)].map(
    ([scenario, own]) =>
      html`<figure class="matrix list" id="${groupPlace(name, scenario)}" data-group data-words="${scenario}">
        <figcaption><span class="id">${scenario}</span> ${caption?.(own)}</figcaption>
        <div class="scroll">
          <table class="${head === undefined ? "narrow" : "fixed"}">
            ${
              head &&
              html`<thead>
                <tr>
                  <td></td>
                  ${head.map(([column, width]) => html`<th scope="col" ${width !== undefined && html` class="${width}"`}>${column}</th> `)}
                </tr>
              </thead>`
            }
            <tbody>
              ${own.map(
                (row) =>
                  html`<tr id="${placeOf(row)}" data-kinds="${kind(row)}" data-find>
                    <th scope="row"><a href="#${placeOf(row)}">${nameCell(row)}</a></th>
                    ${cells(row)}
                  </tr> `,
              )}
            </tbody>
          </table>
        </div>
      </figure>`,
  )}`;
}

/** The entries of the table of contents for the tables of {@link renderLists}. */
export function renderListEntries<Row extends Place>(name: string, rows: readonly Row[]): Html[] {
  return [...Map.groupBy(rows, ({ scenario }) => scenario)].map(([scenario, own]) => {
    const place = groupPlace(name, scenario);
    return html`<li data-for="${place}">
      <a href="#${place}"><span class="id">${scenario}</span><span class="ratio">${own.length}</span></a>
    </li>`;
  });
}

function groupPlace(name: string, scenario: string): string {
  return `${name}/${wordOf(scenario)}`;
}

/**
 * An anchor that depends only on the names of the scenario, the step and the check, so that links stay valid. It has a hash of
 * the names, because their characters may have a meaning in a URL.
 */
export function placeOf({ scenario, step, check }: Place): string {
  const names = JSON.stringify([step, check]);
  return `${wordOf(scenario)}/${createHash("sha256").update(names).digest("hex").slice(0, 8)}`;
}

/** A scenario's name as an anchor. */
export function wordOf(scenario: string): string {
  return scenario.replace(/[^\w./-]+/g, "-");
}
