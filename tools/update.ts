/** `npm run update` writes the generated files; with `--check` it only lists those that are out of date. */

import { mkdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { gzipSync } from "node:zlib";
import { PROJECT } from "../cli/context.ts";
import { generatedFiles } from "./generated.ts";
import { readRendered } from "../test/recorded/rendered.ts";
import { findStalePictures } from "./pictures.ts";

const check = process.argv.includes("--check");
const stale: string[] = [];
for (const [file, text] of await generatedFiles()) {
  const target = path.join(PROJECT, file);
  if (readRendered(target) === text) continue;
  stale.push(file);
  if (check) continue;
  await mkdir(path.dirname(target), { recursive: true });
  await writeFile(target, file.endsWith(".gz") ? gzipSync(text, { level: 9 }) : text);
}
for (const file of stale) console.log(check ? `${file} is not fresh: npm run update` : `wrote ${file}`);
// Pictures need a browser, so that they are only looked at here.
const pictures = await findStalePictures();
for (const file of pictures) console.log(`${file} does not show what the page is now: npm run screenshots`);
process.exitCode = check && stale.length + pictures.length > 0 ? 1 : 0;
