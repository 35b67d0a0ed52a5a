/**
 * A shared machine: another user has already created every file that meshproof opens below TMPDIR, in its caches and in its state
 * folder (`strace -f -e trace=file,connect` lists them). meshproof must not run or trust any of them.
 *
 * Needs root, to make what belongs to another user; no cluster.
 */

import assert from "node:assert/strict";
import { spawn, type ChildProcess } from "node:child_process";
import { chmod, chown, lchown, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { execa } from "execa";
import { cachePlace } from "../../clusters/components/cache.ts";

const ROOT = path.join(import.meta.dirname, "../..");

/** Nobody has this number. */
const OTHER = 12345;

/**
 * Makes `<base>/<folder>`, which is then given to another user: a kubeconfig whose login is a program, the facts of a complete cluster, and a
 * socket that somebody listens on. Says `planted` and stays.
 */
const PLANT = `
  const { mkdirSync, writeFileSync } = require("node:fs");
  const [base, pwned] = process.argv.slice(1);
  const exec = { apiVersion: "client.authentication.k8s.io/v1", command: "sh", args: ["-c", "id >" + pwned], interactiveMode: "Never" };
  const kubeconfig = {
    apiVersion: "v1", kind: "Config", "current-context": "c",
    clusters: [{ name: "c", cluster: { server: "https://127.0.0.1:1" } }],
    users: [{ name: "u", user: { exec } }],
    contexts: [{ name: "c", context: { cluster: "c", user: "u" } }],
  };
  const authority = { certificate: "x", privateKey: "x" };
  mkdirSync(base, { mode: 0o755 });
  for (const name of ["default", "kind.default", "logs"]) {
    const dir = base + "/" + name;
    mkdirSync(dir, { mode: 0o755 });
    writeFileSync(dir + "/kubeconfig", JSON.stringify(kubeconfig));
    writeFileSync(dir + "/cluster.json", JSON.stringify({ envoy: "1", digests: {}, rootless: false, startedAt: "now", jwksAuthority: authority }));
    for (const file of ["jwks-ca.crt", "jwks-ca.key", "lock", "ended.txt"]) writeFileSync(dir + "/" + file, "x");
  }
  require("node:net").createServer().listen(base + "/default/control.sock", () => console.log("planted"));
  setTimeout(() => process.exit(1), 600_000);
`;

/** Compiling everything anew a dozen times would be most of this test. */
const COMPILED = path.join(cachePlace(), "node-compile-cache");

const REQUEST = ["--request", "GET /"];
/** Everything that opens a cluster by its name. */
const VERBS: readonly (readonly string[])[] = [
  ["explain", "--pod", "foo/x", ...REQUEST],
  ["explain", "--pod", "foo/x", "--cluster", "kind", ...REQUEST],
  ["kubectl", "get", "namespaces"],
  ["kubectl", "--cluster", "kind", "get", "namespaces"],
  ["run", "jwt/pair-makes-tokens-mandatory"],
  ["run", "jwt/pair-makes-tokens-mandatory", "--cluster", "kind"],
  ["up"],
  ["up", "--cluster", "kind"],
  ["up", "--name", "fresh"],
  ["repro", path.join(ROOT, "scenarios/jwt/pair-makes-tokens-mandatory"), ...REQUEST],
  ["down"],
  ["down", "--cluster", "kind"],
];

const skip = process.getuid?.() === 0 ? false : "only root can make what belongs to another user";

describe("what another user has created before", { skip }, () => {
  let top: string;
  let temp: string;
  let pwned: string;
  const planters: ChildProcess[] = [];

  /** Everything in one string. */
  const meshproof = async (args: readonly string[], env: Readonly<Record<string, string | undefined>> = {}) => {
    const { exitCode, all } = await execa(process.execPath, [path.join(ROOT, "cli/meshproof.mjs"), ...args], {
      cwd: top,
      all: true,
      reject: false,
      stdin: "ignore",
      extendEnv: false,
      env: {
        PATH: process.env["PATH"],
        HOME: path.join(top, "home"),
        TMPDIR: temp,
        NODE_COMPILE_CACHE: COMPILED,
        ...env,
      },
    });
    return { exitCode, output: all };
  };

  const plant = async (base: string): Promise<void> => {
    const planter = spawn(process.execPath, ["--eval", PLANT, base, pwned], { stdio: ["ignore", "pipe", "inherit"] });
    planters.push(planter);
    await new Promise<void>((resolve, reject) => {
      planter.stdout.once("data", () => resolve());
      planter.once("exit", () => reject(new Error("nothing was planted")));
    });
    await execa("chown", ["-R", `${OTHER}:${OTHER}`, base]);
  };

  const isRefused = async (args: readonly string[], place: string, env = {}): Promise<void> => {
    const { exitCode, output } = await meshproof(args, env);
    assert.equal(exitCode, 3, `${args.join(" ")}: ${output}`);
    assert.match(output, new RegExp(`${place} (belongs to|is a link that|is not a folder).*uid 12345`), args.join(" "));
    assert.match(output, /nothing in it was read or run/);
    assert.match(output, /set TMPDIR to|in MESHPROOF_CACHE|set XDG_STATE_HOME to/);
    assert.doesNotMatch(output, /internal error in meshproof/);
    await assert.rejects(readFile(pwned), { code: "ENOENT" }, "a program of another user ran");
  };

  beforeEach(async () => {
    top = await mkdtemp(path.join(tmpdir(), "meshproof-planted-"));
    temp = path.join(top, "tmp");
    pwned = path.join(temp, "pwned");
    for (const folder of [temp, path.join(top, "home")]) await mkdir(folder);
    // As /tmp is.
    await chmod(top, 0o755);
    await chmod(temp, 0o1777);
  });
  afterEach(async () => {
    for (const planter of planters.splice(0)) planter.kill();
    await rm(top, { recursive: true, force: true });
  });

  it("a folder of clusters, with a socket that answers and a kubeconfig that runs a program, is refused by every verb", async () => {
    const base = path.join(temp, "meshproof-0");
    await plant(base);
    const before = await readdir(base, { recursive: true });
    for (const verb of VERBS) await isRefused(verb, base);
    assert.deepEqual(await readdir(base, { recursive: true }), before, "it is as it was");
  });

  it("a link to such a folder, a link to nothing, and a file are refused", async () => {
    const base = path.join(temp, "meshproof-0");
    await plant(path.join(temp, "elsewhere"));
    const kinds = {
      "a link": () => symlink(path.join(temp, "elsewhere"), base),
      "a dangling link": () => symlink(path.join(top, "home/made"), base),
      "a file": () => writeFile(base, "x"),
    };
    for (const make of Object.values(kinds)) {
      await make();
      await lchown(base, OTHER, OTHER);
      for (const verb of [["explain", "--pod", "foo/x", ...REQUEST], ["up"], ["down"]]) await isRefused(verb, base);
      await rm(base);
    }
    assert.deepEqual(await readdir(path.join(top, "home")), [], "nothing was made where a link led");
  });

  it("a temporary folder in which every user may rename files is refused", async () => {
    await chmod(temp, 0o777);
    const { exitCode, output } = await meshproof(["up"]);
    assert.equal(exitCode, 3, output);
    assert.match(output, /tmp may be written by others \(mode 0777, not sticky\)/);
  });

  it("a folder of a run that has ended is not removed, and neither is its link's target", async () => {
    const namespace = /\d+/.exec(await execa("readlink", ["/proc/self/ns/pid"]).then(({ stdout }) => stdout))?.[0];
    const old = path.join(temp, `meshproof-run-${namespace}-999999999-1-abcdef`);
    await mkdir(old);
    await writeFile(path.join(old, "file"), "x");
    await chown(old, OTHER, OTHER);
    await execa(
      "node",
      ["--input-type=module", "--eval", `import("${ROOT}/clusters/temp-dir.ts").then((m) => m.makeTempDir())`],
      {
        env: { TMPDIR: temp },
        preferLocal: true,
        localDir: ROOT,
      },
    );
    assert.deepEqual(await readdir(temp), [path.basename(old)]);
    assert.deepEqual(await readdir(old), ["file"]);
  });

  it("journals are neither read nor continued", async () => {
    const state = path.join(temp, "state");
    const folder = path.join(state, "meshproof/journals");
    await mkdir(folder, { recursive: true });
    const head = { run: "r1", pid: 1, started: "0", context: "c", allowExec: ["sh"], namespaces: ["kube-system"] };
    await writeFile(path.join(folder, "r1.jsonl"), `${JSON.stringify(head)}\n`);
    await execa("chown", ["-R", `${OTHER}:${OTHER}`, state]);
    await isRefused(["cleanup"], state, { XDG_STATE_HOME: state });
  });

  it("a cache is not run, whichever part of it is another's", async () => {
    for (const part of ["", "components"]) {
      const cache = path.join(temp, `cache${part}`);
      await mkdir(path.join(cache, "components"), { recursive: true });
      await mkdir(path.join(cache, "node-compile-cache"));
      await execa("chown", ["-R", `${OTHER}:${OTHER}`, path.join(cache, part)]);
      // Without a value of its own for Node's compiled code, which would lie in this cache.
      const env = { MESHPROOF_CACHE: cache, NODE_COMPILE_CACHE: undefined };
      for (const verb of [["components"], ["components", "--verify"], ["up"]])
        await isRefused(verb, path.join(cache, part), env);
      if (part === "") assert.deepEqual(await readdir(path.join(cache, "node-compile-cache")), [], "nor written");
    }
  });
});
