import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, afterEach, describe, test } from "node:test";
import { FIELDS, readKubeconfig, treat } from "./kubeconfig-fields.ts";
import { pinContext } from "./kubeconfig.ts";

const folder = mkdtempSync(path.join(tmpdir(), "meshproof-kubeconfig-test-"));
after(() => rmSync(folder, { recursive: true }));

function write(name: string, parts: { cluster?: object; user?: object; context?: string; server?: string }): string {
  const file = path.join(folder, name);
  mkdirSync(path.dirname(file), { recursive: true });
  const { context = "test", server = "https://a.example" } = parts;
  writeFileSync(
    file,
    JSON.stringify({
      clusters: [{ name: "c", cluster: { server, ...parts.cluster } }],
      users: [{ name: "u", user: parts.user ?? { token: "t" } }],
      contexts: [{ name: context, context: { cluster: "c", user: "u" } }],
    }),
  );
  return file;
}

const pin = (file: string) => pinContext({ kubeconfig: file, context: "test", allowExec: [] });
const headersOf = async (file: string): Promise<Record<string, unknown>> => {
  const options: { headers?: Record<string, unknown> } = {};
  await pin(file).config.applyToHTTPSOptions(options as never);
  return options.headers ?? {};
};

test("a connection that is not verified is reported", () => {
  const file = write("config", { cluster: { "insecure-skip-tls-verify": true, "disable-compression": true } });
  assert.deepEqual(pin(file).told, [
    "insecure-skip-tls-verify: the API server's certificate is not verified: who answers is not proven",
  ]);
  assert.deepEqual(pin(write("config", { cluster: { "insecure-skip-tls-verify": false } })).told, []);
});

for (const field of ["as-groups", "as-uid", "as-user-extra"])
  test(`${field}, which the library drops, is refused`, () => {
    const file = write("config", { user: { token: "t", as: "jane", [field]: ["admins"] } });
    assert.throws(() => pin(file), new RegExp(`context "test" cannot be used: ${field} is not supported`));
  });

test("an unknown field is reported, and each field in the table has a treatment", () => {
  assert.deepEqual(pin(write("config", { user: { token: "t", tokn: "x" } })).told, [
    "the user's field tokn is not known and is not used",
  ]);
  assert.deepEqual(treat("user", { toString: "x" }).told, ["the user's field toString is not known and is not used"]);
  for (const what of ["cluster", "user"] as const)
    for (const [field, treatment] of Object.entries(FIELDS[what])) {
      const { told, refused } = treat(what, { [field]: "x" });
      assert.equal(told.length + refused.length, typeof treatment === "string" ? 0 : 1, field);
    }
});

describe("a token file", () => {
  test("is relative to its kubeconfig, takes precedence over a token, and is read again", async () => {
    const file = write("deep/config", { user: { token: "old", tokenFile: "token" } });
    writeFileSync(path.join(folder, "deep/token"), "fresh");
    assert.equal((await headersOf(file))["Authorization"], "Bearer fresh");
    assert.ok(!pin(file).text.includes("fresh"), "the file is named, not copied");
  });
  test("that ends in a line feed gives a header without one", async () => {
    const file = write("deep/config", { user: { tokenFile: "token" } });
    writeFileSync(path.join(folder, "deep/token"), "fresh\n");
    assert.equal((await headersOf(file))["Authorization"], "Bearer fresh");
  });
  test("that is missing is a readable error", () => {
    const file = write("deep/config", { user: { tokenFile: "none" } });
    assert.throws(() => pin(file), /the token file cannot be read: ENOENT.*none/);
  });
});

test("inline data takes precedence over a file, as in kubectl", () => {
  const file = write("config", { cluster: { "certificate-authority": "ca", "certificate-authority-data": "Y2E=" } });
  const cluster = pin(file).config.getCurrentCluster();
  assert.deepEqual([cluster?.caFile, cluster?.caData], [undefined, "Y2E="]);
});

describe("without --kubeconfig", () => {
  const before = { ...process.env };
  afterEach(() => {
    for (const name of ["KUBECONFIG", "HOME", "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"]) {
      if (before[name] === undefined) delete process.env[name];
      else process.env[name] = before[name];
    }
  });
  const options = { context: "test", allowExec: [] };

  test("a list is read like in kubectl: missing files are ignored, and the first entry of a name wins", () => {
    const first = write("first", { server: "https://first.example" });
    const second = write("second", { server: "https://second.example", context: "other" });
    process.env["KUBECONFIG"] = [path.join(folder, "missing"), first, second].join(path.delimiter);
    assert.equal(pinContext(options).server, "https://first.example");
    assert.equal(pinContext({ ...options, context: "other" }).server, "https://first.example", "the cluster c");
    process.env["KUBECONFIG"] = path.join(folder, "missing");
    assert.throws(() => pinContext(options), /no file in \$KUBECONFIG exists: .*missing/);
  });
  test("~/.kube/config is read", () => {
    delete process.env["KUBECONFIG"];
    process.env["HOME"] = folder;
    write(".kube/config", { server: "https://home.example" });
    assert.equal(pinContext(options).server, "https://home.example");
  });
  test("a pod's own service account is the context in-cluster", () => {
    delete process.env["KUBECONFIG"];
    process.env["HOME"] = path.join(folder, "empty");
    Object.assign(process.env, { KUBERNETES_SERVICE_HOST: "fd00::1", KUBERNETES_SERVICE_PORT: "443" });
    writeFileSync(path.join(folder, "token"), "t");
    const { clusters, users, contexts } = readKubeconfig(undefined, folder);
    assert.equal(clusters.get("in-cluster")?.["server"], "https://[fd00::1]:443");
    assert.deepEqual(users.get("in-cluster"), { tokenFile: path.join(folder, "token") });
    assert.deepEqual([...contexts.keys()], ["in-cluster"]);
    assert.equal(readKubeconfig(undefined, path.join(folder, "empty")).contexts.size, 0);
  });
});
