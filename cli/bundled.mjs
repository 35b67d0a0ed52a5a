// In JavaScript that an old Node understands. Dependencies are read from few files, which tools/bundle.mjs makes: the Kubernetes
// client alone is 900 files, and every process that loads them, each by Playwright's hooks, takes a second for it.

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import * as nodeModule from "node:module";
import path from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

/** The clone, the package, or its `dist`. */
const ROOT = path.dirname(path.dirname(fileURLToPath(import.meta.url)));

/** Where they may be: in a clone, in `dist` itself, in a package. In a clone inside node_modules, whose files Playwright does not compile. */
const FOLDERS = ["node_modules/.bundled", "bundled", "dist/bundled"];

/** Set once the hook is there: a process may import this file under several addresses. */
const THERE = Symbol.for("meshproof.bundled");

/**
 * What identifies the packages that are installed: npm's own list of them. Undefined in a package, which is bundled with its versions
 * and whose dependencies npm puts elsewhere.
 * @param {string} root
 */
export function installedOf(root) {
  try {
    return createHash("sha256")
      .update(readFileSync(path.join(root, "node_modules/.package-lock.json")))
      .digest("hex");
  } catch {
    return undefined;
  }
}

/**
 * Where each bundled dependency is, by its name; undefined where they are not bundled, or other ones have been installed since.
 * @param {string} folder
 * @returns {Record<string, string> | undefined}
 */
function bundledIn(folder) {
  try {
    /** @type {{ installed?: string, files: Record<string, string> }} */
    const { installed, files } = JSON.parse(readFileSync(path.join(folder, "manifest.json"), "utf8"));
    if (installed !== installedOf(ROOT)) return undefined;
    const address = (/** @type {string} */ file) => pathToFileURL(path.join(folder, file)).href;
    return Object.fromEntries(Object.entries(files).map(([name, file]) => [name, address(file)]));
  } catch {
    return undefined;
  }
}

/** Where this project's own files find the bundled ones; what lies in node_modules finds what lies there. */
function useBundled() {
  if (nodeModule.registerHooks === undefined || THERE in globalThis) return;
  const files = FOLDERS.map((folder) => bundledIn(path.join(ROOT, folder))).find((found) => found !== undefined);
  if (files === undefined) return;
  Object.defineProperty(globalThis, THERE, { value: true });
  const own = `${pathToFileURL(ROOT).href}/`;
  const others = `${own}node_modules/`;
  nodeModule.registerHooks({
    resolve(specifier, context, next) {
      const url = files[specifier];
      const parent = context.parentURL ?? "";
      if (url === undefined || !parent.startsWith(own) || parent.startsWith(others)) return next(specifier, context);
      return { url, format: "module", shortCircuit: true };
    },
  });
}

useBundled();
