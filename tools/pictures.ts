/** The pictures of pages in the docs, and whether the pages have changed since. */

import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import path from "node:path";
import { PAGES } from "../reports/html/pages.ts";
import { PROJECT } from "../cli/context.ts";

const FOLDER = "docs/screenshots";

/** Says of which page each picture is, by hash; written with the pictures. */
export const RECORD = `${FOLDER}/pages.json`;

export const SCHEMES = ["light", "dark"] as const;

/** The pages that the docs show. */
const SHOWN = ["run", "diff", "matrix", "trend", "repro"] as const;

export interface Picture {
  /** Relative to the project. */
  readonly file: string;
  readonly scheme: (typeof SCHEMES)[number];
  readonly html: string;
}

export type PictureRecord = Readonly<Record<string, { readonly page: string; readonly picture: string }>>;

export function pictures(): Picture[] {
  return SHOWN.flatMap((name) => {
    const html = PAGES[name].plain();
    return SCHEMES.map((scheme) => ({ file: `${FOLDER}/${name}-${scheme}.png`, scheme, html }));
  });
}

export function hash(content: string | Uint8Array): string {
  return createHash("sha256").update(content).digest("hex");
}

/** Pictures that are missing, changed by themselves, or of a page that is another one now. Needs no browser. */
export async function findStalePictures(project = PROJECT): Promise<string[]> {
  const read = (file: string) => readFile(path.join(project, file)).catch(() => undefined);
  const record = JSON.parse((await read(RECORD))?.toString() ?? "{}") as PictureRecord;
  const stale: string[] = [];
  for (const { file, html } of pictures()) {
    const [known, bytes] = [record[path.basename(file)], await read(file)];
    if (bytes === undefined || known?.picture !== hash(bytes) || known.page !== hash(html)) stale.push(file);
  }
  return stale;
}
