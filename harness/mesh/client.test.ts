import assert from "node:assert/strict";
import { chmodSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { connect } from "./client.ts";

const folder = mkdtempSync(join(tmpdir(), "meshproof-client-"));
after(() => rmSync(folder, { recursive: true }));

function write(name: string, user: object, mode = 0o600): string {
  const file = join(folder, name);
  const config = {
    clusters: [{ name: "c", cluster: { server: "https://127.0.0.1:1" } }],
    users: [{ name: "u", user }],
    contexts: [{ name: "c", context: { cluster: "c", user: "u" } }],
    "current-context": "c",
  };
  writeFileSync(file, JSON.stringify(config), { mode });
  return file;
}

test("the kubeconfig of meshproof's own cluster never runs a program", () => {
  const exec = {
    exec: { apiVersion: "client.authentication.k8s.io/v1", command: "touch", args: [join(folder, "ran")] },
  };
  const provider = { "auth-provider": { name: "gcp", config: { "cmd-path": "touch" } } };
  for (const [name, user, what] of [
    ["exec", exec, "exec"],
    ["provider", provider, "auth-provider"],
  ] as const) {
    const file = write(name, user);
    const refused = { code: "ERR_FOREIGN_FILE", message: new RegExp(`names a program to log in \\(${what}\\)`) };
    assert.throws(() => connect(file), refused);
    assert.ok(connect(file, undefined, true), "a context of a user's kubeconfig, for which it was allowed");
  }
  assert.equal(connect(write("token", { token: "t" })).config.getCurrentUser()?.token, "t");
});

test("it is read only from a file and a folder that belong to this user alone", () => {
  const code = "ERR_FOREIGN_FILE";
  assert.throws(() => connect(write("open", { token: "t" }, 0o644)), { code, message: /open to others/ });
  symlinkSync("token", join(folder, "link"));
  assert.throws(() => connect(join(folder, "link")), { code, message: /is a link/ });
  assert.throws(() => connect(join(folder, "none")), { code: "ERR_CLUSTER_UNREACHABLE", message: /does not exist/ });
  chmodSync(folder, 0o755);
  assert.throws(() => connect(write("token", { token: "t" })), { code, message: /open to others: its mode is 0755/ });
  chmodSync(folder, 0o700);
});
