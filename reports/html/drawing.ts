import type { StepResult } from "../../harness/model/result.ts";
import { html, type Html } from "./escape.ts";

const size = 5;
const gap = 1;

/**
 * Draws the steps at a glance: each matrix as small squares, pale for admitted, dark for denied, large and red for
 * differences. Widths are attributes and colours are classes, because the page's CSP allows no style attribute.
 */
export function drawFingerprint(steps: readonly StepResult[]): Html {
  const squares: Html[] = [];
  let left = 0;
  let height = 0;
  for (const step of steps) {
    const blocks = blocksOf(step);
    for (const block of blocks) {
      for (const { x, y, kind } of block.squares) {
        squares.push(
          html`<rect
            class="${kind}"
            x="${left + x * (size + gap)}"
            y="${y * (size + gap)}"
            width="${size}"
            height="${size}"
          />`,
        );
      }
      left += block.columns * (size + gap) + 4;
      height = Math.max(height, block.rows * (size + gap));
    }
  }
  if (squares.length === 0 || left > 260) return html``;
  return html`<svg
    class="fingerprint"
    width="${left}"
    height="${height}"
    viewBox="0 0 ${left} ${height}"
    aria-hidden="true"
  >
    ${squares}
  </svg>`;
}

interface Block {
  readonly columns: number;
  readonly rows: number;
  readonly squares: readonly { readonly x: number; readonly y: number; readonly kind: string }[];
}

/** A tall matrix is drawn transposed; single checks make a row. */
function blocksOf(step: StepResult): Block[] {
  const kindOf = (check: StepResult["checks"][number]): string => {
    if (check.status !== "passed") return `differs ${check.status}`;
    return check.expected.by === "workload" ? "admitted" : "denied";
  };
  const matrices = step.matrices.map((matrix, index): Block => {
    const turn = matrix.rows.length > matrix.columns.length;
    const squares = step.checks.flatMap((check) => {
      const { cell } = check;
      if (cell?.matrix !== index) return [];
      return [
        turn
          ? { x: cell.row, y: cell.column, kind: kindOf(check) }
          : { x: cell.column, y: cell.row, kind: kindOf(check) },
      ];
    });
    const [columns, rows] = turn
      ? [matrix.rows.length, matrix.columns.length]
      : [matrix.columns.length, matrix.rows.length];
    return { columns, rows, squares };
  });
  const single = step.checks.filter(({ cell }) => cell === undefined);
  const row = single.map((check, x) => ({ x, y: 0, kind: kindOf(check) }));
  return row.length === 0 ? matrices : [...matrices, { columns: row.length, rows: 1, squares: row }];
}

/** Draws the parts of a step's time, scaled to the longest step of the run. */
export function drawTiming(step: StepResult, longestMs: number): Html {
  const { applyMs, inForceMs, waitMs = 0, probeMs, totalMs } = step.timing;
  const width = 96;
  const scale = width / Math.max(longestMs, 1);
  const rest = Math.max(0, totalMs - applyMs - inForceMs - waitMs - probeMs);
  let x = 0;
  const parts = [
    ["apply", applyMs],
    ["wait", inForceMs],
    ...(waitMs > 0 ? [["rest", waitMs] as const] : []),
    ["probe", probeMs],
    ["rest", rest],
  ] as const;
  const bars = parts.map(([kind, ms]) => {
    const bar = html`<rect class="${kind}" x="${x.toFixed(1)}" y="0" width="${(ms * scale).toFixed(1)}" height="6" />`;
    x += ms * scale;
    return bar;
  });
  return html`<svg class="timing" width="${width}" height="6" viewBox="0 0 ${width} 6" aria-hidden="true">
    <rect class="track" x="0" y="0" width="${width}" height="6" />
    ${bars}
  </svg>`;
}
