import assert from "node:assert/strict";
import { mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { deflateRawSync } from "node:zlib";
import { unzip } from "./zip.ts";

/** A zip file as Python's zipfile writes it, of names and contents; a folder's name ends with a slash. */
function zip(files: Readonly<Record<string, string>>, { flags = 0 } = {}): Buffer {
  const [local, central]: [Buffer[], Buffer[]] = [[], []];
  let offset = 0;
  for (const [name, content] of Object.entries(files)) {
    const plain = Buffer.from(content);
    const method = plain.length > 10 ? 8 : 0;
    const data = method === 8 ? deflateRawSync(plain) : plain;
    const common = Buffer.alloc(26);
    common.writeUInt16LE(20, 0);
    common.writeUInt16LE(flags, 2);
    common.writeUInt16LE(method, 4);
    common.writeUInt32LE(data.length, 14);
    common.writeUInt32LE(plain.length, 18);
    common.writeUInt16LE(Buffer.byteLength(name), 22);
    const start = Buffer.from([0x50, 0x4b, 3, 4]);
    const entry = Buffer.concat([start, common, Buffer.from(name), data]);
    const rest = Buffer.alloc(14);
    rest.writeUInt32LE(offset, 10);
    central.push(Buffer.from([0x50, 0x4b, 1, 2, 20, 3]), common, rest, Buffer.from(name));
    local.push(entry);
    offset += entry.length;
  }
  const directory = Buffer.concat(central);
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50, 0);
  end.writeUInt16LE(Object.keys(files).length, 8);
  end.writeUInt16LE(Object.keys(files).length, 10);
  end.writeUInt32LE(directory.length, 12);
  end.writeUInt32LE(offset, 16);
  return Buffer.concat([...local, directory, end]);
}

async function unpack(t: TestContext, bytes: Buffer): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "meshproof-zip-"));
  t.after(() => rm(folder, { recursive: true }));
  await writeFile(join(folder, "x.zip"), bytes);
  await unzip(join(folder, "x.zip"), join(folder, "out"));
  return join(folder, "out");
}

test("files are unpacked, stored or deflated", async (t) => {
  const out = await unpack(t, zip({ "a/": "", "a/short": "short", "a/b/long": "long ".repeat(1000), empty: "" }));
  assert.equal(await readFile(join(out, "a/short"), "utf8"), "short");
  assert.equal(await readFile(join(out, "a/b/long"), "utf8"), "long ".repeat(1000));
  assert.equal(await readFile(join(out, "empty"), "utf8"), "");
  assert.deepEqual((await readdir(out)).sort(), ["a", "empty"]);
});

test("what is not a plain zip file is refused, and a name that leads out of the folder", async (t) => {
  for (const bytes of [
    Buffer.from("not one"),
    zip({ "../out": "x" }),
    zip({ "/etc/x": "x" }),
    zip({ "a\\..\\out": "x" }),
    zip({ secret: "x" }, { flags: 1 }),
  ])
    await assert.rejects(unpack(t, bytes), Error);
});
