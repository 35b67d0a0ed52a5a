import type { RunResult } from "../harness/model/result.ts";
import { redact, redactNamed } from "../harness/safe/redact.ts";
import { cut, isCut } from "./text.ts";

/** Limits in bytes of UTF-8. A body or header value is only evidence; YAML should be complete. */
const evidenceLimit = 2048;
const textLimit = 64 * 1024;
const headersLimit = 64;

/**
 * Prepares a result for reports: removes token signatures, credentials and private keys, cuts bodies and header values at 2 KiB and
 * all other text at 64 KiB. Every report uses it; it is idempotent.
 */
export function prepare(result: RunResult): RunResult {
  const made = prepared.get(result) ?? prepareData(result);
  prepared.set(result, made);
  return made;
}

/** Cached for all reports, since preparing takes a second per thousand checks. */
const prepared = new WeakMap<RunResult, RunResult>();

/** The same for any plain data. */
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

/** Removes secrets before it cuts: a secret that was cut in half would not be found. */
function prepareText(text: string, limit: number): string {
  // Lone surrogates of UTF-16 cannot be written to files or URLs.
  const safe = redact(text.toWellFormed());
  return isCut(safe) && safe.length < limit + 64 ? safe : cut(safe, limit);
}
