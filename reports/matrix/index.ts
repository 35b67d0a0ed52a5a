/** Writes a matrix of scenarios and versions: the page, Markdown, JSON and the badge. */

import path from "node:path";
import type { Matrix, MatrixColumn } from "../../harness/model/matrix.ts";
import { formatMatrixHtml } from "../html/matrix-page.ts";
import { REPORT, writerIn } from "../index.ts";
import { formatBadge } from "./badge.ts";
import { formatMatrixJson, formatMatrixMarkdown } from "./text.ts";

export { formatMatrix, formatMatrixComment, formatMatrixJson } from "./text.ts";

export async function writeMatrix(matrix: Matrix, dir: string): Promise<{ readonly html: string }> {
  const write = await writerIn(dir);
  const linkTo = ({ folder }: MatrixColumn["runs"][number]): string =>
    [...path.relative(dir, folder).split(path.sep), REPORT].map(encodeURIComponent).join("/");
  await write("matrix.json", formatMatrixJson(matrix));
  await write("matrix.md", formatMatrixMarkdown(matrix));
  await write("badge.svg", formatBadge(matrix));
  return { html: await write("matrix.html", formatMatrixHtml(matrix, linkTo)) };
}
