import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { createServer, type RequestListener } from "node:http";
import { rm } from "node:fs/promises";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { openImage, readDigest } from "./client.ts";

const INDEX = JSON.stringify({ schemaVersion: 2, mediaType: "application/vnd.oci.image.index.v1+json", manifests: [] });
const DIGEST = `sha256:${createHash("sha256").update(INDEX).digest("hex")}`;

/** A registry on loopback. */
async function serve(t: TestContext, answer: RequestListener): Promise<string> {
  const server = createServer(answer);
  t.after(() => server.close());
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

test("the digest is that of what the tag leads to", async (t) => {
  const host = await serve(t, ({ url, headers }, response) => {
    assert.equal(url, "/v2/istio/pilot/manifests/1.31.0");
    assert.match(headers.accept ?? "", /oci\.image\.index/);
    response.end(INDEX);
  });
  assert.equal(await readDigest(`${host}/istio/pilot:1.31.0`), DIGEST);
});

test("a registry that wants an anonymous token gets one", async (t) => {
  const host = await serve(t, ({ url, headers }, response) => {
    if (url === "/token?service=here&scope=repository%3Aistio%2Fpilot%3Apull")
      return response.end(JSON.stringify({ token: "anonymous" }));
    if (headers.authorization === "Bearer anonymous") return response.end(INDEX);
    const challenge = `Bearer realm="http://${host}/token",service="here",scope="repository:istio/pilot:pull"`;
    return response.writeHead(401, { "www-authenticate": challenge }).end();
  });
  assert.equal(await readDigest(`${host}/istio/pilot:1.31.0`), DIGEST);
});

test("a digest that is not of what was sent is refused", async (t) => {
  const host = await serve(t, (_, response) => {
    response.setHeader("docker-content-digest", `sha256:${"0".repeat(64)}`).end(INDEX);
  });
  await assert.rejects(readDigest(`${host}/istio/pilot:1.31.0`), /says sha256:0+, and what it sends is sha256:/);
});

test("an image that is not there, and one that needs credentials", async (t) => {
  const host = await serve(t, ({ url }, response) => {
    if (url?.includes("secret")) response.setHeader("www-authenticate", 'Basic realm="x"');
    response.writeHead(url?.includes("secret") ? 401 : 404).end();
  });
  await assert.rejects(readDigest(`${host}/istio/pilot:9`), /istio\/pilot:9 cannot be read: the registry answers 404/);
  await assert.rejects(readDigest(`${host}/secret/pilot:9`), /wants credentials/);
});

test("a registry that is not there", async () => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  await assert.rejects(readDigest(`127.0.0.1:${port}/istio/pilot:9`), /cannot be reached: .*ECONNREFUSED/);
});

test("whoever is interrupted waits for no registry, and no blob", async (t) => {
  const config = JSON.stringify({ os: "linux", architecture: "amd64" });
  const descriptor = (text: string, size = text.length) => ({
    mediaType: "application/vnd.oci.image.layer.v1.tar",
    digest: `sha256:${createHash("sha256").update(text).digest("hex")}`,
    size,
  });
  const manifest = JSON.stringify({ config: descriptor(config), layers: [descriptor("layer", 100)] });
  const controller = new AbortController();
  const host = await serve(t, ({ url = "" }, response) => {
    if (url.includes("/manifests/")) response.end(manifest);
    else if (url.endsWith(descriptor(config).digest)) response.end(config);
    else response.write("begun", () => controller.abort());
  });
  const { signal } = controller;
  const image = await openImage(`${host}/istio/pilot:1`, "amd64", { signal });
  const file = join(tmpdir(), `meshproof-client-test-${process.pid}`);
  t.after(() => rm(file, { force: true }));
  const [layer] = image.layers;
  assert.ok(layer);
  await assert.rejects(image.download(layer, file), { code: "ERR_COMPONENT" });
  await assert.rejects(readDigest(`${host}/istio/pilot:1`, { signal }), { code: "ERR_COMPONENT" });
});
