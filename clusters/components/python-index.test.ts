import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtemp, readFile, readdir, rm } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { downloadFile, linkOf } from "./python-index.ts";

const WHEEL = Buffer.from("a wheel");
const HASH = createHash("sha256").update(WHEEL).digest("hex");
const OTHER = "0".repeat(64);

test("the file with the hash is found, in JSON and in HTML", () => {
  const files = [
    { url: "https://files.example/other.whl", hashes: { sha256: OTHER } },
    { url: "https://files.example/it.whl", hashes: { sha256: HASH } },
  ];
  const json = "application/vnd.pypi.simple.v1+json";
  assert.equal(linkOf(JSON.stringify({ files }), json, HASH), "https://files.example/it.whl");
  assert.equal(linkOf(JSON.stringify({ files: [] }), json, HASH), undefined);
  const html = `<a href="../../a.whl#sha256=${OTHER}">a</a><a data-x="y" href="../../b.whl?x=1&amp;y=2#sha256=${HASH}">b</a>`;
  assert.equal(linkOf(html, "text/html", HASH), `../../b.whl?x=1&y=2#sha256=${HASH}`);
});

async function serve(t: TestContext, body: Buffer, failures = 0) {
  const asked: string[] = [];
  let failed = 0;
  const server = createServer(({ url = "", headers }, response) => {
    asked.push(`${url} ${headers.authorization ?? "-"}`);
    if (url.startsWith("/files/") && failed++ < failures) return response.writeHead(503).end();
    if (url.startsWith("/files/")) return response.end(body);
    response.setHeader("content-type", "text/html");
    return response.end(`<a href="/files/it.whl#sha256=${HASH}">it</a>`);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => server.close());
  const folder = await mkdtemp(join(tmpdir(), "meshproof-index-"));
  t.after(() => rm(folder, { recursive: true }));
  const { port } = server.address() as AddressInfo;
  const download = (hash = HASH) =>
    downloadFile("it", hash, join(folder, "it.whl"), { index: `http://me:p%40ss@127.0.0.1:${port}/simple/` });
  return { asked, download, folder };
}

test("a file comes from the index that is configured, with its login, and after a fault once more", async (t) => {
  const { asked, download, folder } = await serve(t, WHEEL, 1);
  await download();
  assert.deepEqual(await readFile(join(folder, "it.whl")), WHEEL);
  const login = `Basic ${Buffer.from("me:p@ss").toString("base64")}`;
  // A file outside the index's path is requested without the login.
  assert.deepEqual(asked, [`/simple/it/ ${login}`, "/files/it.whl -", `/simple/it/ ${login}`, "/files/it.whl -"]);
});

test("other bytes, and a hash that the index does not have, are refused", async (t) => {
  const { download, folder } = await serve(t, Buffer.from("other"));
  await assert.rejects(download(), new RegExp(`it cannot be downloaded: its SHA-256 is \\w+, not ${HASH}`));
  await assert.rejects(download(OTHER), /has no file with the SHA-256/);
  assert.deepEqual(await readdir(folder), []);
});
