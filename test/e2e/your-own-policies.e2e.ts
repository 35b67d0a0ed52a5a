/** Follows docs/your-own-policies.md word for word, with the package that `npm pack` makes and without the clone. */

import assert from "node:assert/strict";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { after, before, describe, it } from "node:test";
import type { RunResult } from "../../harness/model/result.ts";
import { PROJECT } from "../../cli/context.ts";
import { installPackage, type Installed } from "./package.fixture.ts";

/** ` ```sh ` runs, ` ```text ` is what the commands before it have printed, ` ```yaml FILE ` is a file. */
const BLOCK = /^```(\w+)(?: (\S+))?\n([\s\S]*?)^```$/gm;

/** A green test and a red one. */
const NO_ANSWER = `
import { expect, test } from "meshproof/test";

test("a client that speaks TLS to a sidecar is refused", async ({ mesh, client }) => {
  await mesh.apply(\`
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: { name: strict, namespace: "\\\${ns}" }
spec: { mtls: { mode: STRICT } }
\`);
  await expect(client("sleep").get("orders", "/orders/7")).toBeAllowed();
  await expect(client("outside").get("orders", "/orders/7", { tls: true })).toGetNoAnswer("tls-refused");
  await expect(client("outside").get("orders", "/orders/7", { host: "nowhere.invalid" })).toGetNoAnswer("dns");
});

test("a name that does not resolve is not a refusal", async ({ client }) => {
  await expect(client("sleep").get("orders", "/orders/7")).toBeAllowed();
  const request = client("outside").get("orders", "/orders/7", { tls: true, host: "nowhere.invalid" });
  await expect(request).toGetNoAnswer("tls-refused");
});
`;

describe("docs/your-own-policies.md", () => {
  let installed: Installed;
  before(async () => {
    installed = await installPackage();
  });
  after(async () => {
    await installed.run(["meshproof", "down"]);
    await installed.remove();
  });

  it("is true, word for word", async () => {
    const page = await readFile(path.join(PROJECT, "docs/your-own-policies.md"), "utf8");
    const blocks = [...page.matchAll(BLOCK)];
    assert.ok(blocks.length > 8);
    let printed = "";
    for (const [, kind, file, text = ""] of blocks)
      if (kind === "sh") {
        printed = "";
        for (const line of text.trimEnd().split("\n")) {
          const [, command = "", code = "0"] = /^(.*?)(?: +# exit code (\d))?$/.exec(line) ?? [];
          const { exitCode, all } = await installed.run(["sh", "-c", command]);
          assert.equal(exitCode, Number(code), `${command}\n${all}`);
          printed += `${all}\n`;
        }
      } else if (kind === "text") {
        for (const line of text.trimEnd().split("\n"))
          assert.ok(printed.includes(line), `"${line}" is not in\n${printed}`);
      } else if (file !== undefined) {
        const written = path.join(installed.user, file);
        await mkdir(path.dirname(written), { recursive: true });
        await writeFile(written, text);
      }
  });

  it("leaves every change of a policy in the results", async () => {
    const text = await readFile(path.join(installed.user, "results/latest/results.json"), "utf8");
    const { scenarios } = JSON.parse(text) as RunResult;
    const objects = scenarios.flatMap(({ steps }) => steps.flatMap((step) => step.objects));
    assert.deepEqual(
      objects.map(({ name, file, line, changes }) => [name, file, line, changes?.map(({ kind }) => kind)]),
      [
        ["orders-tokens", "deploy/orders.yaml", 14, ["namespace", "keys"]],
        ["orders", "deploy/orders.yaml", 28, ["namespace"]],
      ],
    );
  });

  it("has matchers of what comes in the place of an answer", async () => {
    await writeFile(path.join(installed.user, "mesh-tests/no-answer.spec.ts"), NO_ANSWER);
    const { exitCode, all } = await installed.run(["npx", "playwright", "test", "no-answer"]);
    assert.equal(exitCode, 1, all);
    assert.match(all, /1 passed/);
    assert.match(all, /expected the TLS handshake refused, got a name that does not resolve/);
  });
});
