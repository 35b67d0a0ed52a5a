import assert from "node:assert/strict";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, test } from "node:test";
import { connectWith } from "../../harness/mesh/client.ts";
import { pinContext } from "./kubeconfig.ts";
import { settleLogin } from "./login.ts";

const folder = mkdtempSync(path.join(tmpdir(), "meshproof-login-"));
after(() => rmSync(folder, { recursive: true }));
const ran = path.join(folder, "ran");

/** A program that records that it ran, and prints a token. */
function program(file: string): string {
  mkdirSync(path.dirname(file), { recursive: true });
  const credential = { apiVersion: "client.authentication.k8s.io/v1", kind: "ExecCredential", status: { token: "t" } };
  writeFileSync(file, `#!/bin/sh\nexec 1>&1; : >${ran}; echo '${JSON.stringify(credential)}'\n`);
  chmodSync(file, 0o755);
  return file;
}
const installed = program(path.join(folder, "bin/login"));
const foreign = program(path.join(folder, "tools/login"));
const env = { PATH: ["relative", "", path.dirname(installed)].join(path.delimiter) };

const exec = (command: string, more: object = {}) => ({ exec: { apiVersion: "x/v1", command, ...more } });
const settle = (user: Readonly<Record<string, unknown>>, ...allowed: string[]) =>
  settleLogin(user, { context: "c", allowed, env });
const refused = (message: RegExp, hint?: RegExp) => ({
  code: "ERR_CLUSTER_REFUSED",
  message,
  ...(hint ? { hint } : {}),
});

test("a program of the same name in another folder is another program", () => {
  assert.throws(
    () => settle(exec(foreign, { args: ["get", "token"] }), "login"),
    refused(
      /runs the program \S+\/tools\/login to log in, which was not allowed: \S+ get token$/,
      /--allow-exec \/\S+tools\/login$/,
    ),
  );
  assert.ok(settle(exec(foreign), foreign));
  assert.throws(() => settle(exec(foreign)), refused(/not allowed/));
});

test("a name is looked up in meshproof's PATH, and the found program is the one that runs", () => {
  for (const allowed of ["login", installed])
    assert.deepEqual(settle(exec("login"), allowed), exec(installed), "by its whole path");
  assert.throws(() => settle(exec("login"), foreign), refused(/not allowed/, /--allow-exec login$/));
  assert.throws(() => settle(exec("none"), "none"), refused(/runs none to log in, which is not in PATH/));
});

test("a relative path is refused, in the flag and in the kubeconfig", () => {
  for (const command of ["tools/login", "./login", "../bin/login"])
    assert.throws(() => settle(exec(command), command.replace(/^/, "/")), refused(/relative path/));
  assert.throws(() => settle(exec("login"), "bin/login"), {
    code: "ERR_USAGE",
    hint: /--allow-exec \/.*\/bin\/login$/,
  });
});

test("the kubeconfig sets nothing in the program's environment that could change what it runs", () => {
  const names = ["PATH", "LD_PRELOAD", "LD_LIBRARY_PATH", "NODE_OPTIONS", "PYTHONPATH", "PYTHONSTARTUP", "BASH_ENV"];
  const more = [
    "PERL5OPT",
    "RUBYOPT",
    "JAVA_TOOL_OPTIONS",
    "HOME",
    "BROWSER",
    "AWS_CONFIG_FILE",
    "CLOUDSDK_PYTHON",
    "path",
  ];
  for (const name of [...names, ...more, "GIT_SSH_COMMAND", "KUBECONFIG", "HTTPS_PROXY", "SSL_CERT_FILE", ""])
    assert.throws(
      () => settle(exec("login", { env: [{ name, value: "x" }] }), "login"),
      refused(/may change what it runs/),
    );
  const good = [{ name: "AWS_PROFILE", value: "test" }];
  assert.deepEqual(
    settle(exec("login", { env: good, args: null }), "login"),
    exec(installed, { env: good, args: null }),
  );
  for (const odd of [{ env: "PATH=x" }, { env: [null] }, { args: "x" }, { command: ["sh"] }, { command: "" }])
    assert.throws(() => settle(exec("login", odd), "login"), { code: "ERR_CLUSTER_REFUSED" });
});

test("an auth-provider runs nothing, under any allowed name", () => {
  const provider = (name: unknown, config?: object) => ({ "auth-provider": { name, ...(config ? { config } : {}) } });
  const oidc = provider("oidc", { "idp-issuer-url": "https://i.example", "client-id": "c", "id-token": "t" });
  assert.equal(settle(oidc), oidc, "needs no permission");
  for (const [name, config] of [
    ["oidc", { exec: { command: foreign } }],
    ["oidc", { "cmd-path": foreign }],
    ["oidc", { tokenFile: "/etc/passwd" }],
    ["gcp", { "cmd-path": foreign }],
    ["azure", undefined],
    ["exec", { exec: { command: foreign } }],
    [undefined, { exec: { command: foreign } }],
  ] as const)
    assert.throws(() => settle(provider(name, config), "oidc", "gcp", "azure", foreign), refused(/auth-provider/));
  assert.throws(() => settle({ ...oidc, ...exec("login") }, "login"), refused(/both/));
});

test("nothing runs until an allowed program is needed", async () => {
  const file = path.join(folder, "config");
  const at = (user: object) =>
    writeFileSync(
      file,
      JSON.stringify({
        clusters: [{ name: "c", cluster: { server: "https://127.0.0.1:1" } }],
        users: [{ name: "u", user }],
        contexts: [{ name: "c", context: { cluster: "c", user: "u" } }],
      }),
    );
  const pin = (...allowExec: string[]) => pinContext({ kubeconfig: file, context: "c", allowExec });
  for (const user of [
    exec(foreign),
    exec("login", { env: [{ name: "PATH", value: path.dirname(foreign) }] }),
    { "auth-provider": { name: "oidc", config: { exec: { command: foreign } } } },
  ]) {
    at(user);
    assert.throws(() => pin("login", "oidc"), { code: "ERR_CLUSTER_REFUSED" });
  }
  assert.equal(existsSync(ran), false);
  at(exec(foreign));
  await assert.rejects(connectWith(pin(foreign).config).core.listNamespace());
  assert.equal(existsSync(ran), true);
});
