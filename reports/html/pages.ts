/** Every kind of page, from recorded results and with hostile text. For tests and screenshots. */

import { hostile } from "../../test/recorded/change.ts";
import {
  hostileComparison,
  hostileMatrix,
  hostileTicket,
  hostileTrend,
  hostileUpgrade,
} from "../../test/recorded/change-pages.ts";
import { comparison, matrix, redRun, ticket, trend, upgrade } from "../../test/recorded/results.ts";
import { formatUpgradeHtml } from "../upgrade.ts";
import { formatDiffHtml } from "./diff.ts";
import { formatHtml } from "./document.ts";
import { formatMatrixHtml } from "./matrix-page.ts";
import { formatReproHtml } from "./repro.ts";
import { formatTrendHtml } from "./trend.ts";

export const PAGES = {
  run: { plain: () => formatHtml(redRun()), hostile: () => formatHtml(hostile()) },
  diff: { plain: () => formatDiffHtml(comparison()), hostile: () => formatDiffHtml(hostileComparison()) },
  matrix: {
    plain: () => formatMatrixHtml(matrix(), linkTo),
    hostile: () => formatMatrixHtml(hostileMatrix(), linkTo),
  },
  trend: { plain: () => formatTrendHtml(trend(), linkTo), hostile: () => formatTrendHtml(hostileTrend(), linkTo) },
  repro: { plain: () => formatReproHtml(ticket()), hostile: () => formatReproHtml(hostileTicket()) },
  upgrade: { plain: () => formatUpgradeHtml(upgrade()), hostile: () => formatUpgradeHtml(hostileUpgrade()) },
} as const;

export type PageName = keyof typeof PAGES;

function linkTo({ folder }: { readonly folder: string }): string {
  return `${folder.split("/").at(-1)}/report.html`;
}
