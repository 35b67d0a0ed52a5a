import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { execa } from "execa";

const PROJECT = join(import.meta.dirname, "..");

/** Runs before anything else: this is macOS, and no program may be started but those that are named. */
const PRELOAD = `
import childProcess from "node:child_process";
import { syncBuiltinESMExports } from "node:module";
Object.defineProperty(process, "platform", { value: "darwin" });
for (const name of ["spawn", "spawnSync", "exec", "execSync", "execFile", "execFileSync", "fork"]) {
  const original = childProcess[name];
  childProcess[name] = (file, ...rest) => {
    if (!(process.env.ALLOWED ?? "").split(" ").includes(file)) throw new Error("started " + file);
    return original(file, ...rest);
  };
}
syncBuiltinESMExports();
`;

function run(args: readonly string[], allowed = "") {
  const preload = `data:text/javascript,${encodeURIComponent(PRELOAD)}`;
  return execa(process.execPath, ["--import", preload, ...args], {
    cwd: PROJECT,
    all: true,
    reject: false,
    env: { ALLOWED: allowed, PATH: "/nonexistent" },
  });
}

test("nothing that is loaded for kind and existing clusters starts a program, or needs one of Linux", async () => {
  const modules = ["kind/kind.ts", "existing/existing.ts"].map((name) =>
    pathToFileURL(join(import.meta.dirname, name)),
  );
  const script = `${modules.map(({ href }) => `await import(${JSON.stringify(href)});`).join("\n")}\nconsole.log("loaded");`;
  const { exitCode, all } = await run(["--input-type=module", "--eval", script]);
  assert.equal(exitCode, 0, all);
  assert.equal(all, "loaded");
});

test("on macOS, doctor prints what works there, and scenarios can be listed", async () => {
  const doctor = await run(["cli/main.ts", "doctor"], "docker");
  assert.equal(doctor.exitCode, 3, doctor.all);
  assert.match(doctor.all, /system +darwin on \w+ +needed: Linux on x64 or arm64, for the embedded cluster/);
  assert.match(doctor.all, /use --cluster kind \(with Docker\), --cluster existing, or a Linux machine/);
  assert.match(
    doctor.all,
    /--cluster kind works where Docker answers, and --cluster existing needs nothing but Node\.js/,
  );
  const list = await run(["cli/main.ts", "list", "paths"]);
  assert.equal(list.exitCode, 0, list.all);
});
