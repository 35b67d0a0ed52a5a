/** `npm run update` writes the files that are made from others; with `--check` it only says which are not fresh. */

import { mkdir, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { PROJECT } from "../context.ts";
import { generatedFiles } from "./generated.ts";

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
process.exitCode = check && stale.length > 0 ? 1 : 0;
