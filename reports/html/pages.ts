/** Every kind of page of a fixture, for tests and pictures. */

import { everyStatus, hostile } from "../fixture.ts";
import {
  comparison,
  hostileComparison,
  hostileTicket,
  hostileTrend,
  hostileUpgrade,
  ticket,
  trend,
  upgraded,
} from "../fixture-pages.ts";
import { formatUpgradeHtml } from "../upgrade.ts";
import { formatDiffHtml } from "./diff.ts";
import { formatHtml } from "./document.ts";
import { formatReproHtml } from "./repro.ts";
import { formatTrendHtml } from "./trend.ts";

export const PAGES = {
  run: { plain: () => formatHtml(everyStatus()), hostile: () => formatHtml(hostile()) },
  diff: { plain: () => formatDiffHtml(comparison()), hostile: () => formatDiffHtml(hostileComparison()) },
  trend: { plain: () => formatTrendHtml(trend(), linkTo), hostile: () => formatTrendHtml(hostileTrend(), linkTo) },
  repro: { plain: () => formatReproHtml(ticket()), hostile: () => formatReproHtml(hostileTicket()) },
  upgrade: { plain: () => formatUpgradeHtml(upgraded()), hostile: () => formatUpgradeHtml(hostileUpgrade()) },
} as const;

export type PageName = keyof typeof PAGES;

function linkTo({ folder }: { readonly folder: string }): string {
  return `${folder.split("/").at(-1)}/report.html`;
}
