/** `npm run screenshots` takes the pictures of pages in the docs, in a headless Chromium, and records the hash of each page. */

import { mkdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { chromium } from "@playwright/test";
import { makeTempDir } from "../clusters/temp-dir.ts";
import config from "../reports/html/playwright.config.ts";
import { formatBytes } from "../reports/text.ts";
import { PROJECT } from "../cli/context.ts";
import { hash, pictures, RECORD, type PictureRecord } from "./pictures.ts";

/** What the docs show of a page: its beginning. */
const VIEWPORT = { width: 1240, height: 760 };

const folder = makeTempDir();
const browser = await chromium.launch(config.projects?.[0]?.use?.launchOptions ?? {});
try {
  const record: Record<string, PictureRecord[string]> = {};
  for (const { file, scheme, html } of pictures()) {
    const page = await browser.newPage({ viewport: VIEWPORT, colorScheme: scheme });
    const place = path.join(folder, "page.html");
    await writeFile(place, html);
    await page.goto(pathToFileURL(place).href);
    const picture = await page.screenshot();
    await page.close();
    const target = path.join(PROJECT, file);
    await mkdir(path.dirname(target), { recursive: true });
    await writeFile(target, picture);
    record[path.basename(file)] = { page: hash(html), picture: hash(picture) };
    console.log(`wrote ${file}, ${formatBytes(picture.length)}`);
  }
  await writeFile(path.join(PROJECT, RECORD), `${JSON.stringify(record, undefined, 2)}\n`);
} finally {
  await browser.close();
}
