import { html, type Html } from "./escape.ts";

interface List<Row> {
  /** Names of the columns after the first, which has the rows' own; without them there is no head. */
  readonly head?: readonly string[];
  readonly caption?: (rows: readonly Row[]) => Html;
  /** A row's `tr`. */
  readonly row: (row: Row) => Html;
}

/** A table for each scenario, in the order in which they first come. */
export function renderLists<Row extends { readonly scenario: string }>(
  rows: readonly Row[],
  { head, caption, row }: List<Row>,
): Html {
  return html`${[...Map.groupBy(rows, ({ scenario }) => scenario)].map(
    ([scenario, own]) =>
      html`<figure class="matrix list">
        <figcaption><span class="id">${scenario}</span> ${caption?.(own)}</figcaption>
        <div class="scroll">
          <table>
            ${
              head &&
              html`<thead>
                <tr>
                  <td></td>
                  ${head.map((name) => html`<th scope="col">${name}</th> `)}
                </tr>
              </thead>`
            }
            <tbody>
              ${own.map(row)}
            </tbody>
          </table>
        </div>
      </figure>`,
  )}`;
}
