/** For the browser tests of all pages: a page without any console message, and checks that every page must pass. */

import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { expect, test as base, type Page } from "@playwright/test";
import type { RunResult } from "../../harness/model/result.ts";
import { formatBytes, formatDuration } from "../text.ts";
import { writeReports, type ReportPaths } from "../index.ts";

interface Report {
  /** Writes the reports of a result and opens its HTML; the hash without `#`. */
  open(result: RunResult, hash?: string): Promise<ReportPaths>;
  /** Writes a page and opens it from its file. */
  openHtml(html: string, hash?: string): Promise<void>;
}

/** A page that fails on any console message (such as a CSP violation), error, dialog, or request except for the file itself. */
export const test = base.extend<{ report: Report }>({
  report: async ({ page, context }, use) => {
    const dir = await mkdtemp(join(tmpdir(), "meshproof-html-"));
    const noise: string[] = [];
    page.on("console", (message) => noise.push(`console: ${message.text()}`));
    page.on("pageerror", (error) => noise.push(`error: ${error.message}`));
    page.on("dialog", (dialog) => {
      noise.push(`dialog: ${dialog.message()}`);
      void dialog.dismiss();
    });
    page.on("request", (request) => {
      if (!/^(file|data):/.test(request.url())) noise.push(`request: ${request.url()}`);
    });
    context.on("page", (other) => noise.push(`page: ${other.url()}`));
    const visit = async (file: string, hash: string): Promise<void> => {
      // The same file with another hash would not be loaded again.
      await page.goto("about:blank");
      await page.goto(`${pathToFileURL(file).href}${hash === "" ? "" : `#${hash}`}`);
    };
    await use({
      open: async (result, hash = "") => {
        const paths = await writeReports(result, dir);
        await visit(paths.html, hash);
        return paths;
      },
      openHtml: async (html, hash = "") => {
        const file = join(dir, "page.html");
        await writeFile(file, html);
        await visit(file, hash);
      },
    });
    await rm(dir, { recursive: true });
    expect(noise).toEqual([]);
  },
});

/** The page's code is read as text, because this project has no DOM types. */
const contrast = readFile(new URL("page/contrast.js", import.meta.url), "utf8");

/** Checks that nothing is wider than the window and that every text has the contrast of WCAG AA. */
export async function expectReadable(page: Page): Promise<void> {
  expect(await page.evaluate("document.documentElement.scrollWidth - innerWidth")).toBeLessThanOrEqual(0);
  expect(await page.evaluate(await contrast)).toEqual([]);
}

/** Colour schemes and widths for the tests. */
export const LOOKS = [
  ["light", 1280],
  ["dark", 1280],
  ["light", 400],
] as const;

export function goTo(page: Page, hash: string): Promise<unknown> {
  return page.evaluate(`location.hash = ${JSON.stringify(hash)}`);
}

/** The number of elements in the page. */
export function countNodes(page: Page): Promise<number> {
  return page.evaluate<number>(`document.querySelectorAll("*").length`);
}

/** Prints sizes and times without asserting them, since a busy machine is slow. */
export function logSizes(
  what: string,
  { nodes, size, openedMs, usedMs }: { nodes: number; size: number; openedMs: number; usedMs: number },
): void {
  const times = `written and opened in ${formatDuration(openedMs)}, filtered and followed in ${formatDuration(usedMs)}`;
  process.stdout.write(`${what}: ${nodes} elements, ${formatBytes(size)}, ${times}\n`);
}
