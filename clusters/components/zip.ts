/** Unpacks a zip file whose SHA-256 is known (APPNOTE.TXT of PKWARE, sections 4.3.7, 4.3.12 and 4.3.16), such as a wheel. */

import { mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join, posix } from "node:path";
import { promisify } from "node:util";
import { inflateRaw } from "node:zlib";

const END = 0x06054b50;
const END_BYTES = 22;
const LONGEST_COMMENT = 0xffff;

const STORED = 0;
const DEFLATED = 8;

/**
 * Writes every file of an archive below a folder.
 * @throws Error for what is not a zip file, for what a small one never has (encryption, zip64), and for a name that leads out of it
 */
export async function unzip(file: string, folder: string): Promise<void> {
  const bytes = await readFile(file);
  for (const { name, method, from, packed, size } of entriesOf(bytes)) {
    const path = posix.normalize(name);
    if (path.startsWith("/") || path.startsWith("..") || path.includes("\\")) throw new Error(`it has a file ${name}`);
    if (path.endsWith("/")) continue;
    const data = bytes.subarray(from, from + packed);
    const content = method === STORED ? data : await promisify(inflateRaw)(data, { maxOutputLength: size || 1 });
    if (content.length !== size) throw new Error(`${name} has ${content.length} bytes instead of ${size}`);
    await mkdir(join(folder, dirname(path)), { recursive: true });
    await writeFile(join(folder, path), content);
  }
}

function* entriesOf(bytes: Buffer) {
  let end = bytes.length - END_BYTES;
  const first = Math.max(0, end - LONGEST_COMMENT);
  while (end >= first && bytes.readUInt32LE(end) !== END) end--;
  if (end < first) throw new Error("it is not a zip file");
  const count = bytes.readUInt16LE(end + 10);
  for (let at = bytes.readUInt32LE(end + 16), index = 0; index < count; index++) {
    const [flags, method] = [bytes.readUInt16LE(at + 8), bytes.readUInt16LE(at + 10)];
    const [packed, size] = [bytes.readUInt32LE(at + 20), bytes.readUInt32LE(at + 24)];
    const [nameBytes, extra, comment] = [28, 30, 32].map((offset) => bytes.readUInt16LE(at + offset)) as [
      number,
      number,
      number,
    ];
    const header = bytes.readUInt32LE(at + 42);
    const name = bytes.toString("utf8", at + 46, at + 46 + nameBytes);
    if (flags & 1 || ![STORED, DEFLATED].includes(method) || packed === 0xffffffff || header === 0xffffffff)
      throw new Error(`${name} is packed in a way that is not read`);
    // The local header has a name and extra fields of its own length.
    const from = header + 30 + bytes.readUInt16LE(header + 26) + bytes.readUInt16LE(header + 28);
    yield { name, method, from, packed, size };
    at += 46 + nameBytes + extra + comment;
  }
}
