import assert from "node:assert/strict";
import { lstat, mkdir, readFile, readdir, readlink, stat } from "node:fs/promises";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { gzipSync } from "node:zlib";
import { openImage } from "./client.ts";
import { OCI, serve, tar, type Entry } from "./layers.fixture.ts";
import { takeTree } from "./tree.ts";

async function take(t: TestContext, layers: readonly (readonly Entry[])[], except = /^left-out(\/|$)/) {
  const packed = await Promise.all(
    layers.map(async (entries) => ({ mediaType: `${OCI}+gzip`, bytes: gzipSync(await tar(...entries)) })),
  );
  const { reference, folder } = await serve(t, packed);
  const root = join(folder, "root");
  await mkdir(root);
  await takeTree(await openImage(reference, "amd64"), root, join(folder, "work"), { except });
  return { root, folder, read: (path: string) => readFile(join(root, path), "utf8") };
}

const dir = (name: string): Entry => ({ name, type: "directory" });
const link = (name: string, linkname: string): Entry => ({ name, type: "symlink", linkname });

test("layers are laid one over the other, with links, modes, whiteouts and what is left out", async (t) => {
  const { root, read } = await take(t, [
    [
      dir("usr/bin/"),
      link("bin", "usr/bin"),
      { name: "usr/bin/a", body: "old", mode: 0o755 },
      { name: "etc/gone", body: "x" },
      { name: "opt/all/of/it", body: "x" },
      { name: "left-out/file", body: "x" },
      { name: "was-folder/file", body: "x" },
    ],
    [
      { name: "bin/a", body: "new", mode: 0o4755 },
      { name: "bin/b", type: "link", linkname: "bin/a" },
      { name: "etc/.wh.gone" },
      { name: "opt/.wh..wh..opq" },
      { name: "opt/kept", body: "kept" },
      { name: "was-folder", body: "a file" },
      link("usr/bin/absolute", "/usr/bin/a"),
      { name: "dev/null", type: "character-device" },
    ],
  ]);
  assert.equal(await read("usr/bin/a"), "new");
  assert.equal(await read("usr/bin/b"), "new");
  assert.equal((await stat(join(root, "usr/bin/a"))).mode & 0o7777, 0o755);
  assert.equal(await readlink(join(root, "bin")), "usr/bin");
  assert.equal(await readlink(join(root, "usr/bin/absolute")), "/usr/bin/a");
  assert.deepEqual(await readdir(join(root, "etc")), []);
  assert.deepEqual(await readdir(join(root, "opt")), ["kept"]);
  assert.equal(await read("was-folder"), "a file");
  assert.deepEqual((await readdir(root)).sort(), ["bin", "etc", "opt", "usr", "was-folder"]);
});

test("no name and no link leads out of the folder", async (t) => {
  const { root, folder, read } = await take(t, [
    [
      link("out", "../../.."),
      link("absolute", "/"),
      { name: "out/a", body: "a" },
      { name: "absolute/b", body: "b" },
      { name: "../../c", body: "c" },
      { name: "loop/x", body: "x" },
      { name: "copy", type: "link", linkname: "../../../out/a" },
    ],
    [link("a", "../../outside"), { name: "a", body: "replaced" }],
  ]);
  assert.deepEqual((await readdir(folder)).sort(), ["root", "work"]);
  assert.deepEqual((await readdir(root)).sort(), ["a", "absolute", "b", "c", "copy", "loop", "out"]);
  assert.ok((await lstat(join(root, "a"))).isFile());
  assert.equal(await read("a"), "replaced");
  assert.equal(await read("copy"), "a");
});

test("links in a circle, a link to nothing and a file in the place of a folder are refused", async (t) => {
  const circle = [link("a", "b"), link("b", "a"), { name: "a/x", body: "x" }];
  await assert.rejects(take(t, [circle]), /cannot be unpacked: .*a\/x leads through too many links/);
  await assert.rejects(take(t, [[{ name: "x", type: "link", linkname: "none" }]]), /x is a hard link to no file/);
  await assert.rejects(
    take(t, [
      [
        { name: "file", body: "x" },
        { name: "file/below", body: "x" },
      ],
    ]),
    /cannot be unpacked/,
  );
});
