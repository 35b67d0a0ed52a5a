import type { Matrix } from "../../harness/model/matrix.ts";
import { html } from "../html/escape.ts";
import { prepareData } from "../prepare.ts";
import { beginning } from "../text.ts";
import { describeBadge } from "./text.ts";

const HEIGHT = 20;
const PADDING = 7;
/** Of a letter at 11 px. A browser makes the text as wide as is said, whichever font it has. */
const LETTER = 6.3;

/** A picture for a README that says whether the scenarios pass with these versions. It fetches nothing. */
export function formatBadge(matrix: Matrix): string {
  const { words, good } = describeBadge(prepareData(matrix));
  const [left, right] = ["meshproof", beginning(words, 80)];
  const widthOf = (text: string): number => Math.round([...text].length * LETTER);
  const [first, second] = [widthOf(left) + 2 * PADDING, widthOf(right) + 2 * PADDING];
  const text = (x: number, shown: string) =>
    html`<text x="${x}" y="14" textLength="${widthOf(shown)}" lengthAdjust="spacingAndGlyphs">${shown}</text>`;
  return `${
    html`<svg
      xmlns="http://www.w3.org/2000/svg"
      width="${first + second}"
      height="${HEIGHT}"
      role="img"
      aria-label="${left}: ${right}"
    >
      <title>${left}: ${right}</title>
      <clipPath id="r"><rect width="${first + second}" height="${HEIGHT}" rx="4" /></clipPath>
      <g clip-path="url(#r)">
        <rect width="${first}" height="${HEIGHT}" fill="#3b434c" />
        <rect x="${first}" width="${second}" height="${HEIGHT}" fill="${good ? "#147a50" : "#b8241a"}" />
      </g>
      <g fill="#ffffff" font-family="Verdana, DejaVu Sans, sans-serif" font-size="11">
        ${text(PADDING, left)} ${text(first + PADDING, right)}
      </g>
    </svg>`.markup
  }\n`;
}
