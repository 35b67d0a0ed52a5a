/** `npm run update` writes the files that are made from others; with `--check` it only says which are not fresh. */

import { mkdir, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { PROJECT } from "../cli/context.ts";
import { generatedFiles } from "./generated.ts";
import { findStalePictures } from "./pictures.ts";

const check = process.argv.includes("--check");
const stale: string[] = [];
for (const [file, text] of await generatedFiles()) {
  const target = path.join(PROJECT, file);
  const before = await readFile(target, "utf8").catch(() => undefined);
  if (before === text) continue;
  stale.push(file);
  if (check) continue;
  await mkdir(path.dirname(target), { recursive: true });
  await writeFile(target, text);
}
for (const file of stale) console.log(check ? `${file} is not fresh: npm run update` : `wrote ${file}`);
// Pictures need a browser, so that they are only looked at here.
const pictures = await findStalePictures();
for (const file of pictures) console.log(`${file} does not show what the page is now: npm run screenshots`);
process.exitCode = check && stale.length + pictures.length > 0 ? 1 : 0;
