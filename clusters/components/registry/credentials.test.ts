import assert from "node:assert/strict";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { findLogin } from "./credentials.ts";

describe("a login to a registry", () => {
  const base64 = (text: string): string => Buffer.from(text).toString("base64");
  const PATH = process.env["PATH"];
  let folder: string;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "meshproof-credentials-"));
    process.env["PATH"] = `${folder}:${PATH}`;
  });
  after(async () => {
    process.env["PATH"] = PATH;
    await rm(folder, { recursive: true });
  });

  const config = (value: unknown) =>
    writeFile(join(folder, "config.json"), typeof value === "string" ? value : JSON.stringify(value));

  /** A credential helper: a shell script that gets the server on its standard input. */
  async function helper(name: string, script: string): Promise<void> {
    await writeFile(join(folder, `docker-credential-${name}`), `#!/bin/sh\nread server\n${script}\n`);
    await chmod(join(folder, `docker-credential-${name}`), 0o755);
  }

  test("a login is the one that docker login wrote for this registry", async () => {
    assert.equal(await findLogin("docker.io", join(folder, "nothing")), undefined);
    await config({
      auths: {
        "https://index.docker.io/v1/": { auth: base64("hub:pass:word") },
        "mirror.example:5000": { auth: base64("m:p") },
        "empty.example": {},
      },
    });
    assert.deepEqual(await findLogin("docker.io", folder), { user: "hub", password: "pass:word" });
    assert.deepEqual(await findLogin("mirror.example:5000", folder), { user: "m", password: "p" });
    for (const other of ["mirror.example", "empty.example", "quay.io"])
      assert.equal(await findLogin(other, folder), undefined);
  });

  test("a credential helper is asked, for its own registry before the store", async () => {
    await helper("own", `printf '{"Username":"u","Secret":"of %s"}' "$server"`);
    await helper("store", "echo credentials not found in native keychain; exit 1");
    await config({ credsStore: "store", credHelpers: { "ghcr.io": "own" } });
    assert.deepEqual(await findLogin("ghcr.io", folder), { user: "u", password: "of ghcr.io" });
    assert.equal(await findLogin("quay.io", folder), undefined);
  });

  test("a config that others may write is not read", async () => {
    await config({ credsStore: "own" });
    await chmod(join(folder, "config.json"), 0o666);
    await assert.rejects(findLogin("a.example", folder), { code: "ERR_FOREIGN_FILE" });
    await chmod(join(folder, "config.json"), 0o600);
  });

  test("what cannot be read is an error without a secret in it", async () => {
    await helper("broken", 'echo \'{"Secret": "hunter2"\'');
    await helper("failing", "echo hunter2; exit 1");
    await helper("token", `echo '{"Username":"<token>","Secret":"hunter2"}'`);
    for (const [value, message] of [
      ['{"auths": hunter2', /config\.json is not JSON$/],
      [{ auths: { "a.example": { auth: base64("hunter2") } } }, /not user:password in base64$/],
      [{ credsStore: "broken" }, /docker-credential-broken is not JSON$/],
      [{ credsStore: "failing" }, /docker-credential-failing failed for a\.example$/],
      [{ credsStore: "token" }, /has an identity token/],
      [{ credsStore: "absent" }, /docker-credential-absent, which is not in PATH$/],
      [{ credsStore: "../../evil" }, /is not the name of a credential helper$/],
    ] as const) {
      await config(value);
      await assert.rejects(findLogin("a.example", folder), (error: Error) => {
        assert.match(error.message, message);
        assert.doesNotMatch(error.message, /hunter2/);
        return true;
      });
    }
  });
});
