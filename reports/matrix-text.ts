/** Draws the differing cells of a matrix as text. */

import type { CheckResult, StepResult } from "../harness/model/result.ts";
import { visible } from "../harness/safe/visible.ts";
import { describeOther, isFlaky, nameExpectedStatus, nameStatus } from "./describe.ts";
import type { Outcome } from "./outcome.ts";
import { alignColumns, plural } from "./text.ts";

/** Cells are `seen≠expected`, or `flaky` if the last answer was right; a dot means that the cell agrees. */
export function drawMatrix(group: readonly Outcome[], step: StepResult, index: number): string[] {
  const matrix = step.matrices[index];
  if (matrix === undefined) return group.map((outcome) => `${outcome.name}: ${cellText(outcome.check as CheckResult)}`);
  const cells = new Map(
    group.map((outcome) => [`${outcome.check?.cell?.row} ${outcome.check?.cell?.column}`, outcome]),
  );
  const columns = matrix.columns
    .map((_, column) => column)
    .filter((c) => group.some((o) => o.check?.cell?.column === c));
  const rows = matrix.rows.map((_, row) => row).filter((r) => group.some((o) => o.check?.cell?.row === r));
  const table = [
    ["", ...columns.map((column) => visible(matrix.columns[column] ?? ""))],
    ...rows.map((row) => [
      visible(matrix.rows[row] ?? ""),
      ...columns.map((column) => {
        const check = cells.get(`${row} ${column}`)?.check;
        return check === undefined ? "·" : cellText(check);
      }),
    ]),
  ];
  const left = matrix.rows.length - rows.length;
  return [...alignColumns(table), ...(left > 0 ? [`(${plural(left, "more row")} agree${left === 1 ? "s" : ""})`] : [])];
}

function cellText(check: CheckResult): string {
  const { got, expected } = check;
  const [is, wanted] = [nameStatus(got), nameExpectedStatus(expected)];
  if (is !== wanted) return `${is}≠${wanted}`;
  if (isFlaky(check)) return `${is}, flaky`;
  return got.by === expected.by ? `${is}, ${describeOther(check)}` : `${is} by ${got.by}≠${expected.by}`;
}
