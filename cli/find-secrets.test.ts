import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, it } from "node:test";
import { createTokenFactory } from "../harness/tokens/factory.ts";
import { SCENARIOS } from "./context.ts";
import { findSecrets } from "./find-secrets.ts";

const folder = mkdtempSync(path.join(tmpdir(), "meshproof-test-"));
after(() => rmSync(folder, { recursive: true }));

it("every signature and private key of a run is recorded, and found in any file that contains it", async (t) => {
  const file = path.join(folder, "secrets.txt");
  const outside = process.env["MESHPROOF_SECRETS_FILE"];
  process.env["MESHPROOF_SECRETS_FILE"] = file;
  t.after(() => {
    if (outside === undefined) delete process.env["MESHPROOF_SECRETS_FILE"];
    else process.env["MESHPROOF_SECRETS_FILE"] = outside;
  });
  const tokens = await createTokenFactory({ issuersDirs: [path.join(SCENARIOS, "issuers")] });
  const { compact } = await tokens.mint({ issuer: "corp", alg: "HS256" });
  const forged = await tokens.mint({ issuer: "corp", alg: "RS256" }, "other-key");
  const secrets = readFileSync(file, "utf8").trim().split("\n");
  assert.deepEqual(secrets.toSorted(), tokens.secrets().toSorted());
  const results = path.join(folder, "results");
  mkdirSync(path.join(results, "a", "b"), { recursive: true });
  const write = (name: string, text: string) => writeFileSync(path.join(results, name), text);
  write("clean.json", tokens.redact(compact));
  assert.deepEqual(await findSecrets(results, secrets), []);
  write("a/b/one.txt", `x${compact}y`);
  write("a/two.html", `<p>${forged.compact.split(".")[2]}</p>`);
  write("three.log", "-----BEGIN RSA PRIVATE KEY-----");
  const found = await findSecrets(results, secrets);
  assert.deepEqual(
    found.map((line) => line.replace(/ secret \d+ of \d+/, " a secret")),
    ["a/b/one.txt holds a secret", "a/two.html holds a secret", "three.log holds a private key"],
  );
});
