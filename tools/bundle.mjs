// Makes few files of meshproof's dependencies, see cli/bundled.mjs. npm runs it after `npm install` in a clone (`prepare`), and
// `npm run build` with the folder of the package's, where nothing is installed anew beside them.

import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { readFile, readdir, rename, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";

const PROJECT = path.dirname(path.dirname(fileURLToPath(import.meta.url)));

/** Where a clone has them. */
const OWN = path.join(PROJECT, "node_modules/.bundled");

/** Those of meshproof's dependencies that many of its processes load. Playwright must be one and the same for all. */
const BUNDLED = [
  "@kubernetes/client-node",
  "ajv",
  "ajv/dist/2020.js",
  "commander",
  "execa",
  "jose",
  "re2js",
  "semver/functions/satisfies.js",
  "semver/ranges/valid.js",
  "shell-quote",
  "tar-stream",
  "undici",
  "ws",
  "yaml",
  "zod",
];

/** The names of licence files, in the packages. */
const LICENCE = /^(licen[cs]e|notice)(\.|-|$)/i;

/**
 * @param {string} folder where to, absolute; what is there is replaced
 * @param {string} [installed] what the packages are that lie beside it, if others may be installed there
 */
async function bundle(folder, installed) {
  const { build } = await import("esbuild");
  const made = `${folder}.new`;
  await rm(made, { recursive: true, force: true });
  const files = Object.fromEntries(BUNDLED.map((name) => [name, `${name.replace(/\W+/g, "_")}.mjs`]));
  const entryPoints = Object.entries(files).map(([name, file]) => ({
    in: `entry:${name}`,
    out: path.parse(file).name,
  }));
  const { metafile } = await build({
    absWorkingDir: PROJECT,
    entryPoints,
    outdir: made,
    outExtension: { ".js": ".mjs" },
    bundle: true,
    splitting: true,
    format: "esm",
    platform: "node",
    target: "node20",
    minifyWhitespace: true,
    legalComments: "none", // the licences lie beside it
    logLevel: "warning",
    metafile: true,
    banner: {
      js: 'import { createRequire as requireOf } from "node:module"; const require = requireOf(import.meta.url);',
    },
    plugins: [{ name: "entries", setup: (hooks) => addEntries(hooks) }],
  });
  await writeFile(path.join(made, "LICENSES.txt"), await licencesOf(Object.keys(metafile.inputs)));
  await writeFile(path.join(made, "manifest.json"), `${JSON.stringify({ installed, files }, undefined, 2)}\n`);
  await rm(folder, { recursive: true, force: true });
  await rename(made, folder);
}

/**
 * A file for each dependency, that exports what the dependency does: of a CommonJS module, esbuild knows no names.
 * @param {import("esbuild").PluginBuild} hooks
 */
function addEntries(hooks) {
  hooks.onResolve({ filter: /^entry:/ }, (args) => ({ path: args.path.slice("entry:".length), namespace: "entry" }));
  hooks.onLoad({ filter: /.*/, namespace: "entry" }, async (args) => {
    const exported = await import(args.path);
    const names = Object.keys(exported).filter((name) => name !== "default" && name !== "module.exports");
    const from = JSON.stringify(args.path);
    const isCommonJs = "module.exports" in exported || "__esModule" in exported;
    const contents = isCommonJs
      ? `const all = require(${from}); export default all; export const { ${names.join(", ")} } = all;`
      : `export * from ${from};${"default" in exported ? ` export { default } from ${from};` : ""}`;
    return { contents, resolveDir: PROJECT };
  });
}

/**
 * The licences of all packages that these files belong to.
 * @param {readonly string[]} inputs relative to the project
 */
async function licencesOf(inputs) {
  const packages = new Set(inputs.flatMap((file) => /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(file)?.[0] ?? []));
  const texts = [];
  for (const folder of [...packages].sort()) {
    const { name, version, license } = JSON.parse(await readFile(path.join(PROJECT, folder, "package.json"), "utf8"));
    const found = (await readdir(path.join(PROJECT, folder))).filter((file) => LICENCE.test(file));
    const parts = await Promise.all(found.map((file) => readFile(path.join(PROJECT, folder, file), "utf8")));
    texts.push([`${name} ${version}, ${license}`, ...parts].join("\n\n"));
  }
  return `${texts.join(`\n\n${"-".repeat(80)}\n\n`)}\n`;
}

/** A clone's. Never fails: without it, all works, and starts more slowly. */
async function prepare() {
  if (!existsSync(path.join(PROJECT, "node_modules/esbuild"))) return "esbuild is not installed";
  // This process, or the one that is started, must find what is installed, and not what was bundled before.
  await rm(OWN, { recursive: true, force: true });
  if (Number(process.versions.node.split(".")[0]) >= 24) {
    const { installedOf } = await import("../cli/bundled.mjs");
    return bundle(OWN, installedOf(PROJECT));
  }
  const launcher = path.join(PROJECT, "cli/node24.mjs");
  const { status } = spawnSync(process.execPath, [launcher, fileURLToPath(import.meta.url)], { stdio: "inherit" });
  return status === 0 ? undefined : "that ended with an error";
}

const [folder] = process.argv.slice(2);
const reason = folder === undefined ? await prepare() : await bundle(folder);
if (reason !== undefined) console.log(`dependencies are not bundled (${reason}): meshproof starts some seconds slower`);
