import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { createServer, type RequestListener } from "node:http";
import { mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { openImage, readDigest } from "./client.ts";
import { startRegistry } from "./registry.fixture.ts";
import { isOwnRealm, MOST_JSON_BYTES, registryErrorOf } from "./transport.ts";

const INDEX = JSON.stringify({ schemaVersion: 2, mediaType: "application/vnd.oci.image.index.v1+json", manifests: [] });
const DIGEST = `sha256:${createHash("sha256").update(INDEX).digest("hex")}`;

/** A registry on loopback. */
async function serve(t: TestContext, answer: RequestListener): Promise<string> {
  const server = createServer(answer);
  t.after(() => server.close());
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

test("the digest is that of the tag's manifest", async (t) => {
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
  await assert.rejects(readDigest(`${host}/istio/pilot:1.31.0`), /announced sha256:0+, but sent sha256:/);
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

test("an interrupt does not wait for a registry or a blob", async (t) => {
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

test("a token is had from the registry's own site by https alone", () => {
  const own = (registry: string, realm: string) => isOwnRealm(new URL(registry), new URL(realm));
  for (const [registry, realm] of [
    ["https://registry-1.docker.io", "https://auth.docker.io/token"],
    ["https://registry.gitlab.com", "https://gitlab.com/jwt/auth"],
    ["https://ghcr.io", "https://ghcr.io/token"],
    ["https://r.example.com:5000", "https://r.example.com/token"],
    ["http://127.0.0.1:1", "http://localhost:2/token"],
  ] as const)
    assert.equal(own(registry, realm), true, `${registry} ${realm}`);
  for (const [registry, realm] of [
    ["https://registry-1.docker.io", "http://auth.docker.io/token"],
    ["https://registry-1.docker.io", "https://auth.docker.io.example/token"],
    ["https://registry-1.docker.io", "http://127.0.0.1/token"],
    ["https://registry-1.docker.io", "https://127.0.0.1/token"],
    ["https://registry-1.docker.io", "https://u:p@auth.docker.io/token"],
    ["https://ghcr.io", "https://evil.io/token"],
    ["https://10.0.0.1", "https://11.0.0.1/token"],
    ["http://127.0.0.1:1", "https://auth.docker.io/token"],
  ] as const)
    assert.equal(own(registry, realm), false, `${registry} ${realm}`);
});

test("a token is not fetched or sent for another host's challenge", async (t) => {
  const asked: string[] = [];
  const host = await serve(t, ({ url = "", headers }, response) => {
    asked.push(`${url} ${headers.authorization ?? ""}`);
    const challenge = `Bearer realm="https://auth.example/token",service="x"`;
    response.writeHead(401, { "www-authenticate": challenge }).end();
  });
  await assert.rejects(
    readDigest(`${host}/istio/pilot:1`),
    /requires a token from https:\/\/auth\.example; meshproof gets tokens only from/,
  );
  assert.deepEqual(asked, ["/v2/istio/pilot/manifests/1 "]);
});

test("a token that is none is not sent", async (t) => {
  for (const body of [
    "not JSON",
    '{"token":{"a":1}}',
    '{"token":"a b"}',
    "{}",
    `{"token":"${"x".repeat(MOST_JSON_BYTES)}"}`,
  ]) {
    const host = await serve(t, ({ url, headers }, response) => {
      assert.equal(headers.authorization, undefined);
      if (url?.startsWith("/token")) return response.end(body);
      return response.writeHead(401, { "www-authenticate": `Bearer realm="http://${headers.host}/token"` }).end();
    });
    await assert.rejects(readDigest(`${host}/istio/pilot:1`), { code: "ERR_COMPONENT" });
  }
});

test("a redirect is followed without the token, and not for ever", async (t) => {
  const other = await serve(t, ({ headers }, response) => {
    assert.equal(headers.authorization, undefined);
    response.end(INDEX);
  });
  const host = await serve(t, ({ url = "", headers }, response) => {
    if (url.startsWith("/token")) return response.end('{"token":"t"}');
    if (url.includes("loop")) return response.writeHead(302, { location: url }).end();
    if (headers.authorization === undefined)
      return response.writeHead(401, { "www-authenticate": `Bearer realm="http://${headers.host}/token"` }).end();
    return response.writeHead(307, { location: `http://${other}/elsewhere` }).end();
  });
  assert.equal(await readDigest(`${host}/istio/pilot:1`), DIGEST);
  await assert.rejects(readDigest(`${host}/loop/pilot:1`), /redirects more than 5 times/);
});

test("a manifest and a configuration have a limit", async (t) => {
  const config = { mediaType: "x", digest: DIGEST, size: MOST_JSON_BYTES + 1 };
  const host = await serve(t, ({ url = "" }, response) => {
    if (url.includes("large")) return void response.end(Buffer.alloc(MOST_JSON_BYTES + 1, " "));
    return void response.end(JSON.stringify({ config, layers: [] }));
  });
  await assert.rejects(readDigest(`${host}/large/pilot:1`), /sends more than 4194304 bytes of JSON/);
  await assert.rejects(openImage(`${host}/istio/pilot:1`, "amd64"), /its configuration has 4194305 bytes/);
});

/** A registry with one image of one layer, and a file to download it to. */
async function image(t: TestContext) {
  const registry = await startRegistry([{ name: "a/b:1", files: { "/x": randomBytes(300_000) } }]);
  t.after(() => registry[Symbol.asyncDispose]());
  const folder = await mkdtemp(join(tmpdir(), "meshproof-client-"));
  t.after(() => rm(folder, { recursive: true }));
  const before = process.env["DOCKER_CONFIG"];
  process.env["DOCKER_CONFIG"] = folder;
  t.after(() => {
    if (before === undefined) delete process.env["DOCKER_CONFIG"];
    else process.env["DOCKER_CONFIG"] = before;
  });
  const download = async (): Promise<number> => {
    const opened = await openImage(`${registry.host}/a/b:1`, process.arch === "x64" ? "amd64" : process.arch);
    const layer = opened.layers.at(-1) ?? assert.fail("no layer");
    let bytes = 0;
    await opened.download(layer, join(folder, "layer"), (more) => (bytes += more));
    assert.equal(layer.size, (await stat(join(folder, "layer"))).size);
    return bytes / layer.size;
  };
  return { registry, folder, download };
}

test("a blob whose connection is cut is taken up where it was cut", async (t) => {
  const { registry, download } = await image(t);
  registry.cutEachOnce();
  assert.equal(await download(), 1);
});

test("a spoiled byte is refused, whether or not the connection was cut", async (t) => {
  const { registry, download } = await image(t);
  registry.spoil(registry.layersOf("a/b:1").at(-1) ?? "");
  registry.cutEachOnce();
  await assert.rejects(download(), (error) => {
    assert.match(String(error), /does not match the manifest: it is sha256:/);
    assert.equal(registryErrorOf(error), undefined);
    return true;
  });
});

test("a rate limit that ends soon is waited for, another one is an error with a hint", async (t) => {
  const { registry, download } = await image(t);
  registry.limitOnce({ "retry-after": "0" });
  assert.equal(await download(), 1);
  registry.limitOnce({ "retry-after": "3600" });
  await assert.rejects(download(), { message: /429 Too Many Requests/, hint: /docker login .*--image-mirror .*wait/ });
  registry.limitOnce();
  await assert.rejects(download(), { message: /429 Too Many Requests/ });
});

test("a registry gets the login that Docker has for it", async (t) => {
  const { registry, folder, download } = await image(t);
  registry.demandLogin("me:secret");
  await assert.rejects(download(), { message: /wants credentials/, hint: /docker login 127\.0\.0\.1/ });
  const auth = (login: string) => ({ auths: { [registry.host]: { auth: Buffer.from(login).toString("base64") } } });
  await writeFile(join(folder, "config.json"), JSON.stringify(auth("me:secret")));
  assert.equal(await download(), 1);
  await writeFile(join(folder, "config.json"), JSON.stringify(auth("me:wrong")));
  await assert.rejects(download(), (error: Error) => {
    assert.match(error.message, /the registry answers 401/);
    assert.doesNotMatch(error.message, /wrong/);
    return true;
  });
});

test("a login goes to the place of the registry's tokens", async (t) => {
  const { folder } = await image(t);
  const host = await serve(t, ({ url, headers }, response) => {
    const basic = `Basic ${Buffer.from("me:secret").toString("base64")}`;
    if (url?.startsWith("/token")) {
      if (headers.authorization === basic) return response.end('{"token":"t"}');
      return response.writeHead(401).end();
    }
    if (headers.authorization === "Bearer t") return response.end(INDEX);
    return response.writeHead(401, { "www-authenticate": `Bearer realm="http://${headers.host}/token"` }).end();
  });
  const auths = { [host]: { auth: Buffer.from("me:secret").toString("base64") } };
  await writeFile(join(folder, "config.json"), JSON.stringify({ auths }));
  assert.equal(await readDigest(`${host}/istio/pilot:1`), DIGEST);
});

test("a registry elsewhere is asked through the proxy of the environment, one on this machine is not", async (t) => {
  const asked: string[] = [];
  const proxy = createServer();
  proxy.on("connect", ({ url = "" }, socket) => {
    asked.push(url);
    socket.end("HTTP/1.1 502 Bad Gateway\r\n\r\n");
  });
  await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve));
  t.after(() => proxy.close());
  const before = process.env["HTTPS_PROXY"];
  process.env["HTTPS_PROXY"] = process.env["HTTP_PROXY"] = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`;
  t.after(() => {
    delete process.env["HTTP_PROXY"];
    if (before === undefined) delete process.env["HTTPS_PROXY"];
    else process.env["HTTPS_PROXY"] = before;
  });
  await assert.rejects(readDigest("registry.invalid/a/b:1"), /registry\.invalid cannot be reached/);
  assert.deepEqual(asked, ["registry.invalid:443"]);
  const host = await serve(t, (_, response) => response.end(INDEX));
  assert.equal(await readDigest(`${host}/a/b:1`), DIGEST);
  assert.equal(asked.length, 1);
});
