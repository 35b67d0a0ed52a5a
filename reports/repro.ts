/** The answer to a ticket, as JSON and as a page; harness/repro/format.ts has the terminal's. */

import type { ReproAnswer } from "../harness/model/ticket.ts";
import { formatReproHtml } from "./html/repro.ts";
import { escapeJson } from "./json.ts";
import { prepareData } from "./prepare.ts";
import { writerIn } from "./index.ts";

/** Makes an answer fit to be shown and written, as {@link prepareData} does: no token signature, no private key, nothing endless. */
export function prepareRepro(answer: ReproAnswer): ReproAnswer {
  return prepareData(answer);
}

/** Writes repro.html and repro.json. */
export async function writeRepro(answer: ReproAnswer, dir: string): Promise<{ readonly html: string }> {
  const write = await writerIn(dir);
  await write("repro.json", formatReproJson(answer));
  return { html: await write("repro.html", formatReproHtml(answer)) };
}

/** The answer itself; what acts on a terminal is written as `\u` escapes. */
export function formatReproJson(answer: ReproAnswer): string {
  return `${escapeJson(JSON.stringify(prepareRepro(answer), undefined, 2))}\n`;
}
