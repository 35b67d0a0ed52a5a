/**
 * Bytes of a request that are not text. In a path or a header of a scenario `\xHH` is the byte HH, in hexadecimal. In memory a byte that
 * is not part of UTF-8 is a lone surrogate, U+DC80 to U+DCFF, as in Python (PEP 383).
 */

import { isUtf8 } from "node:buffer";

const NOTATION = /\\x([0-9A-Fa-f]{2})/g;
const LONE = /[\udc80-\udcff]/gu;

export function hasBytes(text: string): boolean {
  return text.search(NOTATION) >= 0;
}

/** Writes text that has no notation, so that it stays as it is: a ticket's `\x41` is four characters. */
export function escapeNotation(text: string): string {
  return text.replace(NOTATION, (found) => `\\x5c${found.slice(1)}`);
}

/** The text with each `\xHH` as that byte. */
export function fillBytes(text: string): string {
  if (!hasBytes(text)) return text;
  const parts = text.split(NOTATION).map((part, index) => Buffer.from(part, index % 2 === 0 ? "utf8" : "hex"));
  return fromBytes(Buffer.concat(parts));
}

/** Text in memory for people and reports: what is not UTF-8 is written as in a scenario. */
export function showBytes(text: string): string {
  return text.replace(LONE, (lone) => `\\x${(lone.charCodeAt(0) & 0xff).toString(16)}`);
}

/** Text in memory as bytes. */
export function toBytes(text: string): Buffer {
  const parts: Buffer[] = [];
  let from = 0;
  for (const { 0: lone, index } of text.matchAll(LONE)) {
    parts.push(Buffer.from(text.slice(from, index)), Buffer.from([lone.charCodeAt(0) & 0xff]));
    from = index + 1;
  }
  return Buffer.concat([...parts, Buffer.from(text.slice(from))]);
}

function fromBytes(bytes: Buffer): string {
  let text = "";
  for (let at = 0; at < bytes.length;) {
    const length = [1, 2, 3, 4].find((count) => isCharacter(bytes.subarray(at, at + count))) ?? 0;
    text += length === 0 ? String.fromCharCode(0xdc00 + bytes[at]!) : bytes.toString("utf8", at, at + length);
    at += Math.max(length, 1);
  }
  return text;
}

/** Whether bytes are one character of UTF-8 (RFC 3629). */
function isCharacter(bytes: Buffer): boolean {
  return isUtf8(bytes) && [...bytes.toString()].length === 1;
}
