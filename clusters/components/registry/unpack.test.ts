import assert from "node:assert/strict";
import { readFile, readdir } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { openImage } from "./client.ts";
import { DOCKER, ENVOY, OCI, serve, tar, type Entry } from "./layers.fixture.ts";
import { takeFiles } from "./unpack.ts";

test("a file comes from the topmost layer, with any compression, and no lower layer is fetched", async (t) => {
  const { take, asked, layers } = await serve(t, [
    { mediaType: OCI, bytes: await tar({ name: ENVOY, body: "oldest" }, { name: "etc/a", body: "a" }) },
    { mediaType: `${OCI}+zstd`, bytes: zstdCompressSync(await tar({ name: `./${ENVOY}`, body: "old" })) },
    { mediaType: `${OCI}+gzip`, bytes: gzipSync(await tar({ name: ENVOY, body: "new" }, { name: "b", body: "b" })) },
    { mediaType: DOCKER, bytes: gzipSync(await tar({ name: "etc/c", body: "c" })) },
  ]);
  assert.equal(await take(), "new");
  assert.deepEqual(
    layers.map(({ digest }) => asked.includes(digest)),
    [false, false, true, true],
  );
  assert.equal(await take("etc/a"), "a");
});

test("a whiteout removes files of lower layers, but not those of its own layer", async (t) => {
  const below = { mediaType: OCI, bytes: await tar({ name: ENVOY, body: "old" }) };
  const over = async (...entries: Entry[]) =>
    (await serve(t, [below, { mediaType: OCI, bytes: await tar(...entries) }])).take();
  for (const name of ["usr/local/bin/.wh.envoy", "usr/.wh.local", "usr/local/.wh..wh..opq", ".wh..wh..opq"]) {
    await assert.rejects(over({ name }), /usr\/local\/bin\/envoy is removed by a later layer/, name);
    assert.equal(await over({ name: ENVOY, body: "new" }, { name }), "new");
  }
  assert.equal(await over({ name: "usr/local/bin/.wh.env" }, { name: "opt/.wh..wh..opq" }), "old");
});

test("a name is relative to the root however it is written, as for container engines", async (t) => {
  for (const name of [`/${ENVOY}`, `.//${ENVOY}`, `usr/lib/../local//bin/envoy`]) {
    const bytes = await tar({ name, body: "there" });
    assert.equal(await (await serve(t, [{ mediaType: OCI, bytes }])).take(), "there", name);
  }
});

test("a small layer that unpacks to a large one, and a large file, are refused", async (t) => {
  const bytes = gzipSync(
    await tar({ name: "other", body: "x".repeat(1 << 20) }, { name: ENVOY, body: "y".repeat(2000) }),
  );
  assert.ok(bytes.length < 10_000);
  const { take } = await serve(t, [{ mediaType: `${OCI}+gzip`, bytes }]);
  assert.equal((await take()).length, 2000);
  await assert.rejects(
    take(ENVOY, { file: 1999, layer: 1 << 21 }),
    /envoy has 2000 bytes, and more than 1999 are not written/,
  );
  await assert.rejects(take(ENVOY, { file: 2000, layer: 1 << 20 }), /it unpacks to more than 1048576 bytes/);
  await assert.rejects(take(ENVOY, { file: 2000, layer: 1000 }), /has \d+ bytes, and more than 1000 are not read/);
});

test("hostile names and links are never followed, and nothing else is written", async (t) => {
  const { take, folder } = await serve(t, [
    {
      mediaType: OCI,
      bytes: await tar(
        { name: ENVOY, body: "good" },
        { name: `../${ENVOY}`, body: "bad" },
        { name: `x/../../${ENVOY}`, body: "bad" },
        { name: "../escaped", body: "bad" },
        { name: "/../../escaped", body: "bad" },
        { name: "y", type: "symlink", linkname: "/" },
        { name: "y/z", body: "bad" },
      ),
    },
  ]);
  assert.equal(await take(), "good");
  assert.deepEqual((await readdir(folder, { recursive: true })).sort(), ["taken", "work"]);
  for (const entry of [
    { name: ENVOY, type: "symlink", linkname: "/etc/shadow" },
    { name: ENVOY, type: "link", linkname: "x" },
    { name: "usr/local", type: "symlink", linkname: "/" },
  ] as const)
    await assert.rejects((await serve(t, [{ mediaType: OCI, bytes: await tar(entry) }])).take(), {
      code: "ERR_COMPONENT",
      message: /is a (sym)?link/,
    });
});

test("bytes that do not match their digest are refused: others, fewer, more", async (t) => {
  const layer = { mediaType: OCI, bytes: await tar({ name: ENVOY, body: "good" }) };
  const spoilt = async (change: (bytes: Buffer) => Buffer, which: "layer" | "manifest") => {
    const isLayer = (bytes: Buffer) => bytes.equals(layer.bytes);
    const server = await serve(t, [layer], (bytes, name) =>
      name.startsWith("sha256:") && isLayer(bytes) === (which === "layer") ? change(bytes) : bytes,
    );
    await assert.rejects(server.take(), (error: Error) => {
      assert.match(
        error.message,
        which === "layer"
          ? /blob sha256:\w+ does not match the manifest|ended after \d+ of \d+ bytes of its blob/
          : /was requested, but/,
      );
      return true;
    });
  };
  await spoilt((bytes) => Buffer.concat([Buffer.from("x"), bytes.subarray(1)]), "layer");
  await spoilt((bytes) => bytes.subarray(1), "layer");
  await spoilt((bytes) => Buffer.concat([bytes, Buffer.from("x")]), "layer");
  await spoilt((bytes) => Buffer.concat([bytes, Buffer.from(" ")]), "manifest");
});

test("of several places for one file the image's own is taken", async (t) => {
  const bytes = await tar({ name: "bin", type: "symlink", linkname: "usr/bin" }, { name: "usr/bin/x", body: "found" });
  const { reference, folder } = await serve(t, [{ mediaType: OCI, bytes }]);
  const image = await openImage(reference, "amd64");
  const file = join(folder, "taken");
  const work = join(folder, "work");
  await takeFiles(image, { "bin/x": file, "usr/bin/x": file, "usr/local/bin/x": file }, work);
  assert.equal(await readFile(file, "utf8"), "found");
  await assert.rejects(takeFiles(image, { "bin/x": file, "sbin/x": file }, work), /it has no sbin\/x/);
  await assert.rejects(takeFiles(image, { "bin/x": file }, work), /bin\/x is below bin, which is a symlink/);
});

test("an image is read by digest, and refused where it is for other platforms or of an unknown kind", async (t) => {
  const server = await serve(t, [{ mediaType: "application/x-squashfs", bytes: Buffer.from("x") }]);
  const pinned = await openImage(`${server.reference}@${server.digest}`, "amd64");
  assert.equal(pinned.digest, server.digest);
  await assert.rejects(openImage(server.reference, "s390x"), /for linux\/arm64, linux\/amd64, not for linux\/s390x/);
  await assert.rejects(server.take(), /squashfs, which is not a known kind of tar/);
  await assert.rejects((await serve(t, [])).take(), /it has no usr\/local\/bin\/envoy/);
});
