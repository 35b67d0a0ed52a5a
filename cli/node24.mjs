// In JavaScript that an old Node understands: runs a TypeScript file of this project on Node 24, which the optional
// package node-linux-<arch> brings along where the user's own Node is older.

import { spawn } from "node:child_process";
import { closeSync, existsSync, lstatSync, mkdirSync, openSync, realpathSync } from "node:fs";
import * as nodeModule from "node:module";
import { constants, homedir } from "node:os";
import path from "node:path";
import { isatty } from "node:tty";
import { fileURLToPath, pathToFileURL } from "node:url";

/** Native type stripping without a warning, `await using`, compile cache: all in 24. */
const NEEDED = 24;

/**
 * Runs `file` with `args` in this process if its Node is new enough, else in a child that has standard streams, signals
 * and exit code in common with it.
 * @param {string} file absolute path
 * @param {string[]} args
 * @param {number} needed major version; for tests
 */
export async function runOnNode24(file, args, needed = NEEDED) {
  const cache =
    process.env.MESHPROOF_CACHE ?? path.join(process.env.XDG_CACHE_HOME ?? path.join(homedir(), ".cache"), "meshproof");
  // Compiled code and stripped types are kept; the variable tells the processes that this one starts. What lies there is run,
  // before any TypeScript of ours can look at whose it is.
  const compiled = process.env.NODE_COMPILE_CACHE ?? oursAlone(path.join(cache, "node-compile-cache"));
  if (compiled !== undefined) process.env.NODE_COMPILE_CACHE = compiled;
  if (Number(process.versions.node.split(".")[0]) >= needed) {
    if (compiled !== undefined) nodeModule.enableCompileCache(compiled);
    process.argv = [process.argv[0], file, ...args];
    await import("./bundled.mjs");
    await import(pathToFileURL(file).href);
    return;
  }
  const node = bundledNode();
  if (node === undefined) {
    process.stderr.write(
      `error: meshproof runs on Node ${needed}, this is ${process.version}\n` +
        `  install Node ${needed} or newer; on Linux x64 "npm install --include=optional" in this folder brings it along\n`,
    );
    process.exit(3);
  }
  const bundled = new URL("bundled.mjs", import.meta.url).href;
  const child = spawn(node, ["--import", bundled, file, ...args], { stdio: "inherit" });
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => child.kill(signal));
  const terminals = [0, 1, 2].filter((fd) => isatty(fd));
  process.on("exit", () => letGo(terminals));
  child.on("error", (error) => {
    process.stderr.write(`error: ${node} does not start: ${error.message}\n`);
    process.exit(3);
  });
  child.on("close", (code, signal) => process.exit(code ?? 128 + constants.signals[signal]));
}

/**
 * A folder without links, which is made where it is not there; undefined where somebody else than this user or root may
 * write it, or put another in its place. harness/own.ts asks more, and says what is wrong.
 * @param {string} folder absolute path
 */
function oursAlone(folder) {
  const trusted = [0, process.getuid?.()];
  try {
    mkdirSync(folder, { recursive: true, mode: 0o755 });
    const real = realpathSync(folder);
    if (process.getuid === undefined) return real;
    for (let dir = real; ; dir = path.dirname(dir)) {
      const { uid, mode } = lstatSync(dir);
      const sticky = dir !== real && (mode & 0o1000) !== 0;
      if (!trusted.includes(uid) || ((mode & 0o022) !== 0 && !sticky)) return undefined;
      if (dir === path.dirname(dir)) return real;
    }
  } catch {
    return undefined;
  }
}

/**
 * A Node before 24 sets terminals back when it ends, and crashes where one was closed: none of those is left to it.
 * @param {number[]} terminals
 */
function letGo(terminals) {
  for (const fd of terminals.filter((each) => !isatty(each))) {
    closeSync(fd);
    openSync("/dev/null", "r+"); // it takes the lowest number: this one
  }
}

/** The binary of the optional package, wherever npm has put it. */
function bundledNode() {
  try {
    const require = nodeModule.createRequire(import.meta.url);
    const node = path.join(path.dirname(require.resolve(`node-linux-${process.arch}/package.json`)), "bin", "node");
    return existsSync(node) ? node : undefined;
  } catch {
    return undefined;
  }
}

if (process.argv[1] !== undefined && path.resolve(process.argv[1]) === fileURLToPath(import.meta.url))
  await runOnNode24(path.resolve(process.argv[2]), process.argv.slice(3));
