import type { RunResult } from "../harness/model/result.ts";
import { redact, redactNamed } from "../harness/safe/redact.ts";
import { cut, isCut } from "./text.ts";

/** Limits in bytes of UTF-8. A body and a header value are read as evidence, not as documents; YAML is what a person applied. */
const evidenceLimit = 2048;
const textLimit = 64 * 1024;
const headersLimit = 64;

/**
 * Makes a result fit to be written: no token signature, no credential and no private key anywhere, bodies and header values cut at 2 KiB,
 * all other text at 64 KiB. Every report goes through it; doing it twice changes nothing.
 */
export function prepare(result: RunResult): RunResult {
  const made = prepared.get(result) ?? prepareData(result);
  prepared.set(result, made);
  return made;
}

/** Each report asks for the same one, which takes a second of a thousand checks. */
const prepared = new WeakMap<RunResult, RunResult>();

/** The same for any plain data that is to be written. */
export function prepareData<Data>(data: Data): Data {
  return prepareValue(data, textLimit) as Data;
}

function prepareValue(value: unknown, limit: number): unknown {
  if (typeof value === "string") return prepareText(value, limit);
  if (Array.isArray(value)) return value.map((item) => prepareValue(item, limit));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => prepareEntry(key, inner, limit)));
}

function prepareEntry(key: string, value: unknown, limit: number): [string, unknown] {
  if (key === "body" || key === "details" || key === "error") return [key, prepareValue(value, evidenceLimit)];
  if (key === "headers" && typeof value === "object" && value !== null) {
    return [key, prepareHeaders(value as Record<string, unknown>)];
  }
  return [key, prepareValue(value, limit)];
}

function prepareHeaders(headers: Record<string, unknown>): unknown {
  const entries = Object.entries(headers);
  const kept = entries.slice(0, headersLimit).map(([name, value]) => {
    const safe = typeof value === "string" ? redactNamed(name, value) : value;
    return [prepareText(name, 256), prepareValue(safe, evidenceLimit)];
  });
  const left = entries.length - headersLimit;
  return Object.fromEntries(left > 0 ? [...kept, ["…", `${left} more headers left out`]] : kept);
}

/** Secrets go first: half of one is not found any more. */
function prepareText(text: string, limit: number): string {
  // Half a character of UTF-16 is in no file and no address.
  const safe = redact(text.toWellFormed());
  return isCut(safe) && safe.length < limit + 64 ? safe : cut(safe, limit);
}
