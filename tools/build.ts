/**
 * `npm run build`: makes `dist`, the package as npm publishes it: JavaScript and type declarations in the place of TypeScript, which Node.js
 * does not run inside node_modules, and all other files that are needed beside them. `npm pack` runs it.
 */

import { execa } from "execa";
import { cp, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { PROJECT } from "../cli/context.ts";
import { builtFrom } from "../cli/version.ts";
import { inLanes } from "../harness/lanes.ts";
import packageJson from "../package.json" with { type: "json" };

const DIST = path.join(PROJECT, "dist");

/** Folders whose files are needed when meshproof runs. */
const FOLDERS = ["cli", "clusters", "harness", "reports", "scenarios", "schema", "tools/kind-offline", "workloads"];

/** What tests need alone, and TypeScript, which the compiler writes as JavaScript. */
const LEFT_OUT = /\.ts$|\/fixtures\/|\/tsconfig\.json$|\/meshproof\.mjs$/;

await rm(DIST, { recursive: true, force: true });
const node = { cwd: PROJECT, stdio: "inherit" } as const;
await execa("tsc", ["--project", "tsconfig.build.json"], { ...node, preferLocal: true, localDir: PROJECT });
const { stdout } = await execa("git", ["ls-files", "--cached", "--others", "--exclude-standard", ...FOLDERS], {
  cwd: PROJECT,
});
const files = stdout.split("\n").filter((file) => file !== "" && !LEFT_OUT.test(file));
await inLanes(files, (file) => cp(path.join(PROJECT, file), path.join(DIST, file)));
await execa(process.execPath, ["tools/bundle.mjs", path.join(DIST, "bundled")], node);
// For `"type": "module"`, and what meshproof prints of itself; `exports` of a second package.json would only confuse.
const { name, version, description, type } = packageJson;
await writeFile(path.join(DIST, "package.json"), `${JSON.stringify({ name, version, description, type })}\n`);
await writeFile(path.join(DIST, "build.json"), `${JSON.stringify(await builtFrom(PROJECT))}\n`);
console.log(`dist: JavaScript, declarations and ${files.length} other files`);
