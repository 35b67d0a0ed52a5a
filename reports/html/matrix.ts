import type { CheckResult, Status } from "../../harness/model/result.ts";
import type { MatrixSpec } from "../../harness/model/scenario.ts";
import { nameWay } from "../../harness/model/target.ts";
import { plural } from "../text.ts";
import {
  describeAnswerer,
  describeOther,
  isFlaky,
  nameExpectedStatus,
  nameStatus,
  nameTokens,
  targetOf,
} from "../describe.ts";
import { describeTokens } from "../words.ts";
import { html, type Html } from "./escape.ts";
import { sign, wordOf } from "./marks.ts";

/** A check in a cell: the anchor of its details, and its status as counted. */
export interface CellView {
  readonly check: CheckResult;
  readonly id: string;
  readonly status: Status;
}

/** Renders the matrix in the layout of its scenario: only a number in agreeing cells, all facts in differing ones. */
export function renderMatrix(matrix: MatrixSpec, cells: readonly CellView[]): Html {
  const at = new Map(cells.map((cell) => [`${cell.check.cell?.row} ${cell.check.cell?.column}`, cell]));
  const [first] = cells;
  // The corner cell has the same text.
  const plain =
    first !== undefined && matrix.title === `from ${first.check.request.from} to ${nameWay(first.check.request)}`;
  return html`<figure class="matrix">
    ${renderCaption(plain ? "" : matrix.title, cells)}
    <div class="scroll">
      <table>
        <thead>
          <tr>
            <td class="corner">${renderRoute(matrix, cells)}</td>
            ${matrix.columns.map((column) => html`<th scope="col" data-find>${column}</th>`)}
          </tr>
        </thead>
        <tbody>
          ${matrix.rows.map(
            (row, rowIndex) =>
              html`<tr>
                <th scope="row" data-find>${row}</th>
                ${matrix.columns.map((_, column) => renderCell(at.get(`${rowIndex} ${column}`)))}
              </tr> `,
          )}
        </tbody>
      </table>
    </div>
    ${renderTokens(matrix, cells)}
  </figure>`;
}

/** Renders single checks: the same cells, one row each. */
export function renderList(cells: readonly CellView[]): Html {
  return html`<figure class="matrix list">
    <div class="scroll">
      <table>
        <thead>
          <tr>
            <td></td>
            <th scope="col">request</th>
            <th scope="col">answer</th>
          </tr>
        </thead>
        <tbody>
          ${cells.map(
            (cell) =>
              html`<tr>
                <th scope="row" data-find>${cell.check.name}</th>
                <td class="request">
                  ${cell.check.request.from} → ${nameWay(cell.check.request)}
                  <code>${targetOf(cell.check.request)}</code>, ${nameTokens(cell.check)}
                </td>
                ${renderCell(cell)}
              </tr> `,
          )}
        </tbody>
      </table>
    </div>
  </figure>`;
}

function renderCell(cell: CellView | undefined): Html {
  if (cell === undefined) return html`<td class="empty"></td>`;
  const { check, id, status } = cell;
  const href = `#${encodeURI(id)}`;
  if (status === "passed") {
    const denied = check.expected.by === "workload" ? "admitted" : "denied";
    return html`<td class="agrees ${denied}">
      <a href="${href}">${nameStatus(check.got)}<span class="unseen"> as expected</span></a>
    </td>`;
  }
  return html`<td class="differs ${status}">
    <a href="${href}"
      ><span class="seen"
        >${sign(status)}<span class="unseen">${wordOf(status)}, got </span>${nameStatus(check.got)}</span
      ><span class="by">${by(check)}</span><span class="want">${want(cell)}</span></a
    >
  </td>`;
}

function by(check: CheckResult): string {
  if (check.got.status === 0 || check.got.by === "nobody")
    return check.got.noAnswer === undefined ? "no answer" : "without an answer";
  return `from ${describeAnswerer(check, check.got.by)}`;
}

/** The part of the expectation that differs from the answer. */
function want({ check }: CellView): Html {
  const { expected, got } = check;
  if (isFlaky(check)) return html`flaky`;
  const wanted = nameExpectedStatus(expected);
  if (nameStatus(got) !== wanted) return html`expected <b>${wanted}</b>`;
  return got.by === expected.by
    ? html`${describeOther(check)}`
    : html`expected from <b>${describeAnswerer(check, expected.by)}</b>`;
}

function renderCaption(title: string, cells: readonly CellView[]): Html {
  const differing = cells.filter(({ status }) => status !== "passed").length;
  const words =
    differing === 0
      ? `all ${cells.length} as expected`
      : `${differing} of ${plural(cells.length, "answer")} ${differing === 1 ? "differs" : "differ"}`;
  return html`<figcaption>
    ${title !== "" && html`<span class="title" data-find>${title}</span> `}<span class="tally">${words}</span>
  </figcaption>`;
}

/** `outside → ingress`, if it is the same for all cells; with the path, unless the rows are paths. */
function renderRoute(matrix: MatrixSpec, cells: readonly CellView[]): Html {
  const routes = new Set(cells.map(({ check: { request } }) => `${request.from} → ${nameWay(request)}`));
  const [path, ...others] = new Set(cells.map(({ check: { request } }) => targetOf(request)));
  const [route] = routes;
  if (route === undefined || routes.size > 1) return html``;
  const told = path === undefined || others.length > 0 || matrix.rows.includes(path);
  return html`${route}${!told && html` <code>${path}</code>`}`;
}

/** The token of each column, for columns with one token. */
function renderTokens(matrix: MatrixSpec, cells: readonly CellView[]): Html {
  const words = matrix.columns.flatMap((name, column) => {
    const sent = cells.filter(({ check }) => check.cell?.column === column).map(({ check }) => check);
    const [first] = sent;
    if (first === undefined || new Set(sent.map(({ request }) => describeTokens(request.tokens))).size > 1) return [];
    const [token, ...others] = first.request.tokens;
    if (token === undefined) return [];
    const alone = token.name === name && others.length === 0;
    return [html`<li><b>${name}</b> ${alone ? token.words : describeTokens(first.request.tokens)}</li>`];
  });
  return words.length === 0
    ? html``
    : html`<ul class="tokens">
        ${words}
      </ul>`;
}
